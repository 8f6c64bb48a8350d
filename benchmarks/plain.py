"""The plain formulation: the published network from stock torch.nn layers, under its published parameter names.

It is the yardstick of speed, memory and correctness, and nothing trains with it. Two passes of a stock
`nn.TransformerEncoder` a step; the encoder layer that the published network registers and never runs is there too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_configs import DatasetConfig
from hparams import TrainingConfig


def _conv_block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(in_channels, out_channels, 8, padding=4, bias=False),
        nn.BatchNorm1d(out_channels),
        nn.ReLU(),
        nn.MaxPool1d(2, stride=2, padding=1),
    )


class _SELayer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // 4, bias=False),
            nn.ReLU(),
            nn.Linear(channels // 4, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(nn.functional.adaptive_avg_pool1d(x, 1).flatten(1)).unsqueeze(2)


class _SEBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 1)
        self.bn1 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 1)
        self.bn2 = nn.BatchNorm1d(channels)
        self.se = _SELayer(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.se(self.bn2(self.conv2(out))) + x)


class PlainECGTransForm(nn.Module):
    """The network as published: (B, 1, L) -> (B, C); 637,689 parameters for five classes, 530,516 of them used."""

    def __init__(self, configs: DatasetConfig, hparams: TrainingConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, 32, 5, padding=2, bias=False)
        self.conv2 = nn.Conv1d(1, 32, 9, padding=4, bias=False)
        self.conv3 = nn.Conv1d(1, 32, 11, padding=5, bias=False)
        self.bn = nn.BatchNorm1d(32)
        self.dropout = nn.Dropout(hparams.dropout)
        self.conv_block2 = _conv_block(32, 64)
        self.conv_block3 = _conv_block(64, 128)
        self.crm = nn.Sequential(*(_SEBlock(128) for _ in range(3)))
        self.encoder_layer = nn.TransformerEncoderLayer(
            configs.trans_dim, configs.num_heads, 2048, dropout=hparams.encoder_dropout, batch_first=True
        )
        self.transformer_encoder = nn.TransformerEncoder(self.encoder_layer, 3, enable_nested_tensor=False)
        self.clf = nn.Linear(128, configs.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, L) -> logits (B, C)."""
        x = (self.conv1(x) + self.conv2(x) + self.conv3(x)) / 3
        x = self.dropout(nn.functional.max_pool1d(torch.relu(self.bn(x)), 2, stride=2, padding=1))
        x = self.crm(self.conv_block3(self.conv_block2(x)))
        x = self.transformer_encoder(x) + self.transformer_encoder(torch.flip(x, dims=[-1]))
        return self.clf(x.mean(dim=-1))

"""The network of ECGTransForm, block by block as in Fig. 1 of the paper.

MSC -> conv block 2 -> conv block 3 -> CRM -> BiTrans -> classifier. One beat of shape (1, L) goes in, one logit
a class comes out. Below B is the batch, L = 186 samples and 25 the steps left of them after three poolings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_configs import DatasetConfig
from hparams import TrainingConfig
from kernels.encoder import TransformerEncoderLayer


class MSC(nn.Module):
    """Multi-scale convolution (Fig. 1): parallel kernels see the beat at several scales; their mean goes on."""

    def __init__(self, configs: DatasetConfig, hparams: TrainingConfig) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(configs.input_channels, configs.mid_channels, size, padding=size // 2, bias=False)
            for size in configs.msc_kernel_sizes
        )
        self.bn = nn.BatchNorm1d(configs.mid_channels)
        self.pool = nn.Sequential(nn.ReLU(), nn.MaxPool1d(2, stride=2, padding=1), nn.Dropout(hparams.dropout))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 186) -> (B, 32, 94)."""
        maps = torch.stack([conv(x) for conv in self.convs]).mean(dim=0)  # (B, 32, 186)
        return self.pool(self.bn(maps))


def conv_block(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU, halving of the time axis: (B, in, T) -> (B, out, ~T / 2)."""
    return nn.Sequential(
        nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm1d(out_channels),
        nn.ReLU(),
        nn.MaxPool1d(kernel_size=2, stride=2, padding=1),
    )


def plain_first_block(configs: DatasetConfig, hparams: TrainingConfig) -> nn.Sequential:
    """What the ablation `cnn` has in the place of MSC: (B, 1, 186) -> (B, 32, 94)."""
    block = conv_block(configs.input_channels, configs.mid_channels, configs.conv_kernel_size)
    return block.append(nn.Dropout(hparams.dropout))


class SqueezeExcitation(nn.Module):
    """Channel gates of the CRM (Fig. 1): each map is rescaled by a gate that sees the mean of all maps."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 128, 25) -> (B, 128, 25)."""
        gates = self.fc(x.mean(dim=2))  # (B, 128)
        return x * gates.unsqueeze(2)


class CRM(nn.Module):
    """One block of the channel recalibration module (Fig. 1): a residual squeeze-and-excitation block."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, kernel_size=1)
        self.bn1 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, kernel_size=1)
        self.bn2 = nn.BatchNorm1d(channels)
        self.se = SqueezeExcitation(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 128, 25) -> (B, 128, 25)."""
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.se(self.bn2(self.conv2(out)))
        return torch.relu(out + x)


class BiTrans(nn.Module):
    """Bidirectional Transformer (Fig. 1): one encoder reads the map forwards and, with the same weights, reversed.

    The channels are the tokens and time is the embedding: attention relates feature maps, not moments. The variant
    `msc_crm_trans` of the ablation reads forwards only.
    """

    def __init__(self, configs: DatasetConfig, hparams: TrainingConfig) -> None:
        super().__init__()
        layer = TransformerEncoderLayer(
            d_model=configs.trans_dim,
            nhead=configs.num_heads,
            dim_feedforward=configs.feedforward_dim,
            dropout=hparams.encoder_dropout,
            kernel=hparams.kernel,
            precision=hparams.precision,
            tokens=configs.final_out_channels,
        )
        # nn.TransformerEncoder copies the layer: all layers start from one draw, as in the released code.
        self.encoder = nn.TransformerEncoder(layer, configs.encoder_layers, enable_nested_tensor=False)
        self.one_way = hparams.variant == "msc_crm_trans"

    def kernel_on(self, device: torch.device) -> str:
        """How the encoder layers are computed on `device`."""
        return self.encoder.layers[0].kernel_on(device)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 128, 25) -> (B, 128, 25): the sum of both directions."""
        if self.one_way:
            return self.encoder(x)
        both = torch.cat([x, x.flip(dims=[2])])  # (2B, 128, 25): time reversed in the second half
        forwards, backwards = self.encoder(both).chunk(2)
        return forwards + backwards


class ecgTransForm(nn.Module):  # noqa: N801  (the released code's name)
    """The whole network (Fig. 1): 530,516 parameters for five classes, all of them trained.

    The ablations of Fig. 5 leave blocks out (`hparams.variant`): a left-out CRM or BiTrans passes its input on, and
    `cnn` has a plain conv block in the place of MSC; `msc_crm_bitrans` leaves out nothing and differs from `full` in
    the loss that it is trained with.

    Shapes: forward (B, 1, L) -> logits (B, C); features (B, 1, L) -> (B, 128). L is `configs.sequence_len`.
    """

    def __init__(self, configs: DatasetConfig, hparams: TrainingConfig) -> None:
        super().__init__()
        mid, final = configs.mid_channels, configs.final_out_channels
        has_crm = hparams.variant not in ("cnn", "msc")
        has_trans = hparams.variant not in ("cnn", "msc", "msc_crm")
        self.msc = plain_first_block(configs, hparams) if hparams.variant == "cnn" else MSC(configs, hparams)
        self.conv_block2 = conv_block(mid, 2 * mid, configs.conv_kernel_size)
        self.conv_block3 = conv_block(2 * mid, final, configs.conv_kernel_size)
        crm_blocks = configs.crm_blocks if has_crm else 0
        self.crm = nn.Sequential(*(CRM(final, configs.se_reduction) for _ in range(crm_blocks)))
        self.bitrans = BiTrans(configs, hparams) if has_trans else nn.Identity()
        self.clf = nn.Linear(final, configs.num_classes)
        self.precision = hparams.precision

    def features(self, x: Tensor) -> Tensor:
        """What the classifier sees of each beat: (B, 1, 186) -> (B, 128)."""
        x = self.msc(x)  # (B, 32, 94)
        x = self.conv_block2(x)  # (B, 64, 48)
        x = self.conv_block3(x)  # (B, 128, 25)
        x = self.crm(x)  # (B, 128, 25)
        x = self.bitrans(x)  # (B, 128, 25): 128 channels are the tokens, 25 time steps the embedding
        return x.mean(dim=2)  # (B, 128)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of beats: (B, 1, 186) -> (B, C)."""
        # On the CPU only the encoder layers use bf16, and they see to it themselves.
        bf16 = self.precision == "bf16" and x.device.type == "cuda"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            logits = self.clf(self.features(x))
        return logits.float() if bf16 else logits

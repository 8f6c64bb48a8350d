"""The network of ECGTransForm, block by block as in Fig. 1 of the paper.

MSC -> conv block 2 -> conv block 3 -> CRM -> BiTrans -> classifier. One beat of shape (1, L) goes in, one logit
per class comes out. Below B is the batch, L = 186 samples and 25 the steps left of them after three poolings.

With the context of a beat (`--context rhythm`, not in the paper) its difference from the record's dominant beat comes
in, and two heads take the place of the classifier: `MorphologyHead` and `RhythmHead`. The ablation has one of the two:
`--context dominant` the first, `rhythm_only` the second beside the classifier of the paper's network. With
`--context joint` the beat itself comes in, and a `JointClassifier` that sees the context takes the classifier's place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_configs import DatasetConfig
from hparams import VARIANTS, ContextConfig, TrainingConfig
from kernels.encoder import TransformerEncoderLayer
from support.errors import InputError


class MSC(nn.Module):
    """Multi-scale convolution (Fig. 1): parallel kernels see the beat at several scales; their mean goes on."""

    def __init__(self, configs: DatasetConfig, hparams: TrainingConfig) -> None:
        super().__init__()
        self.kernel_sizes = configs.msc_kernel_sizes
        self.convs = nn.ModuleList(
            nn.Conv1d(configs.input_channels, configs.mid_channels, size, padding=size // 2, bias=False)
            for size in self.kernel_sizes
        )
        self.bn = nn.BatchNorm1d(configs.mid_channels)
        self.pool = nn.Sequential(nn.ReLU(), nn.MaxPool1d(2, stride=2, padding=1), nn.Dropout(hparams.dropout))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 186) -> (B, 32, 94)."""
        # The mean of the maps is the map of the mean kernel: one convolution in place of three, and no stack of maps.
        longest = max(self.kernel_sizes)
        kernels = [  # (32, 1, 11) each; `weight` is what pruning or a parametrisation has made of the parameter
            F.pad(conv.weight, 2 * [(longest - size) // 2])  # type: ignore[arg-type]
            for size, conv in zip(self.kernel_sizes, self.convs, strict=True)
        ]
        maps = F.conv1d(x, torch.stack(kernels).mean(dim=0), padding=longest // 2)  # (B, 32, 186)
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
        self.one_way = "trans" in VARIANTS[hparams.variant]

    def kernel_on(self, device: torch.device) -> str:
        """How the encoder layers are computed on `device`."""
        return self.encoder.layers[0].kernel_on(device)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 128, 25) -> (B, 128, 25): the sum of both directions."""
        if self.one_way:
            return self.encoder(x)
        both = torch.cat([x, x.flip(dims=[2])])  # (2B, 128, 25): time reversed in the second half
        forwards, backwards = self.encoder(both).unflatten(0, (2, x.shape[0]))  # (2, B, 128, 25)
        return forwards + backwards


def keep_indices(module: nn.Module, name: str, indices: Sequence[int]) -> None:
    """Keep `indices` as a tensor that moves with `module` and is not in its state dict.

    A list that indexes a tensor on a GPU is copied there each time, and the host waits for the copy.
    """
    module.register_buffer(name, torch.tensor(indices), persistent=False)


CONSTANT = 1e-5
"""A feature whose standard deviation is no more than this part of its mean is constant but for rounding."""


class Standardise(nn.Module):
    """Features to zero mean and unit variance over the training beats, clipped to +-4; its buffers are fitted."""

    mean: Tensor  # (..., k)
    scale: Tensor  # (..., k)

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def fit(self, features: Tensor) -> None:
        """Take mean and standard deviation from features (n, k); a constant one is only centred."""
        spread, mean = features.std(dim=0, correction=0), features.mean(dim=0)
        self.mean[:] = mean
        # In float32 the mean of equal numbers is not that number, nor their deviation quite zero.
        self.scale[:] = torch.where(spread > CONSTANT * mean.abs(), spread, torch.ones_like(spread))

    def forward(self, x: Tensor) -> Tensor:
        """(..., k) -> (..., k)."""
        return ((x - self.mean) / self.scale).clamp(-4, 4)


class Ensemble(nn.Module):
    """The mean of small networks k -> 64 -> 64 -> outputs that see some columns of the context alone.

    They are trained before the network and without it (`rhythm.fit_context`). Each has a standardisation of its own,
    since it learns from one database, and from the others only the classes that this one does not name.
    """

    columns: Tensor  # (k,) int64

    def __init__(self, columns: Sequence[int], outputs: int, config: ContextConfig) -> None:
        super().__init__()
        keep_indices(self, "columns", columns)
        inputs, hidden = len(columns), config.hidden
        self.standardise = Standardise(config.members, 1, inputs)
        sizes = ((inputs, hidden), (hidden, hidden), (hidden, outputs))
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(config.members, *size)) for size in sizes)
        self.biases = nn.ParameterList(nn.Parameter(torch.empty(config.members, 1, size[1])) for size in sizes)
        self.dropout = config.dropout
        for weight, bias in zip(self.weights, self.biases, strict=True):
            bound = weight.shape[1] ** -0.5  # that of nn.Linear
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)
        self.requires_grad_(False)

    def logits(self, x: Tensor, drop: bool = False) -> Tensor:
        """Standardised features (M, B, k), for each of M members its own -> (M, B, outputs).

        Units are dropped only where `drop` says so, in their own training: that of the network sees them as they are.
        """
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if layer:
                x = F.dropout(torch.relu(x), self.dropout, training=drop)
            x = torch.baddbmm(bias, x, weight)  # a member at a time: (B, in) @ (in, out)
        return x

    def forward(self, context: Tensor) -> Tensor:
        """Context (B, K) -> (B, outputs): log of the mean of the members' probabilities."""
        x = self.standardise(context[:, self.columns])  # (B, k) -> (M, B, k)
        return log_mean(self.logits(x).log_softmax(dim=2))


def log_mean(log_p: Tensor) -> Tensor:
    """Log-probabilities of M networks (M, B, outputs) -> those of the mean of their probabilities (B, outputs)."""
    return log_p.logsumexp(dim=0) - math.log(log_p.shape[0])


def columns_of(configs: DatasetConfig, features: Sequence[str]) -> list[int]:
    """Which columns of the context `features` are."""
    return [configs.context_features.index(name) for name in features]


class RhythmHead(Ensemble):
    """Whether a beat of usual shape is S or N, by its rhythm alone: log-probabilities (B, 2).

    It never sees the features of the beat: a network that may learn S from shape memorises patients.
    """

    def __init__(self, configs: DatasetConfig, config: ContextConfig) -> None:
        super().__init__(columns_of(configs, configs.rhythm_features), 2, config)


class ShapeEnsemble(Ensemble):
    """What a beat is by its shape against the dominant beat, in 20 features: log-probabilities (B, `shape_classes`)."""

    def __init__(self, configs: DatasetConfig, config: ContextConfig) -> None:
        super().__init__(columns_of(configs, configs.morphology_features), configs.shape_classes, config)


class JointClassifier(nn.Module):
    """A linear layer on the network's 128 features of the beat and on a hidden layer that sees columns of its context.

    On its own (`--context joint`) it sees all columns and tells all classes apart. That is for splits by beat, where
    the test patients are those of the training and what the network remembers of a patient helps.
    """

    HIDDEN = 32
    """Units of the hidden layer on the context."""
    columns: Tensor  # (k,) int64

    def __init__(self, columns: Sequence[int], features: int, outputs: int, dropout: float) -> None:
        super().__init__()
        keep_indices(self, "columns", columns)
        self.standardise = Standardise(len(columns))
        hidden = nn.Linear(len(columns), self.HIDDEN)
        self.fc = nn.Sequential(hidden, nn.ReLU(), nn.Dropout(dropout))
        self.clf = nn.Linear(features + self.HIDDEN, outputs)

    def fit(self, context: Tensor) -> None:
        """Standardise by the training beats' context (n, K), on its device."""
        self.standardise.fit(context[:, self.columns.to(context.device)])

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """Features of the beat (B, 128) and context (B, K) -> logits (B, outputs)."""
        hidden = self.fc(self.standardise(context[:, self.columns]))  # (B, 32)
        return self.clf(torch.cat([features, hidden], dim=1))


class MorphologyHead(JointClassifier):
    """What a beat is by its shape: the classifier of a network that sees the context.

    Two classifiers, whose probabilities are averaged. The first is a `JointClassifier` on the features of the beat and
    its 20 shape features (`DatasetConfig.morphology_features`); the second is `ShapeEnsemble`, on the same 20
    alone. On DS2 the second errs less (accuracy 97.1 beside 96.7) and both together least often (97.4); on patients
    held out of DS1 the second alone does as well as both (results/new_patients.md).
    In training the first answers alone: where the other is right already, it would learn nothing.

    The two classes that a rhythm head tells apart (N and S) are one here (`DatasetConfig.shape_classes`).
    """

    def __init__(self, configs: DatasetConfig, hparams: TrainingConfig) -> None:
        ensemble = ShapeEnsemble(configs, hparams.heads)
        columns = columns_of(configs, configs.morphology_features)
        super().__init__(columns, configs.final_out_channels, configs.shape_classes, hparams.dropout)
        self.ensemble = ensemble

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """Features of the beat (B, 128) and context (B, K) -> log-probabilities (B, `shape_classes`)."""
        by_network = super().forward(features, context).log_softmax(dim=1)
        if self.training:
            return by_network
        return log_mean(torch.stack([by_network, self.ensemble(context).to(by_network.dtype)]))


WITH_AUTOCAST = [kind for kind in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(kind)]
"""Types of devices; looked up here, since doing so in the forward pass would break torch.compile's graph (2.6)."""


def _autocast(device: torch.device, bf16: bool) -> AbstractContextManager[object]:
    """Matrix products in bfloat16, or in the type of what they multiply, whatever autocast the caller is in.

    A caller's autocast must not reach the network: it computes in its own `precision`, else its logits would depend on
    who calls it. A device such as meta has no autocast, so no caller's either.
    """
    if device.type not in WITH_AUTOCAST:
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


class ecgTransForm(nn.Module):  # noqa: N801  (the released code's name)
    """The whole network (Fig. 1): 530,516 parameters for five classes, all of them trained.

    The ablations of Fig. 5 leave blocks out (`hparams.VARIANTS`): a left-out CRM or BiTrans passes its input on, and
    `cnn` has a plain conv block in the place of MSC.

    With context, the beat that comes in is its difference from the record's dominant beat, and its probability
    factorises. N and S have the same shape and are one class, NS, to the morphology head, which says p(NS), p(V), p(F)
    and p(Q); the rhythm head says s, the probability that a beat of NS is S: p(S) = p(NS) s, p(N) = p(NS) (1 - s).
    The rhythm head is trained beforehand and stays as it is: the loss of a product is the sum of the losses of its
    factors, so neither has anything to learn from the other.

    Shapes: forward (B, 1, L) -> logits (B, C); features (B, 1, L) -> (B, 128). L is `configs.sequence_len`. With
    context: forward (B, 1, L), (B, K) -> log-probabilities (B, C); with `--context joint` logits.
    """

    places: Tensor  # (C,) int64: where each class is among the rhythm head's two and, after them, the others

    def __init__(self, configs: DatasetConfig, hparams: TrainingConfig) -> None:
        super().__init__()
        mid, final = configs.mid_channels, configs.final_out_channels
        blocks = VARIANTS[hparams.variant]
        self.msc = MSC(configs, hparams) if "msc" in blocks else plain_first_block(configs, hparams)
        self.conv_block2 = conv_block(mid, 2 * mid, configs.conv_kernel_size)
        self.conv_block3 = conv_block(2 * mid, final, configs.conv_kernel_size)
        crm_blocks = configs.crm_blocks if "crm" in blocks else 0
        self.crm = nn.Sequential(*(CRM(final, configs.se_reduction) for _ in range(crm_blocks)))
        self.bitrans = BiTrans(configs, hparams) if hparams.has_encoder else nn.Identity()
        self.clf: MorphologyHead | JointClassifier | nn.Linear
        if configs.has_morphology_head:
            self.clf = MorphologyHead(configs, hparams)
        elif configs.has_joint_classifier:
            every = range(len(configs.context_features))
            self.clf = JointClassifier(every, final, configs.num_classes, hparams.dropout)
        else:
            self.clf = nn.Linear(final, configs.shape_classes)
        if configs.has_rhythm_head:
            self.rhythm = RhythmHead(configs, hparams.heads)
            others = [name for name in configs.classes if name not in configs.rhythm_classes]
            order = [*configs.rhythm_classes, *others]
            keep_indices(self, "places", [order.index(name) for name in configs.classes])
        self.has_morphology_head, self.has_rhythm_head = configs.has_morphology_head, configs.has_rhythm_head
        self.precision = hparams.precision
        self.input_shape = (configs.input_channels, configs.sequence_len)
        self.context_columns = len(configs.context_features)  # 0 without context

    def features(self, x: Tensor) -> Tensor:
        """What the classifier sees of each beat: (B, 1, 186) -> (B, 128), float32 from bf16 products too.

        Raises:
            InputError: the beats have another shape.
        """
        if x.shape[1:] != self.input_shape:
            channels, length = self.input_shape
            raise InputError(
                f"this network takes beats (B, {channels}, {length}), got {tuple(x.shape)}; one of another length is "
                "made with --sequence_len"
            )
        bf16 = self._in_bf16(x.device)
        with _autocast(x.device, bf16):
            x = self.msc(x)  # (B, 32, 94)
            x = self.conv_block2(x)  # (B, 64, 48)
            x = self.conv_block3(x)  # (B, 128, 25)
            x = self.crm(x)  # (B, 128, 25)
            x = self.bitrans(x)  # (B, 128, 25): 128 channels are the tokens, 25 time steps the embedding
            x = x.mean(dim=2)  # (B, 128)
        return x.float() if bf16 else x

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Logits of a batch of beats: (B, 1, 186) -> (B, C); with context (B, K) log-probabilities, of `joint` logits.

        Raises:
            InputError: the beats have another shape, or the network sees the context of a beat and none is given, or
                one of other columns than `configs.context_features`.
        """
        if self.context_columns and (context is None or context.shape[1:] != (self.context_columns,)):
            got = None if context is None else tuple(context.shape)
            raise InputError(
                f"this network takes a context (B, {self.context_columns}) beside the beats, as Split.inputs() gives "
                f"both, got {got}; configs.context_features names its columns"
            )
        features, bf16 = self.features(x), self._in_bf16(x.device)
        with _autocast(x.device, bf16):
            logits = self.clf(features, context) if isinstance(self.clf, JointClassifier) else self.clf(features)
        logits = logits.float() if bf16 else logits
        if context is None or not self.has_rhythm_head:
            return logits
        with _autocast(x.device, bf16=False):
            return self._with_rhythm(logits if self.has_morphology_head else logits.log_softmax(dim=1), context)

    def _in_bf16(self, device: torch.device) -> bool:
        """Whether all products are in bfloat16: on a CPU the encoder layers alone use it, and see to it themselves."""
        return self.precision == "bf16" and device.type == "cuda"

    def _with_rhythm(self, by_shape: Tensor, context: Tensor) -> Tensor:
        """Log-probabilities (B, C - 1) of NS and the other classes, and context (B, K) -> of all classes (B, C)."""
        pair = by_shape[:, :1] + self.rhythm(context)  # (B, 1) + (B, 2)
        return torch.cat([pair, by_shape[:, 1:]], dim=1)[:, self.places]

"""What a dataset is: its classes, the length of a beat, and the network dimensions that the paper ties to it.

Sources: the paper's Table 1 (datasets) and Fig. 1 (network). Where paper and released code
differ, the README's table of deviations says which one is followed and why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from support.errors import InputError, unknown
from support.fields import settle_types

CONTEXTS = ("none", "rhythm_only", "dominant", "rhythm", "joint")

RHYTHM_FEATURES = (
    "log_pre_mean10",
    "log_pre_mean50",
    "log_pre_mean_record",
    "log_post_mean10",
    "log_pre_previous",
    "log_pre_post",
    "prematurity10",
    "prematurity30",
    "p_correlation",
    "p_projection",
    "log_p_amplitude",
    "log_p_amplitude_dominant",
    "log_p_difference",
    "p_correlation_mean10",
    "p_correlation_record",
    "p_correlation_change",
    "p_slope",
    "p_coherence10",
    "p_coherence30",
)
"""What the rhythm head sees: 8 features of the rhythm and 11 of the P wave."""

MORPHOLOGY_FEATURES = (
    "qrs_correlation",
    "log_qrs_difference",
    "pr_correlation",
    "log_pr_difference",
    "st_t_correlation",
    "log_st_t_difference",
    "cycle_correlation",
    "log_cycle_difference",
    "log_amplitude_ratio",
    "max_difference",
    "min_difference",
    "log_width_ratio",
    "log_slope_width_ratio",
    "log_area_ratio",
    "log_slope_ratio",
    "log_pre_mean10",
    "log_pre_mean_record",
    "log_post_mean10",
    "log_pre_post",
    "log_pair_mean10",
)
"""What the morphology head sees beside the beat: 15 features of its shape against the dominant beat's, and 5 of the
rhythm, 4 of them shared with the rhythm head."""

# Far above anything of use. A damaged file may ask for more, and the machine would run out of memory or time.
LARGEST = {
    "sequence_len": 10_000,
    "input_channels": 1,  # as many as split files hold
    "msc_kernel_sizes": 1000,
    "mid_channels": 1000,
    "final_out_channels": 1000,
    "conv_kernel_size": 100,
    "crm_blocks": 100,
    "se_reduction": 1000,
    "encoder_layers": 100,
    "max_heads": 1000,
    "feedforward_dim": 10_000,
}


@dataclass(frozen=True)
class DatasetConfig:
    """One dataset and the network that fits it.

    Raises:
        InputError: a value is of another type or out of its range, or two do not go together.
    """

    name: str
    """Name on the command line and of the folder under `--data_path`."""
    classes: tuple[str, ...]
    """Class names; the index is the label."""
    hard_class: str
    """The class that `--recipe notes` weights higher, and whose weight is the most that Q gets
    (`dataloader.shape_weights`). Of the classes with more than a thousand beats it is the one with the lowest F1 in the
    paper's Table 2 (S) or Table 3 (normal)."""
    sequence_len: int = 186
    """Samples of one beat: 186 at 360 Hz are 517 ms. The released constants say 188 for PTB; its files hold 186."""
    input_channels: int = 1
    """Channels of a beat: 1, lead II. As in the released code and in every checkpoint; no other number is read."""
    context: str = "none"
    """What the network sees: with `none` the beat, as in the paper; with `rhythm`, for new patients, its difference
    from the dominant beat of its record and what the record says of its rhythm and shape (`preprocess.context`). The
    two parts of that alone, for the ablation: `rhythm_only`, the beat and a rhythm head; `dominant`, the difference
    and the shape, without a rhythm head. `joint`, for splits by beat: the beat, and one classifier that sees the
    columns of both heads beside the features of the beat."""
    rhythm_classes: tuple[str, ...] = ()
    """Two classes that differ by rhythm, not by shape: a rhythm head tells them apart (`has_rhythm_head`)."""
    rhythm_features: tuple[str, ...] = RHYTHM_FEATURES
    """Columns of the context that the rhythm head sees."""
    morphology_features: tuple[str, ...] = MORPHOLOGY_FEATURES
    """Columns of the context that the morphology head sees."""
    msc_kernel_sizes: tuple[int, ...] = (5, 9, 11)
    """Kernel sizes of the parallel MSC convolutions, samples; odd, so that all keep the length."""
    mid_channels: int = 32
    """Feature maps after MSC; conv block 2 doubles them, and block 3 makes `final_out_channels` of those."""
    final_out_channels: int = 128
    """Feature maps after block 3: the number of Transformer tokens."""
    conv_kernel_size: int = 8
    """Kernel size of conv blocks 2 and 3, samples (released code)."""
    crm_blocks: int = 3
    """Residual squeeze-and-excitation blocks of the CRM."""
    se_reduction: int = 4
    """Squeeze-and-excitation bottleneck: 128 / 4 = 32 units."""
    encoder_layers: int = 3
    """Transformer encoder layers of BiTrans."""
    max_heads: int = 5
    """Attention heads for an embedding of 25 (released code); other widths get `num_heads`."""
    feedforward_dim: int = 2048
    """Hidden units of the encoder's feed-forward network."""

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.classes)

    @property
    def has_rhythm_head(self) -> bool:
        """Whether the network has a rhythm head: where the context has one, and both of its classes are there."""
        wanted = self.context in ("rhythm", "rhythm_only")
        return wanted and bool(self.rhythm_classes) and {*self.rhythm_classes} <= {*self.classes}

    @property
    def has_morphology_head(self) -> bool:
        """Whether the network sees beats as they differ from the dominant beat, and has a morphology head."""
        return self.context in ("rhythm", "dominant")

    @property
    def has_ensembles(self) -> bool:
        """Whether the network has small networks beside it that learn from the context alone: made for new patients."""
        return self.has_rhythm_head or self.has_morphology_head

    @property
    def has_joint_classifier(self) -> bool:
        """Whether one classifier sees the features of the beat and all columns of the context."""
        return self.context == "joint"

    @property
    def shape_classes(self) -> int:
        """Classes that are told apart by the shape of a beat: the two of a rhythm head are one to it."""
        return self.num_classes - self.has_rhythm_head

    @property
    def context_features(self) -> tuple[str, ...]:
        """The K columns of the context that the network sees, each once; none without context."""
        rhythm = self.rhythm_features if self.has_rhythm_head or self.has_joint_classifier else ()
        morphology = self.morphology_features if self.has_morphology_head or self.has_joint_classifier else ()
        return tuple(dict.fromkeys(rhythm + morphology))

    @property
    def trans_dim(self) -> int:
        """Embedding width of BiTrans: the time steps left after pooling, 25 for L = 186 or 187, 26 for 188."""
        steps = self.sequence_len // 2 + 1  # MaxPool(2, stride 2, padding 1) after MSC, which keeps the length
        for _ in range(2):
            steps = (steps + 1 - self.conv_kernel_size % 2) // 2 + 1  # an even kernel, padded by k // 2, adds a step
        return steps

    @property
    def num_heads(self) -> int:
        """Attention heads: the largest number up to `max_heads` that divides `trans_dim` (5 for 25, 2 for 26)."""
        return max(heads for heads in range(1, self.max_heads + 1) if self.trans_dim % heads == 0)

    def __post_init__(self) -> None:
        settle_types(self)
        if self.context not in CONTEXTS:
            raise unknown("--context", self.context, CONTEXTS)
        if self.context == "rhythm_only" and not self.has_rhythm_head:
            raise InputError(
                f"--context rhythm_only: {self.name} with classes {' '.join(self.classes)} has no two that only the "
                "rhythm tells apart; take --context dominant"
            )
        if self.rhythm_classes and len(self.rhythm_classes) != 2:
            raise InputError(f"rhythm_classes must be two classes, or none, got {' '.join(self.rhythm_classes)}")
        if not self.rhythm_features or not self.morphology_features:
            raise InputError("rhythm_features and morphology_features must name at least one column each")
        for name, most in LARGEST.items():
            value = getattr(self, name)
            for size in value if isinstance(value, tuple) else (value,):
                if not 1 <= size <= most:
                    raise InputError(f"{name} must be {'1 to ' if most > 1 else ''}{most}, got {size}")
        for size in self.msc_kernel_sizes:
            if size % 2 == 0:
                raise InputError(f"msc_kernel_sizes must be odd, which keeps the length of a beat, got {size}")
        if self.se_reduction > self.final_out_channels:
            raise InputError(
                f"se_reduction must be at most final_out_channels, {self.final_out_channels}, got {self.se_reduction}: "
                "no unit would be left"
            )


MIT_CLASSES = ("N", "S", "V", "F", "Q")
"""The AAMI EC57 groups: normal, supraventricular ectopic, ventricular ectopic, fusion, paced or unclassifiable."""

PTB_CLASSES = ("normal", "infarction")


def mit(sequence_len: int = 186, classes: Sequence[str] = MIT_CLASSES, context: str = "none") -> DatasetConfig:
    """MIT-BIH Arrhythmia Database in the five AAMI EC57 groups (paper Table 1), or some of them (`chosen_classes`)."""
    return DatasetConfig(
        "mit",
        chosen_classes(classes, MIT_CLASSES),
        hard_class="S",
        sequence_len=sequence_len,
        context=context,
        rhythm_classes=("N", "S"),
    )


def ptb(sequence_len: int = 186, classes: Sequence[str] = PTB_CLASSES, context: str = "none") -> DatasetConfig:
    """PTB Diagnostic ECG Database: healthy controls and myocardial infarctions (paper Table 1)."""
    return DatasetConfig(
        "ptb",
        chosen_classes(classes, PTB_CLASSES),
        hard_class="normal",
        sequence_len=sequence_len,
        context=context,
    )


def chosen_classes(chosen: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """The `chosen` ones of the `known` classes, in the order of the latter.

    Raises:
        InputError: one is unknown or given twice, or there are fewer than two.
    """
    for name in chosen:
        if name not in known:
            raise unknown("--classes", name, known, "separate several with spaces")
        if list(chosen).count(name) > 1:
            raise InputError(f"--classes {' '.join(chosen)}: {name} is given twice; name each class once")
    if len(chosen) < 2:
        raise InputError(f"--classes {' '.join(chosen)}: at least two are needed, of {' '.join(known)}")
    return tuple(name for name in known if name in chosen)


DATASETS: dict[str, Callable[..., DatasetConfig]] = {"mit": mit, "ptb": ptb}
"""Name -> configuration factory; data/README.md says how one of your own comes in."""

PREPARED = ("mit", "ptb")
"""The datasets whose split files `python -m preprocess` makes."""


def get_dataset_class(name: str) -> Callable[..., DatasetConfig]:
    """Return the configuration factory of dataset `name`.

    Raises:
        InputError: no dataset of that name.
    """
    if name not in DATASETS:
        raise unknown("--dataset", name, DATASETS)
    return DATASETS[name]


def every_class(configs: DatasetConfig) -> tuple[str, ...]:
    """All classes of a dataset, also those that `configs` leaves out; of one not in `DATASETS` those of `configs`."""
    return DATASETS[configs.name]().classes if configs.name in DATASETS else configs.classes


def require_hard_class(configs: DatasetConfig) -> None:
    """Raise an `InputError` where the hard class is not a class of the dataset; `configs` may leave it out."""
    if configs.hard_class not in (known := every_class(configs)):
        raise InputError(
            f"hard_class {configs.hard_class}: is not a class of {configs.name}, {' '.join(known)}; name one "
            "of them in its DatasetConfig"
        )

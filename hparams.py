"""How the network is trained: one recipe a function, chosen with `--recipe`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from support.errors import InputError

LOSSES = ("cal", "cross_entropy", "weighted_ce", "focal", "hard_class")
SCHEDULES = ("constant", "one_cycle")
VARIANTS = ("cnn", "msc", "msc_crm", "msc_crm_trans", "msc_crm_bitrans", "full")
SAMPLERS = ("shuffle", "balanced", "smote")
KERNELS = ("auto", "stock", "torch", "native")
PRECISIONS = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class TrainingConfig:
    """One training recipe; every field is read by the trainer."""

    recipe: str
    """Name of the recipe."""
    num_epochs: int
    """Passes over the training split."""
    batch_size: int
    """Beats in a step; with `sequence_beats` the number of sequences in a step."""
    learning_rate: float
    """Adam's step size."""
    betas: tuple[float, float]
    """Adam's decay rates of the first and second moment."""
    weight_decay: float
    """L2 penalty that Adam adds to the gradient."""
    loss: str
    """`cal`: the paper's context-aware loss. Beside it stand, for Fig. 6, `cross_entropy`, `weighted_ce` (weights
    inverse to the class frequencies) and `focal`; `hard_class`: cross-entropy with `hard_class_weight`."""
    variant: str = "full"
    """What of the network there is (ablation of Fig. 5): `cnn`, three plain conv blocks; `msc`, the first of them
    multi-scale; `msc_crm`; `msc_crm_trans`, with a Transformer that reads forwards only; `msc_crm_bitrans`, the whole
    network, as is `full`: in the figure they differ by the loss, cross-entropy until `full` adds CAL."""
    sampler: str = "shuffle"
    """Which beats an epoch trains on. `shuffle`: every training beat once. Beside it stand, for Fig. 6, `balanced`
    (as many beats, drawn with replacement, every class equally probable) and `smote` (Chawla et al. 2002: before
    training, every class is filled up with beats between its own, to as many as the largest has)."""
    focal_gamma: float = 2.0
    """Exponent of the focal loss (Lin et al. 2017)."""
    dropout: float = 0.2
    """Dropout rate after MSC: 0.2 in the released code, which made the published checkpoints; 0.5 in the paper."""
    encoder_dropout: float = 0.1
    """Dropout rate inside the encoder layers of BiTrans (released code; the paper is silent)."""
    schedule: str = "constant"
    """Step size over the run: `constant`, or `one_cycle` (Smith & Topin 2018), which rises to `learning_rate` over
    the first 30 % of the steps and falls to almost 0 at the last."""
    kernel: str = "auto"
    """How the encoder layers are computed; the mathematics is the same (`kernels.encoder`). `stock`: torch.nn's own
    layers; `torch`: PyTorch operations that stay in the cache; `native`: compiled on first use; `auto`: the fastest
    that works, on CUDA torch.nn's layers through torch.compile."""
    precision: str = "fp32"
    """Arithmetic of the matrix products: `fp32`, or `bf16` (sums stay in float32), on CUDA also `tf32`."""
    clip_norm: float | None = None
    """Gradients are scaled down to this total L2 norm; None leaves them."""
    hard_class_weight: float = 1.0
    """Weight of the dataset's hard class in the loss `hard_class`; the other classes weigh 1."""
    sequence_beats: int | None = None
    """Batches are made of sequences of this many consecutive beats of one record; None shuffles single beats."""

    def __post_init__(self) -> None:
        choices = {
            "schedule": SCHEDULES,
            "loss": LOSSES,
            "variant": VARIANTS,
            "sampler": SAMPLERS,
            "kernel": KERNELS,
            "precision": PRECISIONS,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(f"--{name} {getattr(self, name)}: unknown; known are {', '.join(known)}")
        if self.sampler != "shuffle" and self.sequence_beats is not None:
            raise InputError(
                f"--sampler {self.sampler}: takes single beats, but recipe {self.recipe} trains on sequences of "
                "consecutive ones; leave it out, or take another recipe"
            )


def supervised() -> TrainingConfig:
    """The paper's recipe (section 4.2); the betas, of which it says nothing, are the released code's."""
    return TrainingConfig(
        recipe="supervised",
        num_epochs=60,
        batch_size=128,
        learning_rate=1e-3,
        betas=(0.9, 0.99),
        weight_decay=1e-4,
        loss="cal",
    )


def notes() -> TrainingConfig:
    """The user's notes: a recipe of sleep staging, its hard stage N1 replaced by the dataset's hard class.

    The notes name no number of epochs; the paper's 60 are taken.
    """
    return TrainingConfig(
        recipe="notes",
        num_epochs=60,
        batch_size=20,
        learning_rate=1e-4,
        betas=(0.9, 0.999),
        weight_decay=1e-3,
        loss="hard_class",
        clip_norm=5.0,
        hard_class_weight=1.5,
        sequence_beats=15,
    )


def short() -> TrainingConfig:
    """A schedule for machines without a GPU: the paper's recipe in 6 epochs instead of 60.

    The step size follows one cycle, since a constant one leaves a short run at a noisy point: its fall to zero does
    what the paper's later epochs do. Everything else is `supervised`. Never to be compared with the paper's 60
    epochs without saying so.
    """
    return dataclasses.replace(supervised(), recipe="short", num_epochs=6, schedule="one_cycle")


RECIPES: dict[str, Callable[[], TrainingConfig]] = {
    "supervised": supervised,
    "notes": notes,
    "short": short,
}


def get_hparams_class(name: str) -> Callable[[], TrainingConfig]:
    """Return the factory of recipe `name`.

    Raises:
        InputError: no recipe of that name.
    """
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: unknown; known are {', '.join(RECIPES)}")
    return RECIPES[name]

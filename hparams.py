"""How the network is trained: `TrainingConfig`, a function per recipe; `RunConfig`, the options of the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, fields

from data_configs import DATASETS, LARGEST, DatasetConfig, get_dataset_class
from support.cli import option
from support.errors import InputError, unknown
from support.fields import settle_types

LOSSES = ("cal", "cross_entropy", "weighted_ce", "sqrt_ce", "focal", "hard_class")
SCHEDULES = ("constant", "one_cycle")
SHORTEST_CYCLE = 4  # training steps of a one-cycle; fewer leave no room for a rise and a fall
VARIANTS: dict[str, tuple[str, ...]] = {
    "cnn": (),
    "msc": ("msc",),
    "msc_crm": ("msc", "crm"),
    "msc_crm_trans": ("msc", "crm", "trans"),
    "msc_crm_bitrans": ("msc", "crm", "bitrans"),
    "full": ("msc", "crm", "bitrans"),
}
"""Ablation of Fig. 5 -> the blocks of the paper that it has; `trans` is a BiTrans that reads forwards only. `full` adds
no block but the loss: the variants before it are trained with cross-entropy in place of CAL."""

SAMPLERS = ("shuffle", "balanced", "smote", "thinned")
KERNELS = ("auto", "stock", "torch", "native")
PRECISIONS = ("fp32", "tf32", "bf16")

LEARNT = {"best": ("train",), "last": ("train", "val")}
"""Selection (`TrainingConfig.selection`) -> the splits learnt from: validation too, where it chooses no epoch."""

MOST = 10**9
"""The most beats in a step, epochs and the like: more than anybody needs, and few enough to compute with."""

MOST_SEEDS = 2**32
"""Seeds are 0 to one less: what numpy's generator takes."""

COUNTED = ("num_epochs", "batch_size", "sequence_beats", "rhythm_epochs", "shape_epochs")
POSITIVE = ("learning_rate", "clip_norm", "hard_class_weight")
NOT_NEGATIVE = ("weight_decay", "focal_gamma", "noise", "rhythm_weight_power", "shape_weight_power")
FRACTIONS = ("betas", "dropout", "encoder_dropout")


def _whole(least: int, most: int) -> tuple[Callable[[float], bool], str]:
    return (lambda value: least <= value <= most, f"{least} to {most:,}")


RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(COUNTED, _whole(1, MOST)),
    **dict.fromkeys(POSITIVE, (lambda value: value > 0, "above 0")),
    **dict.fromkeys(NOT_NEGATIVE, (lambda value: value >= 0, "at least 0")),
    **dict.fromkeys(FRACTIONS, (lambda value: 0 <= value < 1, "at least 0 and below 1")),
    "seed_id": _whole(0, MOST_SEEDS - 1),
    "sequence_len": _whole(1, LARGEST["sequence_len"]),
    "limit_train": (lambda value: value >= 1, "at least 1"),
    "members": _whole(1, 100),  # a damaged file may ask for more than the memory holds, of this and the next
    "hidden": _whole(1, 10_000),
}
"""Setting -> whether a value, which is finite (`settle_types`), is in its range, and the range in words."""


def _require_ranges(config: ContextConfig | TrainingConfig | RunConfig, prefix: str) -> None:
    """Raise an `InputError` that names a setting of `config` outside its range; None leaves one out."""
    for name, (fits, says) in RANGES.items():
        value = getattr(config, name, None)
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and not fits(one):
                raise InputError(f"{prefix}{name} must be {says}, got {one}")


@dataclass(frozen=True)
class ContextConfig:
    """How the small networks on the context are trained, before the network and by themselves (`rhythm`).

    Raises:
        InputError: a value is of another type or out of its range.
    """

    members: int = 8
    """Networks that are averaged in each ensemble, an equal share of them trained on each database of the training
    split (`rhythm.fit_context`). Single rhythm heads scatter by 2 to 5 points of S F1 on held-out patients of DS1."""
    hidden: int = 64
    """Units in each of the two hidden layers."""
    dropout: float = 0.4
    """Dropout rate after both."""
    rhythm_epochs: int = 40
    """Passes in which the rhythm head sees all beats of the rarer class, and each time another quarter of the other."""
    shape_epochs: int = 20
    """The same for the ensemble on the shape: all beats of the smaller classes, and another quarter of the largest."""
    batch_size: int = 256
    """Beats in a step."""
    learning_rate: float = 2e-3
    """AdamW's highest learning rate. It follows one cycle, and the first beta the opposite one (0.95 to 0.85 and back),
    which is the default of `torch.optim.lr_scheduler.OneCycleLR`."""
    weight_decay: float = 1e-2
    """AdamW's weight decay."""
    rhythm_weight_power: float = 0.45
    """A class of n_c of n beats weighs (n / n_c) to this power in the rhythm head; 0 finds half as many S beats."""
    shape_weight_power: float = 0.5
    """The same in the ensemble on the shape; 0.3 finds hardly any F."""
    noise: float = 0.15
    """Standard deviation of the noise that is added to the standardised features in training."""

    def __post_init__(self) -> None:
        settle_types(self, "heads.")
        _require_ranges(self, "heads.")


@dataclass(frozen=True)
class TrainingConfig:
    """One training recipe; every field is read by the trainer.

    Raises:
        InputError: a value is unknown, of another type or out of its range, or a sampler but `shuffle` comes with
            `sequence_beats`.
    """

    recipe: str
    """Name of the recipe."""
    num_epochs: int
    """Passes over the training split."""
    batch_size: int
    """Beats in a step; with `sequence_beats` the number of sequences in a step."""
    learning_rate: float
    """Adam's learning rate."""
    betas: tuple[float, float]
    """Adam's decay rates of the first and second moment."""
    weight_decay: float
    """L2 penalty that Adam adds to the gradient."""
    loss: str
    """`cal`: the paper's context-aware loss. For Fig. 6 there are also `cross_entropy`, `weighted_ce` (weights
    inverse to the class frequencies) and `focal`; `hard_class`: cross-entropy with `hard_class_weight`; `sqrt_ce`:
    weights inverse to the square roots of the frequencies, for new patients."""
    variant: str = "full"
    """Which blocks the network has (`VARIANTS`)."""
    sampler: str = "shuffle"
    """Which beats an epoch trains on (`RunConfig.sampler`; `dataloader.Batches`, and for `smote` `oversample`)."""
    focal_gamma: float = 2.0
    """Exponent of the focal loss (Lin et al. 2017)."""
    dropout: float = 0.2
    """Dropout rate after MSC, and in the classifier that sees the context: 0.2 in the released code, which made the
    published checkpoints; 0.5 in the paper."""
    encoder_dropout: float = 0.1
    """Dropout rate inside the encoder layers of BiTrans (released code; the paper is silent)."""
    schedule: str = "constant"
    """Learning rate over the run: `constant`, or `one_cycle` (Smith & Topin 2018), whose peak is `learning_rate`."""
    kernel: str = "auto"
    """How the encoder layers are computed; the mathematics is the same (`kernels.encoder`). On CUDA `auto` also
    compiles the network (`trainer.as_fast_as_possible`)."""
    precision: str = "fp32"
    """Arithmetic of the matrix products: `fp32`, or `bf16` (sums stay in float32), on CUDA also `tf32`."""
    clip_norm: float | None = None
    """Gradients are scaled down to this total L2 norm; None leaves them."""
    hard_class_weight: float = 1.5
    """Weight of the dataset's hard class in the loss `hard_class`; the other classes weigh 1."""
    sequence_beats: int | None = None
    """Batches are made of sequences of this many successive training beats of one record; None shuffles single beats.
    Split by beat, sequences have gaps, a third of the beats being in other splits. The network sees each beat alone."""
    selection: str = "best"
    """Which epoch is the one to quote: `best` on the validation split, or `last`. With `last` the validation beats
    choose nothing, so they are trained on too: for schedules that end at their best, and few patients."""
    heads: ContextConfig = ContextConfig()
    """How the small networks on the context are trained, where there are any (`DatasetConfig.has_ensembles`)."""

    @property
    def has_encoder(self) -> bool:
        """Whether the network has the encoder of BiTrans, which alone asks for `kernel` and, on a CPU, `precision`."""
        return not {"trans", "bitrans"}.isdisjoint(VARIANTS[self.variant])

    @property
    def learnt_splits(self) -> tuple[str, ...]:
        """The splits that the network learns from."""
        return LEARNT[self.selection]

    def __post_init__(self) -> None:
        settle_types(self)
        choices = {
            "schedule": SCHEDULES,
            "loss": LOSSES,
            "variant": VARIANTS,
            "sampler": SAMPLERS,
            "kernel": KERNELS,
            "precision": PRECISIONS,
            "selection": LEARNT,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise unknown(f"--{name}", getattr(self, name), known)
        _require_ranges(self, "")
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
    """Batches of sequences of 15 successive training beats of a record; not in the paper.

    The settings are those of a recipe for sleep staging, with the dataset's hard class in the place of sleep stage N1.
    That recipe names no number of epochs; the paper's 60 are taken.
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
        sequence_beats=15,
    )


def short() -> TrainingConfig:
    """A schedule for machines without a GPU: the paper's recipe in 6 epochs instead of 60.

    The learning rate follows one cycle, since a constant one leaves a short run at a noisy point: its fall to zero
    does what the paper's later epochs do. Everything else is `supervised`. Never to be compared with the paper's 60
    epochs without saying so.
    """
    return dataclasses.replace(supervised(), recipe="short", num_epochs=6, schedule="one_cycle")


def new_patients() -> TrainingConfig:
    """For patients that the network has not seen, with the rhythm around each beat (`--context rhythm`).

    Chosen on patients held out of DS1, and in part on DS2 (results/new_patients.md, "Each opening of DS2"). The
    learning rate follows one cycle and the last epoch is kept: three to five validation patients are too few to choose
    an epoch by, and too many to leave out of training.
    """
    return dataclasses.replace(
        supervised(),
        recipe="new_patients",
        num_epochs=3,
        schedule="one_cycle",
        loss="sqrt_ce",
        sampler="thinned",
        selection="last",
    )


RECIPES: dict[str, Callable[[], TrainingConfig]] = {
    "supervised": supervised,
    "notes": notes,
    "short": short,
    "new_patients": new_patients,
}

RECIPE_CONTEXT = {"new_patients": "rhythm"}
"""What the network sees beside the beat where `--context` does not say; `none` for all other recipes."""


def get_hparams_class(name: str) -> Callable[[], TrainingConfig]:
    """Return the factory of recipe `name`.

    Raises:
        InputError: no recipe of that name.
    """
    if name not in RECIPES:
        raise unknown("--recipe", name, RECIPES)
    return RECIPES[name]


@dataclass(frozen=True)
class RunConfig:
    """What the command line asks for: every field is an option of `main.py`, and its help is here.

    `None` leaves a value to the recipe (`TrainingConfig`), to the dataset (`DatasetConfig`) or to the run itself.

    Raises:
        InputError: a value is of another type or out of its range. Names, such as those of datasets and recipes, are
            checked by `effective_configs` and `effective_hparams`.
    """

    dataset: str = option("mit", f"name of the dataset: {' or '.join(DATASETS)}")
    device: str = option("cpu", "torch device: cpu, cuda, cuda:0, mps")
    data_path: str = option("data", "folder that holds <dataset>/{train,val,test}.pt")
    save_dir: str = option("experiments_logs", "folder of the experiments")
    experiment_description: str | None = option(None, "name of the experiment's folder", default="the dataset")
    run_description: str | None = option(
        None, "name of the run's folder; -2, -3, ... is added to one that exists", default="date and time"
    )
    seed_id: int = option(0, "first seed k")
    num_runs: int = option(1, "number of runs, with seeds k, k+1, ...; their mean and sd go to summary.csv")
    recipe: str = option(
        "supervised",
        "how the network is trained: supervised, as in the paper (section 4.2); notes, on sequences of 15 beats (not "
        "in the paper); short, the paper's in 6 epochs with a one-cycle learning rate; new_patients, for patients "
        "it has not seen: with the rhythm around each beat, 3 epochs, trained on validation too",
    )
    context: str | None = option(
        None,
        "what the network sees. none: the beat alone, as in the paper; rhythm_only: the beat, and a head that tells S "
        "from N by the rhythm around it; dominant: how the beat differs from the usual one of its record; rhythm: that "
        "and the rhythm head, the best for new patients; joint: the beat, and one classifier that also sees rhythm and "
        "shape, for splits by beat (all but none need split files made with --window centred)",
        default="none; rhythm with --recipe new_patients",
    )
    init: str | None = option(
        None,
        "start from the weights of this network, to fine-tune it: a checkpoint, the folder of a run, or a name in "
        "pretrained/; its small networks on the context stay as they are",
        metavar="CHECKPOINT",
        default="random weights",
    )
    num_epochs: int | None = option(None, "passes over the training beats", default="the recipe's: 60, 6 or 3")
    batch_size: int | None = option(
        None,
        "beats in a training step; for recipe notes sequences of 15 beats",
        default="the recipe's, 128 beats or 20 sequences",
    )
    learning_rate: float | None = option(
        None,
        "Adam's learning rate; with --schedule one_cycle the highest",
        metavar="RATE",
        default="the recipe's: 0.001, for notes 0.0001",
    )
    weight_decay: float | None = option(
        None,
        "L2 penalty that Adam adds to the gradient",
        metavar="PENALTY",
        default="the recipe's: 0.0001, for notes 0.001",
    )
    dropout: float | None = option(
        None,
        "dropout rate, from 0 to below 1, after MSC and in the classifier that sees the context; the paper has 0.5",
        metavar="RATE",
        default="0.2, as in the released code",
    )
    schedule: str | None = option(
        None,
        f"the learning rate over the run, {' or '.join(SCHEDULES)}: a rise over the first 30 % of the steps and a fall "
        "to almost 0",
        default="the recipe's: constant, for short and new_patients one_cycle",
    )
    loss: str | None = option(
        None,
        f"loss function: {', '.join(LOSSES)}",
        default="the recipe's: cal, hard_class or sqrt_ce; cross_entropy with --sampler balanced or smote, and in "
        "place of cal with every --variant but full",
    )
    variant: str | None = option(
        None,
        f"ablation of the network (Fig. 5): {', '.join(VARIANTS)}; msc_crm_bitrans is the whole network before CAL is "
        "added",
        default="full",
    )
    sampler: str | None = option(
        None,
        "which beats an epoch trains on (Fig. 6). shuffle: every training beat once; balanced: as many, drawn "
        "with every class equally probable; smote: every class filled up to the size of the largest with beats "
        "interpolated between its own; thinned: all of the smaller classes and a quarter of the largest",
        default="the recipe's: shuffle, for new_patients thinned",
    )
    limit_train: int | None = option(
        None,
        "train on a class-stratified subset of N beats (with --recipe new_patients, of train and validation together); "
        "validation and test stay whole; with --recipe notes the sequences then have gaps",
        metavar="N",
        default="all",
    )
    sequence_len: int | None = option(
        None, "samples of a beat in the split files", metavar="L", default="the dataset's, 186"
    )
    classes: tuple[str, ...] | None = option(
        None,
        "the classes of the dataset to train and test on; beats of the others are left out",
        metavar="NAME",
        default=f"the dataset's, {' or '.join(' '.join(configs().classes) for configs in DATASETS.values())}",
    )
    kernel: str | None = option(
        None,
        "how the encoder layers are computed: auto (the fastest that works), stock (torch.nn's layers), torch "
        "(memory-saving PyTorch), native (compiled on first use); the mathematics is the same",
        default="auto",
    )
    precision: str | None = option(
        None, "arithmetic of the matrix products: fp32, bf16, on CUDA also tf32", default="fp32"
    )
    umap: bool = option(False, "draw umap.png: the test beats' features in the plane")
    tensorboard: bool = option(
        False,
        "write the curves of every epoch for TensorBoard into the seed's folder: losses, accuracy, macro-F1, F1 of "
        "each class, learning rate, confusion matrix",
    )

    def __post_init__(self) -> None:
        settle_types(self, "--")
        _require_ranges(self, "--")
        left = MOST_SEEDS - self.seed_id
        if not 1 <= self.num_runs <= left:
            raise InputError(f"--num_runs must be 1 to {left:,} from --seed_id {self.seed_id} on, got {self.num_runs}")
        for name in ("data_path", "save_dir"):
            if not getattr(self, name):
                raise InputError(f"--{name}: is empty; give the path of a folder, . for this one")
        if self.init == "":
            raise InputError("--init: is empty; give a checkpoint, the folder of a run, or a name in pretrained/")
        for name in ("experiment_description", "run_description"):
            value = getattr(self, name)
            if value is not None and (value in ("", ".", "..") or {"/", "\\"} & set(value) or not value.isprintable()):
                raise InputError(
                    f"--{name} {value}: must be the name of a folder in --save_dir, without a / or a line break"
                )

    @property
    def experiment(self) -> str:
        """The name of the experiment's folder."""
        return self.experiment_description or self.dataset

    def effective_configs(self) -> DatasetConfig:
        """The dataset's configuration with this run's overrides.

        Raises:
            InputError: the dataset is unknown, or its classes or the context do not fit it.
        """
        context = RECIPE_CONTEXT.get(self.recipe, "none") if self.context is None else self.context
        given = {"sequence_len": self.sequence_len, "classes": self.classes, "context": context}
        return get_dataset_class(self.dataset)(**{name: value for name, value in given.items() if value is not None})

    def effective_hparams(self) -> TrainingConfig:
        """The recipe with this run's overrides: the fields that both know and that are given.

        Where no loss is given, cross-entropy takes the place of CAL for every variant but `full`, since Fig. 5 adds CAL
        last, and that of any loss for the samplers `balanced` and `smote`: Fig. 6 compares the remedies one at a time,
        and to weight a class that is drawn more often already would count it twice.

        Raises:
            InputError: the recipe or a choice in it is unknown, or the sampler does not fit the recipe.
        """
        names = {field.name for field in fields(TrainingConfig)} & {field.name for field in fields(RunConfig)}
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        recipe = get_hparams_class(self.recipe)()
        before_cal = recipe.loss == "cal" and self.variant not in (None, "full")
        if before_cal or self.sampler in ("balanced", "smote"):
            given.setdefault("loss", "cross_entropy")
        return dataclasses.replace(recipe, **given)

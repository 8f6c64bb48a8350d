"""What every run needs: seeds and devices, the run log, a copy of the code, checkpoints, metrics and the UMAP picture.

What a run writes beside these, and how it is resumed, is `run_folder`'s.
"""

from __future__ import annotations

import importlib.util
import logging
import random
import re
import reprlib
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

import data_configs
import hparams as recipes
from support.distributed import is_first
from support.errors import InputError, TrainingError, one_line, printable_lines, unknown
from support.fields import fits, from_fields
from support.figures import class_colours, default_style, new_figure, save_figure
from support.files import LogFile, read_torch, write_torch, written_whole

ROOT = Path(__file__).resolve().parent

# Names in a released checkpoint -> names here. Its `encoder_layer.*` is a copy that the released network never uses.
RELEASED_PREFIXES = {
    "conv1.": "msc.convs.0.",
    "conv2.": "msc.convs.1.",
    "conv3.": "msc.convs.2.",
    "bn.": "msc.bn.",
    "transformer_encoder.": "bitrans.encoder.",
}
RELEASED_DEAD_PREFIX = "encoder_layer."

# What a checkpoint keeps of Adam's settings, beside those that no option of ours changes; and of a one-cycle schedule.
ADAM = {"lr": float, "betas": tuple[float, float], "eps": float, "weight_decay": float}
ONE_CYCLE = {"initial_lr", "max_lr", "min_lr"}

# What a checkpoint may say in its `metrics`, and in the `data` of these (`run_folder.layout.SeedRun.data`).
METRICS = {"history": list[dict[str, float]], "class_weights": list[float], "data": dict[str, Any]}
DATA = {
    **dict.fromkeys(("source", "protocol", "window", "training_fingerprint", "init", "init_base"), str),
    **dict.fromkeys(("fingerprints", "places"), dict[str, str]),
    **dict.fromkeys(("training_records", "init_records", "init_tested"), list[str]),
}

# The source files of a run, as patterns below ROOT: what `copy_code` keeps beside its results.
CODE = (
    "*.py",
    "kernels/*.cpp",
    *(f"{room}/**/*.py" for room in ("ec57", "kernels", "preprocess", "reproduce", "run_folder", "support")),
)


# --------------------------------------------------------------------------------------------------- seeds and devices


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices) with `seed`, and ask cuDNN for deterministic kernels."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def rng_state(device: torch.device) -> dict[str, Any]:
    """The state of torch's generators: CPU, and `device` where it has one of its own."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Set torch's generators to what `rng_state` returned; a generator that it lacks is left alone."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])


def available_devices() -> list[str]:
    """Names that `--device` takes on this machine, such as ["cpu", "cuda", "cuda:0"]."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def get_device(name: str | torch.device) -> torch.device:
    """Return the torch device `name`.

    Raises:
        InputError: this machine has no such device.
    """
    name, names = str(name), available_devices()
    if name not in names:
        # A build for the CPU finds no GPU, nor does one for CUDA beside a driver that is too old.
        none = name.startswith("cuda") and "cuda" not in names
        why = (
            f"this machine has no GPU that its PyTorch ({torch.__version__}) can use" if none else "not on this machine"
        )
        raise InputError(f"--device {name}: {why}; it has {', '.join(names)}")
    return torch.device(name)


# ---------------------------------------------------------------------------------------------------- run log and code


class _Printable(logging.Formatter):
    """Escapes control characters: a split file may come from others, and a log is read in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record).split("\n"))


class _TqdmHandler(logging.StreamHandler[TextIO]):
    """Writes log lines to stdout above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


@contextmanager
def run_log(path: Path) -> Iterator[logging.Logger]:
    """A logger whose lines go to stdout and, with the time before them, to the end of the file `path`.

    An error that ends the block is the last line of the file.

    Of several processes only the first one's lines go anywhere.

    Raises:
        InputError: a line cannot be written to the file, as on a full disk.
    """
    logger = logging.Logger("ecgtransform", level=logging.INFO)
    if not is_first():
        logger.addHandler(logging.NullHandler())
        yield logger
        return
    to_file = LogFile(path)
    to_file.setFormatter(_Printable("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    to_terminal = _TqdmHandler()
    to_terminal.setFormatter(_Printable())
    logger.addHandler(to_file)
    logger.addHandler(to_terminal)
    try:
        yield logger
    except (Exception, KeyboardInterrupt) as error:
        logger.handlers = [to_file]  # who called the command reads it on stderr
        with suppress(InputError):  # this file cannot be written, which may be the very error
            logger.error(f"ended by {type(error).__name__}: {one_line(str(error))}")
        raise
    finally:
        to_file.close()


def copy_code(folder: Path) -> None:
    """Copy the source files that ran into `folder`, as they stand beside this package."""
    for pattern in CODE:
        for source in sorted(ROOT.glob(pattern)):
            with written_whole(folder / source.relative_to(ROOT)) as part:
                shutil.copyfile(source, part)


# --------------------------------------------------------------------------------------------------------- checkpoints


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights and what is needed to use them, or to go on training them."""

    dataset: str
    configs: data_configs.DatasetConfig
    hparams: recipes.TrainingConfig
    model: dict[str, Tensor]
    """State dict of `models.ecgTransForm(configs, hparams)`."""
    optimizer: dict[str, Any] = field(default_factory=dict)
    """State dict of Adam; empty in released checkpoints."""
    epoch: int = 0
    """Epochs done."""
    rng: dict[str, Any] = field(default_factory=dict)
    """Generator states after that epoch (`rng_state`)."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """`history`: one row per epoch; `class_weights`: those of the loss; `data`: what it was trained on."""

    @property
    def data(self) -> dict[str, Any]:
        """What it says of its training beats (`run_folder.layout.SeedRun.data`); a released checkpoint nothing."""
        return self.metrics.get("data", {})


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`, whole or not at all."""
    contents = {entry.name: getattr(checkpoint, entry.name) for entry in fields(Checkpoint)}
    write_torch(path, contents | {"configs": asdict(checkpoint.configs), "hparams": asdict(checkpoint.hparams)})


PRETRAINED = ROOT / "pretrained"
"""Checkpoints that come with the package, NAME.pt, each with a card, NAME.md."""


def pretrained_names() -> list[str]:
    """The names of the checkpoints that come with the package."""
    return sorted(path.stem for path in PRETRAINED.glob("*.pt"))


SEED_FOLDER = re.compile(r"seed_(\d+)")


def seed_folders(run_folder: Path) -> list[Path]:
    """The folders of a run's seeds, seed_<k>, by their number k; not what lies beside them, such as seed_0.bak."""
    found = [(SEED_FOLDER.fullmatch(path.name), path) for path in run_folder.glob("seed_*") if path.is_dir()]
    return [path for _, path in sorted((int(name[1]), path) for name, path in found if name)]


def find_checkpoint(given: str | Path, what: str = "network") -> Path:
    """The file of a checkpoint: `given` itself, the best one of a run folder, or the packaged one of that name.

    Args:
        what: how the message names it; on a command line, the option.

    Raises:
        InputError: there is none; or a run folder has several seeds, of which one must be named.
    """
    path = Path(given)
    if path.is_dir():
        own, *of_seeds = (folder / "checkpoint_best.pt" for folder in (path, *seed_folders(path)))
        found = [own] if own.is_file() else [file for file in of_seeds if file.is_file()]
        if len(found) == 1:
            return found[0]
        if (path / "test.json").is_file():
            raise InputError(f"{path}: is the folder of a test, which has no checkpoint; give that of a training run")
        if found:
            raise InputError(
                f"{path}: is a folder with {len(found)} checkpoint_best.pt; give one of them, such as {found[0]}"
            )
        raise InputError(
            f"{path}: holds no seed_<k>/checkpoint_best.pt; give the folder of a run, such as "
            "experiments_logs/mit/<run>, or a checkpoint file"
        )
    named = PRETRAINED / f"{given}.pt"
    if not path.exists() and path.name == str(given) and named.is_file():
        return named
    if not path.exists():
        if path.name == str(given) and not path.suffix:
            raise unknown(what, given, pretrained_names(), "or give a checkpoint_best.pt or the folder of a run")
        raise InputError(
            f"{what} {path}: no such file; give a checkpoint_best.pt, the folder of a run, or a name: "
            f"{', '.join(pretrained_names())}"
        )
    return path


def load_checkpoint(
    path: str | Path,
    dataset: str | None = None,
    sequence_len: int | None = None,
    remedy: str = "give a checkpoint_best.pt or checkpoint_last.pt of a run",
) -> Checkpoint:
    """Read a checkpoint of ours or of the released code.

    The weights of a released checkpoint come back under our names, without its unused encoder layer. A released
    checkpoint tells no recipe; it gets `supervised`.

    Args:
        path: of the file.
        dataset: which it must be of; None: any.
        sequence_len: samples of a beat, as a checkpoint of ours must have them; None: any. A released one does not say:
            it is taken to have these, or for None the dataset's.
        remedy: what a message about a damaged file advises.

    Raises:
        InputError: absent, damaged, holding code, no checkpoint, or one of another dataset or length of beats.
    """
    path = Path(path)
    contents = read_torch(path, "checkpoint", remedy)
    if not {"dataset", "model"} <= contents.keys():
        raise InputError(f"{path}: is not a checkpoint; one holds at least 'dataset' and 'model'")
    name, weights = contents["dataset"], contents["model"]
    if not isinstance(name, str):
        raise InputError(f"{path}: its 'dataset' is a {type(name).__name__}; a name is needed")
    if dataset is not None and name != dataset:
        raise InputError(f"{path}: is a checkpoint of dataset {name}, not of {dataset}; give --dataset {name}")
    if not fits(weights, dict[str, Tensor]):
        raise InputError(f"{path}: its 'model' is not a state dict of tensors")
    if any(key.startswith("transformer_encoder.") for key in weights):
        checkpoint = _from_released(name, weights, sequence_len, path)
    else:
        checkpoint = _from_ours(contents, path)
    if sequence_len not in (None, length := checkpoint.configs.sequence_len):
        raise InputError(
            f"{path}: takes beats of {length} samples, not of {sequence_len}; take another network, or leave out the "
            "--sequence_len if one is given"
        )
    head = checkpoint.model.get("clf.weight", checkpoint.model.get("clf.clf.weight"))
    classes = 0 if head is None or head.dim() == 0 else len(head) + checkpoint.configs.has_rhythm_head
    if checkpoint.configs.name != name or checkpoint.configs.num_classes != classes:
        raise InputError(
            f"{path}: says dataset {name}, but its configuration is of {checkpoint.configs.name} and its classifier "
            f"has {classes} classes; is it the checkpoint of another dataset?"
        )
    return checkpoint


def _from_released(name: str, weights: dict[str, Tensor], sequence_len: int | None, path: Path) -> Checkpoint:
    if name not in data_configs.DATASETS:
        raise unknown(f"{path}: dataset", name, data_configs.DATASETS)
    length = {} if sequence_len is None else {"sequence_len": sequence_len}
    return Checkpoint(name, data_configs.DATASETS[name](**length), recipes.supervised(), released_to_ours(weights))


def released_to_ours(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of a released checkpoint to the names of `models.ecgTransForm`."""
    renamed = {}
    for key, value in weights.items():
        if key.startswith(RELEASED_DEAD_PREFIX):
            continue
        prefix = next((old for old in RELEASED_PREFIXES if key.startswith(old)), "")
        renamed[RELEASED_PREFIXES.get(prefix, "") + key.removeprefix(prefix)] = value
    return renamed


def _from_ours(contents: dict[str, Any], path: Path) -> Checkpoint:
    values = {key: value for key, value in contents.items() if key in {entry.name for entry in fields(Checkpoint)}}
    values["configs"] = from_fields(data_configs.DatasetConfig, values.get("configs"), f"{path}: its 'configs'")
    values["hparams"] = from_fields(recipes.TrainingConfig, values.get("hparams"), f"{path}: its 'hparams'")
    checkpoint = from_fields(Checkpoint, values, str(path))
    metrics = checkpoint.metrics
    _require_types(path, "metrics", metrics, METRICS)
    _require_types(path, "data", checkpoint.data, DATA)
    epochs = len(metrics["history"]) if "history" in metrics else max(checkpoint.epoch, 0)
    if checkpoint.epoch != epochs:
        raise InputError(f"{path}: is damaged: it says epoch {checkpoint.epoch}, its history {epochs}")
    if len(metrics.get("class_weights", checkpoint.configs.classes)) != checkpoint.configs.num_classes:
        raise InputError(f"{path}: is damaged: its loss has weights for {len(metrics['class_weights'])} classes")
    return checkpoint


def _require_types(path: Path, name: str, entries: dict[str, Any], types: Mapping[str, Any]) -> None:
    for key, kind in types.items():
        if key in entries and not fits(entries[key], kind):
            raise InputError(f"{path}: is damaged: '{key}' in its '{name}' is {reprlib.repr(entries[key])}")


def load_weights(model: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Give `model` the weights of `checkpoint`, which was read from `path`.

    Raises:
        InputError: names, shapes or types are not those of `model`, or a weight is not finite.
    """
    ours, saved = model.state_dict(), checkpoint.model
    for name in sorted(saved.keys() ^ ours.keys()):
        lacking = "the network" if name in saved else "the file"
        raise InputError(f"{path}: its weights do not fit the network: {lacking} has no {name}")
    for name, own in ours.items():
        if saved[name].shape != own.shape or saved[name].is_floating_point() != own.is_floating_point():
            raise InputError(
                f"{path}: its weights do not fit the network: {name} is {_kind(saved[name])}, {_kind(own)} is needed"
            )
        if not saved[name].isfinite().all():
            raise InputError(f"{path}: its weights {name} are not all finite, so it cannot classify; take another")
    model.load_state_dict(dict(saved))  # without the metadata of a state dict, which nothing has checked


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


DIVERGED = "try a smaller --learning_rate, or check the data; checkpoints of earlier epochs are kept"
"""The end of a message about a loss, weight or output that is not finite."""


def require_finite_weights(model: nn.Module, epoch: int) -> None:
    """Raise a `TrainingError` where a weight or a buffer of `model` is not finite after `epoch`.

    Its outputs may be finite still: a batch normalisation whose running variance is infinite makes every input 0.
    """
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise TrainingError(f"the network's {name} is not all finite after epoch {epoch}; {DIVERGED}")


def restore_training(
    model: nn.Module, optimizer: torch.optim.Adam, device: torch.device, checkpoint: Checkpoint, path: Path
) -> None:
    """Set network, optimiser and random generators to what `checkpoint`, which was read from `path`, keeps of them.

    Raises:
        InputError: it keeps no such thing, or that of another network.
    """
    load_weights(model, checkpoint, path)
    if not _is_state_of(optimizer, checkpoint.optimizer):
        raise InputError(f"{path}: its optimiser state is damaged or of another network; the run cannot go on from it")
    optimizer.load_state_dict(checkpoint.optimizer)
    try:
        restore_rng_state(checkpoint.rng, device)
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{path}: the state of its random generators is damaged; the run cannot go on") from error


def _is_state_of(optimizer: torch.optim.Adam, saved: dict[str, Any]) -> bool:
    """Whether `saved` is a state dict of this optimiser; it may have been written by another version of torch."""
    groups: Any = saved.get("param_groups")
    moments: Any = saved.get("state")
    if not fits(groups, list[dict[str, Any]]) or not fits(moments, dict[int, dict[str, Tensor]]):
        return False
    ours = optimizer.state_dict()["param_groups"]
    if len(groups) != len(ours):
        return False
    for group, own in zip(groups, ours, strict=True):
        if not all(fits(group.get(name), hint) for name, hint in ADAM.items()):
            return False
        if not all(fits(group[name], float) for name in ONE_CYCLE & group.keys()):
            return False
        if any(group.get(name, value) != value for name, value in own.items() if name not in ADAM):
            return False
    shapes = [parameter.shape for group in optimizer.param_groups for parameter in group["params"]]
    return all(
        0 <= index < len(shapes)
        and {name: value.shape for name, value in entry.items()}
        == {"step": torch.Size(), "exp_avg": shapes[index], "exp_avg_sq": shapes[index]}
        for index, entry in moments.items()
    )


# ------------------------------------------------------------------------------------------------------------- metrics


def classification_metrics(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Compare (n,) true labels with (n,) predicted ones, each in 0..C-1; all figures are fractions of 1.

    The macro figures are plain means over the classes that occur among the labels, whatever is predicted: the set
    of classes is the split's and the same for every epoch and network. A beat called by the name of a class that the
    split lacks still counts, as one missed of its own class. A figure whose denominator is 0 is 0.

    Returns:
        accuracy, macro_precision, macro_recall, macro_f1, per_class (name -> precision, recall, f1, support), classes
        and confusion_matrix (rows true, columns predicted, in the order of classes), ready for JSON.

    Raises:
        ValueError: a label is of no class; it would count in no figure.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    every_label = np.arange(len(classes))
    for name, values in (("labels", labels), ("predictions", predictions)):
        if not np.isin(values, every_label).all():
            raise ValueError(f"{name}: every one must be the number of a class, 0 to {len(classes) - 1}")
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=every_label, zero_division=0
    )
    matrix = confusion_matrix(labels, predictions, labels=every_label)
    occurs = support > 0
    return {
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "macro_precision": float(precision[occurs].mean()),
        "macro_recall": float(recall[occurs].mean()),
        "macro_f1": float(f1[occurs].mean()),
        "per_class": {
            name: {
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(f1[index]),
                "support": int(support[index]),
            }
            for index, name in enumerate(classes)
        },
        "classes": list(classes),
        "confusion_matrix": matrix.tolist(),
    }


SELECTION_BEATS = 10
"""Validation beats below which a class has no say in which epoch is the best. Of 2 beats one more or less right moves
the F1 of their class by 33 to 67 points, and the macro-F1 over five classes by 7 to 13: several times what separates
the epochs of a trained network. Of 10 beats it is 1 point, about as much as those differ by."""


def selection_classes(counts: Mapping[str, int]) -> list[str]:
    """The classes whose F1 chooses the best epoch: those with at least `SELECTION_BEATS` validation beats.

    If fewer than two classes have that many, all that have any.

    Args:
        counts: validation beats of each class.
    """
    enough = [name for name, beats in counts.items() if beats >= SELECTION_BEATS]
    return enough if len(enough) > 1 else [name for name, beats in counts.items() if beats]


def selection_f1(metrics: Mapping[str, Any]) -> float:
    """The macro-F1 that chooses the best epoch, from the `classification_metrics` of the validation split."""
    per_class = metrics["per_class"]
    chosen = selection_classes({name: figures["support"] for name, figures in per_class.items()})
    return float(np.mean([per_class[name]["f1"] for name in chosen]))


# ---------------------------------------------------------------------------------------------------------------- UMAP


UMAP_FEWEST = 5  # beats; UMAP places a beat by its neighbours


def has_umap() -> bool:
    """Whether umap-learn is installed."""
    return importlib.util.find_spec("umap") is not None


def require_umap(beats: int | None = None) -> None:
    """Raise an `InputError` where umap-learn is not installed, or `beats` are too few for its picture."""
    if not has_umap():
        raise InputError("--umap needs umap-learn: pip install -r requirements.txt")
    if beats is not None and beats < UMAP_FEWEST:
        raise InputError(f"--umap: {beats} test beats are too few for the picture; at least {UMAP_FEWEST} are needed")


def umap_embedding(features: np.ndarray, seed: int) -> np.ndarray:
    """Embed (n, 128) features in the plane with UMAP (McInnes et al. 2018): (n, 2).

    Raises:
        InputError: umap-learn is not installed, or there are too few beats for it.
    """
    require_umap(len(features))
    import umap  # heavy, and needed for this picture only

    return umap.UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed, n_jobs=1).fit_transform(features)


@default_style()
def plot_umap(points: np.ndarray, labels: np.ndarray, classes: Sequence[str], title: str, path: Path) -> None:
    """Draw (n, 2) embedded features, coloured by their true class; rare classes lie on top."""
    figure = new_figure(6, 5.2)
    axes = figure.add_subplot()
    counts, colours = np.bincount(labels, minlength=len(classes)), class_colours(len(classes))
    drawn = {}
    for label in np.argsort(-counts, kind="stable"):
        if counts[label]:
            x, y = points[labels == label].T
            drawn[label] = axes.scatter(x, y, s=5, color=colours[label], label=f"{classes[label]} ({counts[label]:,})")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("UMAP 1")
    axes.set_ylabel("UMAP 2")
    axes.legend(handles=[drawn[label] for label in sorted(drawn)], markerscale=3, fontsize=8)
    axes.set_title(title, fontsize=9)
    save_figure(figure, path)

"""One run, from the seed to the test: `Trainer` puts the rooms together, `train_one_epoch` and `evaluate` do the work.

The two functions return values and print nothing; `Trainer` writes the run folder

    <save_dir>/<experiment>/<run>/seed_<k>/    a seed: configuration, log, history, checkpoints, tests, pictures
    <save_dir>/<experiment>/<run>/summary.csv  mean and standard deviation over the seeds (paper Table 2)

Under torchrun several processes train one network (`support.distributed`): each takes its share of every batch.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from data_configs import DatasetConfig, get_dataset_class
from dataloader import SPLITS, Batches, Split, data_generator, load_split, oversample, stratified_subset
from hparams import TrainingConfig, get_hparams_class
from kernels.precision import usable_precision
from losses import ClassWeightedLoss, loss_weights, make_loss
from models import BiTrans, ecgTransForm
from run_folder import pictures
from run_folder.layout import environment, new_run_folder
from run_folder.reports import log_metrics, provenance, summary_table, write_metrics, write_test
from support import distributed
from support.errors import InputError, TrainingError
from support.files import read_json, write_json, write_table
from support.progress import progress_bar
from utils import (
    Checkpoint,
    classification_metrics,
    copy_code,
    get_device,
    load_checkpoint,
    plot_umap,
    require_umap,
    restore_rng_state,
    rng_state,
    run_log,
    save_checkpoint,
    seed_everything,
    umap_embedding,
)

EVALUATION_BATCH = 128  # beats; bounds the memory of a forward pass, changes no result
UMAP_BEATS = 5000  # most beats in a UMAP picture, class-stratified; more only hide one another
MAY_CHANGE = ("num_epochs", "kernel", "precision")  # of the settings of a run that goes on
KEPT = {"best": "highest validation macro-F1, the one to quote", "last": "after the last epoch"}


@dataclass(frozen=True)
class RunConfig:
    """What the command line asks for; `None` leaves a value to the recipe or the dataset."""

    dataset: str = "mit"
    """Name in `data_configs`."""
    device: str = "cpu"
    """torch device: cpu, cuda, cuda:0, mps."""
    data_path: str = "data"
    """Folder that holds <dataset>/{train,val,test}.pt."""
    save_dir: str = "experiments_logs"
    """Folder of the experiments."""
    experiment_description: str | None = None
    """Name of the experiment's folder; the dataset by default."""
    run_description: str | None = None
    """Name of the run's folder; date and time by default."""
    seed_id: int = 0
    """First seed k."""
    num_runs: int = 1
    """Number of seeds: k, k + 1, ..."""
    recipe: str = "supervised"
    """Name in `hparams`."""
    num_epochs: int | None = None
    """Passes over the training split."""
    batch_size: int | None = None
    """Beats (recipe notes: sequences) in a step."""
    schedule: str | None = None
    """Course of the step size."""
    loss: str | None = None
    """Loss function."""
    variant: str | None = None
    """Ablation of the network."""
    sampler: str | None = None
    """Which beats an epoch trains on."""
    limit_train: int | None = None
    """Train on a class-stratified subset of this many beats."""
    sequence_len: int | None = None
    """Samples of a beat."""
    kernel: str | None = None
    """How the encoder layers are computed."""
    precision: str | None = None
    """Arithmetic of the matrix products."""
    umap: bool = False
    """Draw the UMAP picture of the test features."""

    def __post_init__(self) -> None:
        least = {"seed_id": 0, "num_runs": 1, "num_epochs": 1, "batch_size": 1, "limit_train": 1, "sequence_len": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise InputError(f"--{name} {value}: {bound} is the least")
        if self.seed_id + self.num_runs > 2**32:
            raise InputError(f"--seed_id {self.seed_id}: the seeds must stay below {2**32}")
        for name in ("experiment_description", "run_description"):
            value = getattr(self, name)
            if value is not None and (value in ("", ".", "..") or {"/", "\\", "\0"} & set(value)):
                raise InputError(f"--{name} {value}: names a folder in --save_dir, so a name without / is right")

    def effective_configs(self) -> DatasetConfig:
        """The dataset's configuration with this run's overrides."""
        factory = get_dataset_class(self.dataset)
        return factory() if self.sequence_len is None else factory(self.sequence_len)

    def effective_hparams(self) -> TrainingConfig:
        """The recipe with this run's overrides.

        Where no loss is given, it is cross-entropy for every variant but `full`, since Fig. 5 adds CAL last, and for
        the samplers `balanced` and `smote`: Fig. 6 compares the remedies one at a time, and to weight a class that is
        drawn more often already would count it twice.
        """
        hparams = get_hparams_class(self.recipe)()
        names = ("num_epochs", "schedule", "batch_size", "loss", "variant", "sampler", "kernel", "precision")
        overrides = {name: getattr(self, name) for name in names} | {"loss": self._loss_or_default()}
        return dataclasses.replace(hparams, **{name: value for name, value in overrides.items() if value is not None})

    def _loss_or_default(self) -> str | None:
        plain = self.variant not in (None, "full") or self.sampler not in (None, "shuffle")
        return "cross_entropy" if self.loss is None and plain else self.loss


@dataclass(frozen=True)
class Evaluation:
    """What a network makes of every beat of a split."""

    loss: float
    """The training loss function over the whole split."""
    metrics: dict[str, Any]
    """`utils.metrics.classification_metrics`."""
    probabilities: np.ndarray
    """(n, C) softmax of the logits."""


def make_scheduler(
    optimizer: torch.optim.Optimizer, hparams: TrainingConfig, steps_per_epoch: int, epochs_done: int
) -> LRScheduler | None:
    """The recipe's schedule of the step size as it stands after `epochs_done`; None leaves the step size alone."""
    if hparams.schedule == "constant":
        return None
    return OneCycleLR(
        optimizer,
        max_lr=hparams.learning_rate,
        total_steps=hparams.num_epochs * steps_per_epoch,
        cycle_momentum=False,  # Adam's betas stay those of the recipe
        last_epoch=epochs_done * steps_per_epoch - 1 if epochs_done else -1,  # torch counts steps here
    )


def as_fast_as_possible(model: ecgTransForm, hparams: TrainingConfig, device: torch.device) -> nn.Module:
    """`model` as training steps call it: over all processes, compiled where that pays; the weights stay `model`'s."""
    learner: nn.Module = model
    if distributed.world_size() > 1:
        # A remark on the memory layout of 1x1 convolutions' gradients, which costs nothing at their size.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        learner = DistributedDataParallel(learner)
    if device.type == "cuda" and hparams.kernel == "auto":
        torch._dynamo.config.suppress_errors = True  # without Triton or a C compiler: not compiled, with a warning
        # Single beats come in two shapes, a whole batch and the last one; of sequences nearly every batch has its own.
        learner = torch.compile(learner, dynamic=hparams.sequence_beats is not None)
    return learner


def train_one_epoch(
    model: nn.Module,
    split: Split,
    batches: Iterable[Tensor],
    loss_function: ClassWeightedLoss,
    optimizer: torch.optim.Optimizer,
    configs: DatasetConfig,
    epoch: int,
    clip_norm: float | None = None,
    scheduler: LRScheduler | None = None,
    on_step: Callable[[Tensor], None] | None = None,
) -> dict[str, float]:
    """Take one optimiser step for each index tensor of `batches`; all arguments are on one device.

    Nothing in the loop makes the host wait for a device other than the CPU.

    Args:
        scheduler: moves the step size after every step.
        on_step: called after each step with the loss of its batch, a scalar tensor.

    Returns:
        loss, accuracy and macro_f1 over the training batches, as the network saw them while it learned.

    Raises:
        TrainingError: the loss of a batch is not finite; on the CPU before the weights took that step.
    """
    model.train()
    losses, sizes, predictions, labels = [], [], [], []
    for step, indices in enumerate(batches, start=1):
        own = distributed.share(indices)
        # A process without a share of a small batch goes along with a beat of weight 0: all must take every step.
        x, y = (values[own if len(own) else indices[:1]] for values in (split.samples, split.labels))
        optimizer.zero_grad(set_to_none=True)
        logits = model(x)  # (b, 1, L) -> (b, C)
        own_total = loss_function.total(logits, y) if len(own) else 0.0 * logits.sum()
        # Divided by the weight of the whole batch, not of the share: the shares then add up to the batch's loss.
        loss = own_total / loss_function.total_weight(split.labels[indices])
        if loss.device.type == "cpu":  # elsewhere reading the loss would make the host wait: see below
            _insist_on_finite(loss.detach().reshape(1), epoch, first_step=step)
        (loss * distributed.world_size()).backward()  # DistributedDataParallel takes the mean over processes
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.detach())
        sizes.append(len(indices))
        predictions.append(logits.detach().argmax(dim=1)[: len(own)])
        labels.append(y[: len(own)])
        if on_step is not None:
            on_step(losses[-1])
    own_losses = torch.stack(losses).cpu().double()  # in this order: MPS has no float64
    _insist_on_finite(own_losses, epoch, first_step=1)
    every_loss = distributed.gather(own_losses.unsqueeze(0).numpy()).sum(axis=0)
    true, predicted = (distributed.gather(torch.cat(parts).cpu().numpy()) for parts in (labels, predictions))
    metrics = classification_metrics(true, predicted, configs.classes)
    return {
        "loss": float(np.average(every_loss, weights=sizes)),
        "accuracy": metrics["accuracy"],
        "macro_f1": metrics["macro_f1"],
    }


def _insist_on_finite(losses: Tensor, epoch: int, first_step: int) -> None:
    bad = (~torch.isfinite(losses)).nonzero().flatten()
    if len(bad):
        raise TrainingError(
            f"the loss is {float(losses[bad[0]])} in epoch {epoch}, batch {first_step + int(bad[0])}; the run stops, "
            "the checkpoints of earlier epochs stay. A smaller learning rate or a look at the data may help"
        )


@torch.no_grad()
def stream_logits(model: nn.Module, beats: Iterable[Tensor]) -> Iterator[Tensor]:
    """Classify any number of beats in bounded memory: parts (b, 1, L) of any size -> logits (b, C) of each part."""
    model.eval()
    for part in beats:
        yield torch.cat([model(x) for x in part.split(EVALUATION_BATCH)])


def evaluate(model: nn.Module, split: Split, loss_function: ClassWeightedLoss, configs: DatasetConfig) -> Evaluation:
    """Classify every beat of `split` once; all arguments are on one device.

    Of several processes each classifies its share, and all return the same figures over the whole split.
    """
    own = distributed.share(torch.arange(len(split)))
    parts = split.samples[int(own[0]) : int(own[-1]) + 1].split(EVALUATION_BATCH) if len(own) else ()
    logits = [*stream_logits(model, parts), split.samples.new_empty(0, configs.num_classes)]
    every_logit = torch.from_numpy(distributed.gather(torch.cat(logits).cpu().numpy()))  # (n, C)
    labels = split.labels.cpu()
    loss = float(copy.deepcopy(loss_function).cpu()(every_logit, labels))
    probabilities = every_logit.softmax(dim=1).numpy()
    metrics = classification_metrics(labels.numpy(), probabilities.argmax(axis=1), configs.classes)
    return Evaluation(loss, metrics, probabilities)


@torch.no_grad()
def extract_features(model: ecgTransForm, samples: Tensor) -> np.ndarray:
    """What the classifier sees of each beat: (n, 1, L) -> (n, 128)."""
    model.eval()
    return torch.cat([model.features(x) for x in samples.split(EVALUATION_BATCH)]).cpu().numpy()


def draw_umap(path: Path, title: str, model: ecgTransForm, test: Split, classes: Sequence[str], seed: int) -> None:
    """Draw the features of the beats of `test`, or of a stratified part of many, into the file `path`."""
    if len(test) > UMAP_BEATS:
        title += f"; {UMAP_BEATS:,} of {len(test):,} beats"
        test = test.subset(stratified_subset(test.labels.cpu(), UMAP_BEATS, len(classes), seed))
    points = umap_embedding(extract_features(model, test.samples), seed)
    plot_umap(points, test.labels.cpu().numpy(), classes, title, path)


class Trainer:
    """Trains, validates and tests the network that a `RunConfig` describes, once a seed."""

    def __init__(self, run: RunConfig, run_folder: Path | None = None) -> None:
        """With `run_folder`, continue the run in that folder; without, start one of its own."""
        self.run = run
        self.configs = run.effective_configs()
        self.hparams = run.effective_hparams()
        self.device = get_device(distributed.local_device(run.device))
        layer = (self.configs.trans_dim, self.configs.num_heads, self.configs.feedforward_dim)
        precision, self.precision_note = usable_precision(
            self.hparams.precision, self.device, self.hparams.kernel, *layer
        )
        if run.umap:
            require_umap()  # now, not after 60 epochs
        self.hparams = dataclasses.replace(self.hparams, precision=precision)
        self.run_folder = run_folder

    def train(self) -> list[dict[str, Any]]:
        """Train and test every seed; return the test metrics of each one's best checkpoint.

        Raises:
            InputError: data, device or folder do not fit; nothing was written.
            TrainingError: the loss is no longer finite.
        """
        results: dict[str, list[dict[str, Any]]] = {kept: [] for kept in KEPT}
        with distributed.process_group(self.device):
            # The choice is a matter of timing: all processes take the first one's.
            precision = distributed.from_first(self.hparams.precision)
            self.hparams = dataclasses.replace(self.hparams, precision=precision)
            for seed in range(self.run.seed_id, self.run.seed_id + self.run.num_runs):
                for kept, metrics in self._train_seed(seed).items():
                    results[kept].append(metrics)
        if distributed.is_first():
            self._summarise(results)
        return results["best"]

    def _train_seed(self, seed: int) -> dict[str, dict[str, Any]]:
        seed_everything(seed)
        splits = data_generator(Path(self.run.data_path), self.configs, self.run.limit_train, seed)
        prints = {name: split.fingerprint() for name, split in splits.items()}
        if distributed.from_first(prints) != prints:
            raise InputError(f"{self.run.data_path}: other beats than those of the first process; copy its files")
        done = distributed.on_first(lambda: self._finished_tests(seed, prints))
        if done:
            return done
        weight = loss_weights(self.configs, self.hparams, splits["train"].labels)
        trained_on = splits["train"]
        if self.hparams.sampler == "smote":
            trained_on = oversample(trained_on, self.configs, seed)
        batches = Batches(trained_on, self.hparams, seed)
        loss_function = make_loss(self.hparams, weight).to(self.device)
        model = ecgTransForm(self.configs, self.hparams).to(self.device)
        optimizer = torch.optim.Adam(
            model.parameters(),
            lr=self.hparams.learning_rate,
            betas=self.hparams.betas,
            weight_decay=self.hparams.weight_decay,
        )
        folder = self._seed_folder(seed)
        with run_log(folder / "train.log") as log:
            if self.hparams.sampler == "smote":
                made = trained_on.fingerprint()
                if distributed.from_first(made) != made:
                    raise InputError(
                        "--sampler smote: made other beats here than in the first process; take the same processor and "
                        "versions of numpy, scikit-learn and imbalanced-learn for all"
                    )
            history = self._resume(folder, model, optimizer, prints)
            if distributed.is_first():
                self._describe(folder, seed, splits, trained_on, prints, loss_function, model, log)
            if self.precision_note:
                log.info(self.precision_note)
            if history:
                log.info(f"resuming after epoch {len(history)}")
            scheduler = make_scheduler(optimizer, self.hparams, len(batches), len(history))
            trained_on, val, test = (split.to(self.device) for split in (trained_on, splits["val"], splits["test"]))
            learner = as_fast_as_possible(model, self.hparams, self.device)
            for epoch in range(len(history) + 1, self.hparams.num_epochs + 1):
                started = time.perf_counter()
                distributed.seed_ranks()
                with progress_bar(f"epoch {epoch}/{self.hparams.num_epochs}", len(batches)) as show:
                    train = train_one_epoch(
                        learner,
                        trained_on,
                        batches.order(epoch, self.device),
                        loss_function,
                        optimizer,
                        self.configs,
                        epoch,
                        self.hparams.clip_norm,
                        scheduler,
                        show,
                    )
                train["beats_per_second"] = len(trained_on) / (time.perf_counter() - started)
                distributed.copy_buffers_from_first(model)
                validation = evaluate(model, val, loss_function, self.configs)
                history.append(_history_row(epoch, train, validation, time.perf_counter() - started))
                if distributed.is_first():
                    self._keep(folder, history, model, optimizer, loss_function, splits["train"], prints)
                log.info(_epoch_line(history, self.hparams.num_epochs))
            return self._test_kept(folder, seed, model, test, loss_function, log)

    def _seed_folder(self, seed: int) -> Path:
        """Make the folder of a seed, and at the first seed of a new run that of the run."""
        if self.run_folder is None:
            experiment = self.run.experiment_description or self.run.dataset
            self.run_folder = distributed.on_first(
                lambda: new_run_folder(Path(self.run.save_dir), experiment, self.run.run_description)
            )
        folder = self.run_folder / f"seed_{seed}"
        if distributed.is_first():
            try:
                folder.mkdir(exist_ok=True)
                for leftover in folder.glob(".*.part*"):  # of a run that was killed while it wrote
                    leftover.unlink()
                (folder / "train.log").open("a").close()
            except OSError as error:
                raise InputError(f"{folder} cannot be written: {error.strerror}") from error
        return folder

    def _finished_tests(self, seed: int, prints: dict[str, str]) -> dict[str, dict[str, Any]] | None:
        """The tests of a seed if it is finished: test_last.json, its last file, is of the last epoch.

        Raises:
            InputError: it is finished, but with other settings, or other beats than those of today's split files
                (`prints`), or its files are damaged.
        """
        if self.run_folder is None:
            return None
        folder = self.run_folder / f"seed_{seed}"
        tests, drawn = self._tests_of(folder), not self.run.umap or (folder / "umap.png").is_file()
        if tests is None or not drawn or not (folder / "config.json").is_file():
            return None
        config = read_json(folder / "config.json")
        self._insist_on_same_beats(folder, config.get("data", {}), prints)
        self._insist_on_same_settings(folder, config.get("dataset", {}), config.get("hparams", {}))
        print(f"seed {seed}: finished before, tests read from {folder}")
        return tests

    def _insist_on_same_settings(self, folder: Path, configs: dict[str, Any], hparams: dict[str, Any]) -> None:
        """Raise an `InputError` where the run in `folder` began with other settings than it would go on with.

        `main.py --resume` takes the options from the run itself; what a recipe or an option means may have changed.
        """
        now = asdict(self.configs) | asdict(self.hparams)
        for name in changed_settings(configs | hparams, now):
            began = (configs | hparams)[name]
            raise InputError(
                f"{folder}: began with {name} {began} and would go on with {now[name]}; start a new run, with "
                f"{name} {began} if it is to be that"
            )

    def _insist_on_same_beats(self, folder: Path, data: dict[str, Any], prints: dict[str, str]) -> None:
        """Raise an `InputError` where the run in `folder`, which noted `data`, began with other beats than `prints`."""
        if data.get("fingerprints") != prints:
            raise InputError(
                f"{self.run.data_path}: holds other beats than those that the run in {folder} began with; resume it "
                "with the same split files, or start a new run"
            )

    def _resume(
        self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, prints: dict[str, str]
    ) -> list[dict[str, Any]]:
        """Go on from the last checkpoint in `folder`, if there is one; return its history.

        Raises:
            InputError: the checkpoint does not fit what this run is to do, or the beats (`prints`) have changed.
        """
        path = folder / "checkpoint_last.pt"
        last = distributed.on_first(lambda: load_checkpoint(path, self.run.dataset) if path.is_file() else None)
        if last is None:
            return []
        self._insist_on_same_beats(folder, last.metrics.get("data", {}), prints)
        self._insist_on_same_settings(folder, asdict(last.configs), asdict(last.hparams))
        if last.epoch > self.hparams.num_epochs:
            raise InputError(f"--num_epochs {self.hparams.num_epochs}: the run in {folder} has {last.epoch} already")
        if self.hparams.schedule != "constant" and last.hparams.num_epochs != self.hparams.num_epochs:
            raise InputError(
                f"--num_epochs {self.hparams.num_epochs}: the {self.hparams.schedule} schedule of this run was laid "
                f"out for {last.hparams.num_epochs} epochs; resume it with those, or start a new run"
            )
        if distributed.is_first():
            _write_what_follows(folder, last)
        model.load_state_dict(last.model)
        optimizer.load_state_dict(last.optimizer)
        restore_rng_state(last.rng, self.device)
        return last.metrics["history"]

    def _keep(
        self,
        folder: Path,
        history: list[dict[str, Any]],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_function: ClassWeightedLoss,
        train: Split,
        prints: dict[str, str],
    ) -> None:
        """Write the checkpoints and the history of the epochs so far.

        The last checkpoint comes first: what a kill after it leaves undone, `_resume` makes up from it.
        """
        checkpoint = Checkpoint(
            dataset=self.run.dataset,
            configs=self.configs,
            hparams=self.hparams,
            model=model.state_dict(),
            optimizer=optimizer.state_dict(),
            epoch=len(history),
            rng=rng_state(self.device),
            metrics={
                "history": [*history],
                "class_weights": loss_function.weight.tolist(),
                "data": _data(train) | {"fingerprints": prints},
            },
        )
        save_checkpoint(folder / "checkpoint_last.pt", checkpoint)
        _write_what_follows(folder, checkpoint)

    def _test_kept(
        self,
        folder: Path,
        seed: int,
        model: ecgTransForm,
        test: Split,
        loss_function: ClassWeightedLoss,
        log: logging.Logger,
    ) -> dict[str, dict[str, Any]]:
        """Test the best and the last checkpoint; the best is the one to quote, and the one in the pictures."""
        results = {}
        tested: dict[int, Evaluation] = {}  # epoch -> evaluation: the best epoch may be the last one
        for kept, meaning in KEPT.items():
            path = folder / f"checkpoint_{kept}.pt"
            checkpoint = distributed.on_first(lambda path=path: load_checkpoint(path))
            model.load_state_dict(checkpoint.model)
            if checkpoint.epoch not in tested:
                log.info(f"testing on {len(test):,} beats")
                tested[checkpoint.epoch] = evaluate(model, test, loss_function, self.configs)
            evaluation = tested[checkpoint.epoch]
            metrics = results[kept] = _test_metrics(checkpoint.epoch, test, evaluation)
            log.info(f"test of the {kept} checkpoint (epoch {checkpoint.epoch}: {meaning}), {provenance(test)}:")
            log_metrics(metrics, log)
            if not distributed.is_first():
                continue
            if kept == "best":
                title = f"{self.run.dataset} test, seed {seed}, best epoch {checkpoint.epoch}\n{provenance(test)}"
                write_test(folder, test, evaluation.probabilities, metrics, self.configs.classes, title)
                if self.run.umap:
                    draw_umap(folder / "umap.png", title, model, test, self.configs.classes, seed)
            else:
                title = f"{self.run.dataset} training, seed {seed}, {provenance(test)}"
                pictures.plot_curves(pd.DataFrame(checkpoint.metrics["history"]), title, folder / "curves.png")
            # The last file of a seed is test_last.json: `_finished_tests` takes it for the end.
            write_metrics(folder / f"test_{kept}.json", metrics)
        return results

    def test(self, checkpoint_path: Path) -> dict[str, Any]:
        """Test the checkpoint at `checkpoint_path` on the dataset's test split; return its metrics.

        Raises:
            InputError: checkpoint, test split or folder do not fit.
        """
        if distributed.world_size() > 1:
            raise InputError("--test: works with one process; start it without torchrun")
        checkpoint = load_checkpoint(checkpoint_path, self.run.dataset)
        configs = checkpoint.configs
        arithmetic = {"kernel": self.hparams.kernel, "precision": self.hparams.precision}  # this machine's, not its own
        model = ecgTransForm(configs, dataclasses.replace(checkpoint.hparams, **arithmetic)).to(self.device)
        try:
            model.load_state_dict(checkpoint.model)
        except RuntimeError as error:
            raise InputError(f"{checkpoint_path}: its weights do not fit the network ({error})") from error
        test = load_split(Path(self.run.data_path) / configs.name / "test.pt", configs).to(self.device)
        weight = torch.tensor(checkpoint.metrics.get("class_weights", [1.0] * configs.num_classes))
        evaluation = evaluate(model, test, make_loss(checkpoint.hparams, weight).to(self.device), configs)
        metrics = {
            "checkpoint": str(checkpoint_path),
            "dataset": configs.name,
            "trained_on": checkpoint.metrics.get("data"),
            **_test_metrics(checkpoint.epoch, test, evaluation),
        }

        run = self.run.run_description or f"test_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
        experiment = self.run.experiment_description or self.run.dataset
        folder = self.run_folder = new_run_folder(Path(self.run.save_dir), experiment, run)
        with run_log(folder / "test.log") as log:
            if self.precision_note:
                log.info(self.precision_note)
            log.info(f"test of {checkpoint_path} (epoch {checkpoint.epoch}), {provenance(test)}:")
            log_metrics(metrics, log)
        title = f"{self.run.dataset} test of {'/'.join(Path(checkpoint_path).parts[-3:])}\n{provenance(test)}"
        write_test(folder, test, evaluation.probabilities, metrics, configs.classes, title)
        if self.run.umap:
            draw_umap(folder / "umap.png", title, model, test, configs.classes, self.run.seed_id)
        write_metrics(folder / "test.json", metrics)
        print(f"\nEverything is in {folder}")
        return metrics

    def _describe(
        self,
        folder: Path,
        seed: int,
        splits: dict[str, Split],
        trained_on: Split,
        prints: dict[str, str],
        loss_function: ClassWeightedLoss,
        model: ecgTransForm,
        log: logging.Logger,
    ) -> None:
        """Log and save the effective configuration, and copy the code that runs."""
        train, classes = splits["train"], self.configs.classes
        counted = splits | ({"trained_on": trained_on} if self.hparams.sampler == "smote" else {})
        counts = {
            name: dict(zip(classes, split.class_counts(len(classes)), strict=True)) | {"all": len(split)}
            for name, split in counted.items()
        }
        derived = {"trans_dim": self.configs.trans_dim, "num_heads": self.configs.num_heads}
        config = {
            "run": asdict(self.run),
            "seed": seed,
            "dataset": asdict(self.configs) | derived,
            "hparams": asdict(self.hparams),
            "data": _data(train) | {"fingerprints": prints},
            "counts": counts,
            "class_weights": dict(zip(classes, loss_function.weight.tolist(), strict=True)),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "environment": environment(self.device) | {"processes": distributed.world_size()},
        }
        if isinstance(model.bitrans, BiTrans):
            config["environment"]["encoder_kernel"] = model.bitrans.kernel_on(self.device)
        write_json(folder / "config.json", config)
        copy_code(folder / "code")
        for part, values in config.items():
            if isinstance(values, dict):
                log.info(f"{part}:")
                for key, value in values.items():
                    log.info(f"  {key} = {value}")
            else:
                log.info(f"{part} = {values}")
        for one, other in itertools.combinations(SPLITS, 2):
            if prints[one] == prints[other]:
                log.info(f"note: {one} and {other} hold the same beats; the figures of one say nothing that is new")

    def _summarise(self, results: dict[str, list[dict[str, Any]]]) -> None:
        """Write summary.csv over all finished seeds of the run, and print those of this command."""
        every = [self._tests_of(folder) for folder in sorted(self.run_folder.glob("seed_*"))]
        finished = {kept: [tests[kept] for tests in every if tests is not None] for kept in KEPT}
        write_table(self.run_folder / "summary.csv", _summary(finished), decimals=2)
        if self.run.num_runs > 1:
            print(f"\ntest, best checkpoints, mean and standard deviation of {self.run.num_runs} runs, percent:")
            print(_summary(results).loc["best"].to_string(float_format="{:.2f}".format, na_rep=""))
        print(f"\nEverything is in {self.run_folder}")

    def _tests_of(self, folder: Path) -> dict[str, dict[str, Any]] | None:
        """The tests in a seed's folder, None where it has not come to this run's last epoch."""
        paths = {kept: folder / f"test_{kept}.json" for kept in KEPT}
        if not all(path.is_file() for path in paths.values()):
            return None
        tests = {kept: read_json(path) for kept, path in paths.items()}
        return tests if tests["last"].get("checkpoint_epoch") == self.hparams.num_epochs else None


def _summary(tests: dict[str, list[dict[str, Any]]]) -> pd.DataFrame:
    return pd.concat({kept: summary_table(runs) for kept, runs in tests.items()}, names=["checkpoint"])


def _write_what_follows(folder: Path, last: Checkpoint) -> None:
    """Write what follows from the last checkpoint: the best one, where it is that, and the history."""
    history = last.metrics["history"]
    if _best_epoch(history) == last.epoch:
        save_checkpoint(folder / "checkpoint_best.pt", last)
    write_table(folder / "history.csv", pd.DataFrame(history), index=False)


def _history_row(epoch: int, train: dict[str, float], validation: Evaluation, seconds: float) -> dict[str, Any]:
    metrics = validation.metrics
    return {
        "epoch": epoch,
        **{f"train_{name}": train[name] for name in ("loss", "accuracy", "macro_f1")},
        "val_loss": validation.loss,
        "val_accuracy": metrics["accuracy"],
        "val_macro_f1": metrics["macro_f1"],
        **{f"val_f1_{name}": figures["f1"] for name, figures in metrics["per_class"].items()},
        "seconds": seconds,
        "train_beats_per_second": train["beats_per_second"],
    }


def changed_settings(began: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The names of settings that both know and that differ, but for those that may change while a run goes on."""

    def plain(value: object) -> object:
        return list(value) if isinstance(value, tuple) else value  # JSON knows lists alone

    return [name for name in began if name in now and name not in MAY_CHANGE and plain(began[name]) != plain(now[name])]


def _data(split: Split) -> dict[str, Any]:
    return {"source": split.source, "protocol": split.protocol, "window": split.window}


def _test_metrics(epoch: int, test: Split, evaluation: Evaluation) -> dict[str, Any]:
    return {"checkpoint_epoch": epoch, "data": _data(test), "loss": evaluation.loss, **evaluation.metrics}


def _best_epoch(history: list[dict[str, Any]]) -> int:
    """The epoch of the highest validation macro-F1; of equals the first."""
    return 1 + max(range(len(history)), key=lambda index: (history[index]["val_macro_f1"], -index))


def _epoch_line(history: list[dict[str, Any]], num_epochs: int) -> str:
    row = history[-1]
    figures = "; ".join(
        f"{split} loss {row[f'{split}_loss']:.4f} acc {100 * row[f'{split}_accuracy']:.2f} "
        f"macro-F1 {100 * row[f'{split}_macro_f1']:.2f}"
        for split in ("train", "val")
    )
    mark = ", best so far" if _best_epoch(history) == len(history) else ""
    return (
        f"epoch {row['epoch']}/{num_epochs}: {figures}; {row['seconds']:.1f} s, "
        f"training {row['train_beats_per_second']:.0f} beats/s{mark}"
    )

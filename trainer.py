"""One run, from the seed to the test: `Trainer` puts the parts together, `train_one_epoch` and `evaluate` do the work.

The two functions return values and print nothing. What a run writes, and how it is resumed, is `run_folder`'s. Under
torchrun several processes train one network (`support.distributed`): each takes its share of every batch.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from dataloader import Batches, data_generator, load_splits, training_beats
from hparams import SHORTEST_CYCLE, RunConfig, TrainingConfig
from kernels.precision import require_arithmetic, usable_precision
from losses import ClassWeightedLoss, batch_loss, loss_weights, make_loss, require_finite, require_sums
from models import ecgTransForm
from rhythm import fit_context, require_fit
from run_folder import board, pictures, reports
from run_folder.layout import REMEDY, SeedRun, checkpoint_meanings, make_seed_folder, new_run_folder
from run_folder.network import encoder_layer, network_of
from run_folder.resume import (
    Hold,
    best_epoch,
    keep,
    require_same_window,
    resume,
    settled_arithmetic,
    start_from,
    tests_if_finished_as,
)
from split_file import Split
from support import distributed
from support.errors import InputError, TrainingError
from support.progress import progress_bar
from utils import (
    DIVERGED,
    classification_metrics,
    find_checkpoint,
    get_device,
    load_checkpoint,
    load_weights,
    require_umap,
    run_log,
    seed_everything,
)

EVALUATION_BATCH = 128  # beats; bounds the memory of a forward pass, changes no result


@dataclass(frozen=True)
class Evaluation:
    """What a network makes of every beat of a split."""

    loss: float
    """The loss function that `evaluate` was given, over the whole split."""
    metrics: dict[str, Any]
    """`utils.classification_metrics`."""
    probabilities: np.ndarray
    """(n, C) softmax of the logits."""


class Trainer:
    """Trains, validates and tests the network that a `RunConfig` describes, once for every seed.

    It seeds the process (`utils.seed_everything`) and on CUDA sets its fp32 or tf32 (`set_arithmetic`); both stay so.
    """

    def __init__(self, run: RunConfig, run_folder: str | Path | None = None) -> None:
        """Resume the run in `run_folder`, or start a new one; an `InputError` where this machine cannot do `run`."""
        self.run = run
        self.configs = run.effective_configs()
        self.hparams = run.effective_hparams()
        self.device = get_device(distributed.local_device(run.device))
        require_arithmetic(self.hparams.precision, self.device, self.hparams.kernel)
        if run.umap:
            require_umap()  # now, not after 60 epochs
        board.require_tensorboard(run)
        self.run_folder = None if run_folder is None else Path(run_folder)

    def train(self) -> list[dict[str, Any]]:
        """Train and test every seed; return the test metrics of each one's best checkpoint.

        Raises:
            InputError: data, device or folder do not fit, or another command holds the run, and nothing was written; or
                a file of the run cannot be written.
            TrainingError: the loss, a weight or an output of the network is no longer finite.
        """
        with distributed.process_group(self.device), Hold() as hold:
            if self.run_folder is not None and self.run_folder.is_dir():
                hold.take(self.run_folder)
            settled = distributed.on_first(lambda: settled_arithmetic(self.run_folder, self.run, self.device))
            layer = encoder_layer(self.configs, self.hparams)
            precision, note = usable_precision(self.hparams.precision, self.device, self.hparams.kernel, layer, settled)
            # The choice is a matter of timing: all processes take the first one's.
            self.hparams = dataclasses.replace(self.hparams, precision=distributed.from_first(precision))
            seeds = range(self.run.seed_id, self.run.seed_id + self.run.num_runs)
            results = [self._train_seed(seed, hold, note)["best"] for seed in seeds]
            if distributed.is_first():
                assert self.run_folder is not None  # the first seed made it
                reports.summarise(self.run_folder, self.hparams.num_epochs)
                if (runs := len(results)) > 1:
                    print(f"\ntest, best checkpoints, mean and standard deviation of {runs} runs, percent:")
                    print(reports.summary_table(results).to_string(float_format="{:.2f}".format, na_rep=""))
                print(f"\nEverything is in {self.run_folder}")
        return results

    def _train_seed(self, seed: int, hold: Hold, note: str | None) -> dict[str, dict[str, Any]]:
        # Seed
        seed_everything(seed)

        # Data
        run = self._data(seed)
        seed_folder = None if self.run_folder is None else self.run_folder / f"seed_{seed}"
        if seed_folder is not None:
            tests = distributed.on_first(lambda: tests_if_finished_as(seed_folder, run))
            if tests is not None:
                if distributed.is_first():
                    print(f"seed {seed}: already finished, tests read from {seed_folder}")
                return tests
        if self.run.init is None:
            require_fit(run.trained_on, self.configs, self.hparams)
        if self.run.umap:
            require_umap(len(run.splits["test"]))
        batches = Batches(run.trained_on, self.hparams, seed)

        # Model, optimiser, loss
        model = ecgTransForm(self.configs, self.hparams).to(self.device)
        run = start_from(seed_folder, run, model)
        optimizer = torch.optim.Adam(
            model.parameters(),
            lr=self.hparams.learning_rate,
            betas=self.hparams.betas,
            weight_decay=self.hparams.weight_decay,
        )
        loss_function = make_loss(self.hparams, run.class_weights).to(self.device)
        training_loss = make_loss(self.hparams, batches.training_weights(run.class_weights)).to(self.device)

        # Loop
        folder = self._seed_folder(seed, hold)
        run, history = resume(folder, run, model, optimizer)
        scheduler = make_scheduler(optimizer, self.hparams, len(batches), len(history))
        with run_log(folder / "train.log") as log, board.curves(folder, run, history, optimizer) as write_epoch:
            reports.describe(folder, run, model, len(history), note, log)
            begun = history or self.run.init is not None
            learnt = {} if begun else fit_context(model, run.trained_on, self.configs, self.hparams, seed)
            if context := reports.context_note(learnt, self.configs):
                log.info(context)
            beats = (run.trained_on, run.splits["val"], run.splits["test"])
            trained_on, val, test = (split.to(self.device) for split in beats)
            learner = as_fast_as_possible(model, self.hparams, self.device)
            for epoch in range(len(history) + 1, self.hparams.num_epochs + 1):
                started = time.perf_counter()
                distributed.seed_ranks()
                with progress_bar(f"epoch {epoch}/{self.hparams.num_epochs}", len(batches)) as show:
                    train = train_one_epoch(
                        learner,
                        trained_on,
                        batches.order(epoch, self.device),
                        training_loss,
                        optimizer,
                        self.configs.classes,
                        epoch=epoch,
                        clip_norm=self.hparams.clip_norm,
                        scheduler=scheduler,
                        on_step=show,
                    )
                train["beats_per_second"] = batches.beats / (time.perf_counter() - started)
                distributed.copy_buffers_from_first(model)
                validation = evaluate(model, val, loss_function, self.configs.classes)
                seconds = time.perf_counter() - started
                loss, metrics = validation.loss, validation.metrics
                history.append(reports.history_row(epoch, train, loss, metrics, self.hparams.selection, seconds))
                write_epoch(history[-1], metrics)
                keep(folder, run, model, optimizer, history)
                log.info(reports.epoch_line(history, self.hparams.num_epochs))

            # Test
            return self._test_kept(folder, run, model, test, loss_function, log)

    def _data(self, seed: int) -> SeedRun:
        """The beats of a seed and the class weights of its loss, the same in every process."""
        limit = self.run.limit_train
        # Where validation is trained on too, `limit_train` is of both, and `training_beats` keeps to it.
        of_training = limit if self.hparams.learnt_splits == ("train",) else None
        splits = data_generator(self.run.data_path, self.configs, of_training, seed)
        weight = loss_weights(self.configs, self.hparams, splits["train"].labels)
        trained_on = training_beats(splits, self.configs, self.hparams, limit, seed)
        run = SeedRun(self.run, seed, self.configs, self.hparams, self.device, splits, trained_on, class_weights=weight)
        distributed.require_same(
            (run.fingerprints, run.place_fingerprints),
            f"{self.run.data_path}: holds other beats than the first process has; copy its files",
        )
        if self.hparams.sampler == "smote":
            distributed.require_same(
                run.training_fingerprint,
                "--sampler smote: made other beats here than in the first process; use the same processor and versions "
                "of numpy, scikit-learn and imbalanced-learn for all",
            )
        return run

    def _seed_folder(self, seed: int, hold: Hold) -> Path:
        """The folder of a seed; at the first seed of a new run that of the run is made, and held."""
        if self.run_folder is None:
            self.run_folder = distributed.on_first(
                lambda: new_run_folder(Path(self.run.save_dir), self.run.experiment, self.run.run_description)
            )
        hold.take(self.run_folder)
        folder = self.run_folder / f"seed_{seed}"
        return make_seed_folder(folder) if distributed.is_first() else folder

    def _test_kept(
        self, folder: Path, run: SeedRun, model: ecgTransForm, test: Split, loss: ClassWeightedLoss, log: logging.Logger
    ) -> dict[str, dict[str, Any]]:
        """Test the best and the last checkpoint; the best is the one to quote, and the one in the pictures."""
        results = {}
        tested: dict[int, Evaluation] = {}  # epoch -> evaluation: the best epoch may be the last one
        for kept, meaning in checkpoint_meanings(run.hparams.selection).items():
            path = folder / f"checkpoint_{kept}.pt"
            checkpoint = distributed.on_first(partial(load_checkpoint, path, remedy=REMEDY[kept]))
            load_weights(model, checkpoint, path)
            if first := checkpoint.epoch not in tested:
                log.info(f"testing on {len(test):,} beats")
                tested[checkpoint.epoch] = evaluate(model, test, loss, self.configs.classes)
            evaluation = tested[checkpoint.epoch]
            metrics = results[kept] = test_metrics(checkpoint.epoch, test, evaluation)
            says = ":" if first else ": the same figures"
            log.info(f"test of the {kept} checkpoint (epoch {checkpoint.epoch}: {meaning}), {test.origin}{says}")
            if first:
                reports.log_metrics(metrics, log)
            if not distributed.is_first():
                continue
            if kept == "best":
                title = f"{self.run.dataset} test, seed {run.seed}, best epoch {checkpoint.epoch}\n{test.origin}"
                reports.write_predictions(folder, test, evaluation.probabilities, metrics, self.configs.classes, title)
                if self.run.umap:
                    pictures.draw_umap(folder / "umap.png", title, model, test, self.configs, run.seed)
            else:
                title = f"{self.run.dataset} training, seed {run.seed}, {test.origin}"
                history = checkpoint.metrics["history"]
                pictures.plot_curves(pd.DataFrame(history), best_epoch(history), title, folder / "curves.png")
            reports.write_metrics(folder / f"test_{kept}.json", metrics)  # test_last.json: the seed is finished
        return results

    def test(self, checkpoint_path: str | Path) -> dict[str, Any]:
        """Test a checkpoint (a name, file or folder, as for `load_network`) on the test split; return its metrics.

        Raises:
            InputError: checkpoint, test split or folder do not fit.
            TrainingError: an output of the network is not finite.
        """
        if distributed.world_size() > 1:
            raise InputError("--test: works with one process; start it without torchrun")
        checkpoint = load_checkpoint(path := find_checkpoint(checkpoint_path), self.run.dataset, self.run.sequence_len)
        layer = encoder_layer(checkpoint.configs, checkpoint.hparams)
        asked, kernel = self.hparams.precision, self.hparams.kernel  # this machine's, not those of the training
        precision, note = usable_precision(asked, self.device, kernel, layer)
        model = network_of(checkpoint, path, self.device, kernel, precision)
        configs, trained_on = checkpoint.configs, checkpoint.data
        test = load_splits(self.run.data_path, configs, ["test"])["test"].to(self.device)
        require_same_window(path, trained_on, test)
        if self.run.umap:
            require_umap(len(test))
        weight = torch.tensor(checkpoint.metrics.get("class_weights", [1.0] * configs.num_classes))
        evaluation = evaluate(model, test, make_loss(checkpoint.hparams, weight).to(self.device), configs.classes)
        metrics = {
            "checkpoint": str(checkpoint_path),
            "dataset": configs.name,
            "trained_on": trained_on or None,
            **test_metrics(checkpoint.epoch, test, evaluation),
        }

        run = self.run.run_description or f"test_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
        folder = new_run_folder(Path(self.run.save_dir), self.run.experiment, run)
        with run_log(folder / "test.log") as log:
            window = reports.window_note("the network", trained_on.get("window") or "unknown", test)
            learnt = reports.learnt_note(path, checkpoint, test)
            for line in filter(None, (note, window, reports.left_out_note(test), learnt)):
                log.info(line)
            log.info(f"test of {checkpoint_path} (epoch {checkpoint.epoch}), {test.origin}:")
            reports.log_metrics(metrics, log)
        title = f"{self.run.dataset} test of {'/'.join(Path(checkpoint_path).parts[-3:])}\n{test.origin}"
        reports.write_predictions(folder, test, evaluation.probabilities, metrics, configs.classes, title)
        if self.run.umap:
            pictures.draw_umap(folder / "umap.png", title, model, test, configs, self.run.seed_id)
        reports.write_metrics(folder / "test.json", metrics)
        print(f"\nEverything is in {folder}")
        return metrics


def make_scheduler(
    optimizer: torch.optim.Optimizer, hparams: TrainingConfig, steps_per_epoch: int, epochs_done: int
) -> LRScheduler | None:
    """The recipe's schedule of the learning rate as it stands after `epochs_done`; None leaves the rate alone.

    A run of fewer than `SHORTEST_CYCLE` steps has no cycle: it would consist of the vanishing rate at its end.
    """
    steps = hparams.num_epochs * steps_per_epoch
    if hparams.schedule == "constant" or steps < SHORTEST_CYCLE:
        return None
    return OneCycleLR(
        optimizer,
        max_lr=hparams.learning_rate,
        total_steps=steps,
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
        learner = torch.compile(learner, dynamic=hparams.sequence_beats is not None)  # type: ignore[assignment]
    return learner


def train_one_epoch(
    model: nn.Module,
    split: Split,
    batches: Iterable[Tensor],
    loss_function: ClassWeightedLoss,
    optimizer: torch.optim.Optimizer,
    classes: Sequence[str],
    *,
    epoch: int | None = None,
    clip_norm: float | None = None,
    scheduler: LRScheduler | None = None,
    on_step: Callable[[Tensor], None] | None = None,
) -> dict[str, float]:
    """Take one optimiser step for each index tensor of `batches`; all arguments are on one device.

    It puts all of `model` into training mode, frozen blocks too: their batch normalisation keeps following the beats.
    Nothing in the loop makes the host wait for a device other than the CPU.

    Args:
        epoch: its number, for the message of a loss that is not finite.
        scheduler: moves the learning rate after every step.
        on_step: called after each step with the loss of its batch, a scalar tensor.

    Returns:
        loss, accuracy and macro_f1 over the training batches, as the network saw them while it learned. The loss is
        the same function of all beats as that of `evaluate`.

    Raises:
        TrainingError: the loss of a batch is not finite; on the CPU before the weights took that step.
        ValueError: there is no batch, or one without a beat that weighs anything.
        TypeError: as `losses.require_sums`.
    """
    require_sums(loss_function)
    model.train()
    losses, weights, predictions, labels = [], [], [], []
    for step, indices in enumerate(batches, start=1):
        own = distributed.share(indices)
        # Every process takes every step: one without a share of a small batch runs a beat that does not count.
        x, y = split.inputs(own if len(own) else indices[:1]), split.labels[own]
        optimizer.zero_grad(set_to_none=True)
        logits = model(*x)[: len(own)]  # (b, 1, L) -> (b, C); with context (b, 1, L), (b, K) -> (b, C)
        loss = batch_loss(loss_function, logits, y, split.labels[indices])
        weights.append(loss_function.total_weight(split.labels[indices]))
        if loss.device.type == "cpu":  # elsewhere reading the loss would make the host wait: see below
            require_finite(loss.detach().reshape(1), weights[-1:], epoch, first_step=step)
        loss.backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.detach())
        predictions.append(logits.detach().argmax(dim=1))
        labels.append(y)
        if on_step is not None:
            on_step(losses[-1])
    if not losses:
        raise ValueError("train_one_epoch: batches is empty; it takes one index tensor (b,) for each step")
    own_losses = torch.stack(losses).cpu().double()  # in this order: MPS has no float64
    require_finite(own_losses, weights, epoch, first_step=1)
    every_loss = distributed.gather(own_losses.unsqueeze(0).numpy()).mean(axis=0)  # (processes, steps) -> (steps,)
    true, predicted = (distributed.gather(torch.cat(parts).cpu().numpy()) for parts in (labels, predictions))
    metrics = classification_metrics(true, predicted, classes)
    return {
        "loss": float(np.average(every_loss, weights=torch.stack(weights).cpu().double().numpy())),
        "accuracy": metrics["accuracy"],
        "macro_f1": metrics["macro_f1"],
    }


@torch.no_grad()
def stream_logits(model: nn.Module, parts: Iterable[tuple[Tensor, ...]]) -> Iterator[Tensor]:
    """Classify any number of beats in bounded memory: parts of any size, `Split.inputs` -> logits (b, C) of each."""
    model.eval()
    for part in parts:
        batches = zip(*(values.split(EVALUATION_BATCH) for values in part), strict=True)
        yield torch.cat([model(*x) for x in batches])


def evaluate(model: nn.Module, split: Split, loss_function: ClassWeightedLoss, classes: Sequence[str]) -> Evaluation:
    """Classify every beat of `split` once; all arguments are on one device. It leaves `model` in evaluation mode.

    Of several processes each classifies its share, and all return the same figures over the whole split.

    Raises:
        TrainingError: an output of the network is not finite, so there is no class to name.
        ValueError: no beat of the split weighs anything.
        TypeError: as `losses.require_sums`.
    """
    require_sums(loss_function)
    if not loss_function.total_weight(split.labels):
        raise ValueError("evaluate: no beat of the split weighs anything in the loss")
    own = distributed.share(torch.arange(len(split)))
    parts = [split.inputs(slice(int(own[0]), int(own[-1]) + 1))] if len(own) else []
    logits = [*stream_logits(model, parts), split.samples.new_empty(0, len(classes))]
    every_logit = torch.from_numpy(distributed.gather(torch.cat(logits).cpu().numpy()))  # (n, C)
    labels = split.labels.cpu()
    loss = float(copy.deepcopy(loss_function).cpu()(every_logit, labels))
    bad = int((~torch.isfinite(every_logit).all(dim=1)).sum())
    if bad or not np.isfinite(loss):
        raise TrainingError(
            f"the network's output is not finite for {bad} of {len(split)} beats (loss {loss}); {DIVERGED}"
        )
    probabilities = every_logit.softmax(dim=1).numpy()
    metrics = classification_metrics(labels.numpy(), probabilities.argmax(axis=1), classes)
    return Evaluation(loss, metrics, probabilities)


def test_metrics(epoch: int, test: Split, evaluation: Evaluation) -> dict[str, Any]:
    """What is kept of a test of the checkpoint after `epoch`, ready for JSON."""
    data = test.provenance() | {"databases": test.its_databases}
    metrics = {"checkpoint_epoch": epoch, "data": data, "loss": evaluation.loss, **evaluation.metrics}
    return metrics | reports.ec57_part(metrics)

"""One run, from the seed to the test: `Trainer` puts the rooms together, `train_one_epoch` and `evaluate` do the work.

The two functions return values and print nothing; `Trainer` writes the run folder

    <save_dir>/<experiment>/<run>/seed_<k>/    a seed: configuration, log, history, checkpoints, tests, pictures
    <save_dir>/<experiment>/<run>/summary.csv  mean and standard deviation over the seeds (paper Table 2)
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from data_configs import DatasetConfig, get_dataset_class
from dataloader import SPLITS, Batches, Split, data_generator, get_class_weights, load_split, stratified_subset
from hparams import TrainingConfig, get_hparams_class
from models import ecgTransForm
from utils import pictures
from utils.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from utils.errors import InputError, TrainingError
from utils.files import write_json
from utils.metrics import classification_metrics, metrics_table, summary_table
from utils.runlog import copy_code, environment, new_run_folder, run_log, write_table
from utils.seeds import get_device, restore_rng_state, rng_state, seed_everything

EVALUATION_BATCH = 128  # beats; bounds the memory of a forward pass, changes no result
UMAP_BEATS = 5000  # most beats in a UMAP picture, class-stratified; more only hide one another


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
    limit_train: int | None = None
    """Train on a class-stratified subset of this many beats."""
    sequence_len: int | None = None
    """Samples of a beat."""
    umap: bool = False
    """Draw the UMAP picture of the test features."""

    def __post_init__(self) -> None:
        for name, least in (
            ("seed_id", 0),
            ("num_runs", 1),
            ("num_epochs", 1),
            ("batch_size", 1),
            ("limit_train", 1),
            ("sequence_len", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"--{name} {value}: {least} is the least")

    def effective_configs(self) -> DatasetConfig:
        """The dataset's configuration with this run's overrides."""
        factory = get_dataset_class(self.dataset)
        return factory() if self.sequence_len is None else factory(self.sequence_len)

    def effective_hparams(self) -> TrainingConfig:
        """The recipe with this run's overrides."""
        hparams = get_hparams_class(self.recipe)()
        overrides = {name: getattr(self, name) for name in ("num_epochs", "batch_size")}
        return dataclasses.replace(hparams, **{name: value for name, value in overrides.items() if value is not None})


@dataclass(frozen=True)
class Evaluation:
    """What a network makes of every beat of a split."""

    loss: float
    """The training loss function over the whole split."""
    metrics: dict[str, Any]
    """`utils.metrics.classification_metrics`."""
    probabilities: np.ndarray
    """(n, C) softmax of the logits."""

    @property
    def predictions(self) -> np.ndarray:
        """(n,) most probable class."""
        return self.probabilities.argmax(axis=1)


def make_loss(configs: DatasetConfig, hparams: TrainingConfig, train_labels: Tensor) -> nn.CrossEntropyLoss:
    """The recipe's loss; its class weights come from the training split alone.

    Raises:
        InputError: a class has no training beat.
    """
    weights = get_class_weights(train_labels, configs.num_classes, configs.classes)
    if hparams.loss == "hard_class":
        weights = torch.ones(configs.num_classes)
        weights[configs.classes.index(configs.hard_class)] = hparams.hard_class_weight
    return nn.CrossEntropyLoss(weight=weights)


def train_one_epoch(
    model: nn.Module,
    split: Split,
    batches: Iterable[Tensor],
    loss_function: nn.Module,
    optimizer: torch.optim.Optimizer,
    configs: DatasetConfig,
    epoch: int,
    clip_norm: float | None = None,
    on_step: Callable[[Tensor], None] | None = None,
) -> dict[str, float]:
    """Take one optimiser step for each index tensor of `batches`; `split` and `model` are on one device.

    Args:
        on_step: called after each step with the loss of its batch, a scalar tensor.

    Returns:
        loss, accuracy and macro_f1 over the training batches, as the network saw them while it learned.

    Raises:
        TrainingError: the loss of a batch is not finite; on the CPU before the weights took that step.
    """
    model.train()
    losses, predictions, labels = [], [], []
    for step, indices in enumerate(batches, start=1):
        indices = indices.to(split.labels.device, non_blocking=True)
        x, y = split.samples[indices], split.labels[indices]  # (b, 1, L), (b,)
        optimizer.zero_grad(set_to_none=True)
        logits = model(x)  # (b, C)
        loss = loss_function(logits, y)
        if loss.device.type == "cpu":  # elsewhere reading the loss would make the device wait: see below
            _insist_on_finite(loss.detach().reshape(1), epoch, first_step=step)
        loss.backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        losses.append(loss.detach())
        predictions.append(logits.detach().argmax(dim=1))
        labels.append(y)
        if on_step is not None:
            on_step(losses[-1])
    every_loss = torch.stack(losses)
    _insist_on_finite(every_loss, epoch, first_step=1)
    sizes = torch.tensor([len(batch) for batch in labels], dtype=torch.float64)
    true, predicted = torch.cat(labels).cpu().numpy(), torch.cat(predictions).cpu().numpy()
    metrics = classification_metrics(true, predicted, configs.classes)
    return {
        "loss": float((every_loss.double().cpu() * sizes).sum() / sizes.sum()),
        "accuracy": metrics["accuracy"],
        "macro_f1": metrics["macro_f1"],
    }


def _insist_on_finite(losses: Tensor, epoch: int, first_step: int) -> None:
    bad = (~torch.isfinite(losses)).nonzero().flatten()
    if len(bad):
        step = first_step + int(bad[0])
        raise TrainingError(
            f"the loss is {float(losses[bad[0]])} in epoch {epoch}, batch {step}; the run stops, the checkpoints of "
            "earlier epochs stay. A smaller learning rate or a look at the data may help"
        )


@torch.no_grad()
def evaluate(model: nn.Module, split: Split, loss_function: nn.Module, configs: DatasetConfig) -> Evaluation:
    """Classify every beat of `split` once; `split`, `model` and `loss_function` are on one device."""
    model.eval()
    logits = torch.cat([model(x) for x in split.samples.split(EVALUATION_BATCH)])  # (n, C)
    loss = float(loss_function(logits, split.labels))
    probabilities = logits.softmax(dim=1).cpu().numpy()
    metrics = classification_metrics(split.labels.cpu().numpy(), probabilities.argmax(axis=1), configs.classes)
    return Evaluation(loss, metrics, probabilities)


@torch.no_grad()
def extract_features(model: ecgTransForm, split: Split) -> np.ndarray:
    """What the classifier sees of every beat of `split`: (n, 128)."""
    model.eval()
    return torch.cat([model.features(x) for x in split.samples.split(EVALUATION_BATCH)]).cpu().numpy()


class Trainer:
    """Trains, validates and tests the network that a `RunConfig` describes, once a seed."""

    def __init__(self, run: RunConfig, run_folder: Path | None = None) -> None:
        """With `run_folder`, continue the run in that folder; without, start one of its own."""
        self.run = run
        self.configs = run.effective_configs()
        self.hparams = run.effective_hparams()
        self.device = get_device(run.device)
        self.run_folder = run_folder

    def train(self) -> list[dict[str, Any]]:
        """Train and test every seed; return the test metrics of each one's best checkpoint.

        Raises:
            InputError: data, device or folder do not fit; nothing was written.
            TrainingError: the loss is no longer finite.
        """
        results: dict[str, list[dict[str, Any]]] = {"best": [], "last": []}
        for seed in range(self.run.seed_id, self.run.seed_id + self.run.num_runs):
            for kept, metrics in self._train_seed(seed).items():
                results[kept].append(metrics)
        assert self.run_folder is not None
        summary = pd.concat({kept: summary_table(runs) for kept, runs in results.items()}, names=["checkpoint"])
        write_table(self.run_folder / "summary.csv", summary, decimals=2)
        if self.run.num_runs > 1:
            print(f"\nTest, best checkpoints, mean and sd of {self.run.num_runs} runs, percent:")
            print(summary.loc["best"].to_string(float_format="{:.2f}".format, na_rep=""))
        print(f"\nEverything is in {self.run_folder}")
        return results["best"]

    def _train_seed(self, seed: int) -> dict[str, dict[str, Any]]:
        seed_everything(seed)
        splits = data_generator(Path(self.run.data_path), self.configs, self.run.limit_train, seed)
        batches = Batches(splits["train"], self.hparams, seed)
        loss_function = make_loss(self.configs, self.hparams, splits["train"].labels).to(self.device)
        model = ecgTransForm(self.configs, self.hparams).to(self.device)
        optimizer = torch.optim.Adam(
            model.parameters(),
            lr=self.hparams.learning_rate,
            betas=self.hparams.betas,
            weight_decay=self.hparams.weight_decay,
        )
        if self.run_folder is None:
            experiment = self.run.experiment_description or self.run.dataset
            self.run_folder = new_run_folder(Path(self.run.save_dir), experiment, self.run.run_description)
        folder = self.run_folder / f"seed_{seed}"
        folder.mkdir(exist_ok=True)
        for leftover in folder.glob(".*.part*"):  # of a run that was killed while it wrote
            leftover.unlink()
        with run_log(folder / "train.log") as log:
            history, rng = self._resume(folder, model, optimizer)
            if _tests_done(folder, self.hparams.num_epochs):
                log.info(f"seed {seed}: finished before, tests read from {folder}")
                return {kept: json.loads((folder / f"test_{kept}.json").read_text()) for kept in ("best", "last")}
            self._describe(folder, seed, splits, loss_function, model, log)
            if history:
                log.info(f"resuming after epoch {history[-1]['epoch']}")
                restore_rng_state(rng, self.device)
            splits = {name: split.to(self.device) for name, split in splits.items()}
            for epoch in range(len(history) + 1, self.hparams.num_epochs + 1):
                history.append(self._epoch(epoch, model, splits, batches, loss_function, optimizer, log))
                self._keep(folder, history, model, optimizer, loss_function, splits["train"])
                log.info(_epoch_line(history, self.hparams.num_epochs))
            pictures.plot_curves(
                pd.DataFrame(history), self._title(splits["train"], seed, "training"), folder / "curves.png"
            )
            return self._test_kept(folder, seed, model, splits["test"], loss_function, log)

    def _resume(
        self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Load the last checkpoint of `folder`, if there is one; return its history and generator states."""
        path = folder / "checkpoint_last.pt"
        if not path.is_file():
            return [], {}
        last = load_checkpoint(path, self.run.dataset)
        model.load_state_dict(last.model)
        optimizer.load_state_dict(last.optimizer)
        return last.metrics["history"], last.rng

    def _epoch(
        self,
        epoch: int,
        model: nn.Module,
        splits: dict[str, Split],
        batches: Batches,
        loss_function: nn.Module,
        optimizer: torch.optim.Optimizer,
        log: logging.Logger,
    ) -> dict[str, Any]:
        """Train and validate once; return the epoch's row of the history."""
        started = time.perf_counter()
        with tqdm(total=len(batches), desc=f"epoch {epoch}", unit="batch", leave=False, disable=None) as bar:

            def show(loss: Tensor) -> None:
                bar.update()
                if not bar.disable and bar.n % 10 == 1:
                    bar.set_postfix(loss=f"{float(loss):.4f}", refresh=False)

            train = train_one_epoch(
                model,
                splits["train"],
                batches.order(epoch),
                loss_function,
                optimizer,
                self.configs,
                epoch,
                self.hparams.clip_norm,
                show,
            )
        trained = time.perf_counter()
        validation = evaluate(model, splits["val"], loss_function, self.configs)
        per_class = validation.metrics["per_class"]
        return {
            "epoch": epoch,
            **{f"train_{name}": value for name, value in train.items()},
            "val_loss": validation.loss,
            "val_accuracy": validation.metrics["accuracy"],
            "val_macro_f1": validation.metrics["macro_f1"],
            **{f"val_f1_{name}": figures["f1"] for name, figures in per_class.items()},
            "seconds": time.perf_counter() - started,
            "train_beats_per_second": len(splits["train"]) / (trained - started),
        }

    def _keep(
        self,
        folder: Path,
        history: list[dict[str, Any]],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_function: nn.CrossEntropyLoss,
        train: Split,
    ) -> None:
        """Write the checkpoints and the history of the epochs so far.

        Best before last: a run that is killed in between resumes from the older last one, repeats the epoch and
        finds the same best again.
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
                "history": history,
                "class_weights": loss_function.weight.tolist(),
                "data": {"source": train.source, "protocol": train.protocol, "window": train.window},
            },
        )
        if _best_epoch(history) == len(history):
            save_checkpoint(folder / "checkpoint_best.pt", checkpoint)
        save_checkpoint(folder / "checkpoint_last.pt", checkpoint)
        write_table(folder / "history.csv", pd.DataFrame(history), index=False)

    def _test_kept(
        self,
        folder: Path,
        seed: int,
        model: ecgTransForm,
        test: Split,
        loss_function: nn.Module,
        log: logging.Logger,
    ) -> dict[str, dict[str, Any]]:
        """Test the best and the last checkpoint; the best is the one to quote, and the one in the pictures."""
        results = {}
        for kept in ("best", "last"):
            checkpoint = load_checkpoint(folder / f"checkpoint_{kept}.pt")
            model.load_state_dict(checkpoint.model)
            evaluation = evaluate(model, test, loss_function, self.configs)
            if kept == "best":
                title = self._title(test, seed, f"test, best epoch {checkpoint.epoch}")
                self._write_pictures(folder, title, model, test, evaluation, seed)
                write_table(
                    folder / "predictions_test.csv", self._predictions(test, evaluation), index=False, decimals=6
                )
            name = {"best": "best validation macro-F1", "last": "last"}[kept]
            log.info(f"test of the {kept} checkpoint ({name}, epoch {checkpoint.epoch}), {_provenance(test)}:")
            results[kept] = self._report(folder / f"test_{kept}.json", checkpoint.epoch, test, evaluation, log)
        return results

    def test(self, checkpoint_path: Path) -> dict[str, Any]:
        """Test the checkpoint at `checkpoint_path` on the dataset's test split; return its metrics.

        Raises:
            InputError: checkpoint, test split or folder do not fit.
        """
        checkpoint = load_checkpoint(checkpoint_path, self.run.dataset)
        self.configs, self.hparams = checkpoint.configs, checkpoint.hparams
        path = Path(self.run.data_path) / self.configs.name / "test.pt"
        test = load_split(path, self.configs).to(self.device)
        model = ecgTransForm(self.configs, self.hparams).to(self.device)
        try:
            model.load_state_dict(checkpoint.model)
        except RuntimeError as error:
            raise InputError(f"{checkpoint_path}: its weights do not fit the network ({error})") from error
        weights = checkpoint.metrics.get("class_weights")
        loss_function = nn.CrossEntropyLoss(None if weights is None else torch.tensor(weights)).to(self.device)
        evaluation = evaluate(model, test, loss_function, self.configs)
        experiment = self.run.experiment_description or self.run.dataset
        run = self.run.run_description or f"test_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
        folder = self.run_folder = new_run_folder(Path(self.run.save_dir), experiment, run)
        with run_log(folder / "test.log") as log:
            log.info(f"test of {checkpoint_path} (epoch {checkpoint.epoch}), {_provenance(test)}:")
            title = self._title(test, None, f"test of {Path(checkpoint_path).name}")
            self._write_pictures(folder, title, model, test, evaluation, self.run.seed_id)
            write_table(folder / "predictions_test.csv", self._predictions(test, evaluation), index=False, decimals=6)
            metrics = self._report(folder / "test.json", checkpoint.epoch, test, evaluation, log)
        print(f"\nEverything is in {folder}")
        return metrics

    def _report(
        self, path: Path, epoch: int, test: Split, evaluation: Evaluation, log: logging.Logger
    ) -> dict[str, Any]:
        """Log one test, write it as JSON and CSV, return what was written."""
        table = metrics_table(evaluation.metrics)
        text = table.astype(object).map(lambda value: value if isinstance(value, str) else f"{value:.2f}")
        text.loc["support"] = [f"{int(value):,}" for value in table.loc["support"]]
        for line in text.to_string().splitlines():
            log.info(line)
        log.info(f"accuracy {100 * evaluation.metrics['accuracy']:.2f} %, loss {evaluation.loss:.4f}")
        data = {"source": test.source, "protocol": test.protocol, "window": test.window}
        metrics = {"checkpoint_epoch": epoch, "data": data, "loss": evaluation.loss, **evaluation.metrics}
        write_table(path.with_suffix(".csv"), table, decimals=2)
        write_json(path, metrics)
        return metrics

    def _predictions(self, test: Split, evaluation: Evaluation) -> pd.DataFrame:
        """A row a test beat: where it is, its class, the predicted class, the probability of each class."""
        names = np.asarray(self.configs.classes)
        columns: dict[str, Any] = {}
        if test.records is not None and test.record_names:
            columns["record"] = np.asarray(test.record_names)[test.records.numpy()]
        if test.positions is not None:
            columns["position"] = test.positions.numpy()
        columns["label"] = names[test.labels.cpu().numpy()]
        columns["prediction"] = names[evaluation.predictions]
        columns |= {f"p_{name}": evaluation.probabilities[:, index] for index, name in enumerate(names)}
        return pd.DataFrame(columns)

    def _write_pictures(
        self, folder: Path, title: str, model: ecgTransForm, test: Split, evaluation: Evaluation, seed: int
    ) -> None:
        metrics = evaluation.metrics
        figures = f"accuracy {100 * metrics['accuracy']:.2f} %, macro-F1 {100 * metrics['macro_f1']:.2f} %"
        pictures.plot_confusion_matrix(
            metrics["confusion_matrix"], self.configs.classes, f"{title}\n{figures}", folder / "confusion_matrix.png"
        )
        if self.run.umap:
            labels = test.labels.cpu()
            if len(labels) > UMAP_BEATS:
                test = test.subset(stratified_subset(labels, UMAP_BEATS, self.configs.num_classes, seed))
            points = pictures.umap_embedding(extract_features(model, test), seed)
            pictures.plot_umap(points, test.labels.cpu().numpy(), self.configs.classes, title, folder / "umap.png")

    def _title(self, split: Split, seed: int | None, what: str) -> str:
        seed_text = "" if seed is None else f", seed {seed}"
        return f"{self.run.dataset} {what}{seed_text}\n{_provenance(split)}"

    def _describe(
        self,
        folder: Path,
        seed: int,
        splits: dict[str, Split],
        loss_function: nn.CrossEntropyLoss,
        model: nn.Module,
        log: logging.Logger,
    ) -> None:
        """Log and save the effective configuration, and copy the code that runs."""
        train = splits["train"]
        counts = {name: splits[name].class_counts(self.configs.num_classes) for name in SPLITS}
        config = {
            "run": asdict(self.run),
            "seed": seed,
            "dataset": asdict(self.configs)
            | {"trans_dim": self.configs.trans_dim, "num_heads": self.configs.num_heads},
            "hparams": asdict(self.hparams),
            "data": {
                "source": train.source,
                "protocol": train.protocol,
                "window": train.window,
                "counts": {
                    name: dict(zip(self.configs.classes, row, strict=True)) | {"all": sum(row)}
                    for name, row in counts.items()
                },
            },
            "class_weights": dict(zip(self.configs.classes, loss_function.weight.tolist(), strict=True)),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "versions": environment(self.device),
        }
        write_json(folder / "config.json", config)
        copy_code(folder / "code")
        for part, values in config.items():
            if isinstance(values, dict):
                log.info(f"{part}:")
                for key, value in values.items():
                    log.info(f"  {key} = {value}")
            else:
                log.info(f"{part} = {values}")


def _best_epoch(history: list[dict[str, Any]]) -> int:
    """The epoch of the highest validation macro-F1; of equals the first."""
    return 1 + max(range(len(history)), key=lambda index: (history[index]["val_macro_f1"], -index))


def _provenance(split: Split) -> str:
    """Where the beats come from and how they were split, for every line and title of a result."""
    return f"{split.source} data, {split.protocol} split"


def _epoch_line(history: list[dict[str, Any]], num_epochs: int) -> str:
    row = history[-1]
    figures = "; ".join(
        f"{split} loss {row[f'{split}_loss']:.4f} acc {100 * row[f'{split}_accuracy']:.2f} "
        f"F1 {100 * row[f'{split}_macro_f1']:.2f}"
        for split in ("train", "val")
    )
    mark = ", best so far" if _best_epoch(history) == len(history) else ""
    return (
        f"epoch {row['epoch']}/{num_epochs}: {figures}; {row['seconds']:.1f} s, "
        f"{row['train_beats_per_second']:.0f} beats/s{mark}"
    )


def _tests_done(folder: Path, num_epochs: int) -> bool:
    """Whether the tests in `folder` are those of a run of `num_epochs`; test_last.json is the last file of a run."""
    path = folder / "test_last.json"
    return path.is_file() and json.loads(path.read_text())["checkpoint_epoch"] >= num_epochs

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Killed, LinearNetwork, toy_beats, write_toy_splits
from torch import Tensor, nn

import data_configs
import hparams
import kernels.precision
import main
import run_folder.reports
import run_folder.resume
import trainer
from data_configs import DatasetConfig
from dataloader import Batches, data_generator
from hparams import RunConfig, TrainingConfig
from losses import ClassWeightedLoss, FocalLoss, loss_weights
from models import ecgTransForm
from run_folder.network import load_network
from run_folder.resume import locked
from split_file import Split
from support.errors import InputError, TrainingError
from trainer import Trainer, evaluate, train_one_epoch
from utils import load_checkpoint, save_checkpoint, seed_everything

pytestmark = pytest.mark.usefixtures("small_runs")
UNWEIGHTED = ClassWeightedLoss(torch.ones(5))


def toy_split(count: int = 40) -> Split:
    samples, labels = toy_beats(count, 5)
    return Split(samples, labels, source="synthetic", protocol="beat")


def test_training_metrics_come_from_the_training_batches(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    torch.manual_seed(0)
    model, split = LinearNetwork(), toy_split()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)  # the network stays as it is, so the figures are known
    batches = Batches(split, dataclasses.replace(supervised, batch_size=16), seed=0)
    loss_function = UNWEIGHTED
    seen: list[Tensor] = []
    figures = train_one_epoch(
        model, split, batches.order(1), loss_function, optimizer, mit.classes, on_step=seen.append
    )
    expected = evaluate(model, split, loss_function, mit.classes)
    assert len(seen) == 3  # 16 + 16 + 8: the last, incomplete batch too
    assert figures["loss"] == pytest.approx(expected.loss, abs=1e-6)
    assert figures["accuracy"] == expected.metrics["accuracy"]
    assert figures["macro_f1"] == expected.metrics["macro_f1"]


def test_evaluate_sees_every_beat_once_and_weighs_as_the_loss(mit: DatasetConfig) -> None:
    torch.manual_seed(0)
    model, split = LinearNetwork(), toy_split(300)  # not a multiple of the evaluation batch
    weights = torch.tensor([1.0, 2, 3, 4, 5])
    result = evaluate(model, split, ClassWeightedLoss(weights), mit.classes)
    with torch.no_grad():
        logits = model(split.samples)
    own = nn.functional.nll_loss(logits.log_softmax(1), split.labels, reduction="none")
    expected = (own * weights[split.labels]).sum() / weights[split.labels].sum()
    assert result.loss == pytest.approx(float(expected), rel=1e-5)
    assert np.array(result.metrics["confusion_matrix"]).sum() == 300
    np.testing.assert_array_equal(result.probabilities.argmax(1), logits.argmax(1))
    assert not model.training


def test_loss_weights_of_the_recipes(mit: DatasetConfig) -> None:
    labels = torch.repeat_interleave(torch.arange(5), torch.tensor([100, 10, 5, 2, 1]))
    cal = loss_weights(mit, hparams.supervised(), labels)
    torch.testing.assert_close(cal, torch.log(100 / torch.tensor([100.0, 10, 5, 2, 1])).clamp(min=1))
    assert loss_weights(mit, hparams.notes(), labels).tolist() == [1, 1.5, 1, 1, 1]
    other = dataclasses.replace(hparams.supervised(), loss="hard_class")
    assert loss_weights(mit, other, labels).tolist() == [1, 1.5, 1, 1, 1]
    assert loss_weights(data_configs.ptb(), hparams.notes(), labels.clamp(max=1)).tolist() == [1.5, 1]


def test_gradients_are_clipped(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    model, split = LinearNetwork(), toy_split()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    train_one_epoch(model, split, [torch.arange(40)], UNWEIGHTED, optimizer, mit.classes, clip_norm=1e-3)
    moved = torch.cat([(p - old).flatten() for p, old in zip(model.parameters(), before, strict=True)])
    assert float(moved.detach().norm()) == pytest.approx(1e-3, rel=1e-3)


def test_a_few_epochs_lower_the_loss(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    seed_everything(0)
    configs = data_configs.DATASETS["mit"]()
    model, split = ecgTransForm(configs, supervised), toy_split(60)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    batches = Batches(split, dataclasses.replace(supervised, batch_size=12), seed=0)
    losses = [
        train_one_epoch(model, split, batches.order(e), UNWEIGHTED, optimizer, mit.classes)["loss"] for e in range(1, 6)
    ]
    assert losses[-1] < 0.8 * losses[0]


def test_a_loss_that_is_not_finite_stops_before_the_step(mit: DatasetConfig) -> None:
    model, split = LinearNetwork(), toy_split()
    split.samples[21] = float("inf")
    batches = [torch.arange(0, 10), torch.arange(10, 20), torch.arange(20, 30), torch.arange(30, 40)]
    with pytest.raises(TrainingError, match="epoch 7, batch 3"):
        train_one_epoch(
            model, split, batches, UNWEIGHTED, torch.optim.SGD(model.parameters(), lr=0.1), mit.classes, epoch=7
        )
    assert all(p.isfinite().all() for p in model.parameters())


def run_config(data: Path, out: Path, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {"data_path": str(data), "save_dir": str(out), "run_description": "run"}
    return RunConfig(**settings | {"num_epochs": 3, "batch_size": 16, "limit_train": 30} | changes)


def bits(folder: Path) -> tuple[dict[str, Tensor], str]:
    """Weights of the last checkpoint, and the history without its times."""
    history = pd.read_csv(folder / "history.csv").drop(columns=["seconds", "train_beats_per_second"])
    return load_checkpoint(folder / "checkpoint_last.pt").model, history.to_csv()


def assert_same_bits(one: Path, other: Path) -> None:
    (weights, history), (other_weights, other_history) = bits(one), bits(other)
    assert history == other_history
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)
    for kept in ("best", "last"):
        assert json.loads((one / f"test_{kept}.json").read_text()) == json.loads(
            (other / f"test_{kept}.json").read_text()
        )


@pytest.fixture(scope="module")
def finished(small_runs: None, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seed folder of a run that was never stopped; tests only read it."""
    out = tmp_path_factory.mktemp("finished")
    Trainer(run_config(toy_data, out)).train()
    return out / "mit" / "run" / "seed_0"


def test_same_seed_same_bits_and_another_seed_others(finished: Path, toy_data: Path, tmp_path: Path) -> None:
    Trainer(run_config(toy_data, tmp_path / "again")).train()
    assert_same_bits(finished, tmp_path / "again" / "mit" / "run" / "seed_0")
    Trainer(run_config(toy_data, tmp_path / "other", seed_id=1)).train()
    weights, other = bits(finished)[0], bits(tmp_path / "other" / "mit" / "run" / "seed_1")[0]
    assert not torch.equal(weights["clf.weight"], other["clf.weight"])


def train_until_killed(run: RunConfig, epoch: int) -> None:
    """Train, and die after the training of `epoch`, before it is validated."""
    calls: list[object] = []

    def dying_evaluate(*arguments: Any) -> trainer.Evaluation:
        calls.append(arguments)
        if len(calls) == epoch:
            raise Killed
        return evaluate(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "evaluate", dying_evaluate)
        with pytest.raises(Killed):
            Trainer(run).train()


@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_killed_while_a_checkpoint_is_written(
    finished: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Cut the n-th checkpoint in half and die; resume; the end is that of a run never stopped, bit for bit."""
    writes = 0

    def dying_save(value: object, stream: Any) -> None:
        nonlocal writes
        writes += 1
        if writes == write:
            stream.write(b"half a checkpoint")
            raise Killed
        whole_save(value, stream)

    whole_save = torch.save
    monkeypatch.setattr(torch, "save", dying_save)
    with pytest.raises(Killed):
        Trainer(run_config(toy_data, tmp_path / "killed")).train()
    monkeypatch.setattr(torch, "save", whole_save)
    folder = tmp_path / "killed" / "mit" / "run"
    for left in (".checkpoint_last.1.part.pt", "code/.main.1.part.py"):
        (folder / "seed_0" / left).write_bytes(b"left by the killed process")
    seed_everything(99)  # a new process has another generator state
    Trainer(run_config(toy_data, tmp_path / "killed"), folder).train()
    assert_same_bits(finished, folder / "seed_0")
    assert not [*(folder / "seed_0").rglob(".*")]
    assert not [*(folder / "seed_0").glob("code_after_epoch_*")]  # the same code


def test_killed_within_an_epoch(finished: Path, toy_data: Path, tmp_path: Path) -> None:
    train_until_killed(run_config(toy_data, tmp_path / "killed"), epoch=2)
    folder = tmp_path / "killed" / "mit" / "run"
    assert len(pd.read_csv(folder / "seed_0" / "history.csv")) == 1
    Trainer(run_config(toy_data, tmp_path / "killed"), folder).train()
    assert_same_bits(finished, folder / "seed_0")


@pytest.fixture(scope="module")
def uneven_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data_path whose training split has 12, 9, 6, 3 and 2 beats of the classes; tests only read it."""
    folder = write_toy_splits(tmp_path_factory.mktemp("uneven"), "mit")
    path = folder / "mit" / "train.pt"
    contents = torch.load(path, weights_only=True)
    per_class = [(contents["labels"] == label).nonzero().flatten() for label in range(5)]
    chosen = torch.cat([beats[:count] for beats, count in zip(per_class, (12, 9, 6, 3, 2), strict=True)])
    chosen_beats = {name: contents[name][chosen] for name in ("samples", "labels", "records", "positions")}
    torch.save(contents | chosen_beats, path)
    return folder


@pytest.mark.parametrize(
    ("recipe", "differs"),
    [
        ("supervised", {}),
        ("short", {"num_epochs": 6, "schedule": "one_cycle"}),
        (
            "new_patients",
            {"num_epochs": 3, "schedule": "one_cycle", "loss": "sqrt_ce", "sampler": "thinned", "selection": "last"},
        ),
        ("notes", {"batch_size": 20, "loss": "hard_class", "sequence_beats": 15}),
    ],
)
def test_recipes_are_the_papers_but_for_what_they_say(recipe: str, differs: dict[str, object]) -> None:
    """Section 4.2; of the dropout the released code's. Adam's settings: `test_the_network_is_trained_as_...`."""
    paper = {"num_epochs": 60, "batch_size": 128, "loss": "cal", "schedule": "constant", "sampler": "shuffle"}
    paper |= {"selection": "best", "variant": "full", "dropout": 0.2, "encoder_dropout": 0.1, "focal_gamma": 2.0}
    paper |= {"sequence_beats": None, "precision": "fp32"}
    own = RunConfig(recipe=recipe).effective_hparams()
    assert {name: getattr(own, name) for name in paper} == paper | differs
    assert own.heads == hparams.ContextConfig(8, 64, 0.4, 40, 20, 256, 2e-3, 1e-2, 0.45, 0.5, 0.15)


@pytest.mark.parametrize(
    ("recipe", "adam", "clip_norm", "weights", "in_training"),
    [
        ("supervised", (1e-3, (0.9, 0.99), 1e-4), None, [1, 1, 1, np.log(12 / 3), np.log(12 / 2)], 1),
        ("notes", (1e-4, (0.9, 0.999), 1e-3), 5.0, [1, 1.5, 1, 1, 1], 1),
        ("new_patients", (1e-3, (0.9, 0.99), 1e-4), None, np.sqrt(32 / np.array([12, 9, 6, 3, 9])), 4),
    ],
)
def test_the_network_is_trained_as_its_recipe_says(
    uneven_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, adam: tuple[object, ...],
    clip_norm: float | None, weights: list[float], in_training: int,
) -> None:  # fmt: skip
    """What reaches a training step: Adam, the clipping, the order of the seed and the epoch, the weights of the loss.

    A thinned class weighs four times in training, and by itself in validation.
    """
    steps: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    losses, seeds = [], []
    whole_epoch, whole_evaluate, whole_fit = trainer.train_one_epoch, trainer.evaluate, trainer.fit_context

    def epoch(*given: Any, **named: Any) -> dict[str, float]:
        steps.append((given, named))
        return whole_epoch(*given, **named)

    monkeypatch.setattr(trainer, "train_one_epoch", epoch)
    monkeypatch.setattr(trainer, "evaluate", lambda *given: losses.append(given[2]) or whole_evaluate(*given))
    monkeypatch.setattr(trainer, "fit_context", lambda *given: seeds.append(given[-1]) or whole_fit(*given))
    settings = {"recipe": recipe, "context": "none", "num_epochs": 2, "limit_train": None, "seed_id": 3}
    run = run_config(uneven_data, tmp_path, batch_size=4, **settings)
    Trainer(run).train()
    assert seeds == [3]
    assert len(steps) == 2
    for number, ((_, split, batches, loss, optimizer, _), named) in enumerate(steps, start=1):
        (group,) = optimizer.param_groups
        assert type(optimizer) is torch.optim.Adam
        assert (group.get("max_lr", group["lr"]), group["betas"], group["weight_decay"]) == adam
        assert (named["epoch"], named["clip_norm"]) == (number, clip_norm)
        assert (named["scheduler"] is not None) == (recipe == "new_patients")
        order = Batches(split, run.effective_hparams(), seed=3).order(number)
        assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in order]
        assert loss.weight.tolist() == pytest.approx([in_training * weights[0], *weights[1:]])
    assert all(loss.weight.tolist() == pytest.approx(list(weights)) for loss in losses)


@pytest.mark.parametrize(
    "settings",
    [
        {"limit_train": 20},
        {"limit_train": 20, "recipe": "new_patients", "context": "none"},  # of train and validation together
        {"limit_train": None, "sampler": "smote"},
    ],
)
def test_training_beats_are_drawn_by_the_seed(
    uneven_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> None:
    def stop(split: Split, *_: object) -> None:
        prints.append(split.fingerprint())
        raise Killed

    prints: list[str] = []
    monkeypatch.setattr(trainer, "Batches", stop)
    for seed in (0, 0, 1):
        with pytest.raises(Killed):
            Trainer(run_config(uneven_data, tmp_path, seed_id=seed, **settings)).train()
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("sampler", ["balanced", "smote"])
def test_a_sampler_resumes_where_it_was(uneven_data: Path, tmp_path: Path, sampler: str) -> None:
    settings = {"sampler": sampler, "limit_train": None}
    Trainer(run_config(uneven_data, tmp_path / "whole", **settings)).train()
    train_until_killed(run_config(uneven_data, tmp_path / "killed", **settings), epoch=2)
    folder = tmp_path / "killed" / "mit" / "run"
    seed_everything(99)  # a new process has another generator state
    Trainer(run_config(uneven_data, tmp_path / "killed", **settings), folder).train()
    whole = tmp_path / "whole" / "mit" / "run" / "seed_0"
    assert_same_bits(whole, folder / "seed_0")
    config = json.loads((whole / "config.json").read_text())
    assert config["hparams"]["loss"] == "cross_entropy"
    assert set(config["class_weights"].values()) == {1}
    assert config["counts"]["train"] == {"N": 12, "S": 9, "V": 6, "F": 3, "Q": 2, "all": 32}
    counts = dict.fromkeys("NSVFQ", 12) | {"all": 60}
    assert config["counts"].get("trained_on") == (counts if sampler == "smote" else None)
    assert config["data"]["training_records"] == ["toy1", "toy2"]
    log = (whole / "train.log").read_text()
    assert ("trained_on = " in log) == (sampler == "smote")
    splits = data_generator(uneven_data, data_configs.mit(), None, 0)
    assert config["data"]["fingerprints"] == {name: split.fingerprint() for name, split in splits.items()}


def test_a_loss_that_is_given_weighs_by_the_split_not_by_what_smote_made(uneven_data: Path, tmp_path: Path) -> None:
    settings = {"sampler": "smote", "limit_train": None, "num_epochs": 1, "loss": "cal"}
    Trainer(run_config(uneven_data, tmp_path, **settings)).train()
    config = json.loads((tmp_path / "mit" / "run" / "seed_0" / "config.json").read_text())
    assert config["class_weights"]["Q"] == pytest.approx(np.log(12 / 2))


def test_processes_that_made_other_beats_do_not_train(
    uneven_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = iter("abcd")  # of train, val and test, then of what SMOTE made
    monkeypatch.setattr(Split, "fingerprint", lambda split: next(prints))
    monkeypatch.setattr(trainer.distributed, "from_first", lambda value: "other" if value == "d" else value)
    with pytest.raises(InputError, match="--sampler smote: made other beats"):
        Trainer(run_config(uneven_data, tmp_path, sampler="smote", limit_train=None)).train()


@pytest.mark.parametrize(
    ("given", "loss"),
    [
        ({}, "cal"),
        ({"recipe": "notes"}, "hard_class"),
        ({"sampler": "shuffle"}, "cal"),
        ({"sampler": "balanced"}, "cross_entropy"),
        ({"sampler": "smote", "recipe": "short"}, "cross_entropy"),
        ({"sampler": "smote", "loss": "cal"}, "cal"),
        ({"sampler": "balanced", "loss": "focal"}, "focal"),
        *(({"variant": variant}, "cross_entropy") for variant in hparams.VARIANTS if variant != "full"),
        ({"variant": "full"}, "cal"),
        ({"variant": "full", "recipe": "notes"}, "hard_class"),
        ({"variant": "cnn", "recipe": "notes"}, "hard_class"),
        ({"variant": "msc_crm", "recipe": "new_patients"}, "sqrt_ce"),
        ({"variant": "cnn", "loss": "cal"}, "cal"),
        ({"variant": "full", "sampler": "smote"}, "cross_entropy"),
    ],
)
def test_the_loss_where_none_is_given(given: dict[str, Any], loss: str) -> None:
    assert RunConfig(**given).effective_hparams().loss == loss


@pytest.mark.parametrize("write", [1, 3])
def test_killed_between_the_checkpoint_and_the_history(
    finished: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Resuming makes up for it, also when no epoch is left to do."""
    tables: list[Path] = []

    def dying_write(path: Path, *arguments: Any, **options: Any) -> None:
        tables.append(path)
        if len(tables) == write:
            raise Killed
        whole_write(path, *arguments, **options)

    whole_write = run_folder.resume.write_table
    monkeypatch.setattr(run_folder.resume, "write_table", dying_write)
    with pytest.raises(Killed):
        Trainer(run_config(toy_data, tmp_path)).train()
    monkeypatch.setattr(run_folder.resume, "write_table", whole_write)
    folder = tmp_path / "mit" / "run"
    Trainer(run_config(toy_data, tmp_path), folder).train()
    assert_same_bits(finished, folder / "seed_0")


def test_more_epochs_by_resuming(finished: Path, toy_data: Path, tmp_path: Path) -> None:
    Trainer(run_config(toy_data, tmp_path / "short", num_epochs=2)).train()
    folder = tmp_path / "short" / "mit" / "run"
    Trainer(run_config(toy_data, tmp_path / "short", num_epochs=3), folder).train()
    assert_same_bits(finished, folder / "seed_0")


def test_a_run_does_not_resume_with_other_beats(finished: Path, tmp_path: Path) -> None:
    other = write_toy_splits(tmp_path / "data", "mit", (50, 20, 25))
    before = {path: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    with pytest.raises(InputError, match="holds other beats"):
        Trainer(run_config(other, tmp_path, num_epochs=4), finished.parent).train()
    assert {path: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("changed", ["train", "val", "test"])
def test_a_finished_seed_is_not_read_back_for_other_beats(
    finished: Path, toy_data: Path, tmp_path: Path, changed: str
) -> None:
    """Else a run of several seeds that is resumed with other files would average over both."""
    other = tmp_path / "data"
    shutil.copytree(toy_data, other)
    path = other / "mit" / f"{changed}.pt"
    contents = torch.load(path, weights_only=True)
    torch.save(contents | {"samples": contents["samples"] + 1e-3}, path)
    before = {path: path.read_bytes() for path in finished.iterdir() if path.suffix in (".json", ".csv", ".pt")}
    with pytest.raises(InputError, match="holds other beats"):
        Trainer(run_config(other, tmp_path), finished.parent).train()
    assert {path: path.read_bytes() for path in before} == before
    # Of what record and at what position a beat is decides sequences and the tables of records.
    torch.save(contents | {"positions": contents["positions"].flip(0)}, path)
    with pytest.raises(InputError, match="holds other records or positions of the beats"):
        Trainer(run_config(other, tmp_path), finished.parent).train()
    # copied elsewhere, the same beats are the same beats
    shutil.copyfile(toy_data / "mit" / f"{changed}.pt", path)
    results = Trainer(run_config(other, tmp_path), finished.parent).train()
    assert results == [json.loads((finished / "test_best.json").read_text())]


def test_a_run_does_not_go_on_with_other_training_beats_of_the_same_files(toy_data: Path, tmp_path: Path) -> None:
    """With selection last and with SMOTE, what is trained on is not a split file; neither finished nor stopped."""

    def config(**changes: object) -> RunConfig:
        return run_config(toy_data, tmp_path, recipe="new_patients", context="none", num_epochs=1, **changes)

    results = Trainer(config()).train()
    folder = tmp_path / "mit" / "run"
    seed = folder / "seed_0"
    for stopped in (False, True):
        if stopped:
            (seed / "test_last.json").unlink()
        with pytest.raises(InputError, match=r"other training beats .*; give the --limit_train"):
            Trainer(config(limit_train=29), folder).train()
        with pytest.raises(InputError, match="began with sampler thinned and would go on with smote"):
            Trainer(config(sampler="smote", loss="sqrt_ce"), folder).train()
    # Folders of earlier versions do not say what was trained on, nor where the beats are from.
    checkpoint = torch.load(seed / "checkpoint_last.pt", weights_only=True)
    for name in ("training_fingerprint", "places"):
        del checkpoint["metrics"]["data"][name]
    torch.save(checkpoint, seed / "checkpoint_last.pt")
    assert Trainer(config(limit_train=29), folder).train() == results
    log = (seed / "train.log").read_text()
    assert "training_fingerprint" in (seed / "config.json").read_text() and "training_fingerprint" not in log


def test_a_run_does_not_go_on_with_other_beats_of_smote(
    uneven_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_elsewhere(*arguments: Any) -> Split:
        beats = whole(*arguments)
        return dataclasses.replace(beats, samples=beats.samples + 1e-6)

    settings = {"sampler": "smote", "limit_train": None, "num_epochs": 1}
    Trainer(run_config(uneven_data, tmp_path, **settings)).train()
    whole = trainer.training_beats
    monkeypatch.setattr(trainer, "training_beats", made_elsewhere)
    with pytest.raises(InputError, match="with --sampler smote also the same processor and versions"):
        Trainer(run_config(uneven_data, tmp_path, **settings), tmp_path / "mit" / "run").train()


def test_a_run_does_not_go_on_with_another_loss(finished: Path, toy_data: Path, tmp_path: Path) -> None:
    """As one of an ablation would that began when its loss was still CAL."""
    with pytest.raises(InputError, match="began with loss cal and would go on with cross_entropy"):
        Trainer(run_config(toy_data, tmp_path, num_epochs=4, variant="msc_crm_bitrans"), finished.parent).train()


def test_a_run_starts_from_the_weights_of_another(
    finished: Path, toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "base" / "seed_0")
    base = load_checkpoint(finished / "checkpoint_best.pt").model
    settings = {"init": str(tmp_path / "base"), "learning_rate": 1e-9, "weight_decay": 0.0}  # too small to move it
    Trainer(run_config(toy_data, tmp_path, num_epochs=1, **settings)).train()
    said = "note: the network of --init was trained on 2 of the 2 records tested here, by their names (toy1, toy2)"
    assert said in capsys.readouterr().out
    folder = tmp_path / "mit" / "run"
    tuned = load_checkpoint(folder / "seed_0" / "checkpoint_last.pt")
    torch.testing.assert_close(tuned.model["clf.weight"], base["clf.weight"], rtol=0, atol=1e-6)
    assert json.loads((folder / "seed_0" / "config.json").read_text())["run"]["init"] == settings["init"]
    with pytest.raises(InputError, match=r"began with --init .*base and would go on with None; start a new run"):
        Trainer(run_config(toy_data, tmp_path, num_epochs=2, **settings | {"init": None}), folder).train()
    shutil.rmtree(tmp_path / "base")  # it is not read again
    main.run(["--resume", str(folder), "--num_epochs", "2"])
    again = load_checkpoint(folder / "seed_0" / "checkpoint_last.pt")
    assert again.metrics["data"] == tuned.metrics["data"]
    assert tuned.metrics["data"]["init_tested"] == ["toy1", "toy2"]
    torch.testing.assert_close(again.model["clf.weight"], base["clf.weight"], rtol=0, atol=1e-6)


def test_the_records_of_a_run_are_not_those_of_the_network_that_it_started_from(
    finished: Path, toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = load_checkpoint(finished / "checkpoint_best.pt")
    elsewhere = base.metrics | {"data": base.metrics["data"] | {"training_records": ["other"], "init": "mit_beat"}}
    save_checkpoint(tmp_path / "base.pt", dataclasses.replace(base, metrics=elsewhere))
    Trainer(run_config(toy_data, tmp_path, num_epochs=1, init=str(tmp_path / "base.pt"))).train()
    main.run(["--resume", str(tmp_path / "mit" / "run"), "--num_epochs", "2"])
    assert "the network of --init was trained on" not in capsys.readouterr().out
    data = load_checkpoint(tmp_path / "mit" / "run" / "seed_0" / "checkpoint_last.pt").metrics["data"]
    assert (data["init_records"], data["init_tested"]) == (["other"], [])
    assert (data["init"], data["init_base"]) == (str(tmp_path / "base.pt"), "mit_beat")  # which has a card
    assert data["training_records"] == ["toy1", "toy2", "other"]


@pytest.mark.parametrize(
    ("init", "changes", "said"),
    [
        (
            "mit_beat",
            {"classes": ("N", "S")},
            "has classes N S V F Q, this run N S; give --classes N S V F Q, or another",
        ),
        ("ptb_beat", {}, "has classes normal infarction, this run N S V F Q; give another network"),
        ("mit_beat", {"variant": "cnn"}, "has variant full, this run cnn; give --variant full, or another network"),
        ("mit_new_patients", {}, "has context rhythm, this run none; give --context rhythm, or another network"),
        ("mit_old", {}, "unknown; choose from mit_beat"),
    ],
)
def test_a_network_that_a_run_cannot_start_from(
    toy_data: Path, tmp_path: Path, init: str, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=f"^--init {init}: {said}"):
        Trainer(run_config(toy_data, tmp_path / "out", init=init, limit_train=20, **changes)).train()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("window", "source", "noted"), [("186 samples at 360 Hz", "synthetic", True), ("unknown", "elsewhere", False)]
)
def test_beats_that_do_not_say_how_they_were_cut_and_records_of_the_same_source_are_noted(
    finished: Path, toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    window: str, source: str, noted: bool,
) -> None:  # fmt: skip
    base = load_checkpoint(finished / "checkpoint_best.pt")
    data = base.metrics["data"] | {"window": window, "source": source}
    network = tmp_path / "base.pt"
    save_checkpoint(network, dataclasses.replace(base, metrics=base.metrics | {"data": data}))
    said = "do not say how their beats were cut; the network{} was trained on 186 samples at 360 Hz."
    Trainer(run_config(toy_data, tmp_path, num_epochs=1, init=str(network))).train()
    out = capsys.readouterr().out
    assert (said.format(" of --init") in out) == ("trained on 2 of the 2 records tested here" in out) == noted
    Trainer(RunConfig(data_path=str(toy_data), save_dir=str(tmp_path))).test(network)
    assert (said.format("") in capsys.readouterr().out) == noted


@pytest.mark.parametrize("loss", [loss for loss in hparams.LOSSES if loss not in ("cal", "weighted_ce")])
def test_a_class_without_a_training_beat_is_noted(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], loss: str
) -> None:
    shutil.copytree(toy_data, tmp_path / "data")
    path = tmp_path / "data" / "mit" / "train.pt"
    contents = torch.load(path, weights_only=True)
    kept = contents["labels"] != 3
    torch.save(contents | {name: contents[name][kept] for name in ("samples", "labels", "records", "positions")}, path)
    Trainer(run_config(tmp_path / "data", tmp_path, num_epochs=1, loss=loss)).train()
    said = "note: class F has no training beat: the network cannot learn to name such beats"
    assert said in capsys.readouterr().out
    assert said in (tmp_path / "mit" / "run" / "seed_0" / "train.log").read_text()


def test_a_run_does_not_shrink(finished: Path, toy_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be at least 3, which the run in"):
        Trainer(run_config(toy_data, tmp_path, num_epochs=2), finished.parent).train()


def test_a_history_of_another_version_is_not_gone_on_with(finished: Path, toy_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "run" / "seed_0" / "checkpoint_last.pt"
    shutil.copytree(finished, path.parent)
    checkpoint = torch.load(path, weights_only=True)
    for row in checkpoint["metrics"]["history"]:
        del row["val_selection_f1"]
    torch.save(checkpoint, path)
    with pytest.raises(InputError, match=r"checkpoint_last\.pt: its history is of another version of this package"):
        Trainer(run_config(toy_data, tmp_path, num_epochs=4), tmp_path / "run").train()


def test_splits_of_the_same_beats_are_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_toy_splits(tmp_path / "data", "mit", (20, 20, 20), records=False)
    shutil.copyfile(data / "mit" / "val.pt", data / "mit" / "test.pt")
    Trainer(run_config(data, tmp_path, num_epochs=1, limit_train=10)).train()
    printed = capsys.readouterr().out
    assert "val and test hold the same beats" in printed
    assert "train and" not in printed


def test_a_one_cycle_schedule_resumes_where_it_was(toy_data: Path, tmp_path: Path) -> None:
    Trainer(run_config(toy_data, tmp_path / "whole", recipe="short")).train()
    train_until_killed(run_config(toy_data, tmp_path / "killed", recipe="short"), epoch=2)
    folder = tmp_path / "killed" / "mit" / "run"
    with pytest.raises(InputError, match="laid out for 3 epochs"):
        Trainer(run_config(toy_data, tmp_path / "killed", recipe="short", num_epochs=5), folder).train()
    Trainer(run_config(toy_data, tmp_path / "killed", recipe="short"), folder).train()
    assert_same_bits(tmp_path / "whole" / "mit" / "run" / "seed_0", folder / "seed_0")


def test_the_learning_rate_of_one_cycle(supervised: TrainingConfig) -> None:
    recipe = dataclasses.replace(hparams.short(), num_epochs=2)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.learning_rate)
    scheduler = trainer.make_scheduler(optimizer, recipe, steps_per_epoch=50, epochs_done=0)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(recipe.learning_rate)
    assert 25 <= rates.index(max(rates)) <= 35
    assert rates[-1] < 1e-3 * recipe.learning_rate
    assert trainer.make_scheduler(optimizer, supervised, 50, 0) is None


@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 3), (3, 1), (2, 2), (5, 1), (100, 1)])
def test_a_short_one_cycle_trains(epochs: int, steps: int) -> None:
    """No run consists of vanishing learning rates alone, and none fails for want of steps."""
    recipe = dataclasses.replace(hparams.short(), num_epochs=epochs)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.learning_rate)
    scheduler = trainer.make_scheduler(optimizer, recipe, steps, epochs_done=0)
    rates = []
    for _ in range(epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    assert max(rates) >= 0.5 * recipe.learning_rate
    assert min(rates) >= 0


@pytest.mark.parametrize("sampler", ["shuffle", "thinned"])
def test_training_and_validation_loss_are_one_function(
    mit: DatasetConfig, supervised: TrainingConfig, sampler: str
) -> None:
    """Also with class weights and a last batch of another size: else the two curves of a plot say different things."""
    torch.manual_seed(0)
    model, split = LinearNetwork(), toy_split(43)
    split.labels[:20] = 2
    split.samples[split.labels == 2] = split.samples[
        0
    ].clone()  # of the class that is thinned any quarter has the same loss
    split = split.subset(torch.arange(1, 43))
    assert split.class_counts("NSVFQ")["V"] == 24
    recipe = dataclasses.replace(supervised, batch_size=16, sampler=sampler, loss="weighted_ce")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    batches, weight = Batches(split, recipe, seed=0), loss_weights(mit, recipe, split.labels)
    training_loss = ClassWeightedLoss(batches.training_weights(weight))
    train = train_one_epoch(model, split, batches.order(1), training_loss, optimizer, mit.classes)
    assert train["loss"] == pytest.approx(evaluate(model, split, ClassWeightedLoss(weight), mit.classes).loss, rel=1e-5)


def test_an_epoch_without_batches_is_told(mit: DatasetConfig) -> None:
    model = LinearNetwork()
    with pytest.raises(ValueError, match="batches is empty"):
        train_one_epoch(model, toy_split(), [], UNWEIGHTED, torch.optim.SGD(model.parameters()), mit.classes)


@pytest.mark.parametrize("empty", [torch.arange(0), torch.tensor([2, 7, 12])], ids=["no beat", "none that weighs"])
def test_a_batch_that_weighs_nothing_is_told(mit: DatasetConfig, empty: Tensor) -> None:
    """It is not a loss that diverges: the weights did not take that step, and no smaller learning rate would help."""
    model, split = LinearNetwork(), toy_split()
    loss = ClassWeightedLoss(torch.tensor([1.0, 1, 0, 1, 1]))  # beats 2, 7 and 12 are of class 2
    before = model.linear.weight.clone()
    with pytest.raises(ValueError, match=r"^evaluate: no beat of the split weighs anything in the loss$"):
        evaluate(model, split.subset(empty), loss, mit.classes)
    with pytest.raises(ValueError, match=r"^epoch 3, batch 1: no beat in it weighs anything in the loss; leave it out"):
        train_one_epoch(model, split, [empty], loss, torch.optim.SGD(model.parameters(), 0.1), mit.classes, epoch=3)
    assert torch.equal(model.linear.weight, before)


class OwnForward(ClassWeightedLoss):
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().forward(logits, labels) + 1


class OwnTotal(ClassWeightedLoss):
    """Twice the cross-entropy of each beat."""

    def total(self, logits: Tensor, labels: Tensor) -> Tensor:
        return 2 * super().total(logits, labels)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.CrossEntropyLoss(), "loss_function: CrossEntropyLoss is not a losses.ClassWeightedLoss; give a subclass"),
        (nn.functional.cross_entropy, "loss_function: function is not a losses.ClassWeightedLoss"),
        (OwnForward(torch.ones(5)), "loss_function: OwnForward overrides forward, .*; override total"),
    ],
)
def test_a_loss_that_cannot_be_summed_over_batches_is_refused(mit: DatasetConfig, loss: Any, message: str) -> None:
    model, split = LinearNetwork(), toy_split()
    optimizer = torch.optim.SGD(model.parameters())
    with pytest.raises(TypeError, match=message):
        train_one_epoch(model, split, [torch.arange(40)], loss, optimizer, mit.classes)
    with pytest.raises(TypeError, match=message):
        evaluate(model, split, loss, mit.classes)


def test_a_loss_of_ones_own_is_trained_and_evaluated_with(mit: DatasetConfig) -> None:
    model, split, own = LinearNetwork(), toy_split(), OwnTotal(torch.ones(5))
    usual = evaluate(model, split, UNWEIGHTED, mit.classes).loss
    assert evaluate(model, split, own, mit.classes).loss == pytest.approx(2 * usual, rel=1e-5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    figures = train_one_epoch(model, split, [torch.arange(40)], own, optimizer, mit.classes)
    assert figures["loss"] == pytest.approx(2 * usual, rel=1e-5)


def test_an_output_that_is_not_finite_has_no_class(mit: DatasetConfig) -> None:
    model, split = LinearNetwork(), toy_split()
    with torch.no_grad():
        model.linear.bias[2] = float("nan")
    with pytest.raises(TrainingError, match="not finite for 40 of 40 beats"):
        evaluate(model, split, UNWEIGHTED, mit.classes)
    with torch.no_grad():
        model.linear.bias.copy_(torch.tensor([3e38, -3e38, 0, 0, 0]))  # whose difference is infinite
    with pytest.raises(TrainingError, match=r"not finite for 0 of 40 beats \(loss inf\)"):
        evaluate(model, split, UNWEIGHTED, mit.classes)


@pytest.mark.parametrize("name", ["conv_block2.1.running_var", "crm.0.bn1.weight"])
def test_a_network_that_is_no_longer_finite_is_not_kept(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Its outputs are, so nobody would notice before the test, when the checkpoints are lost."""

    def overflows(model: nn.Module, *arguments: Any) -> trainer.Evaluation:
        result = whole_evaluate(model, *arguments)
        epochs.append(1)
        if len(epochs) == 2:
            model.state_dict()[name][0] = torch.inf
        return result

    epochs: list[int] = []
    whole_evaluate = trainer.evaluate
    monkeypatch.setattr(trainer, "evaluate", overflows)
    with pytest.raises(TrainingError, match=f"the network's {name} is not all finite after epoch 2; try a"):
        Trainer(run_config(toy_data, tmp_path)).train()
    for kept in ("best", "last"):
        assert load_checkpoint(tmp_path / "mit" / "run" / "seed_0" / f"checkpoint_{kept}.pt").epoch == 1


@pytest.mark.parametrize("changed", [{"window": "another"}, {"source": "kaggle"}, {"protocol": "x"}, {"fs": 125.0}])
def test_split_files_that_do_not_belong_together(tmp_path: Path, changed: dict[str, object]) -> None:
    data = write_toy_splits(tmp_path / "data", "mit")
    path = data / "mit" / "val.pt"
    torch.save(torch.load(path, weights_only=True) | changed, path)
    (name, value), *_ = changed.items()
    with pytest.raises(InputError, match=rf"train.pt has {name} '.*', val.pt has '{value}'"):
        Trainer(run_config(data, tmp_path)).train()


def test_a_checkpoint_is_not_tested_on_beats_cut_otherwise(finished: Path, toy_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    checkpoint = tmp_path / "checkpoint.pt"
    contents = torch.load(finished / "checkpoint_best.pt", weights_only=True)
    contents["metrics"]["data"]["window"] = "centred"
    torch.save(contents, checkpoint)
    shutil.copytree(toy_data, data)
    path = data / "mit" / "test.pt"
    torch.save(torch.load(path, weights_only=True) | {"window": "kachuee"}, path)
    with pytest.raises(InputError, match=r"trained on beats of window 'centred'.* has window 'kachuee'"):
        Trainer(run_config(data, tmp_path / "out")).test(checkpoint)
    assert not (tmp_path / "out").exists()
    torch.save(torch.load(path, weights_only=True) | {"window": "centred", "source": "another database"}, path)
    Trainer(run_config(data, tmp_path / "out")).test(checkpoint)  # trained on one, tested on another


def test_a_checkpoint_to_test_may_be_named_by_a_text(finished: Path, toy_data: Path, tmp_path: Path) -> None:
    best = finished / "checkpoint_best.pt"
    tested = Trainer(run_config(toy_data, tmp_path)).test(str(best))
    assert tested["checkpoint"] == str(best)
    assert tested["macro_f1"] == json.loads((finished / "test_best.json").read_text())["macro_f1"]
    assert (tmp_path / "mit" / "run" / "test.json").is_file()


def test_a_trainer_that_has_tested_trains_in_a_folder_of_its_own(
    finished: Path, toy_data: Path, tmp_path: Path
) -> None:
    both = Trainer(run_config(toy_data, tmp_path, run_description=None, num_epochs=1))
    both.test(finished)
    both.train()
    test, run = sorted((tmp_path / "mit").iterdir(), key=lambda folder: (folder / "seed_0").is_dir())
    assert (test / "test.json").is_file() and not (test / "seed_0").exists()
    assert (run / "seed_0" / "test_best.json").is_file() and both.run_folder == run


def test_a_run_may_be_called_as_a_seed_is(toy_data: Path, tmp_path: Path) -> None:
    settings = ["--data_path", str(toy_data), "--save_dir", str(tmp_path), "--limit_train", "20"]
    main.run([*settings, "--num_epochs", "1", "--run_description", "seed_0"])
    for resumed, epochs in (("mit/seed_0", 2), ("mit/seed_0/seed_0", 3)):
        main.run(["--resume", str(tmp_path / resumed), "--num_epochs", str(epochs)])
        assert len(pd.read_csv(tmp_path / "mit/seed_0/seed_0/history.csv")) == epochs


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("config", {"data": []}, "its 'data' is \\[\\]"),
        ("config", {"hparams": None}, "its 'hparams' is None"),
        ("config", {"dataset": 3}, "its 'dataset' is 3"),
        ("test_best", {"accuracy": "x"}, "its 'accuracy' is 'x'"),
        ("test_best", {"per_class": None}, "its 'per_class' is None"),
        ("test_last", {"per_class": {"N": {"f1": 0.5}}}, "a class in its 'per_class' lacks a figure"),
    ],
)
def test_a_damaged_file_of_a_finished_run_is_told(
    finished: Path, toy_data: Path, tmp_path: Path, name: str, change: dict[str, object], message: str
) -> None:
    shutil.copytree(finished, tmp_path / "run" / "seed_0")
    path = tmp_path / "run" / "seed_0" / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        Trainer(run_config(toy_data, tmp_path), tmp_path / "run").train()


@pytest.mark.parametrize(
    ("damaged", "remedy"),
    [("last", "copy the checkpoint_best"), ("last", "or remove it"), ("best", "remove the checkpoint_last")],
)
def test_what_to_do_about_a_damaged_checkpoint_of_a_run_works(
    finished: Path, toy_data: Path, tmp_path: Path, damaged: str, remedy: str
) -> None:
    folder = tmp_path / "run"
    seed = folder / "seed_0"
    shutil.copytree(finished, seed)
    (seed / "test_last.json").unlink()  # stopped before it was finished
    best, last = (seed / f"checkpoint_{kept}.pt" for kept in ("best", "last"))
    path = {"best": best, "last": last}[damaged]
    path.write_bytes(path.read_bytes()[:9999])
    with pytest.raises(InputError, match=rf"checkpoint_{damaged}\.pt: .*damaged.*; .*{remedy}"):
        Trainer(run_config(toy_data, tmp_path), folder).train()
    if remedy.startswith("copy"):
        shutil.copyfile(best, last)
    else:
        last.unlink()
    Trainer(run_config(toy_data, tmp_path), folder).train()
    assert_same_bits(finished, seed)


def test_a_run_that_gets_another_name_says_so(toy_data: Path, tmp_path: Path) -> None:
    for _ in range(2):
        Trainer(run_config(toy_data, tmp_path, num_epochs=1)).train()
    logs = [(tmp_path / "mit" / name / "seed_0" / "train.log").read_text() for name in ("run", "run-2")]
    assert ["there is a run run already; this one is run-2" in log for log in logs] == [False, True]


def test_a_picture_that_needs_more_beats_is_refused_before_the_training(tmp_path: Path) -> None:
    data = write_toy_splits(tmp_path / "data", "mit", (60, 20, 4))
    pytest.importorskip("umap")
    with pytest.raises(InputError, match="--umap: 4 test beats are too few for the picture; at least 5"):
        Trainer(run_config(data, tmp_path / "out", umap=True)).train()
    assert not (tmp_path / "out").exists()


def test_three_seeds_and_their_summary(toy_data: Path, tmp_path: Path) -> None:
    run = run_config(toy_data, tmp_path, num_runs=3, num_epochs=1, seed_id=4)
    results = Trainer(run).train()
    folder = tmp_path / "mit" / "run"
    assert sorted(path.name for path in folder.glob("seed_*")) == ["seed_4", "seed_5", "seed_6"]
    configs = [json.loads((folder / f"seed_{seed}" / "config.json").read_text()) for seed in (4, 5, 6)]
    assert len({config["data"]["training_fingerprint"] for config in configs}) == 3  # each limited by its own seed
    summary = pd.read_csv(folder / "summary.csv", index_col=["checkpoint", "percent"])
    macro = [100 * metrics["macro_f1"] for metrics in results]
    assert summary.loc[("best", "f1"), "macro"] == pytest.approx(np.mean(macro), abs=0.006)
    assert summary.loc[("best", "f1"), "macro_sd"] == pytest.approx(np.std(macro, ddof=1), abs=0.006)
    # resuming a run whose seeds are all done trains nothing and says the same
    assert Trainer(run, folder).train() == results


def test_train_reload_evaluate_gives_the_same_metric(finished: Path, toy_data: Path) -> None:
    checkpoint = load_checkpoint(finished / "checkpoint_best.pt", "mit")
    model = ecgTransForm(checkpoint.configs, checkpoint.hparams)
    model.load_state_dict(checkpoint.model)
    splits = data_generator(toy_data, checkpoint.configs, None, 0)
    loss = ClassWeightedLoss(torch.tensor(checkpoint.metrics["class_weights"]))
    row = checkpoint.metrics["history"][checkpoint.epoch - 1]
    validation = evaluate(model, splits["val"], loss, checkpoint.configs.classes)
    assert validation.metrics["macro_f1"] == row["val_macro_f1"]
    assert validation.loss == row["val_loss"]
    stored = json.loads((finished / "test_best.json").read_text())
    assert evaluate(model, splits["test"], loss, checkpoint.configs.classes).metrics["macro_f1"] == stored["macro_f1"]


def test_the_best_and_the_last_checkpoint_are_tested_each_with_its_own_weights(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection = iter((0.9, 0.5))
    monkeypatch.setattr(run_folder.reports, "selection_f1", lambda _: next(selection))
    results = Trainer(run_config(toy_data, tmp_path, num_epochs=2)).train()
    folder, losses = tmp_path / "mit" / "run" / "seed_0", []
    for kept, epoch in (("best", 1), ("last", 2)):
        model, checkpoint = load_network(folder / f"checkpoint_{kept}.pt")
        test = data_generator(toy_data, checkpoint.configs, None, 0)["test"]
        stored = json.loads((folder / f"test_{kept}.json").read_text())
        assert (checkpoint.epoch, stored["checkpoint_epoch"]) == (epoch, epoch)
        assert stored["loss"] == evaluate(model, test, UNWEIGHTED, checkpoint.configs.classes).loss
        losses.append(stored["loss"])
    assert losses[0] != losses[1]
    assert [test["loss"] for test in results] == losses[:1]


def test_a_checkpoint_is_tested_with_its_own_loss_on_the_test_split(
    finished: Path, toy_data: Path, tmp_path: Path
) -> None:
    weights = [1.0, 2.0, 3.0, 4.0, 5.0]
    contents = torch.load(finished / "checkpoint_best.pt", weights_only=True)
    contents["hparams"] |= {"loss": "focal", "focal_gamma": 3.0}
    contents["metrics"]["class_weights"] = weights
    torch.save(contents, tmp_path / "checkpoint.pt")
    tested = Trainer(run_config(toy_data, tmp_path)).test(tmp_path / "checkpoint.pt")
    model, checkpoint = load_network(tmp_path / "checkpoint.pt")
    test = data_generator(toy_data, checkpoint.configs, None, 0)["test"]
    own = FocalLoss(torch.tensor(weights), gamma=3.0)
    assert tested["loss"] == evaluate(model, test, own, checkpoint.configs.classes).loss


def test_a_finished_seed_without_the_picture_that_is_asked_for_goes_on(
    finished: Path, toy_data: Path, tmp_path: Path
) -> None:
    run: Any = SimpleNamespace(
        hparams=SimpleNamespace(num_epochs=3), run_config=run_config(toy_data, tmp_path, umap=True)
    )
    assert run_folder.resume.tests_if_finished_as(finished, run) is None


def test_of_several_processes_the_first_alone_says_what_is_finished(
    finished: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trainer.distributed, "on_first", lambda function: function())
    for first in (True, False):
        monkeypatch.setattr(trainer.distributed, "is_first", lambda first=first: first)
        Trainer(run_config(toy_data, tmp_path), finished.parent).train()
        assert ("already finished" in capsys.readouterr().out) == first


def test_the_best_epoch_is_that_of_the_highest_validation_f1(finished: Path) -> None:
    history = pd.read_csv(finished / "history.csv")
    best = int(history.loc[history["val_selection_f1"].idxmax(), "epoch"])
    assert load_checkpoint(finished / "checkpoint_best.pt").epoch == best
    assert load_checkpoint(finished / "checkpoint_last.pt").epoch == 3
    assert json.loads((finished / "test_best.json").read_text())["checkpoint_epoch"] == best


def test_a_run_that_another_command_begins_meanwhile_is_left_to_it(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two of `python -m reproduce` whose first row is the same, started together."""
    folder = tmp_path / "mit" / "run"
    with ExitStack() as other:

        def reading(*arguments: Any) -> dict[str, Split]:
            other.enter_context(locked(folder))
            return data_generator(*arguments)

        monkeypatch.setattr(trainer, "data_generator", reading)
        with pytest.raises(InputError, match="run: in use by process"):
            Trainer(run_config(toy_data, tmp_path), folder).train()
        assert not [*folder.glob("seed_*")]


def test_nothing_is_left_of_a_run_that_cannot_start(toy_data: Path, tmp_path: Path) -> None:
    for changes in ({"data_path": str(tmp_path / "none")}, {"limit_train": 2}, {"sequence_len": 187}):
        with pytest.raises(InputError):
            Trainer(run_config(toy_data, tmp_path / "out", **changes)).train()
    assert not (tmp_path / "out").exists()


def test_every_setting_that_is_a_number_has_a_range() -> None:
    configs = (TrainingConfig, hparams.ContextConfig, RunConfig)
    fields = [field for config in configs for field in dataclasses.fields(config)]
    numbers = {field.name for field in fields if re.search(r"\b(int|float)\b", str(field.type))}
    assert numbers - {"num_runs"} == hparams.RANGES.keys()  # that hangs on seed_id


@pytest.mark.parametrize(
    "setting",
    [
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"batch_size": 0},
        {"num_epochs": 0},
        {"dropout": 1.0},
        {"encoder_dropout": -0.1},
        {"betas": (0.9, 1.0)},
        {"weight_decay": -1e-4},
        {"sequence_beats": 0},
        {"focal_gamma": -1.0},
        {"clip_norm": 0.0},
        {"hard_class_weight": 0.0},
    ],
)
def test_settings_out_of_range(setting: dict[str, Any], supervised: TrainingConfig) -> None:
    with pytest.raises(InputError, match=f"^{next(iter(setting))} must be "):
        dataclasses.replace(supervised, **setting)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"dropout": 1.5}, "heads.dropout must be at least 0 and below 1, got 1.5"),
        ({"members": 0}, "heads.members must be 1 to 100, got 0"),
        ({"hidden": 10_001}, "heads.hidden must be 1 to 10,000, got 10001"),
    ],
)
def test_settings_of_the_heads_out_of_range(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        hparams.ContextConfig(**setting)


@pytest.mark.parametrize("name", ["num_runs", "num_epochs", "batch_size", "limit_train", "sequence_len"])
def test_numbers_out_of_range(name: str) -> None:
    given: Any = {name: 0}
    with pytest.raises(InputError, match=f"^--{name} must be (1 to .*|at least 1), got 0$"):
        RunConfig(**given)


def test_values_that_python_callers_have_at_hand_are_taken(finished: Path, toy_data: Path, tmp_path: Path) -> None:
    at_hand = {"data_path": toy_data, "save_dir": tmp_path / "out", "classes": [*"NSVFQ"], "seed_id": np.int64(0)}
    run = run_config(toy_data, tmp_path, **at_hand)
    assert (run.data_path, run.save_dir, run.classes) == (str(toy_data), f"{tmp_path}/out", tuple("NSVFQ"))
    assert Trainer(run, str(finished.parent)).train() == [json.loads((finished / "test_best.json").read_text())]


@pytest.mark.parametrize(
    ("config", "setting", "said"),
    [
        (RunConfig, {"num_epochs": 2.5}, "--num_epochs must be a whole number, got 2.5"),
        (RunConfig, {"num_epochs": "3"}, "--num_epochs must be a whole number, got '3'"),
        (RunConfig, {"umap": 1}, "--umap must be True or False, got 1"),
        (RunConfig, {"data_path": None}, "--data_path must be a string, got None"),
        (RunConfig, {"classes": "NS"}, "--classes must be a tuple[str, ...], got 'NS'"),
        (hparams.ContextConfig, {"members": "8"}, "heads.members must be a whole number, got '8'"),
        (hparams.supervised, {"num_epochs": 2.5}, "num_epochs must be a whole number, got 2.5"),
        (hparams.supervised, {"betas": 0.9}, "betas must be a tuple[float, float], got 0.9"),
        (data_configs.mit, {"sequence_len": "186"}, "sequence_len must be a whole number, got '186'"),
    ],
)
def test_values_of_another_type_are_told(config: Callable[..., Any], setting: dict[str, Any], said: str) -> None:
    """Before anything is read or written, and never as a TypeError."""
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        dataclasses.replace(config(), **setting)


def test_the_schedule_can_be_chosen_apart_from_the_recipe() -> None:
    hparams = RunConfig(recipe="notes", schedule="one_cycle", num_epochs=3).effective_hparams()
    assert (hparams.recipe, hparams.schedule, hparams.num_epochs) == ("notes", "one_cycle", 3)
    with pytest.raises(InputError, match="--schedule linear: unknown; choose from constant, one_cycle"):
        RunConfig(schedule="linear").effective_hparams()


def test_bf16_that_does_not_pay_trains_in_float32_and_says_so(
    finished: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    timed: list[object] = []
    monkeypatch.setattr(kernels.precision, "training_rates", lambda *layer: timed.append(layer) or (1, 2))
    Trainer(run_config(toy_data, tmp_path, precision="bf16")).train()
    assert timed == [("auto", kernels.precision.Layer(25, 5, 64))]
    assert "--precision bf16 would not be faster" in capsys.readouterr().out
    assert_same_bits(finished, tmp_path / "mit" / "run" / "seed_0")


def test_a_run_in_bf16_resumes_its_bits_and_its_checkpoint_is_tested_in_either_arithmetic(
    finished: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the compiled operator where the processor has AVX512-BF16, else with PyTorch's products."""
    monkeypatch.setattr(kernels.precision, "training_rates", lambda *layer: (2, 1))  # it pays
    settings = {"precision": "bf16", "num_epochs": 2}
    Trainer(run_config(toy_data, tmp_path / "whole", **settings)).train()
    whole = tmp_path / "whole" / "mit" / "run" / "seed_0"
    in_bf16, in_float32 = (
        pd.read_csv(folder / "history.csv")["train_loss"].to_numpy()[:2] for folder in (whole, finished)
    )
    assert in_bf16 == pytest.approx(in_float32, rel=0.02)
    assert not np.array_equal(in_bf16, in_float32)  # it was bf16 that ran

    train_until_killed(run_config(toy_data, tmp_path / "killed", **settings), epoch=2)
    folder = tmp_path / "killed" / "mit" / "run"
    monkeypatch.setattr(kernels.precision, "training_rates", lambda *layer: (1, 2))  # on a busy machine, say
    Trainer(run_config(toy_data, tmp_path / "killed", **settings), folder).train()
    assert_same_bits(whole, folder / "seed_0")
    monkeypatch.setattr(kernels.precision, "training_rates", lambda *layer: (2, 1))

    losses = {
        precision: Trainer(run_config(toy_data, tmp_path / precision, precision=precision)).test(
            whole / "checkpoint_best.pt"
        )["loss"]
        for precision in ("bf16", "fp32")
    }
    assert losses["bf16"] == json.loads((whole / "test_best.json").read_text())["loss"]
    assert losses["fp32"] == pytest.approx(losses["bf16"], rel=0.02)
    of_folder = Trainer(run_config(toy_data, tmp_path / "folder")).test(whole)  # in Python a seed's folder does, too
    assert of_folder["loss"] == losses["fp32"]

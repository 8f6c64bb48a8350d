from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, LinearNetwork, toy_beats, write_toy_splits
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import data_configs
import hparams
import main
import trainer
from dataloader import Batches
from losses import ClassWeightedLoss
from run_folder import reports
from run_folder.network import load_network
from split_file import Split, load_split
from support import distributed
from trainer import Evaluation, Trainer, evaluate, train_one_epoch
from utils import classification_metrics, load_checkpoint, seed_everything

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}


def train_linear(out: Path) -> None:
    """Train two epochs in as many processes as there are; the first one writes what came of it."""
    configs = data_configs.mit()
    settings = hparams.TrainingConfig("test", 2, 14, 1e-2, (0.9, 0.99), 0.0, "cal")
    split = Split(*toy_beats(57, 5))  # batches of 14, 14, 14, 14 and 1: the last leaves a process without a beat
    torch.manual_seed(0)
    model = LinearNetwork()
    loss = ClassWeightedLoss(torch.tensor([1.0, 3, 2, 5, 2]))
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    with distributed.process_group(torch.device("cpu")):
        learner = DistributedDataParallel(model) if distributed.world_size() > 1 else model
        epochs = []
        for epoch in (1, 2):
            order = Batches(split, settings, seed=0).order(epoch)
            train = train_one_epoch(learner, split, order, loss, optimizer, configs.classes, clip_norm=1.0)
            validation = evaluate(model, split, loss, configs.classes)
            epochs.append({"train": train, "loss": validation.loss, "metrics": validation.metrics})
        # Before the group ends: DistributedDataParallel that outlives it destroys it while holding the GIL, for which a
        # thread of gloo may be waiting, and both wait for ever.
        del learner
    if distributed.is_first():
        out.write_text(json.dumps({"epochs": epochs, "weights": model.linear.weight.tolist()}))


def train_stopped_and_whole(out: Path) -> None:
    """Train two epochs, and one with another after it, in as many processes; each writes what it had at each step."""
    data = write_toy_splits(out / f"data_{distributed.rank()}", "mit", (29, 11, 13))
    no_pictures: Any = SimpleNamespace(plot_curves=lambda *_: None, plot_confusion_matrix=lambda *_: None)
    trainer.pictures = reports.pictures = no_pictures
    seen: dict[str, list[Any]] = {"draws": [], "buffers": []}

    def epoch(*given: Any, **named: Any) -> dict[str, float]:
        seen["draws"].append(torch.get_rng_state().numpy().tobytes().hex())
        return train_one_epoch(*given, **named)

    def evaluated(model: nn.Module, *given: Any, **named: Any) -> Evaluation:
        seen["buffers"].append(torch.cat([buffer.flatten() for buffer in model.buffers()]).tolist())
        return evaluate(model, *given, **named)

    trainer.train_one_epoch, trainer.evaluate = epoch, evaluated
    settings: dict[str, Any] = {"variant": "cnn", "batch_size": 14, "data_path": str(data), "save_dir": str(out)}
    with distributed.process_group(torch.device("cpu")):
        for name, epochs, folder in (("whole", 2, None), ("stopped", 1, None), ("stopped", 2, out / "mit" / "stopped")):
            seed_everything(distributed.rank())  # a new process has another generator state
            Trainer(hparams.RunConfig(num_epochs=epochs, run_description=name, **settings), folder).train()
    (out / f"process_{distributed.rank()}.json").write_text(json.dumps(seen))


def launch(processes: int, *command: object) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--standalone"]
    return subprocess.run(
        [*torchrun, *map(str, command)], capture_output=True, text=True, timeout=240, env=ENVIRONMENT, check=False
    )


@pytest.fixture(scope="module")
def in_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What several processes wrote, three of `train_linear`, two of the other; tests only read it."""
    out = tmp_path_factory.mktemp("processes")
    done = subprocess.run(
        [sys.executable, __file__, out], capture_output=True, text=True, timeout=240, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


def test_several_processes_do_what_one_does(in_processes: Path, tmp_path: Path) -> None:
    train_linear(tmp_path / "one.json")
    one = json.loads((tmp_path / "one.json").read_text())
    several = json.loads((in_processes / "several.json").read_text())
    np.testing.assert_allclose(several["weights"], one["weights"], atol=1e-6)
    for mine, theirs in zip(several["epochs"], one["epochs"], strict=True):
        assert mine["train"] == pytest.approx(theirs["train"], abs=1e-6)
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
        assert mine["metrics"]["confusion_matrix"] == theirs["metrics"]["confusion_matrix"]
    assert np.sum(several["epochs"][0]["metrics"]["confusion_matrix"]) == 57


def test_each_process_drops_others_and_all_evaluate_one_network(in_processes: Path) -> None:
    first, second = (json.loads((in_processes / f"process_{rank}.json").read_text()) for rank in range(2))
    draws = [*first["draws"][:2], *second["draws"][:2]]  # of the run that is not stopped
    assert len({*draws}) == 4
    assert len(first["buffers"]) > 4
    assert first["buffers"] == second["buffers"]
    folder = in_processes / "mit" / "whole" / "seed_0"
    model, checkpoint = load_network(folder / "checkpoint_last.pt")
    val = load_split(in_processes / "data_0" / "mit" / "val.pt", checkpoint.configs)
    loss = ClassWeightedLoss(torch.tensor(checkpoint.metrics["class_weights"]))
    noted = checkpoint.metrics["history"][-1]["val_loss"]
    assert evaluate(model, val, loss, checkpoint.configs.classes).loss == pytest.approx(noted, rel=1e-5)


def test_several_processes_resume_where_they_were(in_processes: Path) -> None:
    whole, stopped = (
        load_checkpoint(in_processes / "mit" / name / "seed_0" / "checkpoint_last.pt") for name in ("whole", "stopped")
    )
    assert whole.epoch == stopped.epoch == 2
    assert all(torch.equal(whole.model[name], stopped.model[name]) for name in whole.model)
    losses = [[row["train_loss"] for row in checkpoint.metrics["history"]] for checkpoint in (whole, stopped)]
    assert losses[0] == losses[1]


def test_the_command_line_in_two_processes_and_resumed_by_one(tmp_path: Path) -> None:
    data = write_toy_splits(tmp_path / "data", "mit", (29, 11, 13))
    done = launch(
        2, ROOT / "main.py", "--data_path", data, "--save_dir", tmp_path, "--run_description", "two", "--num_epochs", 2,
        "--batch_size", 14, "--sampler", "smote",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr  # which they end with only if SMOTE made the same beats in both
    assert done.stdout.count("epoch 1/2") == 1  # one process speaks
    folder = tmp_path / "mit" / "two"
    assert [path.name for path in (tmp_path / "mit").iterdir()] == ["two"]
    config = json.loads((folder / "seed_0" / "config.json").read_text())
    assert config["environment"]["processes"] == 2
    assert config["hparams"]["loss"] == "cross_entropy"
    assert config["counts"]["train"]["all"] == 29
    assert config["counts"]["trained_on"] == dict.fromkeys("NSVFQ", 6) | {"all": 30}
    assert "trained_on = {'N': 6" in done.stdout
    test = json.loads((folder / "seed_0" / "test_best.json").read_text())
    assert np.sum(test["confusion_matrix"]) == 13
    assert len(pd.read_csv(folder / "seed_0" / "predictions_test.csv")) == 13
    main.run(["--resume", str(folder), "--num_epochs", "3"])
    history = pd.read_csv(folder / "seed_0" / "history.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    assert json.loads((folder / "seed_0" / "test_last.json").read_text())["checkpoint_epoch"] == 3


def test_an_error_of_one_process_ends_all(tmp_path: Path) -> None:
    data = write_toy_splits(tmp_path / "data", "mit", (29, 11, 13))
    script = tmp_path / "one_fails.py"
    script.write_text(
        "import sys, dataloader, main\n"
        "from support import distributed\nfrom support.errors import InputError, run_command\n"
        "whole = dataloader.load_split\n"
        "def failing(path, configs):\n"
        "    if distributed.rank() == 1:\n"
        "        raise InputError('the disk of the second machine is gone')\n"
        "    return whole(path, configs)\n"
        "dataloader.load_split = failing\n"
        f"arguments = ['--data_path', {str(data)!r}, '--save_dir', {str(tmp_path / 'out')!r}]\n"
        "sys.exit(run_command(lambda: main.run(arguments)))\n"
    )
    done = launch(2, script)
    assert done.returncode != 0
    assert done.stderr.count("error: the disk of the second machine is gone") == 1


def test_shares_cover_a_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # what torchrun sets
    monkeypatch.setenv("WORLD_SIZE", "3")
    parts = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        parts.append(distributed.share(torch.arange(8)))
    assert torch.cat(parts).tolist() == list(range(8))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def fork(processes: int, function: Callable[[], None]) -> int:
    """Call `function` in several processes that know one another, as those of torchrun do -> the highest exit code.

    They are forked: torch is imported once, and so is what Adam and the metrics import, which take far longer than such
    a training.
    """
    torch.optim.Adam([torch.zeros(1)])
    classification_metrics(np.arange(2), np.arange(2), "NS")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    os.environ |= {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    children = []
    for rank in range(processes):
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        children.append(multiprocessing.get_context("fork").Process(target=function))
        children[-1].start()
    for child in children:
        child.join()
    return max(abs(child.exitcode) for child in children)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    failed = fork(3, lambda: train_linear(folder / "several.json"))
    sys.exit(failed or fork(2, lambda: train_stopped_and_whole(folder)))

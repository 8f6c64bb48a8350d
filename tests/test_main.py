from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT, write_toy_splits

import data_configs
import hparams
import main
import trainer
from ec57.figures import ec57_figures
from hparams import RunConfig
from models import ecgTransForm
from run_folder.reports import ec57_line, ec57_part
from support.errors import InputError, TrainingError, run_command
from utils import Checkpoint, load_checkpoint, save_checkpoint

ARTEFACTS = {
    "config.json",
    "train.log",
    "history.csv",
    "checkpoint_best.pt",
    "checkpoint_last.pt",
    "test_best.json",
    "test_best.csv",
    "test_last.json",
    "test_last.csv",
    "predictions_test.csv",
    "confusion_matrix.png",
    "curves.png",
    "code",
}


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "main.py"), *map(str, arguments)]


def run_main(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The real command line in a process of its own, as a user runs it, with one thread.

    UMAP of some ten beats takes a quarter of the time where numba does not compile it.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_DISABLE_JIT": "1"}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=240, env=environment, check=False
    )


@pytest.fixture(scope="module")
def run_folder(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the command line; tests only read it."""
    out = tmp_path_factory.mktemp("logs")
    done = run_main(
        "--dataset",
        "mit",
        "--device",
        "cpu",
        "--data_path",
        toy_data,
        "--save_dir",
        out,
        "--num_epochs",
        2,
        "--limit_train",
        20,
        "--batch_size",
        10,
        "--experiment_description",
        "exp",
        "--run_description",
        "run",
        "--seed_id",
        3,
        "--umap",
    )
    assert done.returncode == 0, done.stderr
    assert "test of the best checkpoint" in done.stdout
    assert "test of the last checkpoint" in done.stdout
    return out / "exp" / "run"


def test_the_run_folder_holds_what_the_contract_says(run_folder: Path) -> None:
    seed = run_folder / "seed_3"
    assert {path.name for path in seed.iterdir()} == ARTEFACTS | {"umap.png"}
    assert (run_folder / "summary.csv").is_file()
    config = json.loads((seed / "config.json").read_text())
    assert config["run"]["limit_train"] == 20
    assert config["hparams"]["batch_size"] == 10
    assert config["data"]["source"] == "synthetic"
    assert config["counts"]["train"]["all"] == 20
    assert config["parameters"] == 530_516
    assert config["environment"]["device"] == "cpu"
    assert config["environment"]["encoder_kernel"] in ("torch", "native")
    history = pd.read_csv(seed / "history.csv")
    assert list(history["epoch"]) == [1, 2]
    assert {f"{split}_{name}" for split in ("train", "val") for name in ("loss", "accuracy", "macro_f1")} < set(history)
    predictions = pd.read_csv(seed / "predictions_test.csv", keep_default_na=False)
    test = json.loads((seed / "test_best.json").read_text())
    assert len(predictions) == 25
    assert (predictions["label"] == predictions["prediction"]).mean() == pytest.approx(test["accuracy"])
    assert set(predictions["record"]) == {"toy1", "toy2"}
    probabilities = predictions[["p_N", "p_S", "p_V", "p_F", "p_Q"]]
    assert probabilities.sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    assert (seed / "code" / "models.py").read_bytes() == (ROOT / "models.py").read_bytes()
    checkpoint = torch.load(seed / "checkpoint_best.pt", weights_only=True)
    assert {"dataset", "configs", "hparams", "model", "optimizer", "epoch", "rng", "metrics"} == checkpoint.keys()
    assert "synthetic data" in (seed / "train.log").read_text()


def test_test_only_gives_the_figures_of_the_run(run_folder: Path, toy_data: Path, tmp_path: Path) -> None:
    best = run_folder / "seed_3" / "checkpoint_best.pt"
    main.run(["--test", str(best), "--data_path", str(toy_data), "--save_dir", str(tmp_path), "--run_description", "t"])
    tested = json.loads((tmp_path / "mit" / "t" / "test.json").read_text())
    stored = json.loads((best.parent / "test_best.json").read_text())
    assert tested["checkpoint"] == str(best)
    assert tested["trained_on"]["source"] == "synthetic"
    assert tested["confusion_matrix"] == stored["confusion_matrix"]
    assert tested["macro_f1"] == stored["macro_f1"]
    assert tested["loss"] == pytest.approx(stored["loss"], rel=1e-5)
    assert {path.name for path in (tmp_path / "mit" / "t").iterdir()} == {
        "test.json",
        "test.csv",
        "test.log",
        "predictions_test.csv",
        "confusion_matrix.png",
    }


def test_a_test_on_records_of_the_training_says_so(run_folder: Path, toy_data: Path, tmp_path: Path) -> None:
    best = run_folder / "seed_3" / "checkpoint_best.pt"
    assert load_checkpoint(best).metrics["data"]["training_records"] == ["toy1", "toy2"]
    split = torch.load(toy_data / "mit" / "val.pt", weights_only=True)
    (tmp_path / "mit").mkdir()
    said = {}
    for name, changed in (
        ("other beats", {}),
        ("other records", {"record_names": ["toy1", "new"], "records": split["records"] * 0 + 1}),
    ):
        torch.save(split | changed, tmp_path / "mit" / "test.pt")
        main.run(
            ["--test", str(best), "--data_path", str(tmp_path), "--save_dir", str(tmp_path), "--run_description", name]
        )
        said[name] = (tmp_path / "mit" / name / "test.log").read_text()
    said_of_both = "the network was trained on 2 of the 2 records tested here, by their names (toy1, toy2); on these"
    assert said_of_both in said["other beats"]
    assert "note: the network was trained" not in said["other records"]


def test_a_test_names_the_databases_of_its_beats(run_folder: Path, toy_data: Path, tmp_path: Path) -> None:
    """A network of one database is tested on another, and nothing else in the folder would say on which."""
    split = torch.load(toy_data / "mit" / "test.pt", weights_only=True)
    (tmp_path / "mit").mkdir()
    torch.save(split | {"databases": ["svdb", "svdb"]}, tmp_path / "mit" / "test.pt")
    folders = ["--data_path", str(tmp_path), "--save_dir", str(tmp_path)]
    main.run(["--test", str(run_folder), *folders, "--run_description", "t"])
    assert json.loads((tmp_path / "mit" / "t" / "test.json").read_text())["data"]["databases"] == ["svdb"]
    assert "synthetic data (svdb), beat split:" in (tmp_path / "mit" / "t" / "test.log").read_text()


def test_a_test_on_new_patients_gives_the_figures_of_ec57(toy_data: Path, tmp_path: Path) -> None:
    configs, recipe = dataclasses.replace(data_configs.mit(), feedforward_dim=32), hparams.supervised()
    best = str(tmp_path / "c.pt")
    weights = ecgTransForm(configs, recipe).state_dict()
    weights["clf.bias"] = torch.tensor([9.0, 0, 0, 0, 0])  # every beat is called N
    save_checkpoint(Path(best), Checkpoint("mit", configs, recipe, weights))
    (tmp_path / "data" / "mit").mkdir(parents=True)
    split = torch.load(toy_data / "mit" / "test.pt", weights_only=True)
    torch.save(split | {"protocol": "inter_patient"}, tmp_path / "data" / "mit" / "test.pt")
    said = {}
    for name, data in (("beat", toy_data), ("new", tmp_path / "data")):
        main.run(["--test", best, "--data_path", str(data), "--save_dir", str(tmp_path), "--run_description", name])
        said[name] = (tmp_path / "mit" / name / "test.log").read_text()
    assert "EC57" not in said["beat"]
    metrics = json.loads((tmp_path / "mit" / "new" / "test.json").read_text())
    assert "ANSI/AAMI EC57: S Se 0.00 +P -, V Se 0.00 +P -;" in said["new"]
    assert "ec57" not in json.loads((tmp_path / "mit" / "beat" / "test.json").read_text())
    beats = {name: metrics["per_class"][name]["support"] for name in "SV"}
    assert metrics["ec57"] == {name: {"se": 0.0, "ppv": None, "fpr": 0.0, "beats": beats[name]} for name in "SV"}
    metrics["confusion_matrix"] = torch.diag(torch.tensor([5, 3, 5, 5, 5])).tolist()
    metrics["confusion_matrix"][0][1] = metrics["confusion_matrix"][1][2] = 1  # an N called S, an S called V
    se, ppv = (ec57_figures(metrics["confusion_matrix"], metrics["classes"])["S"][name] for name in ("se", "ppv"))
    assert (se, ppv) == (0.75, 0.75)
    line = ec57_line(metrics | ec57_part(metrics)) or ""
    assert "S Se 75.00 +P 75.00, V Se" in line and line.endswith("lower the precision above but not +P")


def test_a_killed_process_holds_its_run_no_longer_and_resumes(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL a real run after its first epoch; --resume ends with the bits of a run never stopped.

    While it lives, another command says who holds the run and touches nothing.
    """
    arguments = ["--data_path", toy_data, "--num_epochs", 3, "--limit_train", 20, "--batch_size", 10]
    main.run([*map(str, arguments), "--save_dir", str(tmp_path), "--run_description", "whole"])
    process = subprocess.Popen(
        command(*arguments, "--save_dir", tmp_path, "--run_description", "killed"),
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    folder = tmp_path / "mit" / "killed"
    try:
        deadline = time.monotonic() + 120
        while not (folder / "seed_0" / "history.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)  # between two epochs or within one, and alive while the other command runs
        capsys.readouterr()
        assert run_command(lambda: main.run(["--resume", str(folder)])) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"in use by process {process.pid} on " in line
        assert process.poll() is None
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    history = pd.read_csv(folder / "seed_0" / "history.csv")
    assert list(history["epoch"]) == [*range(1, len(history) + 1)]
    assert "resumed" not in json.loads((folder / "seed_0" / "config.json").read_text())
    assert not (folder / "summary.csv").exists()
    main.run(["--resume", str(folder)])
    assert "resuming after epoch" in capsys.readouterr().out
    one, other = (
        load_checkpoint(tmp_path / "mit" / name / "seed_0" / "checkpoint_last.pt") for name in ("whole", "killed")
    )
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)
    times = ["seconds", "train_beats_per_second"]
    histories = [pd.DataFrame(checkpoint.metrics["history"]).drop(columns=times) for checkpoint in (one, other)]
    assert histories[0].equals(histories[1])


def test_resuming_adds_to_the_configuration_and_rewrites_nothing(
    run_folder: Path, toy_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    path = folder / "seed_3" / "config.json"
    path.write_text(path.read_text().replace('"umap": true', '"umap": false'))  # slow, and no part of this
    before = json.loads((folder / "seed_3" / "config.json").read_text())
    code = {path: path.read_bytes() for path in (folder / "seed_3" / "code").rglob("*.py")}
    main.run(["--resume", str(folder), "--num_epochs", "3"])
    after = json.loads((folder / "seed_3" / "config.json").read_text())
    (resumed,) = after.pop("resumed")
    assert after == before
    assert resumed["after_epoch"] == 2
    assert resumed["hparams"]["num_epochs"] == 3
    assert main.resumed_config(folder, {}).num_epochs == 3  # a run that is stopped again needs no option
    path.write_text(json.dumps(after | {"resumed": 3}))
    assert main.resumed_config(folder, {}).num_epochs == 2  # damaged
    assert {path: path.read_bytes() for path in (folder / "seed_3" / "code").rglob("*.py")} == code
    assert not (folder / "seed_3" / "code_after_epoch_2").exists()  # the same code


def test_learning_rate_weight_decay_and_dropout_are_options(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"learning_rate": 3e-4, "weight_decay": 0.0, "dropout": 0.5}
    options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    data = ["--data_path", str(toy_data), "--save_dir", str(tmp_path), "--limit_train", "20"]
    main.run([*data, *options, "--num_epochs", "1", "--run_description", "r"])
    folder = tmp_path / "mit" / "r"
    hparams_of = {field.name: field.metadata for field in dataclasses.fields(RunConfig)}
    for name, value in given.items():
        assert json.loads((folder / "seed_0" / "config.json").read_text())["hparams"][name] == value
        assert f"began with {value}; leave" in fails(capsys, "--resume", folder, f"--{name}", 0.25)
        assert f"--test trains nothing, so it takes no --{name}" in fails(
            capsys, *data[:4], "--test", "mit_beat", f"--{name}", 0.25
        )
        assert f"--{name} must be " in fails(capsys, *data, f"--{name}", -1)
        assert f"--{name} must be a finite number, got nan" in fails(capsys, *data, f"--{name}", "nan")
        for recipe in hparams.RECIPES.values():
            assert f"{getattr(recipe(), name):g}" in hparams_of[name]["default"]
    main.run(["--resume", str(folder), "--num_epochs", "2"])
    (group,) = load_checkpoint(folder / "seed_0" / "checkpoint_last.pt").optimizer["param_groups"]
    assert (group["lr"], group["weight_decay"]) == (3e-4, 0.0)


def test_the_error_that_ends_a_run_is_in_its_log(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def not_finite(*_: object, **__: object) -> None:
        raise TrainingError("the loss is nan in epoch 1, batch 2")

    monkeypatch.setattr(trainer, "train_one_epoch", not_finite)
    arguments = ["--data_path", str(toy_data), "--save_dir", str(tmp_path), "--run_description", "r"]
    assert run_command(lambda: main.run(arguments)) == 1
    assert capsys.readouterr().err == "error: the loss is nan in epoch 1, batch 2\n"
    last = (tmp_path / "mit" / "r" / "seed_0" / "train.log").read_text().splitlines()[-1]
    assert "ended by TrainingError: the loss is nan in epoch 1, batch 2" in last


def test_released_names_and_new_ones_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.run(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in (
        "dataset", "device", "data_path", "save_dir", "experiment_description", "run_description", "seed_id",
        "num_runs", "recipe", "num_epochs", "batch_size", "loss", "variant", "sampler", "limit_train", "resume",
        "test", "umap", *(field.name for field in dataclasses.fields(RunConfig)),
    ):  # fmt: skip
        assert f"--{name}" in text
    assert "default: experiments_logs" in text
    every = {name for configs in data_configs.DATASETS.values() for name in configs().classes}
    every |= {*data_configs.DATASETS, *data_configs.CONTEXTS, *hparams.RECIPES, *hparams.LOSSES, *hparams.VARIANTS}
    every |= {*hparams.SAMPLERS, *hparams.SCHEDULES, *hparams.KERNELS, *hparams.PRECISIONS}
    assert every <= {*re.findall(r"\w+", text)}


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command line that must end with exit code 2 and one line on stderr; return the line."""
    assert run_command(lambda: main.run([str(argument) for argument in arguments])) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_bad_command_lines(
    capsys: pytest.CaptureFixture[str], toy_data: Path, run_folder: Path, tmp_path: Path
) -> None:
    data = ("--data_path", toy_data, "--save_dir", tmp_path / "out")
    long_beats = write_toy_splits(tmp_path / "long", "mit", length=187)
    assert "choose from mit, ptb" in fails(capsys, *data, "--dataset", "chapman")
    assert "choose from supervised, notes" in fails(capsys, *data, "--recipe", "fast")
    assert "choose from shuffle, balanced, smote" in fails(capsys, *data, "--sampler", "bootstrap")
    assert "choose from none, rhythm_only" in fails(capsys, *data, "--context", "")
    for sampler in ("balanced", "smote"):
        line = fails(capsys, *data, "--recipe", "notes", "--sampler", sampler)
        assert f"--sampler {sampler}: takes single beats, but recipe notes" in line
    line = fails(capsys, *data, "--sampler", "smote", "--limit_train", 5)
    assert "class N has a single training beat" in line
    assert "began without it" in fails(capsys, "--resume", run_folder, "--sampler", "smote")
    assert "it has cpu" in fails(capsys, *data, "--device", "cuda:77")
    assert "--num_epochs must be a whole number, got 'many';" in fails(capsys, *data, "--num_epochs", "many")
    assert "--epochs" in fails(capsys, *data, "--epochs", 3)
    assert "--num_runs must be 1 to 4,294,967,296 from --seed_id 0 on, got 0" in fails(capsys, *data, "--num_runs", 0)
    assert "batch_size must be 1 to 1,000,000,000" in fails(capsys, *data, "--batch_size", 10**20)
    assert "--source synthetic" in fails(capsys, "--data_path", tmp_path, "--save_dir", tmp_path / "out")
    checkpoint = run_folder / "seed_3" / "checkpoint_best.pt"
    assert "dataset mit, not of ptb" in fails(capsys, *data, "--dataset", "ptb", "--test", checkpoint)
    assert "no such file" in fails(capsys, *data, "--test", tmp_path / "none.pt")
    assert "no run there" in fails(capsys, "--resume", tmp_path)
    assert "began with 10" in fails(capsys, "--resume", run_folder, "--batch_size", 12)
    assert "one of them" in fails(capsys, "--resume", run_folder, "--test", checkpoint)
    of_training = ("--num_runs", 2, "--loss", "cal", "--sampler", "smote", "--schedule", "constant")
    refused = "--test trains nothing, so it takes no --num_runs, --loss, --sampler, --schedule"
    assert refused in fails(capsys, *data, "--test", checkpoint, *of_training)
    for length in (186, 187):
        line = fails(capsys, *data, "--test", "mit_beat", "--data_path", long_beats, "--sequence_len", length)
        takes = "beats of 187 samples, the network takes 186" if length == 186 else "beats of 186 samples, not of 187"
        assert takes in line
    assert "must be at least 2, which the run in" in fails(capsys, "--resume", run_folder, "--num_epochs", 1)
    for name in ("../escape", "a/b", "a\\b", "..", "."):
        assert "without a /" in fails(capsys, *data, "--run_description", name)
        assert "without a /" in fails(capsys, *data, "--experiment_description", name)
    for name in ("a\nb", "a\tb", "a\0b"):
        assert "without a / or a line break" in fails(capsys, *data, "--run_description", name)
    for name in ("data_path", "save_dir", "init", "resume", "test"):
        assert fails(capsys, f"--{name}", "").startswith(f"error: --{name}: is empty; give ")
    line = fails(capsys, *data, "--seed_id", 5, "--num_runs", 10**20)
    assert line == f"error: --num_runs must be 1 to 4,294,967,291 from --seed_id 5 on, got {10**20}"
    assert "--seed_id must be 0 to 4,294,967,295, got 4294967296" in fails(capsys, *data, "--seed_id", 2**32)
    assert "--sequence_len must be 1 to 10,000, got 10001" in fails(capsys, *data, "--sequence_len", 10_001)
    assert "--num_epochs must be 1 to 1,000,000,000, got" in fails(capsys, *data, "--num_epochs", 10**20)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert "cannot be written" in fails(capsys, "--data_path", toy_data, "--save_dir", in_the_way)
    assert not (tmp_path / "out").exists()


def test_notes_without_records(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = write_toy_splits(tmp_path / "data", "mit", records=False)
    line = fails(capsys, "--data_path", data, "--save_dir", tmp_path / "out", "--recipe", "notes")
    assert "'records' and 'positions'" in line


def test_notes_and_ptb_run(toy_data: Path, tmp_path: Path) -> None:
    main.run(
        ["--dataset", "ptb", "--recipe", "notes", "--batch_size", "1", "--num_epochs", "1", "--limit_train", "20",
         "--data_path", str(toy_data), "--save_dir", str(tmp_path), "--run_description", "r"]
    )  # fmt: skip
    config = json.loads((tmp_path / "ptb" / "r" / "seed_0" / "config.json").read_text())
    assert config["hparams"]["clip_norm"] == 5.0
    assert config["class_weights"] == {"normal": 1.5, "infarction": 1.0}


def test_the_balanced_sampler_runs(toy_data: Path, tmp_path: Path) -> None:
    """The default sampler is that of the other runs, `smote` that of two processes (test_distributed.py)."""
    main.run(
        ["--sampler", "balanced", "--data_path", str(toy_data), "--save_dir", str(tmp_path), "--run_description", "r",
         "--num_epochs", "1", "--limit_train", "28", "--batch_size", "10"]
    )  # fmt: skip
    seed = tmp_path / "mit" / "r" / "seed_0"
    assert {path.name for path in seed.iterdir()} == ARTEFACTS
    config = json.loads((seed / "config.json").read_text())
    assert (config["hparams"]["sampler"], config["hparams"]["loss"]) == ("balanced", "cross_entropy")
    assert config["counts"]["train"]["all"] == 28


def test_an_interrupted_run_says_how_to_go_on(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train_one_epoch", interrupted)
    given = ["--data_path", toy_data, "--save_dir", tmp_path, "--run_description", "a run", "--variant", "cnn"]
    assert run_command(lambda: main.run([*map(str, given)])) == 130
    *_, command, last = capsys.readouterr().err.splitlines()
    assert command == f"continue with: python main.py --resume '{tmp_path}/mit/a run'"
    assert last == "interrupted"


def test_a_traceback_is_kept_for_defects() -> None:
    def defect() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(defect)


def test_input_errors_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> None:
        raise InputError("two\nlines")

    assert run_command(wrong) == 2
    assert capsys.readouterr().err == "error: two lines\n"

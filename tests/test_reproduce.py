from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

import reproduce
from preprocess.synthetic import write_synthetic_mit, write_synthetic_ptb
from reproduction import figures, pages, published, runs
from reproduction.experiments import EXPERIMENTS, FIG5, MIT, TABLE2, Row
from reproduction.runs import Options, Result, Schedule, finished, row_slug
from trainer import Trainer
from utils import InputError, classification_metrics, pictures


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small folders mitdb and ptbdb of synthetic records, which say that they are synthetic."""
    folder = tmp_path_factory.mktemp("raw")
    write_synthetic_mit(folder / "mitdb", 8, 1.0, 0, progress=False)
    write_synthetic_ptb(folder / "ptbdb", 6, 0.5, 0, progress=False)  # fewer beats than --limit_train
    return folder


def arguments(names: list[str], raw: Path, out: Path, *more: object) -> list[str]:
    small = ["--num_epochs", "1", "--num_runs", "1", "--limit_train", "120"]
    places = {"raw_path": raw, "data_path": out / "data", "save_dir": out / "logs", "results": out / "results"}
    return [
        *names,
        *small,
        *(text for name, path in places.items() for text in (f"--{name}", str(path))),
        *map(str, more),
    ]


@pytest.fixture(scope="module")
def everything(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `reproduce.py all` on the small records, without UMAP; tests only read what it left."""
    out = tmp_path_factory.mktemp("reproduce")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "has_umap", lambda: False)
        reproduce.run(arguments(["all"], raw, out))
    return out


def test_all_writes_a_page_a_table_and_pictures_of_every_experiment(everything: Path) -> None:
    results = everything / "results"
    for name, experiment in EXPERIMENTS.items():
        page, table = (results / f"{name}.md").read_text(), pd.read_csv(results / f"{name}.csv")
        assert page.startswith(f"# {experiment.title}\n")
        assert "1 epoch, one cycle" in page
        assert set(table["source"]) == {"synthetic"}
        ran = [row for row in experiment.rows if not row.beats.cut_by_others]
        assert set(table["row"]) == {row.label for row in ran}
        for row in experiment.rows:
            assert (f"Not run: {row.label}" in page) == row.beats.cut_by_others
        assert table["mean"].dropna().between(0, 100).all()
        assert "| ours, synthetic data: " in page
        assert "**Figures of synthetic data" in page
        assert table["sd"].isna().all()  # of one seed it is not known
    for name in ("table2", "table3", "inter_patient", "recipes"):
        for kind in ("confusion_matrix", "class_curves", "sample_beats"):
            assert image.imread(results / f"{name}_{kind}.png").std() > 0.01
            assert f"]({name}_{kind}.png)" in (results / f"{name}.md").read_text()
    assert {path.name for path in results.glob("fig*.png")} == {"fig5_macro.png", "fig6_macro.png", "fig6_S.png"}


def test_figures_are_those_of_the_run(everything: Path) -> None:
    table = pd.read_csv(everything / "results" / "table2.csv")
    run = everything / "logs" / "reproduce" / "mit_beat_centred__one_cycle_1_120beats"
    test = json.loads((run / "seed_0" / "test_best.json").read_text())
    ours = table[table["row"] == TABLE2.rows[0].label].set_index(["class", "figure"])
    assert ours.loc[("macro", "f1"), "mean"] == pytest.approx(100 * test["macro_f1"], abs=1e-3)
    assert ours.loc[("S", "recall"), "mean"] == pytest.approx(100 * test["per_class"]["S"]["recall"], abs=1e-3)
    assert ours.loc[("macro", "accuracy"), "mean"] == pytest.approx(100 * test["accuracy"], abs=1e-3)
    assert ours.loc[("S", "f1"), "paper"] == 89.22
    assert ours.loc[("macro", "accuracy"), "paper"] == 99.35
    page = (everything / "results" / "table2.md").read_text()
    assert "| paper, Kaggle beats | 60 epochs, constant step size | 3 | 99.41 | 89.22 |" in page
    assert "99.35 ± 0.16 (text); 98.87 *" in page


def test_settings_reach_the_runs(everything: Path) -> None:
    configs = {
        path.parent.parent.name.partition("__")[0]: json.loads(path.read_text())
        for path in (everything / "logs" / "reproduce").glob("*/seed_0/config.json")
    }
    assert configs["mit_beat_centred"]["hparams"]["loss"] == "cal"
    assert configs["mit_beat_centred_variant-msc"]["hparams"]["variant"] == "msc"
    assert configs["mit_beat_centred_variant-msc"]["hparams"]["loss"] == "cross_entropy"
    assert configs["mit_beat_centred_loss-focal"]["hparams"]["loss"] == "focal"
    assert configs["mit_beat_centred_sampler-smote"]["hparams"]["sampler"] == "smote"
    assert configs["mit_beat_centred_sampler-balanced"]["hparams"]["loss"] == "cross_entropy"
    notes = configs["mit_beat_centred_recipe-notes"]["hparams"]
    assert (notes["recipe"], notes["schedule"], notes["sequence_beats"]) == ("notes", "one_cycle", 15)
    assert configs["mit_inter_patient_centred"]["data"]["protocol"] == "inter_patient"
    assert "125 Hz" in configs["ptb_beat_kachuee"]["data"]["window"]
    limits = {name: config["run"]["limit_train"] for name, config in configs.items()}
    assert limits["mit_beat_centred"] == 120
    assert limits["ptb_beat_kachuee"] is None  # fewer beats than that
    assert len(configs) == len({row_slug(row, "records") for row in rows_at_hand()})


def test_the_page_of_new_patients_has_ec57_and_every_record(everything: Path) -> None:
    page = (everything / "results" / "inter_patient.md").read_text()
    assert "| de Chazal et al. 2004, DS1 -> DS2 |  | 76 | 38 |  | 77 | 82 |" in page
    run = everything / "logs" / "reproduce" / "mit_inter_patient_centred__one_cycle_1_120beats" / "seed_0"
    predictions = pd.read_csv(run / "predictions_test.csv", keep_default_na=False)
    for record, part in predictions.groupby("record"):
        assert f"| {record} | {len(part)} | {(part['label'] == 'S').sum()} |" in page
    table = pd.read_csv(everything / "results" / "inter_patient.csv")
    assert {"ec57_se", "ec57_ppv", "ec57_fpr"} < set(table["figure"])


def rows_at_hand() -> list[Row]:
    return [row for experiment in EXPERIMENTS.values() for row in experiment.rows if not row.beats.cut_by_others]


def test_finished_runs_are_reused_and_a_further_seed_is_added(
    everything: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    before = Trainer._keep
    monkeypatch.setattr(pictures, "has_umap", lambda: False)
    monkeypatch.setattr(
        Trainer, "_keep", lambda self, folder, *rest: (trained.append(folder.name), before(self, folder, *rest))
    )
    results = everything / "again"
    same = arguments(["table4"], raw, everything, "--results", results)
    reproduce.run(same)
    assert trained == []
    reproduce.run([*same, "--num_runs", "2"])
    assert trained == ["seed_1", "seed_1"]  # one of mit, one of ptb
    table = pd.read_csv(results / "table4.csv")
    assert set(table["seeds"]) == {2}
    folder = everything / "logs" / "reproduce" / "mit_beat_centred__one_cycle_1_120beats"
    tests = [json.loads((folder / f"seed_{seed}" / "test_best.json").read_text()) for seed in (0, 1)]
    values = [100 * test["accuracy"] for test in tests]
    row = table[(table["row"] == "MIT-BIH, centred window") & (table["figure"] == "accuracy")].iloc[0]
    assert row["mean"] == pytest.approx(np.mean(values), abs=1e-3)
    assert row["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-3)


def test_another_schedule_gets_a_row_of_its_own(everything: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "has_umap", lambda: False)
    results = everything / "longer"
    reproduce.run(arguments(["table4"], raw, everything, "--results", results, "--limit_train", 130))
    lines = [
        line for line in (results / "table4.md").read_text().splitlines() if line.startswith("| ours") and "MIT" in line
    ]
    assert [line.split("|")[2].strip() for line in lines] == [
        "1 epoch, one cycle, 120 training beats",
        "1 epoch, one cycle, 130 training beats",
    ]


def test_the_rows_of_one_dataset(everything: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "has_umap", lambda: False)
    monkeypatch.setattr(Trainer, "train", lambda self: calls.append(self.run.dataset))
    calls: list[str] = []
    results = everything / "one"
    reproduce.run(arguments(["inter_patient"], raw, everything, "--results", results, "--dataset", "ptb"))
    assert calls == ["ptb", "ptb"]
    reproduce.run(arguments(["inter_patient"], raw, everything, "--results", results, "--only_finished"))
    assert calls == ["ptb", "ptb"]
    assert len(set(pd.read_csv(results / "inter_patient.csv")["row"])) == 4  # what was finished before stays


def test_a_stopped_run_is_taken_up_again(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "has_umap", lambda: False)
    two = arguments(["table4"], raw, tmp_path, "--num_epochs", 2)

    class StoppedError(Exception):
        pass

    epochs, before = [], Trainer._keep

    def stop_after_first(self: Trainer, folder: Path, history: list, *rest: object) -> None:
        before(self, folder, history, *rest)
        epochs.append(len(history))
        if len(epochs) == 1:
            raise StoppedError

    monkeypatch.setattr(Trainer, "_keep", stop_after_first)
    with pytest.raises(StoppedError):
        reproduce.run(two)
    assert not (tmp_path / "results" / "table4.md").exists()
    reproduce.run(two)
    assert epochs == [1, 2, 1, 2]  # the first run's second epoch, then those of the other row


def test_what_cannot_be_run_is_one_line(raw: Path, tmp_path: Path) -> None:
    for more, message in {
        ("table9",): "invalid choice: 'table9'",
        ("table2", "--num_epochs", "0"): "--num_epochs 0",
        ("table2", "--device", "abacus"): "--device abacus",
        ("table2", "--dataset", "ptb"): "table2: has no rows of ptb",
        ("table2", "--only_finished"): "table2: there is nothing to show: nothing is finished",
        ("table2", "--raw_path", str(tmp_path / "empty")): "mitdb not there; --source physionet downloads it",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            reproduce.run([*arguments([], raw, tmp_path), *more])
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


def test_a_damaged_run_is_named(everything: Path, tmp_path: Path) -> None:
    row = Row("any", MIT)
    seed = tmp_path / "reproduce" / f"{row_slug(row, 'records')}__one_cycle_1" / "seed_0"
    seed.mkdir(parents=True)
    places = [tmp_path] * 4
    options = Options("cpu", Schedule(1, "one_cycle"), 0, 1, ("mit", "ptb"), False, "records", *places)
    assert finished(row, options) == []
    (seed / "test_last.json").write_text("{")
    with pytest.raises(InputError, match="seed_0: is damaged"):
        finished(row, options)


def fake_result(row: Row, epochs: int) -> Result:
    metrics = classification_metrics(np.arange(5), np.arange(5), ("N", "S", "V", "F", "Q"))
    config = {"hparams": {"num_epochs": epochs, "schedule": "one_cycle"}, "run": {"limit_train": None}}
    return Result(row, Path(), (0,), (config,), (metrics,), (metrics,))


def test_bars_are_of_one_schedule() -> None:
    results = [fake_result(row, 6) for row in FIG5.rows] + [fake_result(FIG5.rows[0], 60)]
    assert {result.schedule.num_epochs for result in figures.of_one_schedule(results)} == {6}


def test_published_figures() -> None:
    assert published.accuracy_from_recalls() == pytest.approx(98.87, abs=0.005)
    for figure in ("precision", "recall", "f1"):
        columns = published.TABLE2.means[figure]
        classes = [value for name, value in columns.items() if name != "macro"]
        # rounded figures: the macro F1 of the means need not be the mean of the macro F1s
        assert np.mean(classes) == pytest.approx(columns["macro"], abs=0.02), figure
    assert pages.cell(94.264, 0.281) == "94.26 ± 0.28"
    assert pages.cell(float("nan")) == ""


def test_cells_of_a_schedule() -> None:
    assert str(Schedule(60, "constant")) == "60 epochs, constant step size"
    assert str(Schedule(1, "one_cycle", 10_000)) == "1 epoch, one cycle, 10,000 training beats"
    assert runs.RAW_FOLDERS.keys() == {"mit", "ptb"}

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import toy_beats, write_toy_splits
from matplotlib import image, rcParams

import data_configs
import preprocess.__main__ as preparation
import reproduce.__main__ as reproduce
import trainer
import utils
from data_configs import MIT_CLASSES
from ec57.figures import per_record
from hparams import RunConfig
from preprocess.synthetic import write_synthetic_mit, write_synthetic_ptb
from reproduce import figures, pages, pooled, published, runs, tables
from reproduce.experiments import EXPERIMENTS, FIG5, FIG6, MIT, TABLE2, TABLE3, Row
from reproduce.pretrained import keep_network, make_card
from reproduce.runs import Options, Result, Schedule, finished, read_predictions, row_slug, train
from reproduce.tables import groups_table, provenance
from support.errors import InputError, TrainingError, run_command
from support.files import read_json
from trainer import Trainer
from utils import classification_metrics, load_checkpoint

pytestmark = pytest.mark.usefixtures("small_runs")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small folders mitdb and ptbdb of synthetic records, which say that they are synthetic."""
    folder = tmp_path_factory.mktemp("raw")
    write_synthetic_mit(folder / "mitdb", 8, 1.0, 0)
    write_synthetic_ptb(folder / "ptbdb", 6, 0.5, 0)  # fewer beats than --limit_train
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
def everything(small_runs: None, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `python -m reproduce all` on the small records; tests may add runs, and change none.

    Without UMAP, which test_main.py has.
    """
    out = tmp_path_factory.mktemp("reproduce")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "has_umap", lambda: False)
        patch.setitem(rcParams, "text.usetex", True)  # a user's style, which does not fit the names in our pictures
        reproduce.run(arguments(["all"], raw, out))
    return out


@pytest.fixture
def pages_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures on the pages, for tests of something else; `everything` has them all."""
    monkeypatch.setattr(figures, "draw", lambda *_: [])


def test_all_writes_a_page_a_table_and_pictures_of_every_experiment(everything: Path) -> None:
    results = everything / "results"
    for name, experiment in EXPERIMENTS.items():
        page, table = (results / f"{name}.md").read_text(), pd.read_csv(results / f"{name}.csv")
        assert page.startswith(f"# {experiment.title}\n")
        assert "1 epoch, one cycle" in page
        assert set(table["source"]) == {"synthetic"}
        ran = [row for row in experiment.rows if at_hand(row)]
        assert set(table["row"]) == {row.label for row in ran}
        for row in experiment.rows:
            assert (f"Not run: {row.label}" in page) != at_hand(row)
        assert table["mean"].dropna().between(0, 100).all()
        assert "| ours, synthetic data: " in page
        assert "**Figures of synthetic data" in page
        assert table["sd"].isna().all()  # of one seed it is not known
    for name in ("table2", "table3", "inter_patient", "recipes"):
        for kind in ("confusion_matrix", "class_curves", "sample_beats"):
            assert image.imread(results / f"{name}_{kind}.png").std() > 0.01
            assert f"]({name}_{kind}.png)" in (results / f"{name}.md").read_text()
    assert {path.name for path in results.glob("fig*.png")} == {"fig5_macro.png", "fig6_macro.png", "fig6_S.png"}
    assert {path.name for path in results.glob("*.png")} <= {*chain(*map(figures.names, EXPERIMENTS.values()))}


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
    assert "| paper, Kaggle beats | 60 epochs, constant learning rate | 3 | 99.41 | 89.22 |" in page
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


def at_hand(row: Row) -> bool:
    """Whether the beats of a row can be cut from `raw`: not those that others have cut, nor those of svdb."""
    return not row.beats.cut_by_others and not row.beats.databases


def rows_at_hand() -> list[Row]:
    return [row for experiment in EXPERIMENTS.values() for row in experiment.rows if at_hand(row)]


def test_finished_runs_are_reused_and_a_further_seed_is_added(
    everything: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    before = trainer.keep
    monkeypatch.setattr(utils, "has_umap", lambda: False)
    monkeypatch.setattr(trainer, "keep", lambda folder, *rest: (trained.append(folder.name), before(folder, *rest)))
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
    monkeypatch.setattr(utils, "has_umap", lambda: False)
    results = everything / "longer"
    reproduce.run(arguments(["table4"], raw, everything, "--results", results, "--limit_train", 130))
    lines = [
        line for line in (results / "table4.md").read_text().splitlines() if line.startswith("| ours") and "MIT" in line
    ]
    assert [line.split("|")[2].strip() for line in lines] == [
        "1 epoch, one cycle, 130 training beats",
        "1 epoch, one cycle, 120 training beats",
    ]


@pytest.mark.usefixtures("pages_alone")
def test_the_rows_of_one_dataset(everything: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "train", lambda self: calls.append(self.run.dataset))
    calls: list[str] = []
    results = everything / "one"
    reproduce.run(arguments(["inter_patient"], raw, everything, "--results", results, "--dataset", "ptb"))
    assert calls == ["ptb", "ptb", "ptb"]
    reproduce.run(arguments(["inter_patient"], raw, everything, "--results", results, "--only_finished"))
    assert calls == ["ptb", "ptb", "ptb"]
    assert len(set(pd.read_csv(results / "inter_patient.csv")["row"])) == 8  # what was finished before stays


def test_a_stopped_run_is_taken_up_again(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "has_umap", lambda: False)
    two = arguments(["table4"], raw, tmp_path, "--num_epochs", 2)

    class StoppedError(Exception):
        pass

    epochs, before = [], trainer.keep

    def stop_after_first(*arguments: Any) -> None:
        before(*arguments)
        epochs.append(len(arguments[-1]))
        if len(epochs) == 1:
            raise StoppedError

    monkeypatch.setattr(trainer, "keep", stop_after_first)
    with pytest.raises(StoppedError):
        reproduce.run(two)
    assert not (tmp_path / "results" / "table4.md").exists()
    reproduce.run(two)
    assert epochs == [1, 2, 1, 2]  # the first run's second epoch, then those of the other row


def test_what_cannot_be_run_is_one_line(raw: Path, tmp_path: Path) -> None:
    for more, message in {
        ("table9",): "NAME table9: unknown; choose from table2,",
        ("table2", "--num_epochs", "0"): "--num_epochs must be 1 to 1,000,000,000, got 0",
        ("table2", "--device", "abacus"): "--device abacus",
        ("table2", "--dataset", "ptb"): "table2: has no rows of ptb",
        ("table2", "--row", "1", "--row", "5"): "--row 5: table2 has the rows 1 to 4",
        ("inter_patient", "--row", "6", "--dataset", "mit"): "inter_patient: has no row 6 of mit",
        ("table2", "table3", "--row", "1"): "--row numbers the rows of one table",
        ("table2", "--data_path", str(raw / "mitdb" / "RECORDS")): "is a file; name another folder with --data_path",
        ("table2", "--only_finished"): "table2: nothing is finished",
        (
            "table2",
            "--raw_path",
            str(tmp_path / "empty"),
        ): r"--raw_path \S+empty: no mitdb; --source physionet downloads it",
        ("table2", "--results", str(raw / "mitdb" / "RECORDS")): "is a file; name another folder with --results",
        ("table2", "--row", "1", "--limit_train", "2"): "--limit_train must be 5 to",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            reproduce.run([*arguments([], raw, tmp_path), *more])
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()
    assert not [*(tmp_path / "logs").rglob("*one_cycle*")]


def test_a_dataset_of_ones_own_has_no_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(data_configs.DATASETS, "mine", data_configs.mit)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^--dataset mine: unknown; choose from mit, ptb$"):
        reproduce.build_parser().parse_args(["table4", "--dataset", "mine"])
    assert reproduce.options_of(reproduce.build_parser().parse_args(["table4"])).datasets == ("mit", "ptb")


@pytest.fixture
def runs_of_table4(everything: Path, tmp_path: Path) -> Path:
    """A copy of the run folders of table4 to spoil, under the --save_dir that is returned."""
    for name in ("mit", "ptb"):
        run = f"{name}_beat_centred__one_cycle_1_120beats"
        shutil.copytree(everything / "logs" / "reproduce" / run / "seed_0", tmp_path / "reproduce" / run / "seed_0")
    return tmp_path


def table4(everything: Path, raw: Path, save_dir: Path, *more: object) -> str:
    """The page of table4 on the runs in `save_dir`."""
    places = ("--save_dir", save_dir, "--results", save_dir / "results")
    reproduce.run(arguments(["table4"], raw, everything, *places, *more))
    return (save_dir / "results" / "table4.md").read_text()


@pytest.mark.parametrize(
    ("file", "contents", "message"),
    [
        ("test_last.json", "{", "test_last.json: is absent or damaged"),
        ("test_best.json", '{"checkpoint_epoch": 1}', "test_best.json: is damaged: its 'classes' is None"),
        ("config.json", "{}", "seed_0: is damaged or of another version"),
        ("config.json", "[]", "config.json: holds a list"),
        ("history.csv", None, "history.csv: is absent or damaged"),
    ],
)
def test_a_damaged_run_is_named(
    everything: Path, raw: Path, runs_of_table4: Path, file: str, contents: str | None, message: str
) -> None:
    path = runs_of_table4 / "reproduce" / "mit_beat_centred__one_cycle_1_120beats" / "seed_0" / file
    path.unlink() if contents is None else path.write_text(contents)
    with pytest.raises(InputError, match=message):
        table4(everything, raw, runs_of_table4, "--only_finished")


def test_a_run_with_other_settings_is_not_taken_for_finished(
    everything: Path, raw: Path, runs_of_table4: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs_of_table4 / "reproduce" / "mit_beat_centred__one_cycle_1_120beats" / "seed_0" / "config.json"
    config = json.loads(path.read_text())
    config["hparams"]["learning_rate"] = 0.5
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"began with learning_rate 0\.5 and would go on with 0\.001"):
        table4(everything, raw, runs_of_table4)
    assert "table4, row 2 of 2" in capsys.readouterr().out  # the rest is run all the same
    config["hparams"]["num_epochs"] = 2
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match="was not trained as the name of the run says"):
        table4(everything, raw, runs_of_table4)


def test_seeds_of_other_settings_are_not_averaged(everything: Path, raw: Path, runs_of_table4: Path) -> None:
    run = runs_of_table4 / "reproduce" / "mit_beat_centred__one_cycle_1_120beats"
    shutil.copytree(run / "seed_0", run / "seed_2")
    config = json.loads((run / "seed_2" / "config.json").read_text()) | {"seed": 2}
    (run / "seed_2" / "config.json").write_text(json.dumps(config))
    page = table4(everything, raw, runs_of_table4, "--only_finished")
    command = "    python -m reproduce table4 --row 1 --recipe short --num_epochs 1 --limit_train 120"
    seeds = [" --source synthetic --num_runs 1", " --source synthetic --num_runs 1 --seed_id 2"]
    assert "".join(f"{command}{each}\n" for each in seeds) in page  # no single command trains seeds 0 and 2 alone
    config["hparams"]["batch_size"] = 7
    (run / "seed_2" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="its seeds differ in their beats or settings"):
        table4(everything, raw, runs_of_table4, "--only_finished")


def test_a_copy_put_aside_is_no_row_and_the_day_is_that_of_the_test(
    everything: Path, raw: Path, runs_of_table4: Path
) -> None:
    run = runs_of_table4 / "reproduce" / "mit_beat_centred__one_cycle_1_120beats"
    shutil.copytree(run, run.with_name(f"{run.name}.old"))
    log = run / "seed_0" / "train.log"
    log.write_text(re.sub(r"^\d{4}", "1999", log.read_text(), flags=re.MULTILINE))
    for more in ((), ("--only_finished",)):
        page = table4(everything, raw, runs_of_table4, *more)
        (row,) = [line for line in page.splitlines() if line.startswith("| MIT-BIH, centred window |")]
        assert re.search(r"\| 1999-\d\d-\d\d \|$", row)


def test_pages_can_be_written_without_the_beats(
    everything: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the runs were brought from another machine."""
    shutil.copytree(everything / "logs" / "reproduce", tmp_path / "reproduce")
    for path in tmp_path.glob("reproduce/*/seed_*/config.json"):
        config = json.loads(path.read_text())
        config["run"]["data_path"] = "elsewhere"
        path.write_text(json.dumps(config))
    results = tmp_path / "results"
    results.mkdir()
    (results / "table2_umap.png").write_bytes(b"of another day")
    places = ("--save_dir", tmp_path, "--results", results, "--data_path", tmp_path / "none")
    reproduce.run(arguments(["table2"], raw, everything, *places, "--only_finished"))
    pictures_there = {path.name for path in results.glob("*.png")}
    assert pictures_there == {"table2_confusion_matrix.png", "table2_class_curves.png"}
    assert "umap" not in (results / "table2.md").read_text()


def test_a_page_that_loses_rows_says_so(
    everything: Path, raw: Path, runs_of_table4: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table4(everything, raw, runs_of_table4, "--only_finished")
    assert "note:" not in capsys.readouterr().out
    shutil.rmtree(runs_of_table4 / "reproduce" / "ptb_beat_centred__one_cycle_1_120beats")
    table4(everything, raw, runs_of_table4, "--only_finished")
    assert "table4.md loses the row 'PTB, centred window' of 1 epoch, one cycle, 120" in capsys.readouterr().out


@pytest.mark.usefixtures("pages_alone")
def test_what_is_not_at_hand_does_not_stop_the_rest(
    everything: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ("--save_dir", everything / "logs", "--results", tmp_path / "results", "--data_path", tmp_path / "data")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "mitdb").symlink_to(raw / "mitdb")
    reproduce.run(
        [*arguments(["table4", "table3"], tmp_path / "raw", everything, *places), "--num_runs", "1", "--dataset", "mit"]
    )
    assert "table4.md" in capsys.readouterr().out
    empty = arguments(
        ["table3", "table4"], tmp_path / "nothing", everything, "--save_dir", tmp_path, "--data_path", tmp_path
    )
    with pytest.raises(
        InputError, match=r"table3: nothing is finished; --raw_path \S+nothing: no ptbdb.*; table4: nothing is"
    ):
        reproduce.run(empty)


def test_split_files_of_other_recordings_are_not_used(raw: Path, tmp_path: Path) -> None:
    options = options_in(tmp_path, raw)
    folder = runs.prepare(MIT, options)
    before = (folder / "mit" / "test.pt").read_bytes()
    assert runs.prepare(MIT, options) == folder
    same = tmp_path / "same"
    shutil.copytree(raw / "mitdb", same / "mitdb")
    for stray in (".DS_Store", "mitdb-1.0.0.sha256"):  # the second is what a download leaves
        (same / "mitdb" / stray).write_text("")
    assert runs.prepare(MIT, dataclasses.replace(options, raw_path=same)) == folder
    other = tmp_path / "other"
    write_synthetic_mit(other / "mitdb", 3, 1.0, 1)
    with pytest.raises(InputError, match="its split files were made of other recordings"):
        runs.prepare(MIT, dataclasses.replace(options, raw_path=other))
    assert runs.prepare(MIT, dataclasses.replace(options, raw_path=tmp_path / "gone")) == folder
    assert (folder / "mit" / "test.pt").read_bytes() == before


def test_beats_that_others_have_cut(raw: Path, tmp_path: Path) -> None:
    samples, labels = toy_beats(40, 2)
    torch.save({"samples": samples, "labels": labels.double()}, tmp_path / "ptb_released_val.pt")
    released = next(row for row in TABLE3.rows if row.beats.window == "released_file")
    options = options_in(tmp_path, tmp_path)
    train(released, options)
    (result,) = finished(released, options)
    assert result.configs[0]["data"]["source"] == "released"
    kaggle = next(row for row in TABLE3.rows if row.beats.window == "kaggle_files")
    with pytest.raises(runs.MissingDataError, match="no kaggle"):
        train(kaggle, options)


def test_synthetic_patients_are_made_where_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "PATIENTS", 3)
    monkeypatch.setattr(preparation, "MINUTES", 0.5)
    options = dataclasses.replace(options_in(tmp_path, tmp_path / "raw"), source="synthetic")
    folder = runs.prepare(MIT, options)
    assert folder.name == "synthetic_beat_centred"
    assert (tmp_path / "raw" / "synthetic_mit" / "RECORDS").is_file()
    assert runs.prepare(MIT, options) == folder


def options_in(folder: Path, raw: Path) -> Options:
    """One epoch of one seed, everything in `folder`."""
    places = {"data_path": folder / "data", "save_dir": folder / "logs", "results": folder / "results"}
    return Options(
        device="cpu",
        precision=None,
        recipe=None,
        num_epochs=1,
        limit_train=None,
        seed_id=0,
        num_runs=1,
        datasets=("mit", "ptb"),
        rows=(),
        only_finished=False,
        source="records",
        raw_path=raw,
        **places,
    )


@pytest.mark.parametrize(
    ("arguments", "plain", "new_patients"),
    [
        ([], (6, "one_cycle"), (3, "one_cycle")),
        (["--device", "cuda"], (60, "constant"), (3, "one_cycle")),
        (["--device", "cuda", "--num_epochs", "2"], (2, "constant"), (2, "one_cycle")),
        (["--recipe", "supervised"], (60, "constant"), (60, "constant")),
        (["--recipe", "short", "--num_epochs", "4"], (4, "one_cycle"), (4, "one_cycle")),
    ],
)
def test_a_recipe_that_keeps_the_last_epoch_keeps_its_schedule(
    arguments: list[str],
    plain: tuple[int, str],
    new_patients: tuple[int, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(reproduce, "get_device", lambda name: torch.device(name))  # no GPU is needed for a plan
    monkeypatch.chdir(tmp_path)
    options = reproduce.options_of(reproduce.build_parser().parse_args(["inter_patient", *arguments]))
    rows = {row.settings.get("recipe"): row for row in EXPERIMENTS["inter_patient"].rows}
    for recipe, expected in ((None, plain), ("new_patients", new_patients)):
        hparams = runs.run_config(rows[recipe], options, tmp_path).effective_hparams()
        assert (hparams.num_epochs, hparams.schedule) == expected
    assert options.schedule_of(EXPERIMENTS["recipes"].rows[1]) == Schedule(*plain)  # notes is to be compared with it


def test_seeds_that_leave_a_page_are_told(tmp_path: Path) -> None:
    old = tmp_path / "fig5.csv"
    rows = [("CNN", "20 epochs", 4), ("CNN", "6 epochs", 1), ("MSC", "20 epochs", 2), ("CRM", "20 epochs", 1)]
    pd.DataFrame(rows, columns=["row", "schedule", "seeds"]).to_csv(old, index=False)
    now = pd.DataFrame(
        [("CNN", "20 epochs", 1), ("MSC", "20 epochs", 3), ("CRM", "20 epochs", 1)],
        columns=["row", "schedule", "seeds"],
    )
    assert tables.what_leaves(old, now) == ["3 of 4 seeds of the row 'CNN' of 20 epochs", "the row 'CNN' of 6 epochs"]
    assert len(tables.what_leaves(old, pd.DataFrame())) == 4


def fake_result(row: Row, epochs: int, right: int = 5) -> Result:
    """A seed of which the first `right` of five beats, one a class, were called right."""
    called = np.where(np.arange(5) < right, np.arange(5), 0)
    metrics = classification_metrics(np.arange(5), called, ("N", "S", "V", "F", "Q"))
    config = {"data": {"source": "synthetic", "protocol": "beat"}}
    return Result(row, Schedule(epochs, "one_cycle"), Path(), (0,), (config,), (metrics,), (metrics,))


def test_bars_are_ours_and_the_papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(figures, "plot_bars", lambda *arguments: calls.append(arguments))
    results = [fake_result(row, 6, right=max(5 - place, 1)) for place, row in enumerate(FIG6.rows)]
    figures.draw(FIG6, results, tmp_path, "cpu")
    for column, (names, ours, paper, title, _) in zip(("macro", "S"), calls, strict=True):
        assert list(names) == [row.label for row in FIG6.rows]
        expected = [100 * result.tests[0]["macro_f1"] for result in results]
        if column == "S":
            expected = [100 * result.tests[0]["per_class"]["S"]["f1"] for result in results]
        assert [mean for mean, _ in ours] == pytest.approx(expected)
        assert "6 epochs" in title
        known = {"macro": {0: 94.26, 2: 91.07, 3: 90.51, 4: 81.84}, "S": {0: 89.22, 4: 64.15, 5: 74.84}}[column]
        assert {place: value for place, value in enumerate(paper) if not np.isnan(value)} == known


def test_curves_of_the_classes_are_means_over_the_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: drawn.append(figure))
    histories = [
        pd.DataFrame({"epoch": [1, 2], "val_f1_a": f1, "val_f1_b": [0.8, 0.6], "val_macro_f1": [0.5, 0.5]})
        for f1 in ([0.1, 0.5], [0.3, 0.9])
    ]
    figures.plot_class_curves(histories, ("a", "b"), "title", tmp_path)
    curves = {line.get_label()[0]: line.get_ydata().tolist() for line in drawn[0].axes[0].lines}
    assert curves == {"a": pytest.approx([20, 70]), "b": pytest.approx([80, 60]), "m": pytest.approx([50, 50])}


def test_sample_beats_are_of_their_class_and_called_right_above_and_wrong_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: drawn.append(figure))
    labels, called = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 0, 1, 1])
    samples = np.arange(5)[:, None] * np.ones(3)  # each has its number for its value
    captions = [f"beat {beat}" for beat in range(5)]
    figures.plot_sample_beats(samples, labels, called, captions, ("a", "b"), (np.arange(3), "ms"), "t", tmp_path)
    panels = np.reshape(drawn[0].axes, (4, 2))
    shown = [
        [{int(line.get_ydata()[0]) for panel in rows for line in panel.lines} for rows in column]
        for column in (panels[:2].T, panels[2:].T)
    ]
    assert shown == [[{0, 2}, {3, 4}], [{1}, set()]]
    assert [panel.get_title() for panel in panels[2]] == ["a called b\nbeat 1", ""]


def test_bars_are_of_one_schedule() -> None:
    results = [fake_result(row, 6) for row in FIG5.rows] + [fake_result(FIG5.rows[0], 60)]
    assert {result.schedule.num_epochs for result in figures.of_one_schedule(results)} == {6}
    assert figures.of_one_schedule(results[-2:]) == results[-2:-1]


def test_published_figures() -> None:
    assert published.accuracy_from_recalls() == pytest.approx(98.87, abs=0.005)
    for figure in ("precision", "recall", "f1"):
        columns = published.TABLE2.means[figure]
        classes = [value for name, value in columns.items() if name != "macro"]
        # rounded figures: the macro F1 of the means need not be the mean of the macro F1s
        assert np.mean(classes) == pytest.approx(columns["macro"], abs=0.02), figure
    assert pages.cell(94.264, 0.281) == "94.26 ± 0.28"
    assert pages.cell(float("nan")) == ""


def test_a_page_says_which_checkpoint_its_rows_quote_and_warns_of_other_schedules() -> None:
    def result(label: str, selection: str, epochs: int = 60) -> Any:
        config = {"hparams": {"selection": selection}, "data": {"source": "physionet"}}
        schedule = Schedule(epochs, "constant")
        return SimpleNamespace(row=SimpleNamespace(label=label), configs=[config], schedule=schedule)

    best, last = result("alone", "best"), result("with context", "last")
    end = "; with several seeds, mean ± standard deviation."
    assert pages.heading([best, best])[0] == f"Percent; checkpoint tested: highest validation macro-F1{end}"
    assert pages.heading([last])[0] == f"Percent; checkpoint tested: after the last epoch{end}"
    both = "highest validation macro-F1 (alone), after the last epoch (with context)"
    assert pages.heading([best, last, last])[0] == f"Percent; checkpoint tested: {both}{end}"
    warned = [len(pages.heading(results)) > 1 for results in ([best], [result("alone", "best", 6)])]
    assert warned == [False, True]


def test_limited_beats_are_counted_where_they_are_taken(tmp_path: Path) -> None:
    """With selection last, of train and validation: 60 and 20 beats."""
    options = dataclasses.replace(options_in(tmp_path, tmp_path), limit_train=70, precision="bf16")
    data = write_toy_splits(tmp_path, "mit")
    made = [runs.run_config(Row("row", MIT, {"recipe": recipe}), options, data) for recipe in ("short", "new_patients")]
    assert [run.limit_train for run in made] == [None, 70]
    assert [run.precision for run in made] == ["bf16", "bf16"]


def test_the_arithmetic_is_told_where_it_is_not_float32(everything: Path) -> None:
    options: Any = SimpleNamespace(save_dir=everything / "logs", source="records")
    result = finished(TABLE2.rows[0], options)[0]
    (config,) = result.configs
    in_bf16 = dataclasses.replace(result, configs=(config | {"hparams": config["hparams"] | {"precision": "bf16"}},))
    assert provenance(in_bf16)["device"] == f"{provenance(result)['device']} (bf16)"
    assert "--precision" not in result.commands("table2", 1)[0]
    assert "--precision bf16" in in_bf16.commands("table2", 1)[0]


def test_a_command_is_of_seeds_on_one_device_in_one_precision() -> None:
    def config(device: str, precision: str) -> dict[str, object]:
        return {"run": {"device": device}, "hparams": {"precision": precision}, "data": {"source": "physionet"}}

    ran = [("cpu", "fp32"), ("cpu", "fp32"), ("cpu", "bf16"), ("cuda", "bf16"), ("cuda", "bf16")]
    configs = tuple(config(*each) for each in ran)
    result = runs.Result(TABLE2.rows[0], Schedule(6, "one_cycle"), Path(), (0, 1, 2, 3, 5), configs, (), ())
    head, schedule = "python -m reproduce table2 --row 1", "--recipe short --num_epochs 6"
    assert result.commands("table2", 1) == [
        f"{head} {schedule} --num_runs 2",
        f"{head} {schedule} --precision bf16 --num_runs 1 --seed_id 2",
        f"{head} --device cuda {schedule} --precision bf16 --num_runs 1 --seed_id 3",
        f"{head} --device cuda {schedule} --precision bf16 --num_runs 1 --seed_id 5",
    ]


def test_cells_of_a_schedule() -> None:
    assert str(Schedule(60, "constant")) == "60 epochs, constant learning rate"
    assert str(Schedule(1, "one_cycle", 10_000)) == "1 epoch, one cycle, 10,000 training beats"
    for schedule in (Schedule(60, "constant"), Schedule(1, "one_cycle", 10_000)):
        assert Schedule.of_slug(schedule.slug) == schedule
    assert Schedule.of_slug("one_cycle_6.old") is None
    longest, of_all = Schedule(60, "constant"), Schedule(6, "one_cycle")
    most, fewest = Schedule(1, "one_cycle", 20), Schedule(60, "constant", 10)
    ranked = sorted([fewest, of_all, most, longest], key=lambda schedule: schedule.rank)
    assert ranked == [longest, of_all, most, fewest]


@pytest.mark.usefixtures("pages_alone")
def test_pages_of_runs_that_are_elsewhere_are_kept(
    everything: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a fresh clone: results/ has rows whose runs are not in git, and a first run must not replace them."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(everything / "results", tmp_path / "results")
    page = (tmp_path / "results" / "table2.csv").read_text().replace("1 epoch", "60 epochs")
    (tmp_path / "results" / "table2.csv").write_text(page)
    command = arguments(["table2"], raw, everything, "--only_finished")
    at = command.index("--results")
    reproduce.run(command[:at] + command[at + 2 :])
    assert (tmp_path / "results" / "table2.csv").read_text() == page
    assert "yours go to results/own" in capsys.readouterr().out
    assert "1 epoch, one cycle" in (tmp_path / "results" / "own" / "table2.md").read_text()


def test_the_pages_of_a_fresh_clone_are_kept(everything: Path, raw: Path, tmp_path: Path) -> None:
    """Also where nothing is finished yet."""
    options = dataclasses.replace(options_in(tmp_path, raw), results=everything / "results")
    assert reproduce.keeping_rows(TABLE2, options).results == everything / "results" / "own"


# -------------------------------------------------------------------------------------------- groups of test records


def predictions(*counts: tuple[str, str, str, int]) -> pd.DataFrame:
    """A table of predictions: record, label, prediction and how many of them."""
    rows = [(record, label, called) for record, label, called, count in counts for _ in range(count)]
    return pd.DataFrame(rows, columns=["record", "label", "prediction"])


def test_groups_are_gross_figures_and_means_over_records() -> None:
    table = predictions(
        ("mitdb/1", "S", "S", 30),
        ("mitdb/1", "S", "N", 10),
        ("mitdb/2", "S", "S", 5),
        ("mitdb/2", "S", "N", 5),
        ("mitdb/2", "N", "S", 5),
        ("svdb/3", "N", "N", 40),
        ("svdb/3", "V", "V", 9),
        ("svdb/3", "V", "F", 1),
    )
    groups = groups_table([table], MIT_CLASSES).set_index("group")
    assert list(groups.index) == [
        *("all", "without record mitdb/1", "mitdb", "mitdb without record 1", "svdb", "mean over records")
    ]
    assert groups.loc["all", "S Se"] == pytest.approx(70)
    assert groups.loc["all", "S +P"] == pytest.approx(100 * 35 / 40)
    assert groups.loc["without record mitdb/1", "S Se"] == pytest.approx(50)
    assert groups.loc["svdb", "V Se"] == pytest.approx(90)
    assert groups.loc["all", "accuracy"] == pytest.approx(100 * 84 / 105)
    labels, called = (table[column].map(MIT_CLASSES.index).to_numpy() for column in ("label", "prediction"))
    macro_f1 = 100 * classification_metrics(labels, called, MIT_CLASSES)["macro_f1"]
    assert [groups.loc["all", name] for name in ("macro-F1", "macro-F1 without Q")] == pytest.approx([macro_f1] * 2)
    # A record of Q alone has no macro-F1 without Q, so it has no part in that mean.
    paced = groups_table([pd.concat([table, predictions(("svdb/4", "Q", "Q", 9))])], MIT_CLASSES).set_index("group")
    name = "macro-F1 without Q"
    assert paced.loc["mean over records", name] == pytest.approx(groups.loc["mean over records", name])
    # Records 1 and 2 have 5 S beats or more; record 2 has half its S beats found, and half of what it calls S is S.
    assert groups.loc["mean over records", "S F1"] == pytest.approx((2 * 75 / 1.75 + 50) / 2)
    assert groups.loc["mean over records", "records"] == 3
    # One of 5 S beats of which none is called so counts, with a +P of 0; one of 4 does not.
    missed = pd.concat([table, predictions(("svdb/4", "S", "N", 5), ("svdb/5", "S", "S", 4))])
    means = groups_table([missed], MIT_CLASSES).set_index("group").loc["mean over records"]
    assert [means["S Se"], means["S +P"]] == pytest.approx([(75 + 50 + 0) / 3, (100 + 50 + 0) / 3])
    seeds = groups_table([table, table.assign(prediction="N")], MIT_CLASSES).set_index("group").loc["all"]
    assert [seeds["S Se"], seeds["S Se_sd"]] == pytest.approx([(70 + 0) / 2, 70 / 2**0.5])
    halves = groups_table([predictions(("1", "S", "S", 5), ("2", "S", "N", 5))], MIT_CLASSES)
    assert list(halves["group"]) == ["all", "mean over records"]  # neither has most of the S beats


def test_the_figures_of_a_record_are_means_over_the_seeds() -> None:
    seeds = [
        predictions(("1", "S", "S", 3), ("1", "S", "N", 1), ("1", "N", "N", 6), ("1", "N", "S", 3)),
        predictions(("1", "S", "S", 4), ("1", "N", "N", 9)),
    ]
    result: Any = SimpleNamespace(tests=[{"classes": [*MIT_CLASSES]}], predictions=lambda: seeds)
    (row,) = tables.records_table(result).to_dict("records")
    assert (row["record"], row["beats"], row["S beats"], row["V beats"]) == ("1", 13, 4, 0)
    figures = {"S Se": (75 + 100) / 2, "S +P": (50 + 100) / 2, "S FPR": 100 * 3 / 9 / 2}
    figures |= {"accuracy": 100 * (9 / 13 + 1) / 2, "V FPR": 0}
    assert {name: row[name] for name in figures} == pytest.approx(figures)
    assert np.isnan(row["V Se"]) and np.isnan(row["V +P"])
    matrices = [per_record(table, MIT_CLASSES)["1"] for table in seeds]
    gross = tables.ec57_of([{"confusion_matrix": matrix, "classes": MIT_CLASSES} for matrix in matrices])["S"]
    assert [*gross["se"], *gross["ppv"], *gross["fpr"]] == pytest.approx([75, 100, 50, 100, 100 / 3, 0])


def test_pooled_folds_count_every_record_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def code_of(*folders: str) -> int:
        return run_command(lambda: pooled.run([str(tmp_path / folder) for folder in folders]))

    figures = dict.fromkeys(("accuracy", "macro_precision", "macro_recall", "macro_f1"), 0.5)
    test = {"checkpoint_epoch": 1, "classes": [*MIT_CLASSES], "per_class": {}, **figures}
    for fold, record in enumerate(("a", "b"), start=1):
        folder = tmp_path / f"fold_{fold}" / "seed_0"
        folder.mkdir(parents=True)
        table = predictions((record, "S", "S", 3 + fold), (record, "N", "N", 10), (record, "S", "N", fold))
        table.to_csv(folder / "predictions_test.csv", index=False)
        (folder / "config.json").write_text(json.dumps({"hparams": {"num_epochs": 1}}))
        for kept in ("best", "last"):
            (folder / f"test_{kept}.json").write_text(json.dumps(test))
    assert code_of("fold_1", "fold_2") == 0
    assert "| all | 2 | 75.00 | 100.00 | 85.71 |" in capsys.readouterr().out
    assert code_of("fold_1", "fold_1") == 2
    assert "record a was tested by an earlier run too" in capsys.readouterr().err
    assert code_of(".") == 2
    assert "no finished run there" in capsys.readouterr().err
    for classes, message in ((MIT_CLASSES[:3], "the run before it N S V F Q"), (("N", "S", "F"), "S and V are needed")):
        (tmp_path / "fold_2" / "seed_0" / "test_best.json").write_text(json.dumps(test | {"classes": classes}))
        assert code_of("fold_1", "fold_2") == 2
        assert message in capsys.readouterr().err
    # Told to train longer, and not there yet: the test is of an earlier checkpoint.
    (tmp_path / "fold_1" / "seed_0" / "config.json").write_text(json.dumps({"hparams": {"num_epochs": 2}}))
    assert code_of("fold_1") == 2
    assert "no finished run there" in capsys.readouterr().err


def test_a_network_is_kept_with_a_card_of_its_own_figures(everything: Path, raw: Path, tmp_path: Path) -> None:
    runs = everything / "logs" / "reproduce"
    seed_folder = runs / "mit_inter_patient_centred__one_cycle_1_120beats" / "seed_0"
    path = keep_network(seed_folder, "small", raw, tmp_path)
    card, test = read_json(path.with_suffix(".json")), read_json(seed_folder / "test_best.json")
    assert np.sum([*card["per_record"].values()], axis=0).tolist() == test["confusion_matrix"]
    for name, row in test["per_class"].items():
        assert card["per_class"][name]["sensitivity"] == round(100 * row["recall"], 2)
        assert (card["per_class"][name]["precision"] or 0.0) == round(100 * row["precision"], 2)
    assert card["new_patients"]
    assert "synthetic data" in card["trained_on"]
    assert card["command"] == (
        "python main.py --dataset mit --recipe short --num_epochs 1 --schedule one_cycle --limit_train 120 "
        "--data_path DIR"
    )
    assert card["cautions"][0].startswith("Not for clinical use")
    assert card["cautions"][1].startswith("Not for real patients: it was trained and tested on synthetic ones")
    of_v = read_json(seed_folder / "config.json")["counts"]["train"]["V"]
    assert any("trained on few beats of class" in caution and f"V ({of_v})" in caution for caution in card["cautions"])
    page = path.with_suffix(".md").read_text(encoding="utf-8")
    assert f"macro-F1 {100 * test['macro_f1']:.2f}" in page
    assert "by ANSI/AAMI EC57" in page
    predictions = read_predictions(seed_folder / "predictions_test.csv").assign(record="202")
    numbered = tmp_path / "numbered" / "seed_0"
    shutil.copytree(seed_folder, numbered)
    config = read_json(numbered / "config.json")
    config["data"]["training_records"] = ["201"]
    (numbered / "config.json").write_text(json.dumps(config))
    for databases in (["mitdb"], []):  # elsewhere the numbers of two patients of mitdb are names of any records
        of_them = test | {"data": test["data"] | {"databases": databases}}
        tested_on = make_card(numbered, of_them, predictions, "numbered", raw)["tested_on"]
        assert ("of 1 record, of which 202 is from the same patient" in tested_on) == bool(databases)
        assert tested_on.endswith(" of 1 record") == (not databases)
    tuned = tmp_path / "tuned" / "seed_0"
    shutil.copytree(seed_folder, tuned)
    config = read_json(tuned / "config.json")
    (tested, *_) = card["per_record"]
    config["run"]["init"] = str(seed_folder)
    config["data"] |= {"init": str(seed_folder), "init_records": [tested], "init_tested": [tested]}
    (tuned / "config.json").write_text(json.dumps(config))
    others = read_json(keep_network(tuned, "tuned", raw, tmp_path).with_suffix(".json"))
    assert others["new_patients"] is False
    assert others["trained_on"].endswith(f"; fine-tuned from {seed_folder}")
    assert others["cautions"][-1].startswith(f"It was fine-tuned from {seed_folder}: ")
    assert card["training_records"] == {}  # synthetic records are of no database
    assert [*others["training_records"]["mitdb"]] == [tested]
    assert "ec57" not in others
    kept, whole = load_checkpoint(path), load_checkpoint(seed_folder / "checkpoint_best.pt")
    assert all(torch.equal(kept.model[name], value) for name, value in whole.model.items())

    other = next(runs.glob("ptb_beat_centred__*")) / "seed_0"
    with pytest.raises(InputError, match=r"small.pt is there: take another name"):
        keep_network(other, "small", raw, tmp_path)
    with pytest.raises(InputError, match="a name of letters, digits and _"):
        keep_network(other, "../x", raw, tmp_path)
    assert path.with_suffix(".md").read_text(encoding="utf-8") == page
    keep_network(other, "ptb_small", raw, tmp_path)
    page = (tmp_path / "ptb_small.md").read_text(encoding="utf-8")
    assert "EC57" not in page
    assert "Not for new patients" in page


def test_the_card_tells_of_the_run_as_it_last_went_on(everything: Path, raw: Path, tmp_path: Path) -> None:
    run = everything / "logs" / "reproduce" / "mit_beat_centred__one_cycle_1_120beats"
    shutil.copytree(run / "seed_0", tmp_path / "run" / "seed_0")
    config = read_json(run / "seed_0" / "config.json")
    longer = {part: config[part] | {"num_epochs": 9} for part in ("run", "hparams")}
    longer["run"]["umap"] = True
    (tmp_path / "run" / "seed_0" / "config.json").write_text(json.dumps(config | {"resumed": [longer]}))
    with pytest.raises(InputError, match="its run is not finished"):  # its checkpoints may be newer than its tests
        keep_network(tmp_path / "run", "longer", raw, tmp_path)
    for kept in ("best", "last"):
        path = tmp_path / "run" / "seed_0" / f"test_{kept}.json"
        path.write_text(json.dumps(read_json(path) | {"checkpoint_epoch": 9}))
    card = read_json(keep_network(tmp_path / "run", "longer", raw, tmp_path).with_suffix(".json"))
    assert "short, 9 epochs" in card["recipe"]
    assert card["command"].endswith(
        "--recipe short --num_epochs 9 --schedule one_cycle --limit_train 120 --data_path DIR"
    )
    shutil.copytree(run / "seed_0", tmp_path / "run" / "seed_1")
    with pytest.raises(InputError, match=r"run: has 2 seeds; give the folder of one, such as \S+/seed_0$"):
        keep_network(tmp_path / "run", "longer", raw, tmp_path)


@pytest.mark.usefixtures("small_runs")
def test_a_network_of_some_classes_and_longer_beats_is_kept(tmp_path: Path) -> None:
    data = write_toy_splits(tmp_path / "data", "mit", length=187)
    settings: dict[str, Any] = {"classes": ("N", "S", "V"), "sequence_len": 187, "num_epochs": 1, "recipe": "short"}
    settings |= {"data_path": str(data), "save_dir": str(tmp_path), "run_description": "run"}
    Trainer(RunConfig(**settings)).train()
    card = read_json(keep_network(tmp_path / "mit" / "run", "three", tmp_path, tmp_path / "kept").with_suffix(".json"))
    assert card["classes"] == ["N", "S", "V"]
    assert "--sequence_len 187 --classes N S V" in card["command"]


def test_a_network_of_no_finished_run_is_not_kept(everything: Path, tmp_path: Path) -> None:
    seed_folder = everything / "logs" / "reproduce" / "mit_beat_centred__one_cycle_1_120beats" / "seed_0"
    with pytest.raises(InputError, match="no such folder; give that of a finished run"):
        keep_network(seed_folder / "checkpoint_best.pt", "small", tmp_path, tmp_path)
    run = tmp_path / "a run"
    shutil.copytree(seed_folder, run / "seed_0")
    (run / "seed_0" / "test_last.json").unlink()
    with pytest.raises(InputError, match=f"its run is not finished; go on with `python main.py --resume '{run}'`"):
        keep_network(run / "seed_0", "small", tmp_path, tmp_path)
    assert not [*tmp_path.glob("small*")]


def test_an_arithmetic_that_there_is_not_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--precision tf32 needs a CUDA GPU"):
        reproduce.run(arguments(["table2"], tmp_path / "raw", tmp_path / "out", "--precision", "tf32"))
    assert not [*tmp_path.iterdir()]


def test_a_training_that_fails_does_not_stop_the_rest(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All other rows and tables are run, the failed row is told at the end in one line, and the exit code is 1."""

    def failing(row: Row, options: Options) -> None:
        tried.append(row.label)
        if row is EXPERIMENTS["table4"].rows[0]:
            raise TrainingError("seed_0: the loss is nan")

    tried: list[str] = []
    monkeypatch.setattr(reproduce, "train", failing)
    monkeypatch.setattr(reproduce, "write_page", lambda *_, **__: None)
    assert run_command(lambda: reproduce.run(arguments(["table4", "recipes"], raw, tmp_path))) == 1
    assert tried == [row.label for name in ("table4", "recipes") for row in EXPERIMENTS[name].rows]
    out, said = capsys.readouterr()
    assert "failed: seed_0: the loss is nan\n" in out
    assert said.startswith("error: table4, row 1: seed_0: the loss is nan; recipes: nothing is finished")
    assert said.count("\n") == 1


def test_pictures_that_a_page_did_not_make_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "draw", lambda *_: [])
    monkeypatch.setattr(reproduce, "finished_rows", lambda *_: [None])
    monkeypatch.setattr(reproduce, "write_page", lambda *_: tmp_path / "page.md")
    options: Any = SimpleNamespace(only_finished=True, results=tmp_path, device="cpu")
    for experiment, own, made in (
        (FIG5, "fig5_my_own.png", "fig5_macro.png"),
        (TABLE2, "table2_V.png", "table2_umap.png"),
    ):
        for name in (own, made):
            (tmp_path / name).write_bytes(b"of another day")
        reproduce.reproduce(experiment, options)
        assert (tmp_path / own).is_file()
        assert not (tmp_path / made).exists()


def test_a_row_names_every_device_and_torch_that_it_ran_on() -> None:
    """A run may go on elsewhere; config.json keeps what it began with."""
    cpu = {"device": "cpu", "device_name": "EPYC", "threads": 1, "torch": "2.8"}
    gpu = {"device": "cuda", "device_name": "H200", "threads": 8, "torch": "2.9"}
    counts = {split: {"all": 1} for split in ("train", "val", "test")} | {"trained_on": {"all": 2}}
    hparams = {"recipe": "short", "precision": "fp32"}
    config = {"hparams": hparams, "data": {"source": "records", "protocol": "beat"}, "counts": counts}
    resumed = [{"after_epoch": 1, "environment": gpu}, {"after_epoch": 2}]
    in_bf16 = [{"after_epoch": 1, "hparams": hparams | {"precision": "bf16"}}]
    about = {"row": TABLE2.rows[0], "schedule": Schedule(6, "one_cycle"), "seeds": (0,), "finished_on": "2026-01-01"}
    for later, device, torch_there in (
        ({"resumed": resumed}, "EPYC, 1 thread and H200", "2.8 and 2.9"),
        ({"resumed": in_bf16}, "EPYC, 1 thread and EPYC, 1 thread (bf16)", "2.8"),
        ({}, "EPYC, 1 thread", "2.8"),
        ({"resumed": "damaged"}, "EPYC, 1 thread", "2.8"),
    ):
        result: Any = SimpleNamespace(**about, configs=[config | {"environment": cpu} | later])
        row = provenance(result)
        assert (row["device"], row["torch"]) == (device, torch_there)
        assert (row["train_beats"], row["trained_on"]) == (1, 2)

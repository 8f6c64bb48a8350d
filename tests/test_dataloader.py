from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import toy_beats, write_toy_splits
from hypothesis import given, settings
from hypothesis import strategies as st

import data_configs
import hparams
import main
from data_configs import DatasetConfig
from dataloader import (
    Batches,
    consecutive_sequences,
    data_generator,
    get_class_weights,
    inverse_power_weights,
    join_splits,
    load_splits,
    oversample,
    shape_weights,
    stratified_subset,
    thinned_to,
    training_beats,
)
from losses import loss_weights
from split_file import Split, load_split
from support.errors import InputError

PAPER_COUNTS = {"N": 72471, "S": 2223, "V": 5788, "F": 641, "Q": 6431}


def labels_of(counts: list[int]) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def write_own_splits(folder: Path) -> Path:
    """Split files of a dataset that nobody has registered; return the --data_path."""
    (folder / "mine").mkdir()
    for seed, name in enumerate(("train", "val", "test")):
        samples, labels = toy_beats(24, 3, seed=seed)
        contents = {"samples": samples, "labels": labels, "classes": ["normal", "early", "late"]}
        torch.save(contents, folder / "mine" / f"{name}.pt")
    return folder


def test_a_dataset_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python as it is; on the command line with the lines that data/README.md tells to add."""
    own = DatasetConfig("mine", ("normal", "early", "late"), hard_class="early")
    with pytest.raises(InputError, match=r"no train.pt.* mine/train.pt; what these files hold is in data/README"):
        load_splits(tmp_path, own)
    data = write_own_splits(tmp_path)
    assert load_splits(data, own)["train"].class_counts(own.classes) == dict.fromkeys(own.classes, 8)
    with pytest.raises(InputError, match=r"--context rhythm needs it; --context none goes without$"):
        load_splits(data, dataclasses.replace(own, context="rhythm"))
    with pytest.raises(InputError, match=r"to others add 'records' and 'positions' \(data/README.md, A dataset of"):
        Batches(load_splits(data, own)["train"], hparams.notes(), seed=0)
    two = dataclasses.replace(own, classes=("normal", "late"))
    assert load_splits(data, two)["val"].class_counts(two.classes) == {"normal": 8, "late": 8}

    page = Path(data_configs.__file__).parent / "data" / "README.md"
    _, _, section = page.read_text(encoding="utf-8").partition("## A dataset of your own\n")
    lines = section.partition("\n## ")[0].splitlines()
    monkeypatch.setitem(data_configs.DATASETS, "mine", None)  # taken out again afterwards
    monkeypatch.chdir(tmp_path)
    Path("DIR/mit").mkdir(parents=True)
    beats, labels = (part.squeeze().numpy() for part in toy_beats(10, 5))
    names = {"torch": torch, "beats": beats, "labels": labels, **vars(data_configs)}
    exec("\n".join(line[4:] for line in lines if line.startswith("    ")), names)
    assert load_splits(Path("DIR"), data_configs.mit(), ["train"])["train"].class_counts("NSVFQ") == dict.fromkeys(
        "NSVFQ", 2
    )
    main.run(["--dataset", "mine", "--num_epochs", "1", "--data_path", str(data), "--save_dir", str(tmp_path / "out")])
    (tested,) = (tmp_path / "out" / "mine").glob("*/seed_0/test_best.json")
    assert json.loads(tested.read_text())["classes"] == ["normal", "early", "late"]


@pytest.mark.parametrize("loss", ["hard_class", "sqrt_ce"])
def test_a_hard_class_that_is_none_is_told_where_a_loss_needs_it(loss: str) -> None:
    recipe = dataclasses.replace(hparams.supervised(), loss=loss)
    for name, classes in (("another", ("A", "Q")), ("mit", ("N", "Q"))):
        configs = DatasetConfig(name, classes, hard_class="Z")
        with pytest.raises(InputError, match=f"^hard_class Z: is not a class of {name}, [ANSVFQ ]*; name one"):
            loss_weights(configs, recipe, torch.tensor([0, 1]))


def test_a_hard_class_that_is_left_out() -> None:
    """It is all that one loss weighs; in another, Q then weighs by its own beats."""
    configs, labels = data_configs.mit(classes=("N", "V", "Q")), labels_of([8, 4, 1])
    with pytest.raises(InputError, match=r"^--loss hard_class: weighs class S higher, which --classes leaves out"):
        loss_weights(configs, dataclasses.replace(hparams.supervised(), loss="hard_class"), labels)
    weight = loss_weights(configs, dataclasses.replace(hparams.supervised(), loss="sqrt_ce"), labels)
    assert weight.tolist() == pytest.approx([(13 / beats) ** 0.5 for beats in (8, 4, 1)])


def test_class_weights_of_the_papers_counts() -> None:
    weights = get_class_weights(labels_of(list(PAPER_COUNTS.values())), "NSVFQ")
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, torch.tensor([1, 3.48433, 2.52744, 4.72790, 2.42213]), rtol=0, atol=1e-4)


def test_class_weights_are_at_least_one() -> None:
    assert get_class_weights(labels_of([10, 9, 5]), "NSV").tolist() == [1, 1, 1]


@pytest.mark.parametrize("loss", ["cal", "weighted_ce"])
def test_an_absent_class_is_an_error_that_names_it(mit: DatasetConfig, loss: str) -> None:
    recipe = dataclasses.replace(hparams.supervised(), loss=loss)
    said = "no beat of class F, whose weight in this loss would be infinite: take --loss cross_entropy or focal, or"
    with pytest.raises(InputError, match=said):
        loss_weights(mit, recipe, labels_of([5, 5, 5, 0, 5]))
    with pytest.raises(InputError, match="no beat of class Q"):
        loss_weights(mit, recipe, labels_of([5, 5, 5, 5]))


def test_missing_splits_name_the_command_that_makes_them(tmp_path: Path, mit: DatasetConfig) -> None:
    with pytest.raises(InputError) as error:
        data_generator(tmp_path, mit, None, 0)
    assert str(error.value) == (
        f"{tmp_path}/mit: no train.pt, val.pt, test.pt; give --data_path the folder that holds mit/train.pt, or make "
        f"them with `python -m preprocess --dataset mit --out {tmp_path} --source physionet` (or: --source synthetic, "
        "--raw_path DIR; --split inter_patient for new patients)"
    )
    with pytest.raises(InputError, match=f"--dataset mit --split inter_patient --out '{tmp_path}/a b' --source"):
        data_generator(tmp_path / "a b", data_configs.mit(context="rhythm"), None, 0)


def test_a_folder_of_split_files_is_not_that_of_datasets(tmp_path: Path, mit: DatasetConfig) -> None:
    write_toy_splits(tmp_path, "mit")
    with pytest.raises(InputError, match=f"holds the split files itself; give --data_path {tmp_path}$"):
        data_generator(tmp_path / "mit", mit, None, 0)
    with pytest.raises(InputError, match=r"train.pt: is a file; give the folder that holds mit/train.pt"):
        data_generator(tmp_path / "mit" / "train.pt", mit, None, 0)
    (tmp_path / "mit").rename(tmp_path / "own")
    with pytest.raises(InputError, match=f"holds the split files itself; move them into {tmp_path}/own/mit$"):
        data_generator(tmp_path / "own", mit, None, 0)


def changed(path: Path, **entries: object) -> None:
    torch.save(torch.load(path, weights_only=True) | entries, path)


def test_one_split_is_asked_for_in_a_list(tmp_path: Path, mit: DatasetConfig) -> None:
    with pytest.raises(InputError, match=r"^split t: unknown; choose from train, val, test; give a list of them"):
        load_splits(write_toy_splits(tmp_path, "mit"), mit, "test")


def test_files_of_two_draws_do_not_go_together(tmp_path: Path, mit: DatasetConfig) -> None:
    """Else beats of the test would have been trained on."""
    folder = write_toy_splits(tmp_path, "mit") / "mit"
    assert set(load_splits(tmp_path, mit)) == {"train", "val", "test"}
    changed(folder / "test.pt", seed=5)
    with pytest.raises(InputError, match=r"train.pt has seed 'None', test.pt has '5'; make all three"):
        load_splits(tmp_path, mit)
    for first, other in itertools.combinations(("train", "val", "test"), 2):
        write_toy_splits(tmp_path, "mit")
        one, two = (load_split(folder / f"{name}.pt", mit) for name in (first, other))
        positions = torch.cat([one.positions[:7], two.positions[7:]])
        changed(folder / f"{other}.pt", positions=positions, records=torch.zeros(len(two)))
        with pytest.raises(InputError, match=rf"7 beats are in both {first}.pt and {other}.pt, by record and position"):
            load_splits(tmp_path, mit)


def test_files_that_have_changed_their_names_are_refused(tmp_path: Path, mit: DatasetConfig) -> None:
    folder = write_toy_splits(tmp_path, "mit") / "mit"
    changed(folder / "test.pt", split="test")
    shutil.copyfile(folder / "test.pt", folder / "train.pt")
    with pytest.raises(InputError, match=r"train.pt: its entry 'split' says test"):
        load_splits(tmp_path, mit)
    (folder / "train.pt").rename(folder / "mine.pt")  # no name of a split: nothing is mistaken
    assert len(load_split(folder / "mine.pt", mit)) == 25


@given(
    counts=st.lists(st.integers(0, 300), min_size=2, max_size=6).filter(lambda counts: sum(c > 0 for c in counts) > 0),
    share=st.floats(0, 1),
    seed=st.integers(0, 5),
)
def test_stratified_subset(counts: list[int], share: float, seed: int) -> None:
    labels = labels_of(counts)
    present = sum(count > 0 for count in counts)
    size = present + round(share * (len(labels) - present))
    chosen = stratified_subset(labels, size, len(counts), seed)
    assert len(chosen) == size == len(chosen.unique())
    assert torch.equal(chosen, chosen.sort().values)
    taken = torch.bincount(labels[chosen], minlength=len(counts))
    for count, part in zip(counts, taken.tolist(), strict=True):
        assert part <= count
        assert (part > 0) == (count > 0)
        assert part <= count * size / len(labels) + 1
        assert part >= min(count, count * size / len(labels) - len(counts))


def test_stratified_subset_of_impossible_size() -> None:
    for size in (2, 31):
        with pytest.raises(InputError, match="--limit_train must be 3 to 30, got "):
            stratified_subset(labels_of([10, 10, 10]), size, 3, 0)


@pytest.mark.parametrize("recipe", ["supervised", "notes"])
@pytest.mark.parametrize("beats", [1, 59, 600])
def test_an_epoch_sees_each_beat_once(recipe: str, beats: int) -> None:
    settings = hparams.get_hparams_class(recipe)()
    samples, labels = toy_beats(beats, 5)
    split = Split(samples, labels, records=torch.arange(beats) % 4, positions=torch.arange(beats))
    batches = Batches(split, settings, seed=1)
    first, second = ([*batches.order(epoch)] for epoch in (1, 2))
    assert len(first) == len(batches)
    assert sorted(torch.cat(first).tolist()) == list(range(beats))
    assert all(torch.equal(a, b) for a, b in zip(first, batches.order(1), strict=True))
    if beats == 600:  # of notes 40 sequences
        assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]


def test_notes_sequences_are_consecutive_beats_of_one_record() -> None:
    generator = torch.Generator().manual_seed(0)
    records = torch.randint(0, 3, (200,), generator=generator)
    positions = torch.randperm(200, generator=generator) * 250
    samples, labels = toy_beats(200, 5)
    split = Split(samples, labels, records=records, positions=positions)
    sequences = consecutive_sequences(split, 15)
    for sequence in sequences:
        assert len(records[sequence].unique()) == 1
        own = positions[records == records[sequence[0]]].sort().values.tolist()
        start = own.index(int(positions[sequence[0]]))
        assert positions[sequence].tolist() == own[start : start + len(sequence)]
    assert sum(len(sequence) == 15 for sequence in sequences) == sum(
        int((records == record).sum()) // 15 for record in range(3)
    )
    batch = Batches(split, hparams.notes(), seed=0).order(1)[0]
    assert len(batch) <= 20 * 15


def test_notes_need_records(toy_data: Path, tmp_path: Path, mit: DatasetConfig) -> None:
    splits = data_generator(write_toy_splits(tmp_path, "mit", records=False), mit, None, 0)
    with pytest.raises(InputError, match="'records' and 'positions'"):
        Batches(splits["train"], hparams.notes(), seed=0)


def balanced(split: Split, seed: int, batch_size: int = 16) -> Batches:
    recipe = dataclasses.replace(hparams.supervised(), sampler="balanced", batch_size=batch_size)
    return Batches(split, recipe, seed)


@settings(max_examples=25)
@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=6), seed=st.integers(0, 2**32 - 1))
def test_balanced_draws_every_class_and_in_it_every_beat_equally_often(counts: list[int], seed: int) -> None:
    labels = labels_of(counts)
    batches = balanced(Split(torch.zeros(len(labels), 1, 4), labels), seed)
    epochs = [batches.order(epoch) for epoch in range(1, 1 + -(-20_000 // len(labels)))]
    assert all(len(epoch) == len(batches) == -(-len(labels) // 16) for epoch in epochs)
    assert all(len(torch.cat(epoch)) == len(labels) for epoch in epochs)
    drawn = torch.cat([torch.cat(epoch) for epoch in epochs])
    for group, share in ((labels, 1 / len(counts)), (torch.arange(len(labels)), None)):
        p = 1 / (len(counts) * torch.tensor(counts)[labels].double()) if share is None else share
        seen = torch.bincount(group[drawn], minlength=int(group.max()) + 1).double()
        sd = (len(drawn) * torch.as_tensor(p) * (1 - torch.as_tensor(p))).sqrt()
        assert ((seen - len(drawn) * p).abs() < 6.5 * sd + 1).all()  # passed by chance alone in all but 1e-10 of cases


@pytest.mark.parametrize("sampler", [name for name in hparams.SAMPLERS if name != "shuffle"])
def test_no_sampler_trains_on_every_beat_once_as_shuffle_does(mit: DatasetConfig, sampler: str) -> None:
    split = Split(*toy_beats(100, 5)).subset(torch.arange(100) % 10 != 1)
    recipe = dataclasses.replace(hparams.supervised(), sampler=sampler)
    trained_on = training_beats({"train": split}, mit, recipe, None, 0)
    visited = torch.cat(Batches(trained_on, recipe, seed=0).order(1))
    assert visited.sort().values.tolist() != [*range(len(split))]


def test_balanced_depends_on_seed_and_epoch_alone() -> None:
    split = Split(*toy_beats(200, 5))
    one, again, other = (torch.cat(balanced(split, seed).order(3)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, torch.cat(balanced(split, 1).order(4)))


def test_a_thinned_class_gives_a_quarter_of_its_beats_rounded_up() -> None:
    assert [thinned_to(beats) for beats in (0, 1, 4, 5, 8, 9, 72471)] == [0, 1, 1, 2, 2, 3, 18118]


@pytest.mark.parametrize(
    ("q_beats", "expected"),
    [
        (1, 1000 / 40),  # rarer than S: it weighs as S does by its own 40 beats
        (40, 1000 / 40),
        (160, 1000 / 160),  # commoner: by its own
    ],
)
@pytest.mark.parametrize("context", ["none", "rhythm"])
def test_q_weighs_no_more_than_the_hard_class(q_beats: int, expected: float, context: str) -> None:
    """Of 1000 beats; with a rhythm head N and S, of `pair` beats together, weigh as one class."""
    pair = 1000 - 100 - 20 - q_beats
    weight = shape_weights(labels_of([pair - 40, 40, 100, 20, q_beats]), data_configs.mit(context=context), power=0.5)
    n, s = (1000 / pair, 1000 / pair) if context == "rhythm" else (1000 / (pair - 40), 1000 / 40)
    assert weight.tolist() == pytest.approx([value**0.5 for value in (n, s, 10, 50, expected)], rel=1e-6)


def test_a_class_without_beats_weighs_as_if_it_had_one() -> None:
    """Not infinitely: validation may have one of its beats."""
    assert inverse_power_weights(torch.tensor([8, 1, 0]), power=1.0).tolist() == [9 / 8, 9, 9]


def test_a_part_of_a_split_keeps_what_belongs_to_each_beat() -> None:
    every = torch.arange(6)
    split = Split(every.float()[:, None, None], every, every.float()[:, None], records=every, positions=every)
    part = split.subset(torch.tensor([4, 1]))
    of_array = split.subset(np.array([4, 1]))
    for beats, expected in ((part, [4, 1]), (of_array, [4, 1]), (join_splits(part, split), [4, 1, 0, 1, 2, 3, 4, 5])):
        for name in ("samples", "labels", "context", "records", "positions"):
            assert getattr(beats, name).flatten().tolist() == expected, name


def test_shuffle_keeps_its_order() -> None:
    """Runs of earlier versions resume with the batches that they would have seen."""
    order = torch.cat(Batches(Split(*toy_beats(12, 5)), hparams.supervised(), seed=3).order(2))
    expected = torch.randperm(12, generator=torch.Generator().manual_seed(3 * 1_000_003 + 2))
    assert torch.equal(order, expected)


@settings(max_examples=15)
@given(
    counts=st.lists(st.just(0) | st.integers(2, 14), min_size=5, max_size=5).filter(any), seed=st.integers(0, 2**32 - 1)
)
def test_smote_fills_every_class_with_beats_between_its_own(counts: list[int], seed: int) -> None:
    labels = labels_of(counts)[torch.randperm(sum(counts), generator=torch.Generator().manual_seed(seed % 1000))]
    samples = torch.randn(len(labels), 1, 8, generator=torch.Generator().manual_seed(seed % 1000))
    split = Split(samples, labels, records=labels, positions=labels, record_names=("a",) * 5, source="synthetic")
    more, again = (oversample(split, data_configs.mit(), seed) for _ in range(2))
    assert more.fingerprint() == again.fingerprint()
    assert [*more.class_counts("NSVFQ").values()] == [max(counts) if count else 0 for count in counts]
    assert torch.equal(more.samples[: len(split)], samples)
    assert torch.equal(more.labels[: len(split)], labels)
    assert (more.samples.dtype, more.labels.dtype, more.source) == (torch.float32, torch.int64, "synthetic")
    assert more.records is None
    assert more.positions is None
    for label, count in enumerate(counts):
        old = samples[labels == label].squeeze(1).double()
        new = more.samples[len(split) :][more.labels[len(split) :] == label].squeeze(1).double()
        if not len(new):
            continue
        neighbours = torch.cdist(old, old).argsort(dim=1)[:, 1 : 1 + min(5, count - 1)]
        step = old[neighbours] - old[:, None]  # (count, k, L)
        offset = new[:, None, None] - old[:, None]  # (new, count, 1, L)
        along = ((offset * step).sum(-1) / step.square().sum(-1)).clamp(0, 1)  # (new, count, k)
        distance = (offset - along[..., None] * step).norm(dim=-1)
        assert (distance.flatten(1).min(dim=1).values < 1e-5).all()


@pytest.mark.parametrize(("beats", "lines"), [(6, 15), (4, 6)])
def test_smote_goes_towards_each_of_five_neighbours_or_of_all(mit: DatasetConfig, beats: int, lines: int) -> None:
    """As many lines are between beats that are equally far from one another."""
    samples = torch.cat([torch.zeros(200, 1, 6), torch.eye(6)[:beats].unsqueeze(1)])
    new = oversample(Split(samples, labels_of([200, beats])), mit, 0).samples[200 + beats :]
    assert len((new > 0).squeeze(1).unique(dim=0)) == lines


def test_smote_of_another_seed_makes_other_beats(mit: DatasetConfig) -> None:
    split = Split(*toy_beats(28, 5))
    assert oversample(split, mit, 0).fingerprint() != oversample(split, mit, 1).fingerprint()


def test_smote_needs_two_beats_of_a_class_and_no_context(mit: DatasetConfig) -> None:
    beats = Split(torch.zeros(9, 1, 4), labels_of([3, 2, 1, 2, 1]))
    with pytest.raises(InputError, match="class V has a single training beat"):
        oversample(beats, mit, 0)
    with pytest.raises(InputError, match="interpolates beats, but not their context; use --context none"):
        oversample(dataclasses.replace(beats, context=torch.zeros(9, 1)), mit, 0)


def test_smote_without_imbalanced_learn(mit: DatasetConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs imbalanced-learn: pip install"):
        oversample(Split(*toy_beats(12, 5)), mit, 0)

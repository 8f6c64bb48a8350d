"""The network that sees the rhythm around a beat: its heads, their training, folds by patient."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_beats
from hypothesis import given, settings
from hypothesis import strategies as st

import data_configs
import hparams
import main
import rhythm
import trainer
from data_configs import MORPHOLOGY_FEATURES, RHYTHM_FEATURES, DatasetConfig
from dataloader import THINNING, Batches, join_splits, load_splits
from hparams import RunConfig, TrainingConfig
from losses import loss_weights
from models import RhythmHead, Standardise, ecgTransForm
from preprocess import splits
from preprocess.context import CONTEXT_NAMES
from rhythm import beats_by_database, fit_context, fit_ensemble, shape_labels, with_unnamed_classes
from split_file import Split, load_split
from support.errors import InputError
from support.files import read_json
from trainer import Trainer
from utils import load_checkpoint

COLUMN = {name: number for number, name in enumerate(CONTEXT_NAMES)}


@pytest.fixture
def configs() -> DatasetConfig:
    return dataclasses.replace(data_configs.mit(context="rhythm"), feedforward_dim=64)


@pytest.fixture
def recipe() -> TrainingConfig:
    quick = hparams.ContextConfig(members=2, rhythm_epochs=4, shape_epochs=4)
    return dataclasses.replace(hparams.new_patients(), num_epochs=2, batch_size=32, heads=quick)


def contents(count: int = 200, seed: int = 0, databases: tuple[str, ...] = ("one", "two")) -> dict[str, Any]:
    """A split file whose S beats are N beats that come early, of two records."""
    generator = torch.Generator().manual_seed(seed)
    samples, labels = toy_beats(count, 5, seed=seed)
    of_n = toy_beats(count * 5, 5, seed=seed + 1)[0][::5][:count]  # waves of class N
    samples = torch.where((labels == 1)[:, None, None], of_n, samples)
    context = torch.randn(count, len(CONTEXT_NAMES), generator=generator)
    context[:, COLUMN["prematurity10"]] += 8 * (labels == 1)
    return {
        "samples": samples,
        "labels": labels,
        "context": context,
        "context_names": list(CONTEXT_NAMES),
        "difference": samples[:, 0].half(),
        "records": torch.arange(count) % 2,
        "positions": (torch.arange(count) + 1000 * seed) * 300,
        "record_names": ["a", "b"],
        "databases": list(databases),
        "source": "synthetic",
        "protocol": "inter_patient",
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "mit").mkdir()
    for seed, name in enumerate(("train", "val", "test")):
        torch.save(contents(seed=seed), tmp_path / "mit" / f"{name}.pt")
    return tmp_path


@pytest.fixture
def train(data: Path, configs: DatasetConfig) -> Split:
    return load_split(data / "mit" / "train.pt", configs)


# ---------------------------------------------------------------------------------------------------- the network


def test_features_of_both_heads_are_made_by_preprocess() -> None:
    assert {*RHYTHM_FEATURES, *MORPHOLOGY_FEATURES} <= {*CONTEXT_NAMES}


@pytest.mark.parametrize("classes", ["NSVFQ", "VSQNF"])
def test_probabilities_are_those_of_the_two_heads(
    classes: str, configs: DatasetConfig, recipe: TrainingConfig, train: Split
) -> None:
    model = ecgTransForm(dataclasses.replace(configs, classes=tuple(classes)), recipe).eval()
    pair = [classes.index(name) for name in "NS"]
    others = [place for place in range(5) if place not in pair]
    x, context = train.inputs(slice(20))
    log_p = model(x, context)
    by_shape = model.clf(model.features(x), context).exp()  # NS, then the others
    of_pair = model.rhythm(context).exp()  # N, S
    assert torch.allclose(log_p.exp().sum(dim=1), torch.ones(20), atol=1e-5)
    assert torch.allclose(log_p.exp()[:, pair], by_shape[:, :1] * of_pair, atol=1e-6)
    assert torch.allclose(log_p.exp()[:, others], by_shape[:, 1:], atol=1e-6)


def test_rhythm_head_sees_its_own_features_alone(configs: DatasetConfig, recipe: TrainingConfig, train: Split) -> None:
    model: Any = ecgTransForm(configs, recipe).eval()
    _, context = train.inputs(slice(20))
    other = context.clone()
    for number, name in enumerate(configs.context_features):
        if name not in RHYTHM_FEATURES:
            other[:, number] += 1
    assert torch.equal(model.rhythm(context), model.rhythm(other))
    assert not torch.equal(model.clf.ensemble(context), model.clf.ensemble(other))


def test_ensemble_is_the_mean_of_its_members(configs: DatasetConfig, recipe: TrainingConfig, train: Split) -> None:
    head = RhythmHead(configs, recipe.heads).eval()
    _, context = train.inputs(slice(20))
    x = head.standardise(context[:, head.columns])
    each = []
    for member in range(2):
        h = x[member]
        for layer, (weight, bias) in enumerate(zip(head.weights, head.biases, strict=True)):
            h = (torch.relu(h) if layer else h) @ weight[member] + bias[member]
        each.append(h.softmax(dim=1))
    assert torch.allclose(head(context).exp(), torch.stack(each).mean(dim=0), atol=1e-6)


def test_members_begin_as_linear_layers_of_torch_do(configs: DatasetConfig) -> None:
    head = RhythmHead(configs, hparams.ContextConfig())
    for weight, bias in zip(head.weights, head.biases, strict=True):
        _, inputs, outputs = weight.shape
        layers = torch.stack([torch.nn.Linear(inputs, outputs).weight for _ in weight])
        assert weight.abs().max().item() == pytest.approx(layers.abs().max().item(), rel=0.03)
        assert 0.3 * inputs**-0.5 < bias.abs().max() <= inputs**-0.5


def test_network_learns_alone_and_answers_with_the_ensemble(
    configs: DatasetConfig, recipe: TrainingConfig, train: Split
) -> None:
    model = ecgTransForm(configs, dataclasses.replace(recipe, dropout=0.0, encoder_dropout=0.0)).eval()
    head: Any = model.clf
    x, context = train.inputs(slice(20))
    features = model.features(x)
    both = head(features, context).exp()
    head.training = True
    alone = head(features, context).exp()
    assert torch.allclose(both, (alone + head.ensemble(context).exp()) / 2, atol=1e-6)
    assert not torch.allclose(both, alone, atol=1e-4)


def test_frozen_ensembles_drop_nothing_while_the_network_trains(
    configs: DatasetConfig, recipe: TrainingConfig, train: Split
) -> None:
    model: Any = ecgTransForm(configs, recipe)
    _, context = train.inputs(slice(20))
    for ensemble in (model.rhythm, model.clf.ensemble):
        assert torch.equal(ensemble.train()(context), ensemble.eval()(context))
        x = ensemble.standardise(context[:, ensemble.columns])
        assert not torch.equal(ensemble.logits(x, drop=True), ensemble.logits(x))


def test_every_parameter_but_the_ensembles_gets_a_gradient(
    configs: DatasetConfig, recipe: TrainingConfig, train: Split
) -> None:
    model = ecgTransForm(configs, recipe)
    model(*train.inputs(slice(64))).square().sum().backward()
    for name, parameter in model.named_parameters():
        of_ensemble = name.startswith(("rhythm.", "clf.ensemble."))
        assert (parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)) != of_ensemble, name


def test_the_ablation_has_one_part_of_the_context(recipe: TrainingConfig, data: Path) -> None:
    file = torch.load(data / "mit" / "train.pt", weights_only=True)
    for context, features in {"rhythm_only": RHYTHM_FEATURES, "dominant": MORPHOLOGY_FEATURES}.items():
        configs = dataclasses.replace(data_configs.mit(context=context), feedforward_dim=64)
        split = load_split(data / "mit" / "train.pt", configs)
        seen = file["samples"] if context == "rhythm_only" else file["difference"].float().unsqueeze(1)
        assert torch.equal(split.samples, seen)
        assert configs.context_features == features
        model = ecgTransForm(configs, recipe)
        fit_context(model, split, configs, recipe, 0)
        out = model.eval()(*split.inputs(slice(20)))
        assert out.shape == (20, 5)
        with pytest.raises(InputError, match=r"takes a context \(B, \d+\).*, got None"):
            model(split.samples[:20])
        wider = torch.cat([split.context, split.context[:, :1]], dim=1)  # of another network: it would be read wrongly
        with pytest.raises(InputError, match=rf"takes a context \(B, {len(features)}\)"):
            model(split.samples[:20], wider[:20])
        if context == "rhythm_only":
            by_shape = model.clf(model.features(split.samples[:20])).softmax(dim=1)  # NS, V, F, Q
            of_pair = model.rhythm(split.context[:20]).exp()  # N, S
            assert torch.allclose(out.exp()[:, :2], by_shape[:, :1] * of_pair, atol=1e-6)
            assert torch.allclose(out.exp()[:, 2:], by_shape[:, 1:], atol=1e-6)
        else:
            assert not hasattr(model, "rhythm")
    with pytest.raises(InputError, match="--context rhythm_only: ptb with classes normal infarction has no two"):
        data_configs.ptb(context="rhythm_only")


def test_without_s_or_n_there_is_no_rhythm_head(recipe: TrainingConfig, data: Path) -> None:
    for classes in (("N", "V", "F"), ("S", "V")):
        configs = data_configs.mit(classes=classes, context="rhythm")
        model: Any = ecgTransForm(configs, recipe)
        split = load_split(data / "mit" / "train.pt", configs)
        assert not hasattr(model, "rhythm")
        assert model(*split.inputs(slice(7))).shape == (7, len(classes))
        fit_context(model, split, configs, recipe, 0)
        assert bool(model.clf.standardise.mean.abs().sum() > 0)


def test_ptb_takes_the_morphology_head_alone(recipe: TrainingConfig) -> None:
    configs = data_configs.ptb(context="rhythm")
    out = ecgTransForm(configs, recipe)(torch.randn(3, 1, 186), torch.randn(3, len(configs.context_features)))
    assert configs.context_features == MORPHOLOGY_FEATURES
    assert out.shape == (3, 2)


@given(st.integers(3, 30), st.integers(0, 2**31))
@settings(max_examples=25)
def test_standardised_features_have_mean_zero_and_variance_one(count: int, seed: int) -> None:
    features = 5 + 3 * torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    features[:, 3] = 2.0  # constant
    standardise = Standardise(4)
    standardise.fit(features)
    seen = standardise(features)
    if not bool((seen.abs() == 4).any()):  # clipped
        assert torch.allclose(seen.mean(dim=0), torch.zeros(4), atol=1e-4)
        assert torch.allclose(seen.var(dim=0, correction=0), torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=1e-2)
    assert torch.equal(seen[:, 3], torch.zeros(count))
    assert bool((seen.abs() <= 4).all())


def test_features_far_from_the_training_beats_are_clipped() -> None:
    standardise = Standardise(1)
    standardise.fit(torch.tensor([[1.0], [3.0]]))  # mean 2, standard deviation 1
    assert standardise(torch.tensor([[-9.0], [-1.0], [5.0], [9.0]])).flatten().tolist() == [-4, -3, 3, 4]


# ------------------------------------------------------------------------------------------------- fitting the heads


def test_rhythm_head_learns_and_repeats_itself(
    configs: DatasetConfig, recipe: TrainingConfig, train: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = dataclasses.replace(recipe.heads, rhythm_epochs=200, shape_epochs=10, batch_size=32)
    recipe = dataclasses.replace(recipe, heads=quick)
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        model = ecgTransForm(configs, recipe)
        before = torch.get_rng_state()
        with monkeypatch.context() as patch:
            patch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("the generators of GPUs moved"))
            learnt = fit_context(model, train, configs, recipe, seed=0)
        assert torch.equal(before, torch.get_rng_state()), "the run's generator moved"
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    assert learnt == {"one": 100, "two": 100}
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    pair = train.labels < 2
    called = model.eval().rhythm(train.context[pair]).argmax(dim=1)
    assert float((called == train.labels[pair]).float().mean()) > 0.95


def head_at_zero(configs: DatasetConfig, plain: hparams.ContextConfig) -> RhythmHead:
    """A rhythm head whose answer is 1/2 to everything, since all its weights are 0."""
    head = RhythmHead(configs, plain)
    for parameter in head.parameters():
        parameter.zero_()
    return head


@pytest.mark.parametrize(("rare", "moves"), [(4, False), (3, True), (1, True)])
def test_a_thinned_beat_stands_for_four(configs: DatasetConfig, rare: int, moves: bool) -> None:
    """Of 4 common beats, all alike, one is taken and weighs 4: beside 4 of the other class 1/2 is the best answer."""
    plain = hparams.ContextConfig(members=1, dropout=0.0, noise=0.0)
    head = head_at_zero(configs, plain)
    labels = torch.tensor([0] * 4 + [1] * rare)
    context = torch.zeros(len(labels), len(configs.context_features))
    fit_ensemble(head, context, labels, torch.ones(len(labels)), labels == 0, plain, num_epochs=1)
    assert bool(head.biases[-1].any()) == moves
    assert not moves or head.biases[-1][0, 0, 0] > 0 > head.biases[-1][0, 0, 1]  # towards the common class


def test_ensembles_learn_from_features_with_noise(configs: DatasetConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of 0 are seen with noise of the deviation that is set, another for every member, beat and column.

    Units are dropped, as never afterwards.
    """
    plain = hparams.ContextConfig(members=2, dropout=0.0, noise=0.15)
    head, seen = head_at_zero(configs, plain), []
    whole = head.logits
    monkeypatch.setattr(head, "logits", lambda x, drop=False: seen.append((x.detach(), drop)) or whole(x, drop=drop))
    labels = torch.arange(200) % 2
    torch.manual_seed(0)
    context = torch.zeros(200, len(configs.context_features))
    fit_ensemble(head, context, labels, torch.ones(200), torch.zeros(200, dtype=torch.bool), plain, num_epochs=1)
    ((noise, drop),) = seen
    assert drop
    assert noise.shape == (2, 200, len(RHYTHM_FEATURES))
    assert len(noise.unique()) > 0.99 * noise.numel()
    assert float(noise.mean()) == pytest.approx(0, abs=5 * 0.15 / noise.numel() ** 0.5)
    assert float(noise.std()) == pytest.approx(0.15, abs=5 * 0.15 / (2 * noise.numel()) ** 0.5)


def test_ensembles_learn_by_adamw_over_one_cycle(configs: DatasetConfig) -> None:
    """Weights on features that are all 0 have no gradient: what is left of them is what the weight decay leaves."""
    plain = hparams.ContextConfig(members=1, dropout=0.0, noise=0.0, batch_size=8, learning_rate=0.5, weight_decay=0.2)
    torch.manual_seed(0)
    head = RhythmHead(configs, plain)
    before = head.weights[0].clone()
    labels = torch.arange(8) % 2
    context = torch.zeros(8, len(configs.context_features))
    fit_ensemble(head, context, labels, torch.ones(8), labels == 2, plain, num_epochs=10)  # 10 steps
    rise, fall = ((1 - np.cos(np.pi * np.arange(steps + 1) / steps)) / 2 for steps in (2, 7))
    rates = 0.5 * np.concatenate([(1 + 24 * rise) / 25, (1 - fall)[1:]])
    torch.testing.assert_close(head.weights[0], before * float(np.prod(1 - 0.2 * rates)))


def test_each_member_takes_other_common_beats_in_another_order(
    configs: DatasetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each of two epochs two members see all of 8 rare beats and 6 of 24 common ones, in batches of 8 and 6."""
    plain = hparams.ContextConfig(members=2, dropout=0.0, noise=0.0, batch_size=8)
    head, seen = RhythmHead(configs, plain), []
    whole = head.logits
    monkeypatch.setattr(head, "logits", lambda x, drop: seen.append(x.detach()[:, :, 0]) or whole(x, drop=drop))
    context = torch.arange(32.0)[:, None].repeat(1, len(configs.context_features))
    labels = (torch.arange(32) >= 24).long()
    fit_ensemble(head, context, labels, torch.ones(32), labels == 0, plain, num_epochs=2)
    assert [batch.shape[1] for batch in seen] == [8, 6, 8, 6]
    epochs = [torch.cat(seen[first : first + 2], dim=1) for first in (0, 2)]
    mean, scale = head.standardise.mean[0, 0, 0], head.standardise.scale[0, 0, 0]
    beats = (torch.cat(epochs) * scale + mean).round().int().tolist()
    rare = [*range(24, 32)]
    commons = {tuple(sorted({*order} - {*rare})) for order in beats}
    assert len(commons) == 4
    assert {len(common) for common in commons} == {6}
    for order in beats:
        assert len({*order}) == 14
        assert {*rare} < {*order}
        assert order[:8] != rare


def test_ensembles_are_drawn_by_the_seed(configs: DatasetConfig, recipe: TrainingConfig, train: Split) -> None:
    model: Any = ecgTransForm(configs, recipe)
    states = []
    for seed in (0, 0, 1):
        fit_context(model, train, configs, recipe, seed)
        states.append([weight.clone() for weight in (*model.rhythm.weights, *model.clf.ensemble.weights)])
    for one, again, other in zip(*states, strict=True):
        assert torch.equal(one, again)
        assert not torch.equal(one, other)


def test_what_each_ensemble_learns_from(
    configs: DatasetConfig, recipe: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 beats, 12 of N, 4 of S, 2 of V, 1 of F and 1 of Q: N and S are one class to the shape, of 16 beats."""
    given: list[tuple[Any, ...]] = []
    monkeypatch.setattr(rhythm, "fit_ensemble", lambda *arguments: given.append(arguments))
    labels = torch.repeat_interleave(torch.arange(5), torch.tensor([12, 4, 2, 1, 1]))
    split = Split(torch.zeros(20, 1, 186), labels, context=torch.zeros(20, len(configs.context_features)))
    heads = dataclasses.replace(recipe.heads, rhythm_weight_power=1.0, shape_weight_power=0.5, shape_epochs=3)
    fit_context(ecgTransForm(configs, recipe), split, configs, dataclasses.replace(recipe, heads=heads), seed=0)
    by_shape, by_rhythm = given
    _, _, target, weight, thinned, _, epochs = by_shape
    assert (target.tolist(), epochs) == ([0] * 16 + [1, 1, 2, 3], 3)
    expected = [20 / 16] * 16 + [20 / 2] * 2 + [20 / 1] + [20 / 4]  # Q weighs no more than S by itself
    assert weight.tolist() == pytest.approx([value**0.5 for value in expected])
    assert thinned.tolist() == [True] * 12 + [False] * 8
    _, context, target, weight, thinned, _, epochs = by_rhythm
    assert (len(context), target.tolist(), epochs) == (16, [0] * 12 + [1] * 4, 4)
    assert weight.tolist() == pytest.approx([16 / 12] * 12 + [16 / 4] * 4)
    assert thinned.tolist() == [True] * 12 + [False] * 4
    given.clear()
    fit_context(ecgTransForm(configs, recipe), split.subset(torch.arange(9, 20)), configs, recipe, seed=0)
    assert given[1][4].tolist() == [False] * 3 + [True] * 4  # S, where it is the commoner of the two


def test_each_member_learns_from_one_database(configs: DatasetConfig, recipe: TrainingConfig, data: Path) -> None:
    file = contents()
    file["context"][file["records"] == 1] += 100  # only database two
    torch.save(file, data / "mit" / "train.pt")
    model = ecgTransForm(configs, recipe)
    fit_context(model, load_split(data / "mit" / "train.pt", configs), configs, recipe, seed=0)
    means = model.rhythm.standardise.mean[:, 0].mean(dim=1)
    assert means[0] < 5
    assert means[1] > 50


def test_groups_are_databases_and_one_where_none_is_known(train: Split) -> None:
    groups = beats_by_database(train)
    assert list(groups) == ["one", "two"]
    assert groups["two"].tolist() == list(range(1, 200, 2))
    assert list(beats_by_database(train.subset(groups["two"]))) == ["two"]
    one = beats_by_database(dataclasses.replace(train, databases=()))
    assert len(one[""]) == 200


def test_a_database_borrows_the_beats_of_classes_that_it_does_not_name() -> None:
    """Of 100 beats class 2 is 8 of the first 40 and none of the others; class 1 is rarer there, but named."""
    labels = torch.zeros(100, dtype=torch.int64)
    labels[:8], labels[8:28], labels[40:55] = 2, 1, 1
    first, second = torch.arange(40), torch.arange(40, 100)
    assert with_unnamed_classes(first, labels, 4).equal(first)
    assert with_unnamed_classes(second, labels, 4).equal(torch.cat([second, torch.arange(8)]))
    everything = torch.arange(100)
    assert with_unnamed_classes(everything, labels, 4).equal(everything)  # one database: nobody to borrow from


@pytest.mark.parametrize(("beats", "named"), [(4, False), (6, True)])
def test_a_class_of_a_tenth_of_its_usual_share_is_not_named(beats: int, named: bool) -> None:
    """Of two databases of 1000 beats; the class has 100 in both, so 50 are its usual share, and 5 a tenth of it."""
    labels = torch.zeros(2000, dtype=torch.int64)
    labels[: 100 - beats], labels[1000 : 1000 + beats] = 1, 1
    second, borrowed = torch.arange(1000, 2000), torch.arange(0 if named else 100 - beats)
    assert with_unnamed_classes(second, labels, 2).equal(torch.cat([second, borrowed]))


def test_every_member_knows_a_class_that_one_database_names(
    configs: DatasetConfig, recipe: TrainingConfig, data: Path
) -> None:
    file = contents()
    labels, of_two = torch.as_tensor(file["labels"]), torch.as_tensor(file["records"]) == 1
    fusion = configs.classes.index("F")
    labels[of_two & (labels == fusion)] = 0
    file["labels"] = labels
    file["context"][labels == fusion] += 3
    torch.save(file, data / "mit" / "train.pt")
    train = load_split(data / "mit" / "train.pt", configs)
    recipe = dataclasses.replace(recipe, heads=dataclasses.replace(recipe.heads, shape_epochs=60, batch_size=32))
    model = ecgTransForm(configs, recipe)
    fit_context(model, train, configs, recipe, seed=0)
    ensemble: Any = model.clf.ensemble
    of_members = ensemble.logits(ensemble.standardise(train.context[train.labels == fusion][:, ensemble.columns]))
    as_shape = shape_labels(torch.tensor([fusion]), configs)
    assert bool((of_members.argmax(dim=2) == as_shape).float().mean(dim=1).gt(0.5).all())


def test_what_cannot_be_fitted_is_one_line(configs: DatasetConfig, recipe: TrainingConfig, data: Path) -> None:
    file = contents()
    file["labels"][(file["records"] == 1) & (file["labels"] == 1)] = 0
    torch.save(file, data / "mit" / "train.pt")
    model = ecgTransForm(configs, recipe)
    with pytest.raises(InputError, match="beats of two have none of class S"):
        fit_context(model, load_split(data / "mit" / "train.pt", configs), configs, recipe, 0)
    single = dataclasses.replace(recipe, heads=dataclasses.replace(recipe.heads, members=1))
    with pytest.raises(InputError, match="too few for 2 databases"):
        fit_context(ecgTransForm(configs, single), load_split(data / "mit" / "val.pt", configs), configs, single, 0)


# --------------------------------------------------------------------------------------------------- the split file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": None, "context_names": None, "difference": None}, "has no context of the beats: --context"),
        (
            {"context": None, "context_names": None, "difference": None, "records": None, "positions": None},
            "which beats that others have cut cannot have",
        ),
        ({"context_names": [f"other{k}" for k in range(len(CONTEXT_NAMES))]}, r"has no context of the beats \(log_pre"),
        ({"difference": torch.zeros(200, 187)}, "'difference' of shape"),
        ({"context": torch.full((200, len(CONTEXT_NAMES)), float("nan"))}, "'context' holds NaN"),
        ({"difference": torch.full((200, 186), float("inf"))}, "'difference' holds NaN or infinite"),
    ],
)
def test_damaged_context_is_one_line(data: Path, configs: DatasetConfig, change: dict[str, Any], message: str) -> None:
    file = {name: value for name, value in (contents() | change).items() if value is not None}
    torch.save(file, data / "mit" / "train.pt")
    with pytest.raises(InputError, match=message):
        load_split(data / "mit" / "train.pt", configs)


def test_columns_are_found_by_name(data: Path, configs: DatasetConfig, train: Split) -> None:
    file = contents()
    order = torch.randperm(len(CONTEXT_NAMES), generator=torch.Generator().manual_seed(1))
    file["context"] = file["context"][:, order]
    file["context_names"] = [CONTEXT_NAMES[number] for number in order]
    torch.save(file, data / "mit" / "train.pt")
    assert torch.equal(load_split(data / "mit" / "train.pt", configs).context, train.context)


def test_join_keeps_everything(train: Split) -> None:
    both = join_splits(train, train)
    assert len(both) == 400
    assert len(both.context) == 400
    assert torch.equal(both.inputs(slice(200, 400))[1], train.context)
    one, other = (dataclasses.replace(train, left_out=left_out) for left_out in ({"F": 3}, {"F": 4, "Q": 5}))
    assert join_splits(one, other).left_out == {"F": 7, "Q": 5}
    assert join_splits(one, train).left_out == {"F": 3}


@pytest.mark.parametrize("changed", [{"record_names": ["b", "a"]}, {"databases": ["two", "one"]}])
def test_splits_that_number_other_records_are_not_joined(data: Path, configs: DatasetConfig, changed: Any) -> None:
    torch.save(contents(seed=1) | changed, data / "mit" / "val.pt")
    with pytest.raises(InputError, match=rf"train.pt and val.pt have different '{next(iter(changed))}'"):
        load_splits(data, configs)


def test_thinned_epochs_visit_all_rare_beats_and_a_quarter_of_the_commonest(recipe: TrainingConfig) -> None:
    labels = torch.tensor([0] * 80 + [1] * 7 + [2] * 9)
    split = Split(torch.zeros(96, 1, 186), labels)
    batches = Batches(split, recipe, seed=3)
    first, second = (torch.cat(batches.order(epoch)) for epoch in (1, 2))
    for order in (first, second):
        assert torch.bincount(labels[order]).tolist() == [20, 7, 9]
        assert len(order.unique()) == len(order) == batches.beats
        assert {*labels[order[:16]].tolist()} == {0, 1, 2}  # classes are mixed
    assert first.sort().values.tolist() != second.sort().values.tolist()
    assert len(batches) == 2  # 36 beats in batches of 32


def test_a_thinned_class_of_a_few_beats_does_not_vanish(recipe: TrainingConfig) -> None:
    labels = torch.tensor([0, 0, 0, 1, 2])
    batches = Batches(Split(torch.zeros(5, 1, 186), labels), recipe, seed=3)
    order = torch.cat(batches.order(1))
    assert torch.bincount(labels[order]).tolist() == [1, 1, 1]
    assert len(order) == batches.beats


@pytest.mark.parametrize(("unknown", "weighs_as"), [(1, 40), (400, 400)])
def test_weights_are_inverse_roots(
    configs: DatasetConfig, recipe: TrainingConfig, unknown: int, weighs_as: int
) -> None:
    """Class Q weighs no more than S by its count."""
    counts = torch.tensor([800, 40, 100, 16, unknown])
    labels = torch.repeat_interleave(torch.arange(5), counts)
    weight = loss_weights(configs, recipe, labels)
    n = int(counts.sum())
    expected = [(n / 840) ** 0.5, (n / 840) ** 0.5, (n / 100) ** 0.5, (n / 16) ** 0.5, (n / weighs_as) ** 0.5]
    assert weight.tolist() == pytest.approx(expected, rel=1e-6)
    split = Split(torch.zeros(n, 1, 186), labels)
    in_training = Batches(split, recipe, seed=0).training_weights(weight).tolist()
    assert in_training == pytest.approx([THINNING * expected[0], *expected[1:]], rel=1e-6)


# ------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def quick_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe `new_patients` with ensembles of two networks that are trained for two epochs."""
    quick = hparams.ContextConfig(members=2, rhythm_epochs=2, shape_epochs=2)
    recipe = dataclasses.replace(hparams.new_patients(), heads=quick)
    monkeypatch.setitem(hparams.RECIPES, "new_patients", lambda: recipe)


@pytest.mark.usefixtures("small_runs", "quick_recipe")
def test_command_line_trains_tests_and_reloads(data: Path, tmp_path: Path) -> None:
    common = ["--data_path", str(data), "--save_dir", str(tmp_path / "logs")]
    main.run([*common, "--recipe", "new_patients", "--num_epochs", "2", "--run_description", "r"])
    folder = tmp_path / "logs" / "mit" / "r" / "seed_0"
    config = read_json(folder / "config.json")
    assert config["counts"]["trained_on"]["all"] == config["counts"]["train"]["all"] + config["counts"]["val"]["all"]
    checkpoint = load_checkpoint(folder / "checkpoint_best.pt")
    assert checkpoint.epoch == 2  # the last: validation chooses none
    assert checkpoint.configs.context == "rhythm"
    assert checkpoint.hparams.heads == hparams.RECIPES["new_patients"]().heads
    log = (folder / "train.log").read_text()
    assert "trained on too" in log
    learnt = "rhythm head and shape ensemble: trained on 200 beats of one, 200 beats of two\n"
    assert learnt in log.partition("epoch 1/2")[0]
    assert "test of the best checkpoint (epoch 2: after the last epoch, the one to quote)" in log
    assert re.search(r"test of the last checkpoint \(epoch 2: .*\), synthetic data .*: the same figures\n", log)
    assert "synthetic data (one, two), inter_patient split" in log
    main.run([*common, "--test", str(folder / "checkpoint_best.pt"), "--run_description", "t"])
    tested, trained = (
        read_json(path) for path in (tmp_path / "logs" / "mit" / "t" / "test.json", folder / "test_best.json")
    )
    assert tested["confusion_matrix"] == trained["confusion_matrix"]
    assert tested["loss"] == pytest.approx(trained["loss"], rel=1e-6)


@pytest.mark.usefixtures("small_runs", "quick_recipe")
def test_limit_train_counts_the_beats_of_train_and_validation(data: Path, tmp_path: Path) -> None:
    """Where validation is trained on too, N beats in all; and what cannot be trained leaves no folder."""
    given: Any = {"data_path": str(data), "save_dir": str(tmp_path / "logs"), "recipe": "new_patients", "num_epochs": 1}
    with pytest.raises(InputError, match="--limit_train must be 5 to 400, got 401"):
        Trainer(RunConfig(**given, limit_train=401)).train()
    with pytest.raises(InputError, match=r"have none of class [NS]"):
        Trainer(RunConfig(**given, limit_train=6)).train()  # one or two of each class for two databases
    assert not (tmp_path / "logs").exists()
    Trainer(RunConfig(**given, limit_train=240, run_description="r")).train()
    config = read_json(tmp_path / "logs" / "mit" / "r" / "seed_0" / "config.json")
    assert {name: counts["all"] for name, counts in config["counts"].items()} == {
        "train": 200,
        "val": 200,
        "test": 200,
        "trained_on": 240,
    }


@pytest.mark.usefixtures("small_runs", "quick_recipe")
def test_a_network_that_a_run_starts_from_keeps_its_heads(data: Path, tmp_path: Path) -> None:
    """Also on beats that they could not be fitted to: one of the two databases has no S."""
    given: Any = {"data_path": data, "save_dir": tmp_path, "recipe": "new_patients", "variant": "cnn", "num_epochs": 1}
    Trainer(RunConfig(**given, run_description="base")).train()
    for seed, name in enumerate(("train", "val")):
        file = contents(seed=seed)
        file["labels"][(file["records"] == 1) & (file["labels"] == 1)] = 0
        torch.save(file, data / "mit" / f"{name}.pt")
    Trainer(RunConfig(**given, run_description="tuned", init=str(tmp_path / "mit" / "base"))).train()
    paths = (tmp_path / "mit" / run / "seed_0" / "checkpoint_best.pt" for run in ("base", "tuned"))
    base, tuned = (load_checkpoint(path).model for path in paths)
    same = {name for name, value in base.items() if torch.equal(tuned[name], value)}
    assert same == {name for name in base if name.startswith(("rhythm.", "clf.ensemble.", "clf.standardise."))}


def test_context_is_an_option_of_every_recipe() -> None:
    assert RunConfig().effective_configs() == data_configs.get_dataset_class("mit")()  # with context none
    assert RunConfig(recipe="new_patients").effective_configs().context == "rhythm"
    assert RunConfig(recipe="new_patients", context="none").effective_configs().context == "none"
    assert RunConfig(context="rhythm").effective_configs().context == "rhythm"
    assert RunConfig(context="rhythm").effective_hparams().loss == "cal"
    with pytest.raises(InputError, match="--context flat: unknown; choose from none, rhythm_only"):
        RunConfig(context="flat").effective_configs()


def test_the_joint_classifier_sees_the_beat_and_the_whole_context(recipe: TrainingConfig, data: Path) -> None:
    for dataset in ("mit", "ptb"):  # one has a pair of classes for a rhythm head, the other has not
        configs = data_configs.get_dataset_class(dataset)(context="joint")
        assert set(configs.context_features) == {*RHYTHM_FEATURES, *MORPHOLOGY_FEATURES}
    configs = dataclasses.replace(data_configs.mit(context="joint"), feedforward_dim=64)
    split = load_split(data / "mit" / "train.pt", configs)
    assert torch.equal(split.samples, torch.load(data / "mit" / "train.pt", weights_only=True)["samples"])
    model: Any = ecgTransForm(configs, recipe)
    assert fit_context(model, split, configs, recipe, 0) == {}
    assert torch.allclose(model.clf.standardise.mean, split.context.mean(dim=0), atol=1e-6)
    out = model(*split.inputs(slice(64)))
    assert out.shape == (64, 5)
    out.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.abs().sum() > 0), name
    model.eval()
    whole = model(*split.inputs(slice(20)))
    for column in range(len(configs.context_features)):
        changed = split.context[:20].clone()
        changed[:, column] += 1
        assert not torch.equal(model(split.samples[:20], changed), whole), configs.context_features[column]
    with pytest.raises(InputError, match=r"takes a context \(B, \d+\).*, got None"):
        model(split.samples[:20])


def test_a_constant_feature_is_only_centred() -> None:
    standardise = Standardise(2)
    features = torch.stack([torch.full((50_000,), -0.1), torch.linspace(-1, 1, 50_000)], dim=1)
    standardise.fit(features)
    assert standardise.scale[0] == 1
    assert standardise(features)[:, 0].abs().max() < 1e-6
    assert standardise(features)[:, 1].std() == pytest.approx(1, abs=1e-4)


def test_a_run_that_is_interrupted_before_its_first_epoch_can_go_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    whole = trainer.fit_context
    monkeypatch.setattr(trainer, "fit_context", interrupted)
    settings: dict[str, Any] = {"recipe": "new_patients", "variant": "cnn", "num_epochs": 1}
    run = RunConfig(data_path=str(data), save_dir=str(tmp_path), run_description="r", **settings)
    with pytest.raises(KeyboardInterrupt):
        Trainer(run).train()
    monkeypatch.setattr(trainer, "fit_context", whole)
    folder = tmp_path / "mit" / "r"
    again = main.resumed_config(folder, {})
    assert again == run
    Trainer(again, folder).train()
    assert (folder / "seed_0" / "test_last.json").is_file()


# ------------------------------------------------------------------------------------------------ folds by patient


@given(st.integers(2, 6), st.integers(0, 20), st.integers(0, 2**31))
@settings(max_examples=40)
def test_patients_are_dealt_evenly(folds: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 300, (folds + more, 5))
    fold = splits.deal_patients(counts, folds, seed % 1000)
    sizes = np.bincount(fold, minlength=folds)
    assert len(fold) == len(counts)
    assert sizes.max() <= -(-len(counts) // folds)
    assert np.array_equal(fold, splits.deal_patients(counts, folds, seed % 1000))


def test_folds_of_another_deal_are_not_left_beside_new_ones(tmp_path: Path) -> None:
    for fold in (1, 4, 5):
        (tmp_path / f"fold_{fold}" / "mit").mkdir(parents=True)
    splits.require_no_other_folds(tmp_path, "mit", 5)
    splits.require_no_other_folds(tmp_path, "ptb", 3)
    with pytest.raises(InputError, match="has fold_4, fold_5 of another deal; move it away"):
        splits.require_no_other_folds(tmp_path, "mit", 3)


@pytest.mark.parametrize("of_another", [0, 100])
def test_rich_patients_go_to_different_folds(of_another: int) -> None:
    counts = np.array([[1000, 100, 0], [1000, 100, 0], [1000, 0, of_another], [1000, 0, of_another]])
    for seed in range(10):
        fold = splits.deal_patients(counts, 2, seed)
        assert fold[0] != fold[1]
        assert fold[2] != fold[3]

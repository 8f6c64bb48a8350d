from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import scrambled, toy_beats
from torch import nn
from torch.nn.utils import prune

import data_configs
import hparams
from benchmarks.plain import PlainECGTransForm
from data_configs import DatasetConfig
from hparams import TrainingConfig
from models import CRM, MSC, BiTrans, Ensemble, conv_block, ecgTransForm
from run_folder.network import load_network
from support.errors import InputError
from utils import released_to_ours

RELEASED_KEYS = Path(__file__).parent / "released_state_dict.csv"
"""Names and shapes in the state dict of a checkpoint of the released code."""


@pytest.mark.parametrize(("dataset", "parameters"), [("mit", 530_516), ("ptb", 530_129)])
def test_published_parameter_count(dataset: str, parameters: int, supervised: TrainingConfig) -> None:
    model = ecgTransForm(data_configs.get_dataset_class(dataset)(), supervised)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_plain_formulation_has_the_published_count(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    assert sum(p.numel() for p in PlainECGTransForm(mit, supervised).parameters()) == 637_689


@pytest.mark.parametrize("length", [185, 186, 187, 188, 300])
@pytest.mark.parametrize(("batch", "kernel_size"), [(1, 8), (3, 8), (1, 7)])
def test_every_length_that_the_config_names(
    length: int, batch: int, kernel_size: int, supervised: TrainingConfig
) -> None:
    configs = dataclasses.replace(data_configs.mit(length), conv_kernel_size=kernel_size)
    model = ecgTransForm(configs, supervised).eval()
    x = torch.randn(batch, 1, length)
    assert model(x).shape == (batch, 5)
    assert model.features(x).shape == (batch, 128)
    assert model.conv_block3(model.conv_block2(model.msc(x))).shape == (batch, 128, configs.trans_dim)
    assert configs.trans_dim % configs.num_heads == 0


@pytest.mark.parametrize("shape", [(2, 1, 187), (2, 1, 185), (4, 186), (2, 2, 186), (2, 1, 250)])
def test_beats_of_another_shape_are_refused(
    shape: tuple[int, ...], mit: DatasetConfig, supervised: TrainingConfig
) -> None:
    """187 samples, as the Kaggle rows have, would go through and give figures of another beat."""
    model = ecgTransForm(mit, supervised)
    for function in (model, model.features):
        with pytest.raises(InputError, match=r"takes beats \(B, 1, 186\), got \("):
            function(torch.randn(shape))


@pytest.mark.parametrize(("length", "width", "heads"), [(186, 25, 5), (187, 25, 5), (188, 26, 2), (196, 27, 3)])
def test_embedding_width_and_heads_follow_the_length(length: int, width: int, heads: int) -> None:
    assert (data_configs.mit(length).trans_dim, data_configs.mit(length).num_heads) == (width, heads)


def test_shapes_of_the_blocks(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    x = torch.randn(2, 1, 186)
    x = MSC(mit, supervised)(x)
    assert x.shape == (2, 32, 94)
    x = conv_block(32, 64, 8)(x)
    assert x.shape == (2, 64, 48)
    x = conv_block(64, 128, 8)(x)
    assert x.shape == (2, 128, 25)
    x = CRM(128, 4)(x)
    assert x.shape == (2, 128, 25)
    assert BiTrans(mit, supervised)(x).shape == (2, 128, 25)


@pytest.mark.parametrize("length", [186, 187])
@pytest.mark.parametrize("batch", [1, 5])
def test_same_weights_give_the_plain_formulations_logits(length: int, batch: int, supervised: TrainingConfig) -> None:
    configs = data_configs.mit(length)
    plain = scrambled(PlainECGTransForm(configs, supervised)).eval()
    model = ecgTransForm(configs, supervised).eval()
    model.load_state_dict(released_to_ours(plain.state_dict()))
    x, _ = toy_beats(batch, 5, length)
    expected = plain(x)
    assert expected.std() > 0.01
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-5)


def test_same_gradients_as_the_plain_formulation(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    """In float64: in float32 rounding moves a few of millions of ReLUs across their kink, in either formulation."""
    no_dropout = dataclasses.replace(supervised, dropout=0.0, encoder_dropout=0.0)
    plain = scrambled(PlainECGTransForm(mit, no_dropout)).double().train()
    model = ecgTransForm(mit, no_dropout).double().train()
    model.load_state_dict(released_to_ours(plain.state_dict()))
    x, y = toy_beats(7, 5)
    for network in (plain, model):
        nn.functional.cross_entropy(network(x.double()), y).backward()
    theirs = {name: parameter.grad for name, parameter in plain.named_parameters() if parameter.grad is not None}
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    theirs = released_to_ours(theirs)
    assert theirs.keys() == ours.keys()
    for name, gradient in theirs.items():
        # Biases in front of a batch normalisation have gradient 0 but for rounding: hence the absolute part.
        torch.testing.assert_close(ours[name], gradient, rtol=1e-6, atol=1e-12)


def test_gradients_reach_every_parameter(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    model = scrambled(ecgTransForm(mit, supervised)).train()
    x, y = toy_beats(10, 5)
    nn.functional.cross_entropy(model(x), y).backward()
    dead = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert dead == []


# Worked out by hand: BN is two numbers a channel; cnn has 1->32 of kernel 8, MSC kernels of 5 + 9 + 11.
BLOCK_2_AND_3 = 32 * 64 * 8 + 2 * 64 + 64 * 128 * 8 + 2 * 128
CNN = 32 * 8 + 2 * 32 + BLOCK_2_AND_3 + 128 * 5 + 5
MSC_ONLY = CNN + 32 * (5 + 9 + 11 - 8)
CRM_BLOCKS = 3 * (2 * (128 * 128 + 128 + 2 * 128) + 2 * 128 * 32)


PARAMETERS = {
    "cnn": CNN,
    "msc": MSC_ONLY,
    "msc_crm": MSC_ONLY + CRM_BLOCKS,
    "msc_crm_trans": 530_516,  # both directions share their weights
    "msc_crm_bitrans": 530_516,
    "full": 530_516,
}


@pytest.mark.parametrize("variant", hparams.VARIANTS)
def test_ablations(variant: str, mit: DatasetConfig, supervised: TrainingConfig) -> None:
    model = scrambled(ecgTransForm(mit, dataclasses.replace(supervised, variant=variant))).train()
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[variant]
    x, y = toy_beats(10, 5)
    assert model.features(x).shape == (10, 128)
    assert model(x).shape == (10, 5)
    nn.functional.cross_entropy(model(x), y).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_one_way_transformer_is_half_of_the_full_one(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    full = scrambled(BiTrans(mit, supervised)).eval()
    one_way = BiTrans(mit, dataclasses.replace(supervised, variant="msc_crm_trans")).eval()
    one_way.load_state_dict(full.state_dict())
    x = torch.randn(2, 128, 25)
    torch.testing.assert_close(full(x), one_way(x) + one_way(x.flip(2)))


def test_bitrans_is_the_whole_network(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    full = scrambled(ecgTransForm(mit, supervised)).eval()
    bitrans = ecgTransForm(mit, dataclasses.replace(supervised, variant="msc_crm_bitrans")).eval()
    bitrans.load_state_dict(full.state_dict())
    x, _ = toy_beats(3, 5)
    assert torch.equal(bitrans(x), full(x))


@pytest.mark.parametrize("changed", [{"msc_kernel_sizes": (5, 8)}, {"se_reduction": 200, "final_out_channels": 128}])
def test_sizes_that_make_no_network_are_refused(changed: dict[str, Any], mit: DatasetConfig) -> None:
    with pytest.raises(InputError, match=f"{next(iter(changed))} must be "):
        dataclasses.replace(mit, **changed)


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--classes N: at least two are needed, of N S V F Q$"):
        data_configs.mit(classes=("N",))


def test_features_are_zero_at_initial_weights(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    """The plateau at the start of training: the head averages the axis that the last LayerNorm normalised."""
    torch.manual_seed(0)
    model = ecgTransForm(mit, supervised).eval()
    assert model.features(torch.randn(4, 1, 186)).abs().max() < 1e-6


def test_reading_backwards_changes_the_result(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    """BiTrans is symmetric in time only as a whole: its two directions differ, their sum does not depend on order."""
    bitrans = scrambled(BiTrans(mit, supervised)).eval()
    x = torch.randn(2, 128, 25)
    forwards = bitrans.encoder(x)
    backwards = bitrans.encoder(x.flip(2))
    assert (forwards - backwards).abs().max() > 1e-3
    torch.testing.assert_close(bitrans(x), forwards + backwards)
    torch.testing.assert_close(bitrans(x.flip(2)), bitrans(x))


@pytest.mark.parametrize("context", ["none", "rhythm", "joint"])
@pytest.mark.parametrize("variant", ["cnn", "full"])
def test_dropout_rates_come_from_the_recipe(context: str, variant: str) -> None:
    heads = hparams.ContextConfig(dropout=0.7)
    recipe = dataclasses.replace(hparams.supervised(), dropout=0.5, encoder_dropout=0.3, variant=variant, heads=heads)
    model = ecgTransForm(data_configs.mit(context=context), recipe)
    rates = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    assert len(rates) == 1 + 9 * (variant == "full") + (context != "none")
    assert rates == {name: 0.3 if name.startswith("bitrans.") else 0.5 for name in rates}
    assert {module.dropout for module in model.modules() if isinstance(module, nn.MultiheadAttention)} <= {0.3}
    ensembles = [module.dropout for module in model.modules() if isinstance(module, Ensemble)]
    assert ensembles == [0.7] * (2 if context == "rhythm" else 0)


def test_the_network_runs_on_the_meta_device(mit: DatasetConfig, supervised: TrainingConfig) -> None:
    """Shapes alone, without memory or arithmetic, as tools that count operations ask for it."""
    with torch.device("meta"):
        model = ecgTransForm(mit, supervised)
    logits = model(torch.empty(3, 1, 186, device="meta"))
    assert (logits.device.type, logits.shape) == ("meta", (3, 5))


@pytest.mark.parametrize("kernel", ["auto", "stock"])
@pytest.mark.parametrize("context", ["none", "rhythm"])
def test_a_callers_autocast_changes_neither_logits_nor_features(
    context: str, kernel: str, supervised: TrainingConfig
) -> None:
    configs = data_configs.mit(context=context)
    model = scrambled(ecgTransForm(configs, dataclasses.replace(supervised, kernel=kernel))).eval()
    x, _ = toy_beats(3, 5)
    inputs = (x, torch.randn(3, len(configs.context_features)))[: 1 + (context != "none")]
    expected, features = model(*inputs), model.features(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(*inputs), expected)
        assert torch.equal(model.features(x), features)


@pytest.mark.parametrize("place", ["msc.convs.1", "conv_block2.0", "bitrans.encoder.layers.0.linear1", "clf"])
def test_pruned_weights_are_those_that_count(place: str) -> None:
    model, x = load_network("mit_beat")[0], toy_beats(3, 5)[0]
    whole = model(x)
    layer = model.get_submodule(place)
    prune.l1_unstructured(layer, "weight", amount=0.9)
    pruned = model(x)
    prune.remove(layer, "weight")  # the zeros are in the parameter itself now
    assert torch.equal(pruned, model(x))
    assert not torch.equal(pruned, whole)


@pytest.mark.filterwarnings("ignore")  # of PyTorch, about itself
def test_with_the_stock_kernel_the_network_can_be_traced_exported_and_mapped() -> None:
    """As the README says; the fast kernels cannot."""
    model, x = load_network("mit_beat", kernel="stock")[0], toy_beats(3, 5)[0]
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(torch.jit.trace(model, (x,), check_trace=False)(x), expected)
        torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), expected)
    each = torch.func.vmap(lambda beat: model(beat.unsqueeze(0)).squeeze(0))
    torch.testing.assert_close(each(x), expected, rtol=0, atol=1e-4)
    slope = torch.func.grad(lambda beats: model(beats).square().sum())(x)
    assert slope.shape == x.shape
    assert slope.isfinite().all()


@pytest.mark.filterwarnings("ignore")  # of PyTorch, about itself
@pytest.mark.parametrize("context", ["none", "rhythm"])
def test_a_traced_or_exported_network_takes_batches_of_any_size(context: str, supervised: TrainingConfig) -> None:
    configs = data_configs.mit(context=context)
    model = scrambled(ecgTransForm(configs, dataclasses.replace(supervised, kernel="stock"))).eval()
    x, _ = toy_beats(7, 5)
    seven = (x, torch.randn(len(x), len(configs.context_features)))[: 1 + (context != "none")]
    three = tuple(part[:3] for part in seven)
    with torch.no_grad():
        traced = torch.jit.trace(model, three, check_trace=False)
        torch.testing.assert_close(traced(*seven), model(*seven))
        sizes = tuple({0: torch.export.Dim("B", max=1024)} for _ in three)
        exported = torch.export.export(model, three, dynamic_shapes=sizes).module()
        torch.testing.assert_close(exported(*seven), model(*seven))


def test_plain_formulation_has_the_keys_of_a_released_checkpoint(
    mit: DatasetConfig, supervised: TrainingConfig
) -> None:
    with RELEASED_KEYS.open() as stream:
        expected = {row["name"]: row["shape"] for row in csv.DictReader(stream)}
    state = PlainECGTransForm(mit, supervised).state_dict()
    shapes = {name: "x".join(map(str, value.shape)) or "scalar" for name, value in state.items()}
    assert shapes == expected

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kernels import native, precision
from kernels.encoder import TransformerEncoderLayer
from support.errors import InputError

SHAPE = native.Shape(tokens=128, features=25, heads=5, hidden_units=2048)
FAST = [
    "torch",
    pytest.param(
        "native", marks=pytest.mark.skipif(native.library(SHAPE) is None, reason="no C++ compiler: nothing to test")
    ),
]


def pair(kernel: str, features: int = 25, heads: int = 5, dropout: float = 0.0, seed: int = 0) -> tuple[nn.Module, ...]:
    """A stock layer and ours with the same weights, drawn so that no two of a kind are alike."""
    torch.manual_seed(seed)
    stock = nn.TransformerEncoderLayer(features, heads, 2048, dropout, batch_first=True)
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ours = TransformerEncoderLayer(features, heads, 2048, dropout, kernel=kernel)
    ours.load_state_dict(stock.state_dict())
    return stock, ours


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize("sequences", [1, 2, 7, 17])
@pytest.mark.parametrize(("features", "heads"), [(25, 5), (26, 2)])
def test_the_same_numbers_as_the_stock_layer(kernel: str, sequences: int, features: int, heads: int) -> None:
    stock, ours = pair(kernel, features, heads)
    x = torch.randn(sequences, 128, features)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), stock.eval()(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.train()(x), stock.train()(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize(("sequences", "features", "heads"), [(1, 25, 5), (5, 25, 5), (3, 26, 2)])
def test_the_same_gradients_as_the_stock_layer(kernel: str, sequences: int, features: int, heads: int) -> None:
    """Against float64: both formulations round."""
    stock, ours = pair(kernel, features, heads)
    stock.double()
    x = torch.randn(sequences, 128, features)
    ours_x, stock_x = x.clone().requires_grad_(), x.double().requires_grad_()
    direction = torch.randn(sequences, 128, features)
    ours(ours_x).backward(direction)
    stock(stock_x).backward(direction.double())
    wanted = {name: parameter.grad for name, parameter in stock.named_parameters()} | {"x": stock_x.grad}
    got = {name: parameter.grad for name, parameter in ours.named_parameters()} | {"x": ours_x.grad}
    for name, gradient in wanted.items():
        assert (got[name].double() - gradient).norm() <= 1e-4 * gradient.norm(), name


def test_bf16_products_are_near_the_stock_layers() -> None:
    """bfloat16 has 8 bits: each product is off by up to 2^-9, the sums average that out."""
    stock, _ = pair("stock")
    ours = TransformerEncoderLayer(25, 5, 2048, 0.0, precision="bf16")
    ours.load_state_dict(stock.state_dict())
    x = torch.randn(5, 128, 25)
    direction = torch.randn(5, 128, 25)
    outputs, gradients = [], []
    for layer in (stock, ours):
        y = layer(x)
        y.backward(direction)
        outputs.append(y.detach())
        gradients.append([parameter.grad for parameter in layer.parameters()])
    error = (outputs[1] - outputs[0]).norm() / outputs[0].norm()
    assert 1e-5 < error < 5e-3  # more than float32's rounding: it is bf16 that ran
    for one, other in zip(*gradients, strict=True):
        assert (other - one).norm() < 5e-2 * one.norm()  # some ReLUs cross their kink


# ------------------------------------------------------------------------------------------------------ dropout


def transparent_layer(kernel: str, p: float) -> TransformerEncoderLayer:
    """A layer through whose gradients every dropout mask can be read, see `read_masks`.

    Every token attends to all alike (queries and keys are 0) and the values are x itself; the attention hardly moves
    x, so that the norms' gradients stay the same; every hidden unit is 1 before dropout.
    """
    layer = TransformerEncoderLayer(25, 5, 2048, p, kernel=kernel)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.self_attn.in_proj_weight[50:] = torch.eye(25)
        layer.self_attn.out_proj.weight.copy_(1e-3 * torch.eye(25))
        layer.linear1.bias.fill_(1.0)
        layer.norm1.weight.fill_(1.0)
        layer.norm2.weight.fill_(1.0)
    return layer


def read_masks(layer: TransformerEncoderLayer, passes: int) -> dict[str, Tensor]:
    """Run `layer` on two equal sequences and read what each of its dropouts did to one token, pass by pass.

    Returns:
        hidden (passes, 2, 2048): the hidden units after dropout, 0 or 1 / (1 - p), in both sequences;
        attention (passes, 2, 5): of 128 attention probabilities how many each head kept;
        after_attention, after_feed_forward (passes, 2, 25): whether an element was kept.
    """
    token = 3
    x = torch.cat([torch.eye(25), torch.zeros(103, 25)]).expand(2, 128, 25)  # tokens are one-hot, then empty
    names = ("in_weight", "in_bias", "out_weight", "out_bias", "w1", "b1", "w2", "b2")
    read: dict[str, list[Tensor]] = {"hidden": [], "attention": [], "after_attention": [], "after_feed_forward": []}
    for _ in range(passes):
        y = layer(x)
        for sequence in range(2):
            direction = torch.randn(25)
            grads = torch.autograd.grad(y[sequence, token], [*layer.parameters()][:8], direction, retain_graph=True)
            grad = dict(zip(names, grads, strict=True))
            # d/dW2 is the outer product of d/db2 and the hidden map: divide one by the other.
            feature = grad["b2"].abs().argmax()
            read["hidden"].append(grad["w2"][feature] / grad["b2"][feature])
            # d/dWv[f] holds what each of the first 25 tokens gave to feature f, d/dbv[f] the sum over all 128.
            of_token, of_all = grad["in_weight"][50:].abs(), grad["in_bias"][50:].abs()
            best = of_all.view(5, 5).argmax(1) + 5 * torch.arange(5)  # a feature of each head that was not dropped
            read["attention"].append(of_all[best] / of_token[best].amax(1))
            read["after_attention"].append(grad["out_bias"] != 0)
            read["after_feed_forward"].append(grad["b2"] != 0)
    return {name: torch.stack(values).unflatten(0, (passes, 2)) for name, values in read.items()}


def assert_share(count: float, total: int, probability: float) -> None:
    """`count` of `total` is within five standard deviations of a binomial distribution."""
    deviation = (total * probability * (1 - probability)) ** 0.5
    assert abs(count - total * probability) <= 5 * deviation, f"{count} of {total}, expected {total * probability}"


@pytest.mark.parametrize("kernel", ["stock", *FAST])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_every_dropout_has_its_rate_and_is_unbiased(kernel: str, p: float) -> None:
    torch.manual_seed(1)
    masks = read_masks(transparent_layer(kernel, p), passes=20)
    hidden = masks["hidden"]
    kept = hidden != 0
    torch.testing.assert_close(hidden[kept], torch.full_like(hidden[kept], 1 / (1 - p)), rtol=1e-3, atol=0)
    assert_share(int(kept.sum()), kept.numel(), 1 - p)
    attention = masks["attention"]
    attention = attention[attention.isfinite()]  # not where all five features of a head were dropped later on
    torch.testing.assert_close(attention, attention.round(), rtol=0, atol=0.05)
    assert_share(float(attention.round().sum()), 128 * attention.numel(), 1 - p)
    for name in ("after_attention", "after_feed_forward"):
        assert_share(int(masks[name].sum()), masks[name].numel(), 1 - p)


@pytest.mark.parametrize("kernel", FAST)
def test_layers_steps_and_directions_draw_masks_of_their_own(kernel: str) -> None:
    """Independent masks agree in p^2 + (1 - p)^2 of their places; a layer's call is a step of its own."""
    torch.manual_seed(2)
    p = 0.1
    kept = read_masks(transparent_layer(kernel, p), passes=8)["hidden"] != 0
    agree = p**2 + (1 - p) ** 2
    directions = kept[:, 0] == kept[:, 1]  # the two directions are two sequences of one pass
    steps = kept[1:] == kept[:-1]
    units = kept[..., 1:] == kept[..., :-1]
    for same in (directions, steps, units):
        assert_share(int(same.sum()), same.numel(), agree)


@pytest.mark.parametrize("kernel", FAST)
def test_dropout_follows_the_seed_and_its_saved_state(kernel: str) -> None:
    _, layer = pair(kernel, dropout=0.1)
    x = torch.randn(3, 128, 25)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(layer(x), first)
    torch.manual_seed(6)
    assert not torch.equal(layer(x), first)
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_the_compiled_layer_gives_the_same_bits_with_any_number_of_threads() -> None:
    if native.library(SHAPE) is None:
        pytest.skip("no C++ compiler: nothing to test")
    _, layer = pair("native", dropout=0.1)
    x = torch.randn(40, 128, 25)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        layer.zero_grad()
        layer(x).square().sum().backward()
        results.append([parameter.grad.clone() for parameter in layer.parameters()])
    torch.set_num_threads(1)
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))


# --------------------------------------------------------------------------------------------------- which kernel


@pytest.mark.parametrize(
    "environment", [{"ECGTRANSFORM_NATIVE": "0"}, {"CXX": "/no/such/compiler"}, {"CXX": "false"}], ids=str
)
def test_without_a_compiler_pytorch_does_it(tmp_path: Path, environment: dict[str, str]) -> None:
    """One message at most, no error, and the same numbers."""
    script = (
        "import torch; from kernels.encoder import TransformerEncoderLayer\n"
        "torch.manual_seed(0); layer = TransformerEncoderLayer(25, 5).eval(); x = torch.randn(2, 128, 25)\n"
        "y = layer(x), layer(x); layer.kernel = 'stock'\n"
        "assert (y[0] - layer(x)).abs().max() < 1e-5"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"TORCH_EXTENSIONS_DIR": str(tmp_path)} | environment,
        cwd=Path(native.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "not available" in line]
    assert len(said) == (0 if "ECGTRANSFORM_NATIVE" in environment else 1)


def test_two_processes_may_compile_at_once(tmp_path: Path) -> None:
    if native.library(SHAPE) is None:
        pytest.skip("no C++ compiler: nothing to test")
    script = "from kernels import native; assert native.library(native.Shape(128, 25, 5, 2048)) is not None"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=os.environ | {"TORCH_EXTENSIONS_DIR": str(tmp_path)},
            cwd=Path(native.__file__).parents[1],
        )
        for _ in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert len([*(tmp_path / "ecgtransform").iterdir()]) == 1


@pytest.mark.parametrize(("rates", "used"), [((470.0, 1400.0), "fp32"), ((1000.0, 500.0), "bf16")])
def test_bf16_is_used_where_it_pays(monkeypatch: pytest.MonkeyPatch, rates: tuple[float, float], used: str) -> None:
    monkeypatch.setattr(precision, "training_rates", lambda *layer: rates)
    chosen, message = precision.usable_precision("bf16", torch.device("cpu"))
    assert chosen == used
    assert (message is None) == (used == "bf16")
    assert message is None or "470 sequences/s with it, on 1400 with float32" in message
    assert precision.usable_precision("fp32", torch.device("cpu")) == ("fp32", None)


@pytest.mark.parametrize("kernel", ["stock", "native"])
def test_kernels_without_bf16(kernel: str) -> None:
    with pytest.raises(InputError, match=f"not with --kernel {kernel}; auto and torch have it"):
        precision.usable_precision("bf16", torch.device("cpu"), kernel)


def test_both_arithmetics_are_timed_on_the_layer_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def noting(layer: TransformerEncoderLayer, x: Tensor) -> Tensor:
        seen.append((layer.kernel, layer.products, layer.training, tuple(x.shape), layer.linear1.out_features))
        return whole(layer, x)

    seen: list[object] = []
    whole = TransformerEncoderLayer.forward
    monkeypatch.setattr(TransformerEncoderLayer, "forward", noting)
    state = torch.get_rng_state()
    with torch.no_grad():
        rates = precision.training_rates("torch", 26, 2, 64)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(rate > 0 for rate in rates)
    assert {products for _, products, *_ in seen} == {torch.bfloat16, torch.float32}
    assert {(kernel, *rest) for kernel, _, *rest in seen} == {("torch", True, (16, 128, 26), 64)}

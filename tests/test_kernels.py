from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hparams
from kernels import encoder, native, precision
from kernels.encoder import TransformerEncoderLayer
from support.errors import InputError

SHAPE = native.Shape(tokens=128, features=25, heads=5, hidden_units=2048)
LAYER = precision.Layer(features=25, heads=5, hidden_units=2048)
needs_native = pytest.mark.skipif(native.library(SHAPE) is None, reason="no C++ compiler: nothing to test")
FAST = ["torch", pytest.param("native", marks=needs_native)]
has_bf16 = native.library(SHAPE) is not None and native.no_bf16(native.library(SHAPE)) is None
needs_bf16 = pytest.mark.skipif(not has_bf16, reason="no compiled operator with AVX512-BF16: nothing to test")
BF16 = ["torch", pytest.param("native", marks=needs_bf16)]


def pair(
    kernel: str, features: int = 25, heads: int = 5, dropout: float = 0.0, seed: int = 0, precision: str = "fp32"
) -> tuple[Any, Any]:
    """A stock layer and ours with the same weights, drawn so that no two of a kind are alike."""
    torch.manual_seed(seed)
    stock = nn.TransformerEncoderLayer(features, heads, 2048, dropout, batch_first=True)
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ours = TransformerEncoderLayer(features, heads, 2048, dropout, kernel=kernel, precision=precision)
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


def penalised(layer: nn.Module, x: Tensor) -> Tensor:
    """The gradient by `x` of a gradient penalty, the squared norm of a gradient by `x`: second derivatives."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    return torch.autograd.grad(gradient.square().sum(), x)[0]


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_second_derivatives_are_refused_and_the_stock_layer_has_them(kernel: str, dropout: float) -> None:
    """They would lack the part of this layer, without a word."""
    _, ours = pair(kernel, dropout=dropout)
    x = torch.randn(1, 128, 25)
    with pytest.raises(RuntimeError, match=r"first derivatives only .*; for second ones take kernel='stock'"):
        penalised(ours, x)
    ours.kernel = "stock"
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert penalised(ours, x).norm() > 0


@pytest.mark.parametrize("kernel", FAST)
def test_no_sequence_is_none_after_it(kernel: str) -> None:
    """As with the stock layer: a recording without a beat has no window."""
    layer = TransformerEncoderLayer(25, 5, 64, 0.1, kernel=kernel)
    x = torch.empty(0, 128, 25, requires_grad=True)
    layer(x).sum().backward()
    assert layer.eval()(x).shape == x.grad.shape == x.shape


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(("tokens", "hidden_units"), [(128, 0), (0, 64)])
def test_a_layer_without_hidden_units_or_tokens_is_left_to_pytorch(tokens: int, hidden_units: int) -> None:
    """None of them would be a multiple of any tile, and the compiled feed-forward would leave its output unwritten."""
    layer, x = TransformerEncoderLayer(25, 5, hidden_units, 0.0, tokens=tokens), torch.randn(2, tokens, 25)
    y = layer(x)
    layer.kernel = "stock"
    torch.testing.assert_close(y, layer(x), rtol=0, atol=1e-5)
    assert not native.Shape(tokens, 25, 5, hidden_units).supported()


@pytest.mark.parametrize("kernel", ["auto", "stock", *FAST])
def test_an_input_of_another_shape_is_refused(kernel: str) -> None:
    """A compiled operator that took it would read beyond its end."""
    layer = TransformerEncoderLayer(25, 5, 64, kernel=kernel)
    for shape in ((2, 128, 24), (2, 128, 26), (2, 32), (128, 25), (2, 128, 25, 1)):
        with pytest.raises(ValueError, match=r"takes \(sequences, tokens, 25\), not") as refused:
            layer(torch.zeros(shape))
        assert str(refused.value).endswith(f", not {shape}")


@needs_native
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda layer: layer.self_attn.half(), "torch.float16 on cpu"),
        (lambda layer: layer.to("meta"), "torch.float32 on meta"),
    ],
    ids=["half", "meta"],
)
def test_weights_of_another_type_or_device_are_refused(change: Callable[[nn.Module], object], what: str) -> None:
    """Their memory is not what the compiled operator takes it for."""
    layer = TransformerEncoderLayer(25, 5, 64, kernel="native")
    change(layer)
    with pytest.raises(ValueError, match=f"the compiled encoder takes float32 on cpu, not {what}"):
        layer(torch.zeros(2, 128, 25))


@needs_native
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_bf16)])
def test_a_feed_forward_narrower_than_the_attention(precision: str) -> None:
    """Buffers that both share must hold the larger of the two: 3 x 25 columns of attention, 64 hidden units."""
    torch.manual_seed(0)
    stock = nn.TransformerEncoderLayer(25, 5, 64, 0.0, batch_first=True)
    ours = TransformerEncoderLayer(25, 5, 64, 0.0, kernel="native", precision=precision)
    ours.load_state_dict(stock.state_dict())
    x = torch.randn(3, 128, 25)
    bound = 1e-5 if precision == "fp32" else 0.05
    torch.testing.assert_close(ours(x), stock(x), rtol=0, atol=bound)


@pytest.mark.parametrize("kernel", BF16)
@pytest.mark.parametrize(("sequences", "features", "heads"), [(1, 25, 5), (5, 25, 5), (3, 26, 2)])
def test_bf16_products_are_near_float64(kernel: str, sequences: int, features: int, heads: int) -> None:
    """bfloat16 keeps 8 bits: an operand is off by up to 2^-9 of itself, a product by 2^-8, and so is a sum's norm.

    The output is behind five products in a row (q k v, probabilities, projection, and two of the feed-forward), the
    gradients behind twice as many. All that come back through the ReLU have another source of error: a unit
    nearer to 0 than its rounding crosses the kink. With inputs of a normal distribution and an error of d standard
    deviations, d * sqrt(2 / pi) / 2 < d / 2 of the units do so, which moves the gradient by up to sqrt(d / 2) of its
    norm: for d = 2^-8 by 4.4 %.
    """
    stock, ours = pair(kernel, features, heads, precision="bf16")
    stock.double()
    x, direction = torch.randn(2, sequences, 128, features)
    ours_x, stock_x = x.clone().requires_grad_(), x.double().requires_grad_()
    got_y, wanted_y = ours(ours_x), stock(stock_x)
    got_y.backward(direction)
    wanted_y.backward(direction.double())
    wanted = {name: parameter.grad for name, parameter in stock.named_parameters()} | {"x": stock_x.grad}
    got = {name: parameter.grad for name, parameter in ours.named_parameters()} | {"x": ours_x.grad}
    bounds = {"y": 5 * 2**-8} | dict.fromkeys(wanted, 10 * 2**-8)
    behind_relu = [name for name in wanted if not name.startswith(("linear2.", "norm2."))]
    bounds |= dict.fromkeys(behind_relu, 10 * 2**-8 + 2**-4.5)
    errors = {name: (got[name].double() - value).norm() / value.norm() for name, value in wanted.items()}
    errors["y"] = (got_y.double() - wanted_y).norm() / wanted_y.norm()
    assert {name: float(error) for name, error in errors.items() if error > bounds[name]} == {}
    assert errors["y"] > 2**-14  # far more than float32's rounding: it is bf16 that ran


@needs_bf16
def test_compiled_bf16_is_what_rounded_operands_give() -> None:
    """Where every operand is a number of bfloat16, nothing is rounded: integers give float32's own numbers."""
    layers = [pair("native", precision=precision)[1] for precision in ("fp32", "bf16")]
    generator = torch.Generator().manual_seed(3)
    start = layers[0].state_dict()
    for name, value in start.items():
        value.copy_(torch.randint(-1, 2, value.shape, generator=generator).float())
        if name.startswith("self_attn"):
            value.zero_()  # the feed-forward's input is then LayerNorm's output
    start["norm1.weight"].zero_()
    start["norm1.bias"].copy_(torch.randint(-2, 3, (25,), generator=generator).float())  # integers, whatever came in
    x = torch.randn(2, 128, 25, generator=generator)
    results = []
    for layer in layers:
        layer.load_state_dict(start)
        results.append(layer(x))
    # A hidden unit is an integer of at most 25 * 2 + 1 and needs 6 bits.
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


# ----------------------------------------------------------------------------------------------- NaN and infinity

NAN = torch.tensor(0x7FC00001, dtype=torch.int32).view(torch.float32)  # of many NaNs one whose low bits are not all 0
EVERYWHERE = (  # element of each tensor; of in_proj's, one in the part of queries, of keys and of values
    *(
        (name, part * 25 * width + 7)
        for name, width in (("in_proj_weight", 25), ("in_proj_bias", 1))
        for part in range(3)
    ),
    *(
        (f"{module}.{kind}", 11)
        for module in ("out_proj", "linear1", "linear2", "norm1", "norm2")
        for kind in ("weight", "bias")
    ),
    ("x", 1000),
    ("gradient", 1000),
)


def test_the_option_takes_the_kernels_that_there_are() -> None:
    """They are named twice, since neither room may import the other."""
    assert hparams.KERNELS == encoder.KERNELS


KERNELS_AND_PRECISIONS = [
    ("stock", "fp32"),
    ("torch", "fp32"),
    pytest.param("native", "fp32", marks=needs_native),
    pytest.param("native", "bf16", marks=needs_bf16),
]


def what_comes_of(layer: nn.Module, place: str, index: int, value: Tensor) -> dict[str, Tensor]:
    """Output and gradients of `layer` with `value` put into one element of a parameter, input or output gradient."""
    generator = torch.Generator().manual_seed(4)
    x, gradient = torch.randn(2, 1, 128, 25, generator=generator)
    parameters = {name.removeprefix("self_attn."): parameter for name, parameter in layer.named_parameters()}
    tensors = parameters | {"x": x, "gradient": gradient}
    with torch.no_grad():
        before = tensors[place].view(-1)[index].clone()
        tensors[place].view(-1)[index] = value
    layer.zero_grad()
    y = layer(x.requires_grad_())
    y.backward(gradient)
    with torch.no_grad():
        tensors[place].view(-1)[index] = before
    return {"y": y.detach(), "x": x.grad} | {name: parameter.grad for name, parameter in parameters.items()}


@pytest.mark.parametrize(("kernel", "precision"), KERNELS_AND_PRECISIONS)
@pytest.mark.parametrize("value", [NAN, torch.tensor(torch.inf), torch.tensor(-torch.inf)], ids=["nan", "inf", "-inf"])
@pytest.mark.parametrize("p", [0.0, 0.5])
def test_nan_and_infinity_go_where_they_go_in_the_stock_layer(
    kernel: str, precision: str, value: Tensor, p: float
) -> None:
    """Wherever the value is put, NaN and infinity come out in the same places, whatever was dropped.

    With dropout the attention's branch is 0, so that masks do not decide which hidden units are positive.
    """
    stock, ours = pair(kernel, dropout=p, precision=precision)
    with torch.no_grad():
        for layer in (stock, ours):
            layer.linear1.weight[::7], layer.linear1.bias[::7] = 0.0, 0.0  # a ReLU's input of exactly 0
            layer.linear1.bias[1::7] = -50.0  # never positive
            if p:
                layer.self_attn.out_proj.weight.zero_()
                layer.self_attn.out_proj.bias.zero_()
    for place, index in EVERYWHERE:
        wanted, got = (what_comes_of(layer, place, index, value) for layer in (stock, ours))
        assert value.isinf() or any(tensor.isnan().any() for tensor in wanted.values())
        for name, tensor in wanted.items():
            where = f"{name}, after {value} in {place}"
            assert torch.equal(got[name].isfinite(), tensor.isfinite()), where
            # What becomes of an infinite gradient in a LayerNorm depends on the order of its sums.
            assert torch.equal(got[name].isnan(), tensor.isnan()) or (place == "gradient" and value.isinf()), where


@pytest.mark.parametrize(("kernel", "precision"), KERNELS_AND_PRECISIONS)
def test_nan_and_infinity_in_inference(kernel: str, precision: str) -> None:
    stock, ours = (layer.eval().requires_grad_(False) for layer in pair(kernel, precision=precision))
    for value in (NAN, torch.tensor(torch.inf)):
        for name, parameter in stock.named_parameters():
            for layer in (stock, ours):
                layer.get_parameter(name).view(-1)[30 % parameter.numel()] = value
            x = torch.randn(1, 128, 25)
            wanted, got = stock(x), ours(x)
            assert not wanted.isfinite().all()
            assert torch.equal(got.isnan(), wanted.isnan()), f"{value} in {name}"
            assert torch.equal(got.isinf(), wanted.isinf()), f"{value} in {name}"
            ours.load_state_dict(pair(kernel)[0].state_dict())
            stock.load_state_dict(ours.state_dict())


@needs_native
def test_the_compiled_softmax_is_exact_at_large_scores() -> None:
    """Scores of 1e10, which rounding moves by hundreds, leave one key a query. PyTorch's own backward pass is off."""
    stock, ours = pair("native")
    with torch.no_grad():
        for layer in (stock, ours):
            layer.self_attn.in_proj_weight[:50] *= 1e5
    x = torch.randn(2, 128, 25)
    gradients = []
    for layer, kind in ((stock.double(), torch.float64), (ours, torch.float32)):
        y = layer(x.to(kind))
        y.square().sum().backward()
        gradients.append(layer.self_attn.in_proj_weight.grad.double())
    assert (gradients[1] - gradients[0]).norm() <= 1e-4 * gradients[0].norm()


# ------------------------------------------------------------------------------------------------------ dropout


def transparent_layer(kernel: str, p: float, precision: str = "fp32") -> TransformerEncoderLayer:
    """A layer through whose gradients every dropout mask can be read, see `read_masks`.

    Every token attends to all alike (queries and keys are 0) and the values are x itself; the attention hardly moves
    x, so that the norms' gradients stay the same; every hidden unit is 1 before dropout.
    """
    layer = TransformerEncoderLayer(25, 5, 2048, p, kernel=kernel, precision=precision)
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


def test_a_rate_between_two_multiples_of_a_256th_is_kept() -> None:
    """A byte knows only these: of 0 and 1, between which it is drawn here for each of 100,000 places."""
    torch.manual_seed(0)
    for p, mask in ((0.001, encoder.dropped((10, 100_000), 0.001)), (0.999, encoder.kept((10, 100_000), 0.001))):
        assert_share(int(mask.sum()), 10**6, p)


@needs_bf16
def test_bf16_drops_what_float32_drops() -> None:
    masks = []
    for arithmetic in ("fp32", "bf16"):
        torch.manual_seed(3)
        masks.append(read_masks(transparent_layer("native", 0.1, arithmetic), passes=3))
    assert torch.equal(masks[0]["hidden"] != 0, masks[1]["hidden"] != 0)
    torch.testing.assert_close(masks[0]["attention"], masks[1]["attention"], rtol=2**-7, atol=0, equal_nan=True)
    for name in ("after_attention", "after_feed_forward"):
        assert torch.equal(masks[0][name], masks[1][name])


@needs_bf16
def test_bf16_drops_in_the_forward_pass_what_float32_drops() -> None:
    """The masks above are read from the backward pass. The bound is that of `test_bf16_products_are_near_float64`."""
    outputs = []
    for arithmetic in ("fp32", "bf16"):
        _, layer = pair("native", dropout=0.5, precision=arithmetic)
        x = torch.randn(3, 128, 25)  # follows the seed that `pair` sets, as the masks do
        outputs.append(layer(x))
    assert (outputs[1] - outputs[0]).norm() <= 5 * 2**-8 * outputs[0].norm()


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
def test_the_backward_pass_drops_what_the_forward_pass_dropped(kernel: str) -> None:
    """The masks are made once more there. With others, a step along a gradient would not change the loss as it says."""
    torch.manual_seed(4)
    layer = TransformerEncoderLayer(25, 5, 64, 0.5, kernel=kernel)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x, direction = torch.randn(2, 4, 128, 25)
    tensors = {"x": x.requires_grad_()} | dict(layer.named_parameters())

    def loss() -> Tensor:
        torch.manual_seed(5)
        return (layer(x) * direction).sum(dtype=torch.float64)

    loss().backward()
    for name, tensor in tensors.items():
        slope = tensor.grad.norm()
        step = tensor.grad * (0.01 / slope)
        with torch.no_grad():
            tensor += step
            above = loss()
            tensor -= 2 * step
            rise = above - loss()
            tensor += step
        assert abs(rise / 0.02 - slope) <= 0.05 * slope, name


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


@pytest.mark.parametrize(
    "precision", [pytest.param("fp32", marks=needs_native), pytest.param("bf16", marks=needs_bf16)]
)
def test_the_compiled_layer_gives_the_same_bits_with_any_number_of_threads(precision: str) -> None:
    _, layer = pair("native", dropout=0.1, precision=precision)
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


def run_script(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, whose end by a signal would be a negative return code."""
    return subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        cwd=Path(native.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )


@needs_native
def test_threads_with_small_stacks() -> None:
    """OMP_STACKSIZE is 128 kB on some systems; whatever a sequence needs beside it is on the heap."""
    script = (
        "import torch; from kernels.encoder import TransformerEncoderLayer\n"
        "torch.set_num_threads(2); layer = TransformerEncoderLayer(25, 5, kernel='native')\n"
        "for _ in range(3): layer(torch.ones(64, 128, 25)).sum().backward()\n"
        "print('done')"
    )
    done = run_script(script, OMP_STACKSIZE="64k", OMP_NUM_THREADS="2")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@needs_native
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to RLIMIT_AS")
def test_memory_that_does_not_suffice_is_an_error_not_the_end_of_the_process() -> None:
    """The limit is raised in small steps, so that one allocation after the other fails; then all is as it was."""
    script = (
        "import resource, torch; from kernels.encoder import TransformerEncoderLayer\n"
        "torch.set_num_threads(1); layer = TransformerEncoderLayer(25, 5, 64, kernel='native')\n"
        "x = torch.ones(40, 128, 25)\n"
        "layer.kernel = 'torch'; layer(x[:1]).sum().backward(); layer.kernel = 'native'\n"  # what PyTorch imports late
        "page, used = resource.getpagesize(), int(open('/proc/self/statm').read().split()[0])\n"
        "def at_last(step):\n"
        "    failed = 0\n"
        "    for more in range(0, 2**26, 2**17):\n"
        "        resource.setrlimit(resource.RLIMIT_AS, (page * used + more, -1))\n"
        "        try:\n"
        "            return step(), failed\n"
        "        except (MemoryError, RuntimeError):\n"  # RuntimeError: that of PyTorch's own allocator
        "            failed += 1\n"
        "y, failed = at_last(lambda: layer(x).sum())\n"
        "_, failed_again = at_last(lambda: y.backward(retain_graph=True))\n"
        "assert failed + failed_again\n"
        "assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())\n"
        "print('done')"
    )
    done = run_script(script, OMP_NUM_THREADS="1")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


# --------------------------------------------------------------------------------------------------- which kernel


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in the place of the extension cache; nothing is loaded, nothing remembered."""
    caches = (native.load.cache_clear, native.library.cache_clear)
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    for clear in caches:
        clear()
    yield tmp_path / "ecgtransform"
    for clear in caches:
        clear()


@pytest.mark.parametrize(
    "environment", [{"ECGTRANSFORM_NATIVE": "0"}, {"CXX": "/no/such/compiler"}, {"CXX": "false"}], ids=str
)
def test_without_a_compiler_pytorch_does_it(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], environment: dict[str, str]
) -> None:
    """One message at most, no error, and the same numbers."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    torch.manual_seed(0)
    layer, x = TransformerEncoderLayer(25, 5).eval(), torch.randn(2, 128, 25)
    y = layer(x), layer(x)
    layer.kernel = "stock"
    assert (y[0] - layer(x)).abs().max() < 1e-5
    said = [line for line in capfd.readouterr().err.splitlines() if "not available" in line]
    assert len(said) == (0 if "ECGTRANSFORM_NATIVE" in environment else 1)


def copying_compiler(folder: Path, at_once: int = 1) -> Path:
    """A compiler that copies what a real one made before; it waits until `at_once` of it are at work."""
    (folder / "encoder.so").write_bytes(Path(native.library(SHAPE)._name).read_bytes())
    compiler = folder / "compiler"
    compiler.write_text(
        f"""#!/bin/sh
        for last; do :; done
        [ "$last" = {os.devnull} ] && echo "$MACROS" && exit  # asked for them
        echo >> {folder}/calls
        until [ $(wc -l < {folder}/calls) -ge {at_once} ]; do sleep 0.05; done
        cp {folder}/encoder.so "$last"
        """
    )
    compiler.chmod(0o755)
    return compiler


@needs_native
def test_the_library_is_kept_in_pytorchs_extension_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which follows XDG_CACHE_HOME, as of a user whose home is small or may not be written."""
    monkeypatch.setenv("CXX", str(copying_compiler(tmp_path)))
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native._build(SHAPE).parent == tmp_path / "torch_extensions" / "ecgtransform"


@needs_native
def test_another_processor_has_a_library_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cache on a shared disk: instructions that a processor lacks would end the process."""
    monkeypatch.setenv("CXX", str(copying_compiler(tmp_path)))
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    libraries = []
    for macros in ("#define __AVX512F__ 1", "#define __AVX2__ 1", "#define __AVX512F__ 1"):
        monkeypatch.setenv("MACROS", macros)
        libraries.append(native._build(SHAPE))
    assert libraries[0] == libraries[2] != libraries[1]


NO_UTF8 = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name of a file is Unicode")


@needs_native
@pytest.mark.parametrize("name", ["with a space, é", pytest.param(os.fsdecode(b"caf\xe9"), marks=NO_UTF8)], ids=ascii)
def test_a_compiler_in_a_folder_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    compiler = copying_compiler(tmp_path)
    (folder := tmp_path / name).mkdir()
    compiler.rename(folder / "c++")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(folder))
    assert native._build(SHAPE).parent == folder / "ecgtransform"


@needs_native
def test_two_processes_may_compile_at_once(tmp_path: Path) -> None:
    script = "from kernels import native; assert native.library(native.Shape(128, 25, 5, 2048)) is not None"
    compiler = copying_compiler(tmp_path, at_once=2)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=os.environ | {"TORCH_EXTENSIONS_DIR": str(tmp_path), "CXX": str(compiler)},
            cwd=Path(native.__file__).parents[1],
        )
        for _ in range(2)
    ]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    assert len((tmp_path / "calls").read_text()) == 2
    assert len([*(tmp_path / "ecgtransform").iterdir()]) == 1


@needs_native
def test_a_damaged_library_is_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short, empty, of one wrong byte or foreign: it is found out before it is loaded."""
    other_shape = Path(native.library(native.Shape(128, 26, 2, 2048))._name).read_bytes()
    monkeypatch.setenv("CXX", str(copying_compiler(tmp_path)))
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    kept = native._build(SHAPE)
    whole = kept.read_bytes()
    middle = len(whole) // 2
    damages = {
        "whole": whole,
        "cut short": whole[:middle],
        "empty": b"",
        "one byte": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "no library": bytes(len(whole)),
        "another library": other_shape.ljust(len(whole), b"\0")[: len(whole)],
    }
    folders = {name: tmp_path / name / "ecgtransform" for name in damages}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        (folder / kept.name).write_bytes(damages[name])
    script = (
        "import os, torch; from kernels import native; from kernels.encoder import TransformerEncoderLayer\n"
        f"for name in {[*damages]}:\n"
        f"    os.environ['TORCH_EXTENSIONS_DIR'] = os.path.join({str(tmp_path)!r}, name); native.load.cache_clear()\n"
        "    TransformerEncoderLayer(25, 5, kernel='native')(torch.ones(2, 128, 25)).sum().backward(); print(name)"
    )
    done = run_script(script)
    assert (done.returncode, done.stdout.splitlines()) == (0, [*damages]), done.stderr
    assert done.stderr.count("is damaged") == done.stderr.count("... done") == len(damages) - 1
    for folder in folders.values():
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {kept.name: whole}


@pytest.mark.parametrize(
    ("kernel", "layer", "reason"),
    [
        ("native", {"dropout": 0.995}, "it drops 0.99 of the units at most, not 0.995"),
        ("torch", {"dropout": 0.995}, "it drops 0.99 of the units at most, not 0.995"),
        ("native", {"tokens": 100}, "it is not made for 100 tokens, 25 features, 5 heads, 2048 hidden units"),
    ],
)
def test_a_kernel_asked_for_by_name_is_refused_not_replaced(kernel: str, layer: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=f"--kernel {kernel} is not available: {reason}; use --kernel auto"):
        TransformerEncoderLayer(25, 5, **layer, kernel=kernel)
    for other in ("auto", "stock"):
        assert TransformerEncoderLayer(25, 5, **layer, kernel=other)(torch.zeros(1, 100, 25)).shape == (1, 100, 25)


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"ECGTRANSFORM_NATIVE": "0"}, "ECGTRANSFORM_NATIVE=0 is set"),
        ({"CXX": "", "PATH": ""}, "no C.. compiler found"),
        ({"CXX": "/no/such/compiler"}, "CXX is /no/such/compiler, which cannot be run"),
        ({"CXX": "/dev"}, "CXX is /dev, which cannot be run(?!; TORCH)"),
        ({"CXX": "false"}, "false ended with code 1"),
        ({"TORCH_EXTENSIONS_DIR": "/dev/null"}, "Not a directory: .*; TORCH_EXTENSIONS_DIR names another folder"),
    ],
    ids=str,
)
def test_native_is_refused_where_it_cannot_be_compiled(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], reason: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for refused in (
        lambda: TransformerEncoderLayer(25, 5, kernel="native"),
        lambda: precision.usable_precision("fp32", torch.device("cpu"), "native", LAYER),
    ):
        with pytest.raises(InputError, match=f"--kernel native is not available: .*{reason}.*; use --kernel auto"):
            refused()
    assert TransformerEncoderLayer(25, 5).kernel_on(torch.device("cpu")) == "torch"
    assert not fresh_cache.exists()


@needs_native
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no such owners")
@pytest.mark.parametrize("others_may_write", [True, False])
def test_no_library_is_run_that_another_user_may_have_put_there(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, others_may_write: bool
) -> None:
    """Such as in a folder on a shared disk."""
    fresh_cache.mkdir()
    if others_may_write:
        fresh_cache.chmod(0o777)
    elif os.geteuid() == 0:
        os.chown(fresh_cache, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    refused = str(native.load(SHAPE))
    assert "other users may write into it" in refused
    assert refused.endswith(f"'{fresh_cache}'; TORCH_EXTENSIONS_DIR names another folder for it")
    assert not [*fresh_cache.iterdir()]


def test_a_folder_whose_libraries_may_not_run(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a home mounted noexec: it can be written, so only the library's loading fails."""

    class NoExecution(ctypes.CDLL):
        def __init__(self, name: str) -> None:
            raise OSError(f"{name}: failed to map segment from shared object")

    monkeypatch.setattr(ctypes, "CDLL", NoExecution)
    monkeypatch.setattr(native, "_build", lambda shape: Path("encoder.so"))
    reason = "encoder.so: failed to map segment from shared object; TORCH_EXTENSIONS_DIR names another folder for it"
    assert native.load(SHAPE) == reason


def test_the_linkers_own_words_are_the_reason(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a compiler without its OpenMP library; what comes after says only that linking failed."""
    compiler = fresh_cache.with_name("compiler")
    compiler.write_text(
        """#!/bin/sh
        echo "/usr/bin/ld: warning: something else" >&2
        echo "/usr/bin/ld: cannot find -lgomp: No such file or directory" >&2
        echo "collect2: error: ld returned 1 exit status" >&2
        exit 1
        """
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert native.load(SHAPE) == "/usr/bin/ld: cannot find -lgomp: No such file or directory"


def test_a_compiler_that_speaks_the_users_language(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = fresh_cache.with_name("compiler")
    compiler.write_text(
        """#!/bin/sh
        [ "$LC_ALL" = C ] && echo "c++: error: unknown option" >&2 || echo "c++: Fehler: unbekannte Option" >&2
        exit 1
        """
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert native.load(SHAPE) == "c++: error: unknown option"


@pytest.mark.parametrize("kernel", FAST)
def test_fast_kernels_are_refused_where_they_do_not_work(kernel: str) -> None:
    """On another device or in another type: before a run, by the layer, and by what names the layer's kernel."""
    cuda, x = torch.device("cuda"), torch.zeros(1, 128, 25)
    layer = TransformerEncoderLayer(25, 5, kernel=kernel)
    assert layer.kernel_on(torch.device("cpu")) == kernel
    with pytest.raises(InputError, match=f"--kernel {kernel} is not available: it works on the CPU, not on cuda"):
        precision.usable_precision("fp32", cuda, kernel, LAYER)
    with pytest.raises(InputError, match="not on cuda"):
        layer.kernel_on(cuda)
    with pytest.raises(InputError, match="not on meta"):
        layer(x.to("meta"))
    with pytest.raises(InputError, match="it works in float32"):
        layer.double()(x.double())
    with pytest.raises(InputError, match="it works in float32"):
        layer.kernel_on(torch.device("cpu"))
    assert TransformerEncoderLayer(25, 5).kernel_on(cuda) == "stock"
    assert TransformerEncoderLayer(25, 5).double().kernel_on(torch.device("cpu")) == "stock"


@pytest.mark.parametrize("kernel", ["auto", "stock", *FAST])
def test_looking_whether_a_kernel_works_draws_no_random_numbers(kernel: str) -> None:
    state = torch.get_rng_state()
    assert precision.usable_precision("fp32", torch.device("cpu"), kernel, LAYER) == ("fp32", None)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("rates", "used"), [((470.0, 1400.0), "fp32"), ((1000.0, 999.0), "bf16")])
def test_bf16_is_used_where_it_pays(monkeypatch: pytest.MonkeyPatch, rates: tuple[float, float], used: str) -> None:
    monkeypatch.setattr(precision, "training_rates", lambda *layer: rates)
    chosen, message = precision.usable_precision("bf16", torch.device("cpu"), "auto", LAYER)
    assert chosen == used
    assert (message is None) == (used == "bf16")
    assert message is None or "470 sequences/s with it, on 1400 with float32" in message
    assert precision.usable_precision("fp32", torch.device("cpu"), "auto", LAYER) == ("fp32", None)


def test_a_run_that_goes_on_keeps_its_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "training_rates", lambda *layer: (1.0, 2.0))  # now bf16 would not pay
    for settled in ("bf16", "fp32"):
        kernel = TransformerEncoderLayer(25, 5, precision=settled).kernel_on(torch.device("cpu"))
        chosen = precision.usable_precision(
            "bf16", torch.device("cpu"), "auto", LAYER, precision.Settled(settled, kernel)
        )
        assert chosen == (settled, None)
    moved = precision.Settled("bf16", "that of another machine")
    assert precision.usable_precision("bf16", torch.device("cpu"), "auto", LAYER, moved)[0] == "fp32"


def test_a_network_without_an_encoder_has_no_bf16_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "training_rates", lambda *layer: pytest.fail("there is nothing to time"))
    monkeypatch.setenv("ECGTRANSFORM_NATIVE", "0")  # a kernel that is not available, and not needed
    chosen, message = precision.usable_precision("bf16", torch.device("cpu"), "native", layer=None)
    assert chosen == "fp32"
    assert "only the encoder uses it, and this network has none" in message


def test_a_kernel_for_a_network_without_an_encoder_is_told() -> None:
    cpu = torch.device("cpu")
    for kernel in ("stock", "torch", "native"):
        said = f"--kernel {kernel} has no effect: this network has no encoder"
        assert precision.usable_precision("fp32", cpu, kernel, layer=None) == ("fp32", said)
    assert precision.usable_precision("fp32", cpu, "auto", layer=None) == ("fp32", None)
    both = precision.usable_precision("bf16", cpu, "torch", layer=None)[1]
    assert both is not None and "--kernel torch has no" in both and "--precision bf16 has no" in both


def test_the_stock_kernel_has_no_bf16() -> None:
    with pytest.raises(InputError, match="does not work with --kernel stock; use auto, native or torch"):
        precision.usable_precision("bf16", torch.device("cpu"), "stock", LAYER)


@needs_native
def test_a_processor_without_bf16_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run stays in float32 and says why; the layer itself refuses, or leaves bf16 to PyTorch."""
    monkeypatch.setattr(native, "no_bf16", lambda lib: "no such instructions")
    assert precision.usable_precision("bf16", torch.device("cpu"), "native", LAYER) == (
        "fp32",
        "--precision bf16 is not available with --kernel native: no such instructions; computing in float32",
    )
    with pytest.raises(InputError, match="--kernel native is not available: no such instructions; use --kernel auto"):
        TransformerEncoderLayer(25, 5, kernel="native", precision="bf16")
    assert TransformerEncoderLayer(25, 5, precision="bf16").kernel_on(torch.device("cpu")) == "torch"


def test_both_arithmetics_are_timed_on_the_layer_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def noting(layer: TransformerEncoderLayer, x: Tensor) -> Tensor:
        seen.append((layer.kernel, layer.products, layer.training, tuple(x.shape), layer.linear1.out_features))
        return whole(layer, x)

    seen: list[tuple[Any, ...]] = []
    whole = TransformerEncoderLayer.forward
    monkeypatch.setattr(TransformerEncoderLayer, "forward", noting)
    state = torch.get_rng_state()
    with torch.no_grad():
        rates = precision.training_rates("torch", precision.Layer(26, 2, 64))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(rate > 0 for rate in rates)
    assert {products for _, products, *_ in seen} == {torch.bfloat16, torch.float32}
    assert {(kernel, *rest) for kernel, _, *rest in seen} == {("torch", True, (16, 128, 26), 64)}


def test_the_shortest_step_of_each_arithmetic_is_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 sequences a step; the first step of each, which may compile, is not timed."""
    takes = {"bf16": iter([0.01, 0.5, 0.2, 0.4]), "fp32": iter([0.01, 0.1, 0.3, 0.4])}
    monkeypatch.setattr(precision, "_training_step", lambda kernel, arithmetic, layer: lambda: next(takes[arithmetic]))
    monkeypatch.setattr(precision, "seconds", lambda step: step())
    assert precision.training_rates("auto", LAYER) == pytest.approx((80, 160))

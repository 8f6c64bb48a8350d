"""The arithmetic of the matrix products: what a device has of it, and on a CPU what is faster."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from kernels import native
from kernels.encoder import TransformerEncoderLayer
from support.errors import InputError

AMPERE = (8, 0)
"""Compute capability of the first GPUs that multiply in tf32 and bf16. Older ones ignore tf32 and emulate bf16."""
SEQUENCES, TOKENS = 16, 128  # of a timed step: some 10 ms, and enough for the encoder to work as on a whole batch
REPEATS, SECONDS = 3, 0.5  # at least, of each arithmetic; and of both together


class Layer(NamedTuple):
    """The sizes of an encoder layer, in the order of `TransformerEncoderLayer`, called as in `native.Shape`."""

    features: int
    heads: int
    hidden_units: int


class Settled(NamedTuple):
    """What a run that goes on has computed in so far."""

    precision: str
    """fp32 or bf16."""
    kernel: str
    """Of the encoder (`TransformerEncoderLayer.kernel_on`)."""


def usable_precision(
    precision: str, device: torch.device, kernel: str, layer: Layer | None, settled: Settled | None = None
) -> tuple[str, str | None]:
    """Prepare `device` for the arithmetic `precision`, or for float32 where that is faster than bf16.

    bf16 instructions that are several times as fast as the float32 ones need not make a CPU train faster: only the
    products use them, and where the compiled encoder has none, the float32 one saves more around the products. So an
    encoder layer is trained both ways, about a second in all.

    Args:
        kernel: how the float32 encoder would be computed.
        layer: of the network; None: it has none, and on a CPU nothing else that bf16 or a kernel could be for.
        settled: what such a trial decided for a run that is resumed. It is not repeated, since another outcome would
            change the arithmetic in the middle of the run, unless this processor has another kernel for it.

    Returns:
        The precision to use, and a message where it is not the one asked for, or where `kernel` is for nothing.

    Raises:
        InputError: the device, or `kernel` on it, has no such arithmetic; or `kernel` itself is not available.
    """
    set_arithmetic(precision, device, kernel, layer)
    if device.type == "cuda":  # any kernel but auto does something without an encoder, too: it leaves out the compiler
        return precision, None
    if layer is None:
        notes = [] if kernel == "auto" else [f"--kernel {kernel} has no effect: this network has no encoder"]
        if precision == "bf16":
            notes += ["--precision bf16 has no effect: on a CPU only the encoder uses it, and this network has none"]
        return "fp32", "; ".join(notes) or None
    if precision == "bf16" and device.type == "cpu":
        if settled is not None and settled.kernel == _kernel_of(kernel, layer, device, settled.precision):
            return settled.precision, None
        if reason := _against_bf16(kernel, layer):
            return "fp32", f"--precision bf16 {reason}; computing in float32"
    return precision, None


def set_arithmetic(precision: str, device: torch.device, kernel: str, layer: Layer | None) -> None:
    """Prepare `device` for products in `precision`; on CUDA fp32 and tf32 are one switch for the whole process.

    Raises:
        InputError: the device, or `kernel` on it, has no such arithmetic; or `kernel` itself is not available.
    """
    require_arithmetic(precision, device, kernel)
    if kernel != "auto" and layer is not None:
        _kernel_of(kernel, layer, device)  # one that is not available is refused
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "fp32"


def require_arithmetic(precision: str, device: torch.device, kernel: str = "auto") -> None:
    """Raise an `InputError` where `device`, or `kernel` on it, has no arithmetic `precision`."""
    if precision == "tf32" and device.type != "cuda":
        raise InputError(f"--precision tf32 needs a CUDA GPU; on {device.type} use fp32 or bf16")
    if precision == "bf16" and device.type not in ("cpu", "cuda"):
        raise InputError(f"--precision bf16 is not available on {device.type}; use fp32")
    if precision == "bf16" and device.type == "cpu" and kernel == "stock":
        raise InputError("--precision bf16 does not work with --kernel stock; use auto, native or torch")
    if precision != "fp32" and device.type == "cuda" and torch.cuda.get_device_capability(device) < AMPERE:
        gpu = torch.cuda.get_device_name(device)
        raise InputError(f"--precision {precision} is not available on {gpu}, a GPU older than Ampere; use fp32")


def _kernel_of(kernel: str, layer: Layer, device: torch.device, precision: str = "fp32") -> str:
    """How an encoder layer is computed on `device`; an `InputError` where `kernel` is not available there."""
    with torch.device("meta"):  # without memory or random numbers
        return TransformerEncoderLayer(*layer, kernel=kernel, precision=precision).kernel_on(device)


def _against_bf16(kernel: str, layer: Layer) -> str | None:
    """What speaks against bf16 on the CPU, if anything does."""
    if kernel == "native":
        loaded = native.load(native.Shape(TOKENS, *layer))
        if obstacle := loaded if isinstance(loaded, str) else native.no_bf16(loaded):
            return f"is not available with --kernel native: {obstacle}"
    bf16, fp32 = training_rates(kernel, layer)
    if bf16 > fp32:
        return None
    return (
        f"would not be faster: on this CPU an encoder layer trains on {bf16:.0f} sequences/s with it, on {fp32:.0f} "
        "with float32"
    )


def training_rates(kernel: str, layer: Layer) -> tuple[float, float]:
    """Sequences a second through forward and backward of an encoder layer on the CPU: in bf16, and in float32.

    The two take turns, so that whatever else the machine does meets both, and for long enough that each has the
    processor to itself at times; the best counts. The random numbers of the caller stay as they were.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        steps = [_training_step(kernel, precision, layer) for precision in ("bf16", "fp32")]
        for step in steps:  # memory, and the compiler where need be
            step()
        times: list[list[float]] = []
        while len(times) < REPEATS or sum(map(sum, times)) < SECONDS:
            times.append([seconds(step) for step in steps])
    bf16, fp32 = (SEQUENCES / min(of_one) for of_one in zip(*times, strict=True))
    return bf16, fp32


def _training_step(kernel: str, precision: str, layer: Layer) -> Callable[[], None]:
    encoder_layer = TransformerEncoderLayer(*layer, kernel=kernel, precision=precision).train()
    x = torch.randn(SEQUENCES, TOKENS, layer.features, requires_grad=True)
    return lambda: encoder_layer(x).sum().backward()


def seconds(step: Callable[[], object]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started

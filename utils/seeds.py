"""Randomness and devices: what must be fixed so that the same seed gives the same bits."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import torch

from utils.errors import InputError

BF16_PAYS = 2.5  # times float32's products: less, and the compiled float32 encoder is faster than bf16 through PyTorch


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices) with `seed`, and ask cuDNN for repeatable kernels."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def rng_state(device: torch.device) -> dict[str, Any]:
    """The state of torch's generators: CPU, and `device` where it has one of its own."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Set torch's generators to what `rng_state` returned; a generator that it lacks is left alone."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])


def available_devices() -> list[str]:
    """Names that `--device` takes on this machine, such as ["cpu", "cuda", "cuda:0"]."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def get_device(name: str) -> torch.device:
    """Return the torch device `name`.

    Raises:
        InputError: this machine has no such device.
    """
    names = available_devices()
    if name not in names:
        raise InputError(f"--device {name}: not on this machine; it has {', '.join(names)}")
    return torch.device(name)


def usable_precision(precision: str, device: torch.device) -> tuple[str, str | None]:
    """Prepare `device` for the arithmetic `precision`, or for float32 where that is faster than bf16.

    A CPU may have bf16 instructions that are slower than its float32 ones (AVX512-BF16 without AMX is such a case), so
    both are timed for some milliseconds.

    Returns:
        The precision to use, and a message where it is not the one asked for.

    Raises:
        InputError: the device has no such arithmetic.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "fp32"
    elif precision == "tf32":
        raise InputError(f"--precision tf32: an arithmetic of CUDA GPUs; on {device.type} there are fp32 and bf16")
    elif precision == "bf16":
        if device.type != "cpu":
            raise InputError(f"--precision bf16: not on {device.type}; fp32 is")
        bf16, fp32 = matmul_gflops(torch.bfloat16), matmul_gflops(torch.float32)
        if bf16 < BF16_PAYS * fp32:
            return "fp32", (
                f"--precision bf16 would be slower: on this CPU bf16 products reach {bf16:.0f} GFLOP/s, float32 ones "
                f"{fp32:.0f}; computing in float32"
            )
    return precision, None


def matmul_gflops(dtype: torch.dtype, size: int = 1024, repeats: int = 5) -> float:
    """What square matrix products of type `dtype` reach on the CPU, GFLOP/s: the best of `repeats`."""
    a, b = (torch.ones(size, size, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times) / 1e9

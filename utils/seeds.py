"""Randomness and devices: what must be fixed so that the same seed gives the same bits."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from utils.errors import InputError


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

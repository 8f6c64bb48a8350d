"""Where a run lives: `<save_dir>/<experiment>/<run>/seed_<k>/`, and what machine it ran on."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
import torch

from support.errors import InputError


def new_run_folder(save_dir: Path, experiment: str, run: str | None) -> Path:
    """Make and return `save_dir/experiment/run`; `run` defaults to the date and time.

    A folder that exists is never written into: the name gets -2, -3, ... so that runs started together do not
    overwrite one another.

    Raises:
        InputError: the folder cannot be made.
    """
    name = run or time.strftime("%Y-%m-%d_%H-%M-%S")
    parent = Path(save_dir) / experiment
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 10_000):
            folder = parent / (name if attempt == 1 else f"{name}-{attempt}")
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                continue
    except OSError as error:
        raise InputError(
            f"{parent}: cannot be written ({error.strerror}); --save_dir names a folder that can be"
        ) from error
    raise InputError(f"{parent}: has 10,000 runs named {name}; choose another --run_description")


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and threads that a run depends on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "pandas": pd.__version__,
        "device": str(device),
        "device_name": name,
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """The CPU's name where the system tells it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

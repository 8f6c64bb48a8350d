"""The run folder: where a run lives, what it logs, and the configuration that it can be repeated from."""

from __future__ import annotations

import logging
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
import torch
from tqdm import tqdm

from utils.distributed import is_first
from utils.errors import InputError

ROOT = Path(__file__).resolve().parent.parent


class _TqdmHandler(logging.StreamHandler):
    """Writes log lines to stdout above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


@contextmanager
def run_log(path: Path) -> Iterator[logging.Logger]:
    """A logger whose lines go to stdout and, with the time before them, to the end of the file `path`.

    Of several processes only the first one's lines go anywhere.
    """
    logger = logging.Logger("ecgtransform", level=logging.INFO)
    if not is_first():
        logger.addHandler(logging.NullHandler())
        yield logger
        return
    to_file = logging.FileHandler(path, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    logger.addHandler(to_file)
    logger.addHandler(_TqdmHandler())
    try:
        yield logger
    finally:
        to_file.close()


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


def copy_code(folder: Path) -> None:
    """Copy the source files that ran into `folder`, as they stand beside this package."""
    for pattern in ("*.py", "kernels/*.py", "kernels/*.cpp", "preprocess/*.py", "reproduction/*.py", "utils/*.py"):
        for source in sorted(ROOT.glob(pattern)):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


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

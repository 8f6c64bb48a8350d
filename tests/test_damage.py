"""Damaged files: whatever became of a split file or a checkpoint, reading it ends in one line or in what it held.

The damage is done in a process of its own, which a crash would end. By hand, with the counts of each outcome:

    python tests/test_damage.py FOLDER 20000 7        # FOLDER keeps the file that was read last; 7 is the seed
"""

from __future__ import annotations

import io
import json
import random
import re
import resource
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from conftest import toy_beats

import hparams
import utils
from data_configs import DatasetConfig, mit
from dataloader import load_split
from models import ecgTransForm
from support.errors import InputError

ROOT = Path(utils.__file__).parent
SMALL = DatasetConfig(
    "mit", ("N", "S", "V", "F", "Q"), "S", mid_channels=2, final_out_channels=8, msc_kernel_sizes=(3, 5),
    encoder_layers=1, feedforward_dim=8, crm_blocks=1,
)  # fmt: skip
MEGABYTE = 2**20


def split_contents() -> dict[str, Any]:
    samples, labels = toy_beats(12, 5)
    return {
        "samples": samples,
        "labels": labels,
        "classes": ["N", "S", "V", "F", "Q"],
        "records": labels % 2,
        "positions": torch.arange(12) * 300,
        "record_names": ["a", "b"],
        "fs": 360.0,
        "source": "synthetic",
        "protocol": "beat",
        "window": "centred",
        "seed": 2**32 - 1,
    }


def as_numpy(contents: dict[str, Any]) -> dict[str, Any]:
    return {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in contents.items()}


def small_network() -> tuple[ecgTransForm, torch.optim.Adam]:
    model = ecgTransForm(SMALL, hparams.supervised())
    return model, torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)


def checkpoint_contents(folder: Path) -> dict[str, Any]:
    """What a checkpoint of a small network holds after an epoch."""
    torch.manual_seed(0)
    model, optimizer = small_network()
    model(toy_beats(10, 5)[0]).sum().backward()
    optimizer.step()
    metrics = {"history": [{"epoch": 1, "val_macro_f1": 0.5}], "class_weights": [1.0] * 5, "data": {"source": "toy"}}
    checkpoint = utils.Checkpoint(
        "mit", SMALL, hparams.supervised(), model.state_dict(), optimizer.state_dict(), 1,
        utils.rng_state(torch.device("cpu")), metrics,
    )  # fmt: skip
    utils.save_checkpoint(folder / "whole.pt", checkpoint)
    return torch.load(folder / "whole.pt", weights_only=True)


def read_split(path: Path) -> str:
    """Read and use a split file; return its beats' fingerprint."""
    split = load_split(path, mit())
    split.subset(torch.tensor([0])).class_counts(5)
    return split.fingerprint()


def read_checkpoint(path: Path) -> str:
    """Read a checkpoint and go on from it; return the sum of its weights."""
    checkpoint = utils.load_checkpoint(path, "mit")
    model = ecgTransForm(checkpoint.configs, checkpoint.hparams)
    optimizer = torch.optim.Adam(model.parameters())
    utils.restore_training(model, optimizer, torch.device("cpu"), checkpoint, path)
    return str(sum(float(weight.double().abs().sum()) for weight in checkpoint.model.values()))


def saved(contents: object, zipped: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(contents, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


# ------------------------------------------------------------------------------------------------------- the damage


def damaged(whole: bytes, where: range, rng: random.Random) -> bytes:
    """`whole` with one to three faults in the bytes `where`."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.choice(where)
        match rng.randrange(9):
            case 0 | 1:
                data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 2 | 3:
                data[min(at, len(data) - 1)] = rng.randrange(256)
            case 4:
                data[at : at + 4] = rng.choice((0, 1, 2**16, 2**28, 2**31 - 1, 2**32 - 1)).to_bytes(4, "little")
            case 5:
                data[at : at + 8] = rng.choice((2**40, 2**62, 2**63, 2**64 - 1)).to_bytes(8, "little")
            case 6:
                data[at:at] = rng.randbytes(rng.randint(1, 9))
            case 7:
                del data[at : at + rng.randint(1, 9)]
            case 8:
                start = rng.choice(where)
                data[at : at + 16] = data[start : start + 16]
        if not data:
            data = bytearray(b"P")
    return bytes(data)


def with_damaged_pickle(whole: bytes, rng: random.Random) -> bytes:
    """The zip file `whole` with faults in its pickle and checksums that are right."""
    old, stream = zipfile.ZipFile(io.BytesIO(whole)), io.BytesIO()
    with zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                data = damaged(data, range(len(data)), rng)
            new.writestr(entry.filename, data)
    return stream.getvalue()


def fuzz(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Read `count` damaged files of every kind in turn; return how often each outcome came, and what it took."""
    rng = random.Random(seed)
    split, checkpoint = split_contents(), checkpoint_contents(folder)
    whole: dict[str, tuple[bytes, Callable[[Path], str]]] = {}
    for layout in ("zip", "legacy"):
        whole[f"split of tensors, {layout}"] = (saved(split, layout == "zip"), read_split)
        whole[f"split of numpy arrays, {layout}"] = (saved(as_numpy(split), layout == "zip"), read_split)
        whole[f"checkpoint, {layout}"] = (saved(checkpoint, layout == "zip"), read_checkpoint)
    path = folder / "damaged.pt"
    outcomes: dict[str, Counter[str]] = {}
    slowest, values = 0.0, {}
    for name, (data, read) in whole.items():
        path.write_bytes(data)
        values[name] = read(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        name, (data, read) = rng.choice([*whole.items()])
        kind = rng.choice(("anywhere", "beginning", "end", "cut short", "pickle"))
        if kind == "pickle" and "zip" in name:
            part = with_damaged_pickle(data, rng)
        elif kind == "cut short":
            part = data[: rng.randrange(len(data))]
        else:
            first = {"end": len(data) - 1500}.get(kind, 0)
            last = {"beginning": 1500, "pickle": 4000}.get(kind, len(data))
            part = damaged(data, range(first, min(last, len(data))), rng)
        path.write_bytes(part)
        start = time.monotonic()
        try:
            value = read(path)
        except InputError as error:
            outcome = re.sub(r"\d+", "0", str(error).replace(str(path), "").replace("\n", "\\n"))
            assert "\n" not in str(error), error
        else:
            outcome = "loads, with the same values" if value == values[name] else "loads, with other values"
            # The checksums of a zip file vouch for every number that it gives; older files have none.
            assert value == values[name] or "legacy" in name or kind == "pickle", (name, kind, number)
        slowest = max(slowest, time.monotonic() - start)
        outcomes.setdefault(f"{name}, {kind}", Counter())[outcome] += 1
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"outcomes": outcomes, "slowest": slowest, "megabytes": (after - before) * 1024 / MEGABYTE}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(fuzz(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

"""Damaged files: whatever became of a split file or a checkpoint, reading it ends in one line or in what it held.

The damage is done in a process of its own, which a crash would end. By hand, with the counts of each outcome:

    PYTHONPATH=. python tests/test_damage.py FOLDER 20000 7    # FOLDER keeps the file that was read last; 7 is the seed
"""

from __future__ import annotations

import codecs
import copy
import dataclasses
import errno
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
import time
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, toy_beats

import hparams
import utils
from data_configs import DatasetConfig, mit
from models import ecgTransForm
from split_file import load_split
from support.errors import InputError

SMALL = DatasetConfig(
    "mit", ("N", "S", "V", "F", "Q"), "S", mid_channels=2, final_out_channels=8, msc_kernel_sizes=(3, 5),
    encoder_layers=1, feedforward_dim=8, crm_blocks=1,
)  # fmt: skip
RECIPE = dataclasses.replace(hparams.supervised(), kernel="stock")  # "auto" would compile one
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
    model = ecgTransForm(SMALL, RECIPE)
    return model, torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)


def checkpoint_contents(folder: Path) -> dict[str, Any]:
    """What a checkpoint of a small network holds after an epoch."""
    torch.manual_seed(0)
    model, optimizer = small_network()
    model(toy_beats(10, 5)[0]).sum().backward()
    optimizer.step()
    metrics = {"history": [{"epoch": 1, "val_macro_f1": 0.5}], "class_weights": [1.0] * 5, "data": {"source": "toy"}}
    checkpoint = utils.Checkpoint(
        "mit", SMALL, RECIPE, model.state_dict(), optimizer.state_dict(), 1,
        utils.rng_state(torch.device("cpu")), metrics,
    )  # fmt: skip
    utils.save_checkpoint(folder / "whole.pt", checkpoint)
    return torch.load(folder / "whole.pt", weights_only=True)


def read_split(path: Path) -> str:
    """Read and use a split file; return its beats' fingerprint."""
    split = load_split(path, mit())
    split.subset(torch.tensor([0])).class_counts(mit().classes)
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


def rebuilt(whole: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """The zip file `whole` with `edit` done to its pickle, and checksums that are right."""
    old, stream = zipfile.ZipFile(io.BytesIO(whole)), io.BytesIO()
    with zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(entry.filename, edit(data) if entry.filename.endswith("data.pkl") else data)
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
            part = rebuilt(data, lambda pickled: damaged(pickled, range(len(pickled)), rng))
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


def test_hundreds_of_damaged_files_end_in_one_line(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path), "300", "0"],
        capture_output=True, text=True, timeout=120, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.returncode}, by the file {tmp_path / 'damaged.pt'}: {done.stderr}"
    found = json.loads(done.stdout)
    assert len(found["outcomes"]) == 30  # kinds of file by kinds of damage
    assert found["megabytes"] < 100  # above what whole files take, however large the damaged sizes are
    refused = sum(
        count
        for outcomes in found["outcomes"].values()
        for outcome, count in outcomes.items()
        if "loads" not in outcome
    )
    assert refused > 200


# --------------------------------------------------------------------------------- files that are whole, but not fit


class _Attribute:
    """Something that pickles as a call, and then a state."""

    def __init__(self, function: object, *arguments: object, state: object = None) -> None:
        self.call = function, arguments, state

    def __reduce__(self) -> tuple[object, tuple[object, ...], object]:
        return self.call


def nested_tuple(depth: int) -> tuple[object, ...]:
    value: tuple[object, ...] = ()
    for _ in range(depth):
        value = (value,)
    return value


LONG = "a" * 10_000, b"a" * 10_000
COPIES = [_Attribute(codecs.encode, LONG[0], "latin1") for _ in range(100)]
RECONSTRUCT, EMPTY = tuple(np.zeros(0).__reduce__())[:2]
STATE = (1, (10_000,), np.dtype("u1"), False, LONG[1])
ARRAYS = [_Attribute(RECONSTRUCT, *EMPTY, state=STATE) for _ in range(100)]

SAMPLES, LABELS = toy_beats(12, 5)
with warnings.catch_warnings(action="ignore"):  # torch calls some of its tensors prototypes
    RARE = {
        "rows": SAMPLES.squeeze(1).to_sparse_csr(),
        "nested": torch.nested.nested_tensor([SAMPLES[0], SAMPLES[1, :, :9]]),
        "quantised": torch.quantize_per_tensor(SAMPLES, 0.1, 0, torch.qint8),
    }
CONTENTS: dict[str, tuple[dict[Any, Any], str]] = {
    "sparse": ({"samples": SAMPLES.squeeze(1).to_sparse()}, "holds a sparse tensor"),
    "sparse rows": ({"samples": RARE["rows"]}, "holds a sparse tensor"),
    "quantised": ({"samples": RARE["quantised"]}, "holds a quantised tensor"),
    "meta": ({"samples": SAMPLES.to("meta")}, "holds a tensor without data"),
    "nested": ({"samples": RARE["nested"]}, "holds a nested tensor"),
    "uint16": ({"labels": LABELS.to(torch.uint16)}, "holds a tensor of a rare type"),
    "float8": ({"samples": SAMPLES.to(torch.float8_e5m2)}, "holds a tensor of a rare type"),
    "complex": ({"samples": SAMPLES.to(torch.complex64)}, "'samples' is of type torch.complex64"),
    "bool": ({"labels": LABELS > 0}, "'labels' is of type torch.bool"),
    "huge": ({"samples": torch.zeros(1).expand(10**9, 186)}, "its contents do not fit together"),
    "no dimension": ({"labels": torch.tensor(1.0)}, r"labels of shape \(\) beside 12 beats"),
    "a dict": ({"samples": {"samples": SAMPLES}}, "'samples' is a dict"),
    "a list": ({"labels": LABELS.tolist()}, "'labels' is a list"),
    "a number": ({"labels": 3}, "'labels' is a int"),
    "array of objects": ({"labels": np.array([1, "a"], dtype=object)}, "holds a numpy array of type 'O8'"),
    "array of texts": ({"labels": np.array(["N", "S"])}, "holds a numpy array of type 'U1'"),
    "array of structures": ({"labels": np.zeros(12, dtype=[("a", "i4")])}, "holds a numpy array of type 'V4'"),
    "array of dates": ({"labels": np.zeros(12, dtype="M8[s]")}, "holds a numpy array of type 'M8'"),
    "array of long doubles": ({"samples": np.zeros((12, 186), np.longdouble)}, "holds a numpy array of type 'f16'"),
    "array of bools": ({"labels": LABELS.numpy() > 0}, "'labels' is of type torch.bool"),
    "classes a number": ({"classes": 5}, "'classes' is 5; a list of names"),
    "classes numbers": ({"classes": [1, 2, 3, 4, 5]}, r"'classes' is \[1, 2, 3, 4, 5\]; a list of names"),
    "classes twice": ({"classes": ["N", "N", "V", "F", "Q"]}, "its classes are N, N, V, F, Q, those of mit are"),
    "a class many times": ({"classes": ["N"] * 60}, "N, N and 10 more, those of mit are"),
    "classes more": ({"classes": [*"NSVFQX"]}, "its classes are N, S, V, F, Q, X, those of mit are"),
    "no classes": ({"classes": []}, "its classes are , those"),
    "names a number": ({"record_names": 3}, "'record_names' is 3; a list of names"),
    "rate nan": ({"fs": float("nan")}, "'fs' is nan; a rate"),
    "rate endless": ({"fs": 10**400}, "'fs' is 1000"),
    "rate negative": ({"fs": -1}, "'fs' is -1; a rate"),
    "rate zero": ({"fs": 0}, "'fs' is 0; a rate"),
    "rate bool": ({"fs": True}, "'fs' is True; a rate"),
    "rate text": ({"fs": "360"}, "'fs' is '360'; a rate"),
    "records fractions": ({"records": LABELS / 2}, "'records' holds 0.5 for beat 1"),
    "records negative": ({"records": -LABELS}, "'records' counts from -4 to 0, beside"),
    "records nan": ({"records": LABELS * float("nan")}, "'records' holds nan for beat 0"),
    "positions infinite": ({"positions": LABELS + float("inf")}, "'positions' holds inf for beat 0"),
    "source a number": ({"source": 3}, "'source' is 3; a string"),
    "window a tensor": ({"window": SAMPLES}, "'window' is tensor"),
    "keys": ({1: 2}, "keys that are not strings"),
    "keys of tuples": ({"more": {(1, 2): 3}}, "a dict whose keys are neither text nor whole numbers"),
    "keys of deep tuples": ({"more": {nested_tuple(300): 3}}, "a dict whose keys are neither text nor whole numbers"),
    "a call": ({"more": _Attribute(bytearray, 10**12)}, r"'__builtin__.bytearray' \(code in it was not run\)"),
    "a storage": ({"more": _Attribute(torch.UntypedStorage, 10**12)}, "'torch.storage.UntypedStorage'"),
    "a text copied many times": ({"more": COPIES}, "its contents do not fit together"),
    "arrays of the same bytes": ({"more": ARRAYS}, "its contents do not fit together"),
    "a method": ({"more": _Attribute(OrderedDict, state={"items": 3})}, "its contents do not fit together"),
    "a codec": ({"more": _Attribute(codecs.encode, "a" * 9, "idna")}, "its contents do not fit together"),
}


@pytest.mark.parametrize("layout", ["zip", "legacy"])
@pytest.mark.parametrize("kind", CONTENTS)
def test_what_a_split_file_cannot_hold(tmp_path: Path, kind: str, layout: str) -> None:
    changes, message = CONTENTS[kind]
    path = tmp_path / "train.pt"
    with warnings.catch_warnings(action="ignore"):
        path.write_bytes(saved(split_contents() | changes, layout == "zip"))
    with pytest.raises(InputError, match=message) as error:
        load_split(path, mit())
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": SAMPLES.clone().requires_grad_()},
        {"samples": torch.nn.Parameter(SAMPLES)},
        {"samples": SAMPLES[:, :, ::2].repeat_interleave(2, dim=2), "labels": LABELS.flip(0).flip(0)},
        {"records": LABELS * 0, "record_names": None},  # a single one needs no name
        {"labels": LABELS.to(torch.int8), "records": (LABELS % 2).float(), "fs": 360},
        {"samples": SAMPLES.squeeze(1).T.contiguous().T},
    ],
)
def test_what_a_split_file_may_hold(tmp_path: Path, changes: dict[str, Any]) -> None:
    contents = split_contents() | changes
    torch.save(contents, tmp_path / "train.pt")
    split = load_split(tmp_path / "train.pt", mit())
    assert torch.equal(split.samples, contents["samples"].detach().reshape(12, 1, 186))
    assert torch.equal(split.labels, LABELS)
    assert split.fingerprint()
    assert split.fs == 360


@pytest.mark.parametrize("numpy_core", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize("layout", ["zip", "legacy"])
@pytest.mark.parametrize("kind", ["f2", "f4", ">f4", "f8", ">f8", "i1", "i2", ">i4", "i8", "u1", ">u2", "u4", "u8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_kind_of_number(tmp_path: Path, numpy_core: bytes, layout: str, kind: str, order: str) -> None:
    """As numpy 1 and numpy 2 pickle them, whose modules have different names."""
    samples = np.round(10 * SAMPLES.squeeze(1).abs().numpy()).astype(kind, order=order)
    contents = {"samples": samples, "labels": LABELS.numpy().astype(kind)}

    def renamed(pickled: bytes) -> bytes:
        return pickled.replace(b"numpy._core", numpy_core).replace(b"numpy.core", numpy_core)

    data = rebuilt(saved(contents, True), renamed) if layout == "zip" else renamed(saved(contents, False))
    (tmp_path / "train.pt").write_bytes(data)
    split = load_split(tmp_path / "train.pt", mit())
    np.testing.assert_array_equal(split.samples.squeeze(1).numpy(), samples.astype(np.float32))
    assert torch.equal(split.labels, LABELS)


# --------------------------------------------------------------------------------------- checkpoints, whole, not fit


WHOLE = dataclasses.asdict(SMALL)
CHECKPOINTS: dict[str, tuple[dict[str, Any], str]] = {
    "length a text": ({"configs": WHOLE | {"sequence_len": "x"}}, "'configs': sequence_len is 'x'; a whole number"),
    "length None": ({"configs": WHOLE | {"sequence_len": None}}, "sequence_len is None; a whole number"),
    "length huge": ({"configs": WHOLE | {"sequence_len": 10**12}}, "sequence_len must be 1 to 10000, got 10000000"),
    "length 0": ({"configs": WHOLE | {"sequence_len": 0}}, "sequence_len must be 1 to 10000, got 0"),
    "length another": ({"configs": WHOLE | {"sequence_len": 400}}, r"weights do not fit the network: bitrans\S+ is"),
    "layers huge": ({"configs": WHOLE | {"encoder_layers": 10**9}}, "encoder_layers must be 1 to 100"),
    "layers two": ({"configs": WHOLE | {"encoder_layers": 2}}, r"weights do not fit the network: the file has no bitr"),
    "kernels": ({"configs": WHOLE | {"msc_kernel_sizes": (3, "5")}}, r"msc_kernel_sizes is \(3, '5'\)"),
    "classes": ({"configs": WHOLE | {"classes": "NSVFQ"}}, "classes is 'NSVFQ'"),
    "rhythm classes": ({"configs": WHOLE | {"rhythm_classes": ("N", "S", "V")}}, "rhythm_classes must be two"),
    "no features": ({"configs": WHOLE | {"rhythm_features": ()}}, "must name at least one column each"),
    "no configs": ({"configs": None}, "'configs' is a NoneType; a dict"),
    "field unknown": ({"configs": WHOLE | {"depth": 1}}, "'depth' is unknown; was it written by another version"),
    "field missing": ({"hparams": {"recipe": "supervised"}}, "num_epochs is missing; was it written by another"),
    "batch": ({"hparams": dataclasses.asdict(RECIPE) | {"batch_size": 2.5}}, "batch_size is 2.5; a whole number"),
    "rate": (
        {"hparams": dataclasses.asdict(RECIPE) | {"learning_rate": float("nan")}},
        "learning_rate is nan; a finite number",
    ),
    "betas": ({"hparams": dataclasses.asdict(RECIPE) | {"betas": (0.9,)}}, r"betas is \(0.9,\)"),
    "loss": ({"hparams": dataclasses.asdict(RECIPE) | {"loss": "hinge"}}, "'hparams': --loss hinge: unknown"),
    "epoch a text": ({"epoch": "1"}, "epoch is '1'; a whole number"),
    "epoch another": ({"epoch": 7}, "it says epoch 7, its history 1"),
    "epoch negative": ({"epoch": -1, "metrics": {}}, "it says epoch -1"),
    "metrics a list": ({"metrics": [1]}, r"metrics is \[1\]"),
    "history": ({"metrics": {"history": [1.0]}}, "'history' in its 'metrics' is"),
    "class weights": ({"metrics": {"class_weights": [1.0, 2.0]}}, "weights for 2 classes"),
    "class weights nan": ({"metrics": {"class_weights": [float("nan")] * 5}}, "'class_weights' in its 'metrics'"),
    "dataset": ({"dataset": 5}, "its 'dataset' is a int"),
    "model": ({"model": {"clf.weight": [1.0]}}, "'model' is not a state dict"),
    "optimizer empty": ({"optimizer": {}}, "optimiser state is damaged"),
    "training records a number": (
        {"metrics": {"data": {"training_records": 5}}},
        "'training_records' in its 'data' is 5",
    ),
    "init records a text": ({"metrics": {"data": {"init_records": "a"}}}, "'init_records' in its 'data' is 'a'"),
    "window a list": ({"metrics": {"data": {"window": []}}}, r"'window' in its 'data' is \[\]"),
    "fingerprints a number": ({"metrics": {"data": {"fingerprints": 3}}}, "'fingerprints' in its 'data' is 3"),
    "optimizer a list": ({"optimizer": []}, r"optimizer is \[\]"),
    "optimizer groups": ({"optimizer": {"state": {}, "param_groups": [{"lr": 1.0}]}}, "optimiser state is damaged"),
    "rng missing": ({"rng": {}}, "random generators is damaged"),
    "rng short": ({"rng": {"cpu": torch.zeros(7, dtype=torch.uint8)}}, "random generators is damaged"),
    "rng floats": ({"rng": {"cpu": torch.zeros(5056)}}, "random generators is damaged"),
    "rng zeros": ({"rng": {"cpu": torch.zeros(5056, dtype=torch.uint8)}}, "random generators is damaged"),
}


@pytest.fixture(scope="module")
def whole_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return checkpoint_contents(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_what_a_checkpoint_cannot_hold(tmp_path: Path, whole_checkpoint: dict[str, Any], kind: str) -> None:
    changes, message = CHECKPOINTS[kind]
    path = tmp_path / "checkpoint_last.pt"
    torch.save(whole_checkpoint | changes, path)
    state = torch.get_rng_state()
    with pytest.raises(InputError, match=message) as error:
        read_checkpoint(path)
    torch.set_rng_state(state)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "change", ["no moment", "shape", "index", "rate", "betas", "amsgrad", "schedule", "parameters"]
)
def test_an_optimiser_state_of_another_shape(tmp_path: Path, whole_checkpoint: dict[str, Any], change: str) -> None:
    optimizer = copy.deepcopy(whole_checkpoint["optimizer"])
    group = optimizer["param_groups"][0]
    match change:
        case "no moment":
            del optimizer["state"][0]["exp_avg_sq"]
        case "shape":
            optimizer["state"][0]["exp_avg"] = torch.zeros(3)
        case "index":
            optimizer["state"][len(group["params"])] = optimizer["state"][0]
        case "rate":
            group["lr"] = "0.001"
        case "betas":
            group["betas"] = (0.9, None)
        case "amsgrad":
            group["amsgrad"] = True
        case "schedule":
            group["max_lr"] = None
        case "parameters":
            group["params"] = group["params"][:-1]
    torch.save(whole_checkpoint | {"optimizer": optimizer}, tmp_path / "c.pt")
    with pytest.raises(InputError, match="optimiser state is damaged"):
        read_checkpoint(tmp_path / "c.pt")


def test_a_run_goes_on_from_a_whole_checkpoint(tmp_path: Path, whole_checkpoint: dict[str, Any]) -> None:
    weights = OrderedDict(whole_checkpoint["model"])
    weights._metadata = 3  # type: ignore[attr-defined]  # what torch keeps there has no bearing on the weights
    torch.save(whole_checkpoint | {"model": weights}, tmp_path / "c.pt")
    checkpoint = utils.load_checkpoint(tmp_path / "c.pt")
    model, optimizer = small_network()
    state = torch.get_rng_state()
    torch.manual_seed(99)
    utils.restore_training(model, optimizer, torch.device("cpu"), checkpoint, tmp_path / "c.pt")
    assert torch.equal(torch.get_rng_state(), whole_checkpoint["rng"]["cpu"])
    torch.set_rng_state(state)
    assert torch.equal(
        optimizer.state_dict()["state"][0]["exp_avg"], whole_checkpoint["optimizer"]["state"][0]["exp_avg"]
    )
    assert all(torch.equal(model.state_dict()[name], value) for name, value in whole_checkpoint["model"].items())


# ----------------------------------------------------------------------------------- tensors that reach past their data


# As torch.save writes (300, 700) elements with strides 1 and 300, of a storage of 210,000: what is changed into what.
HUGE = b"J" + (2**28).to_bytes(4, "little")
TOO_LARGE = {
    "storage": (b"J" + (210_000).to_bytes(4, "little") + b"tq", HUGE + b"tq"),
    "offset": (b"QK\x00", b"Q" + HUGE),
    "shape": (b"M\x2c\x01M\xbc\x02", HUGE + b"M\xbc\x02"),
    "stride": (b"K\x01M\x2c\x01", b"K\x01" + HUGE),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_a_tensor_that_is_larger_than_its_data(tmp_path: Path, what: str) -> None:
    """Some versions of torch read past the end of the storage."""

    def edit(pickled: bytes) -> bytes:
        assert pickled.count(TOO_LARGE[what][0]) == 1
        return pickled.replace(*TOO_LARGE[what])

    whole = saved({"samples": torch.zeros(700, 300).t()}, True)
    (tmp_path / "train.pt").write_bytes(rebuilt(whole, edit))
    with pytest.raises(InputError, match=r"do not fit together|not as long as it says"):
        load_split(tmp_path / "train.pt", mit())


def test_a_changed_sample_is_noticed(tmp_path: Path) -> None:
    data = bytearray(saved(split_contents(), True))
    at = data.index(SAMPLES.numpy().tobytes()) + 1001
    data[at] ^= 1
    (tmp_path / "train.pt").write_bytes(data)
    with pytest.raises(InputError, match=r"the checksum of its part archive/data/0 is wrong"):
        load_split(tmp_path / "train.pt", mit())


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "train.pt"
    path.write_bytes(saved(split_contents(), True))

    def failing(self: zipfile.ZipFile) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(zipfile.ZipFile, "testzip", failing)
    with pytest.raises(InputError, match=r"train.pt: cannot be read: Input/output error"):
        load_split(path, mit())

    def full(self: zipfile.ZipFile) -> None:
        raise MemoryError

    monkeypatch.setattr(zipfile.ZipFile, "testzip", full)
    with pytest.raises(InputError, match=r"train.pt: does not fit into the memory"):
        load_split(path, mit())


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(fuzz(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

"""What a file of `torch.save` may hold, checked before `torch.load` builds anything of it.

`torch.load(weights_only=True)` runs no code of a file, yet a damaged file can still end the process: it allocates what
a damaged size asks for, some versions read past the end of a storage, and numpy's own unpickling crashes on a damaged
array. So a file is first followed without building anything: its checksums, its pickle, and the size of every tensor
against the bytes that are there. Only dense tensors, numpy arrays and plain values pass.

A pickle is a program for a machine with a stack (the standard library's `pickletools` documents its operations).
torch.save writes protocol 2; later ones have operations that torch.load(weights_only=True) refuses. Around the pickle
there are two formats:

- a zip file (torch 1.6 and later): `<name>/data.pkl`, and a member `<name>/data/<key>` for each storage;
- before that, pickles of a magic number, a version, the machine, the contents and the storages' keys, then for each
  storage its number of elements (8 bytes) and the elements.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
FOLDER = 0x10  # among the attributes of a member of a zip file
LEGACY_HEAD = 64  # bytes, in which the pickle of the magic number ends

ELEMENT_BYTES = {
    "torch DoubleStorage": 8,
    "torch FloatStorage": 4,
    "torch HalfStorage": 2,
    "torch BFloat16Storage": 2,
    "torch LongStorage": 8,
    "torch IntStorage": 4,
    "torch ShortStorage": 2,
    "torch CharStorage": 1,
    "torch ByteStorage": 1,
    "torch BoolStorage": 1,
    "torch ComplexFloatStorage": 8,
    "torch ComplexDoubleStorage": 16,
}
"""Bytes of an element of each storage, by the name in a pickle."""

TENSOR, PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
ORDERED_DICT, ENCODE = "collections OrderedDict", "_codecs encode"
ARRAYS = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")  # numpy 1, numpy 2
ARRAY, ARRAY_TYPE = "numpy ndarray", "numpy dtype"
KNOWN = {TENSOR, PARAMETER, ORDERED_DICT, ENCODE, *ARRAYS, ARRAY, ARRAY_TYPE, *ELEMENT_BYTES}

RARE = {
    "torch._utils _rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils _rebuild_qtensor": "a quantised tensor",
    "torch._utils _rebuild_meta_tensor_no_storage": "a tensor without data (device meta)",
    "torch._utils _rebuild_nested_tensor": "a nested tensor",
    "torch._utils _rebuild_tensor_v3": "a tensor of a rare type (uint16, uint32, uint64, float8)",
    "torch._tensor _rebuild_from_type_v2": "a tensor of a class of its own",
}
"""Tensors that are refused, in words."""

VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
MOST_DIMENSIONS = 64  # of a tensor in torch
NOT_RUN = "(code in it was not run)"
NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"}  # numpy's codes


class DamagedFileError(ValueError):
    """A file is not what torch.save writes, or holds more than plain data; the message goes behind the file's name."""


def check(path: Path) -> None:
    """Follow the file at `path` without building anything of it.

    Raises:
        DamagedFileError: it is damaged, or holds more than dense tensors, numpy arrays and plain values.
        OSError: it cannot be read.
        Exception: of any other kind, on some kinds of damage.
    """
    with path.open("rb") as stream:
        head = stream.read(LEGACY_HEAD)
        stream.seek(0)
        if head.startswith(ZIP_MAGIC):
            _check_zip(stream, path.stat().st_size)
        elif _integer(LEGACY_MAGIC) in head:
            _check_legacy(io.BytesIO(stream.read()))
        else:
            raise DamagedFileError("is not a file of torch.save, or is damaged at its beginning")


def _integer(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "little")


def _check_zip(stream: BinaryIO, size: int) -> None:
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        sizes = {entry.filename: entry.file_size for entry in entries}
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise DamagedFileError("is compressed or damaged; torch.save does not compress")
        _insist(len(sizes) == len(entries) and sum(sizes.values()) <= size)
        # Of a member that is marked as a folder, torch gives whatever was in memory instead of the data.
        _insist(not any(entry.external_attr & FOLDER for entry in entries))
        damaged = archive.testzip()  # torch.load does not look at the checksums
        if damaged is not None:
            raise DamagedFileError(f"is damaged: the checksum of its part {damaged} is wrong")
        (name,) = (name for name in sizes if name.endswith("/data.pkl"))
        _, storages = follow(io.BytesIO(archive.read(name)), size)
    folder = name.removesuffix(".pkl")
    for key, storage in storages.items():
        if sizes.get(f"{folder}/{key}") != storage.nbytes:
            raise DamagedFileError("is damaged: a tensor's data are not as long as it says")


def _check_legacy(stream: io.BytesIO) -> None:
    size = stream.getbuffer().nbytes
    (magic, _), _, _ = (follow(stream, size) for _ in range(3))
    if magic != LEGACY_MAGIC:
        raise DamagedFileError("is not a file of torch.save, or is damaged at its beginning")
    _, storages = follow(stream, size)
    keys, _ = follow(stream, size)
    if sorted(keys) != sorted(storages):
        raise DamagedFileError("is damaged: the list of its tensors' data is wrong")
    if stream.tell() + sum(8 + storage.nbytes for storage in storages.values()) != size:
        raise DamagedFileError("is cut short or damaged: its tensors' data are not as long as they say")


# ------------------------------------------------------------------------------------------------------- the pickle


@dataclass(frozen=True)
class Storage:
    """The data of tensors: `numel` elements, `nbytes` bytes."""

    numel: int
    nbytes: int


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names, "module name"."""

    text: str


@dataclass(frozen=True)
class Made:
    """What the function or class `by` would return."""

    by: str


def follow(stream: BinaryIO, size: int) -> tuple[Any, dict[str, Storage]]:
    """Follow one pickle to its end, in a file of `size` bytes.

    Returns:
        What it holds, in outline: plain values, lists and tuples, dicts with None for every value, and `Name`, `Made`
        and `Storage` in place of everything else; and the storages that it refers to, by their keys.

    Raises:
        DamagedFileError: a name or an operation is none of those that plain data need, a tensor does not fit its
            storage, or arrays would become larger than the file.
        Exception: of any other kind, on some kinds of damage.
    """
    stack: list[Any] = []
    marks: list[list[Any]] = []
    memo: dict[int, Any] = {}
    storages: dict[str, Storage] = {}
    copied = 0  # bytes of arrays that `torch.load` will make; one text of the file may be named any number of times
    argument: Any  # of the kind that the operation has
    for operation, argument, _ in pickletools.genops(stream):
        match operation.name:
            case "PROTO":
                if argument not in (2, 3):  # the operations of 3 are those of 2 and two that plain data do without
                    raise DamagedFileError("is damaged or not of pickle protocol 2, which torch.save writes")
            case "STOP":
                return stack.pop(), storages
            case name if name in VALUES:
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[operation.name])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": {}, "EMPTY_LIST": [], "EMPTY_TUPLE": ()}[operation.name])
            case "MARK":
                marks.append(stack)
                stack = []
            case "TUPLE":
                items, stack = stack, marks.pop()
                stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(operation.name[-1])
                items = [stack.pop() for _ in range(count)]
                stack.append(tuple(reversed(items)))
            case "APPEND":
                item = stack.pop()
                _insist(type(stack[-1]) is list)
                stack[-1].append(item)
            case "APPENDS":
                items, stack = stack, marks.pop()
                _insist(type(stack[-1]) is list)
                stack[-1].extend(items)
            case "SETITEM":
                _, key = stack.pop(), stack.pop()
                _add_keys(stack[-1], [key])
            case "SETITEMS":
                items, stack = stack, marks.pop()
                _insist(len(items) % 2 == 0)
                _add_keys(stack[-1], items[::2])
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(Name(_known(argument)))
            case "BINPERSID":
                key, storage = _storage(stack.pop(), size)
                _insist(storages.setdefault(key, storage).nbytes == storage.nbytes)
                stack.append(storage)
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                _insist(type(function) is Name and type(arguments) is tuple)
                stack.append(_result(function.text, arguments, size))
                copied += len(arguments[0]) if function.text == ENCODE else 0
            case "BUILD":
                state = stack.pop()
                made = stack[-1]
                # The attribute of a state dict, since any other may hide a method of dicts; and an array's shape and
                # bytes, which `StoredArray` checks.
                _insist(type(made) is Made and made.by in (ORDERED_DICT, ARRAY, ARRAY_TYPE))
                _insist(made.by != ORDERED_DICT or (type(state) is dict and state.keys() <= {"_metadata"}))
                copied += len(state[-1]) if made.by == ARRAY else 0
            case _:
                raise DamagedFileError(f"is damaged or holds more than tensors and plain values {NOT_RUN}")
        _insist(copied <= 2 * size)  # the bytes of an array, and the array
    raise EOFError("the pickle has no end")


def _insist(fine: bool) -> None:
    if not fine:
        raise DamagedFileError("is damaged: its contents do not fit together")


def _add_keys(target: object, keys: Collection[object]) -> None:
    _insist(type(target) is dict or target == Made(ORDERED_DICT))
    if not all(type(key) in (str, int) for key in keys):
        raise DamagedFileError("holds a dict whose keys are neither text nor whole numbers")
    if type(target) is dict:
        target.update(dict.fromkeys(keys))


def _known(name: str) -> str:
    if name in RARE:
        raise DamagedFileError(f"holds {RARE[name]}; dense tensors of usual types are needed")
    if name not in KNOWN:
        dotted = name.replace(" ", ".")
        raise DamagedFileError(f"is damaged or holds more than tensors and plain values: {dotted!r} {NOT_RUN}")
    return name


def _storage(identity: tuple[Any, ...], size: int) -> tuple[str, Storage]:
    """Key and size of what ("storage", type, key, location, elements) names; older files add None."""
    what, kind, key, _, numel, *view = identity
    _insist(what == "storage" and view in ([], [None]) and type(key) is str and type(kind) is Name)
    _insist(kind.text in ELEMENT_BYTES and type(numel) is int and 0 <= numel <= size)
    return key, Storage(numel, numel * ELEMENT_BYTES[kind.text])


def _result(function: str, arguments: tuple[Any, ...], size: int) -> object:
    """What calling `function` gives; only those calls pass that torch.save and numpy write."""
    if function == TENSOR:
        storage, offset, shape, strides, grad, hooks, *metadata = arguments
        # Metadata say that a tensor is a negated or conjugated view, which nothing but the imaginary part of one is.
        _insist(type(storage) is Storage and type(grad) is bool and hooks == Made(ORDERED_DICT) and not any(metadata))
        _insist_on_inside(storage, offset, shape, strides, size)
    elif function == PARAMETER:
        tensor, grad, hooks = arguments
        _insist(tensor == Made(TENSOR) and type(grad) is bool and hooks == Made(ORDERED_DICT))
        return tensor
    elif function == ENCODE:  # how protocol 2 writes bytes
        text, encoding = arguments
        _insist(type(text) is str and encoding == "latin1")
        return text
    elif function in ARRAYS:
        _insist(arguments[0] == Name(ARRAY))
        return Made(ARRAY)
    else:
        _insist(function == ARRAY_TYPE or (function == ORDERED_DICT and arguments == ()))
    return Made(function)


def _insist_on_inside(storage: Storage, offset: int, shape: Sequence[int], strides: Sequence[int], size: int) -> None:
    """Raise unless a tensor lies within its storage, and has no more elements than its file has bytes.

    A stride of 0 makes a large tensor of little data, which takes its full size in the first calculation.
    """
    _insist(type(shape) is tuple and type(strides) is tuple and len(shape) == len(strides) <= MOST_DIMENSIONS)
    _insist(all(type(number) is int and number >= 0 for number in (offset, *shape, *strides)))
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    _insist(offset <= storage.numel if 0 in shape else last < storage.numel)
    _insist(math.prod(shape) <= size)


# ------------------------------------------------------------------------------------------------------ numpy arrays


class StoredType:
    """Stands in for `numpy.dtype` while a file is read: the type of an array's numbers."""

    def __init__(self, code: str, *_: object) -> None:
        """`code` such as "f4"; what follows it concerns structures, which are refused."""
        if not isinstance(code, str) or code not in NUMBERS:
            raise DamagedFileError(f"holds a numpy array of type {code!r:.40}; arrays of numbers are needed")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take (version, byte order, and what structures need)."""
        _, order, *structure = state
        if order not in ("<", ">", "|", "=") or any(part is not None for part in structure[:3]):
            raise DamagedFileError("is damaged: the type of a numpy array makes no sense")
        self.dtype = self.dtype.newbyteorder(order)


class StoredArray:
    """Stands in for `numpy.ndarray` while a file is read; `values` is the array."""

    values: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take (version, shape, type, whether in Fortran's order, bytes)."""
        _, shape, kind, fortran, raw = state
        if not isinstance(kind, StoredType) or not isinstance(raw, bytes):
            raise DamagedFileError("holds a numpy array of objects or a damaged one; arrays of numbers are needed")
        if not all(type(length) is int and length >= 0 for length in shape):
            raise DamagedFileError(f"is damaged: a numpy array of shape {shape!r:.40}")
        if math.prod(shape) * kind.dtype.itemsize != len(raw):
            raise DamagedFileError("is damaged: a numpy array's data are not as long as its shape says")
        flat = np.frombuffer(raw, kind.dtype).astype(kind.dtype.newbyteorder("="))
        self.values = flat.reshape(shape, order="F" if fortran else "C")


def _stored_array(kind: type, shape: object, code: object) -> StoredArray:
    """Stands in for numpy's function that makes the empty array of which pickling fills in the rest."""
    return StoredArray()


STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *((_stored_array, name.replace(" ", ".")) for name in ARRAYS),
    (StoredArray, ARRAY.replace(" ", ".")),
    (StoredType, ARRAY_TYPE.replace(" ", ".")),
]
"""For `torch.serialization.safe_globals`: what is called in numpy's place, since numpy's own code crashes on damage."""

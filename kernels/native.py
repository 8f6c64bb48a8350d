"""Builds and calls `encoder.cpp`: one Transformer encoder layer, forward and backward, for CPU.

The operator is compiled on first use for the shape and the processor at hand (some seconds, kept in PyTorch's
extension cache). It is plain C++ called through ctypes, so all that it asks for is a C++ compiler with OpenMP.
Where there is none, `library` returns None after one message; with ECGTRANSFORM_NATIVE=0 in the environment, or for a
shape that does not fill its tiles, without one. `encoder.py` then does the same in PyTorch.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SOURCE = Path(__file__).with_name("encoder.cpp")


@dataclass(frozen=True)
class Shape:
    """The sizes that the operator is compiled for."""

    tokens: int
    features: int
    heads: int
    hidden_units: int

    def flags(self) -> list[str]:
        """Compiler flags that define the constants of encoder.cpp."""
        names = ("TOKENS", "FEATURES", "HEADS", "HIDDEN_UNITS")
        return [f"-D{name}={value}" for name, value in zip(names, astuple(self), strict=True)]

    def supported(self) -> bool:
        """Whether the sizes fill the operator's tiles."""
        fills = self.tokens % 32 == 0 and self.hidden_units % 64 == 0 and self.features % self.heads == 0
        return fills and self.tokens * self.features <= 128 * 64  # a sequence's maps are on the stack: about 0.5 MB


class _Call(ctypes.Structure):
    """`struct Call` of encoder.cpp."""

    _fields_ = (
        ("sequences", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("seed", ctypes.c_uint64),
        ("dropout", ctypes.c_double),
        ("eps1", ctypes.c_double),
        ("eps2", ctypes.c_double),
    )


def _say(message: str) -> None:
    print(f"ecgtransform: {message}", file=sys.stderr, flush=True)


def _build(shape: Shape) -> Path:
    """Compile the operator for `shape`, unless the cache has it; returns the shared library."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise OSError("no C++ compiler found")
    cpu = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    command = [*compiler.split(), "-std=c++17", "-O3", cpu, "-fopenmp", "-fPIC", "-shared", *shape.flags()]
    # The macros that the compiler predefines tell its version and what this processor can do.
    macros = subprocess.run([*command, "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, check=True).stdout
    key = hashlib.sha256(b"\0".join([SOURCE.read_bytes(), macros, *map(str.encode, command)])).hexdigest()[:16]
    home = os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions"
    folder = Path(home) / "ecgtransform"
    library = folder / f"encoder-{key}.so"
    if not library.exists():
        _say("compiling the encoder for this processor, once (some seconds) ...")
        start = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)
        # Built aside, then moved into place in one step: another process sees all of it or nothing.
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            built = Path(scratch) / library.name
            subprocess.run([*command, str(SOURCE), "-o", str(built)], capture_output=True, check=True)
            built.replace(library)
        _say(f"... done in {time.perf_counter() - start:.0f} s, kept as {library}")
    return library


@functools.cache
def library(shape: Shape) -> ctypes.CDLL | None:
    """The compiled operator for `shape`, or None where it cannot be had (said once)."""
    if os.environ.get("ECGTRANSFORM_NATIVE") == "0" or not shape.supported():
        return None
    try:
        lib = ctypes.CDLL(str(_build(shape)))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # RuntimeError: there is no home folder
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace")
        reason = next(iter(said.strip().splitlines()), error)
        _say(f"the compiled encoder is not available ({reason}); using PyTorch operations, which are slower")
        return None
    lib.saved_size.restype = ctypes.c_int64
    lib.layer_forward.restype = lib.layer_backward.restype = None
    return lib


def _pointers(tensors: tuple[Tensor, ...]) -> ctypes.Array:
    """`struct Parameters` of encoder.cpp."""
    return (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lib: ctypes.CDLL, call: _Call, *parameters: Tensor) -> Tensor:  # noqa: ANN401
        saved = x.new_empty(len(x), lib.saved_size())
        ctx.lib, ctx.call = lib, call
        ctx.save_for_backward(x, saved, *parameters)
        return _forward(x, lib, call, parameters, saved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, saved, *parameters = ctx.saved_tensors
        grad_y = grad_y.contiguous()
        grad_x, grads = torch.empty_like(x), tuple(map(torch.empty_like, parameters))
        ctx.lib.layer_backward(
            ctypes.byref(ctx.call), _pointers(parameters), _pointer(x), _pointer(saved),
            _pointer(grad_y), _pointer(grad_x), _pointers(grads),
        )  # fmt: skip
        return grad_x, None, None, *grads


def _forward(x: Tensor, lib: ctypes.CDLL, call: _Call, parameters: tuple[Tensor, ...], saved: Tensor | None) -> Tensor:
    y = torch.empty_like(x)
    lib.layer_forward(ctypes.byref(call), _pointers(parameters), _pointer(x), _pointer(y), _pointer(saved))
    return y


def encoder_layer(
    x: Tensor,
    parameters: tuple[Tensor, ...],
    lib: ctypes.CDLL,
    dropout: float,
    eps: tuple[float, float],
) -> Tensor:
    """One encoder layer on `x` (sequences, tokens, features), float32 on CPU; `parameters` in the stock order."""
    # One draw of PyTorch's generator seeds all masks of the call: they follow torch.manual_seed and its saved state.
    seed = int(torch.randint(2**63 - 1, ())) if dropout > 0 else 0
    call = _Call(len(x), torch.get_num_threads(), seed, dropout, *eps)
    x, parameters = x.contiguous(), tuple(p.contiguous() for p in parameters)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *parameters)):
        return _Layer.apply(x, lib, call, *parameters)
    return _forward(x, lib, call, parameters, None)

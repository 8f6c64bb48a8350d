"""Builds and calls `encoder.cpp`: one Transformer encoder layer, forward and backward, for CPU.

The operator is compiled on first use for the shape and the processor at hand (some seconds, kept in PyTorch's
extension cache). It is plain C++ called through ctypes, so all that it asks for is a C++ compiler with OpenMP.
Where there is none, with ECGTRANSFORM_NATIVE=0 in the environment, or for a shape that does not fill its tiles, `load`
says why it is not available, and `encoder.py` does the same in PyTorch or refuses.
"""

import ctypes
import errno
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("encoder.cpp")


@dataclass(frozen=True)
class Shape:
    """The sizes that the operator is compiled for."""

    tokens: int
    features: int
    heads: int
    hidden_units: int

    def __str__(self) -> str:
        return ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in asdict(self).items())

    def flags(self) -> list[str]:
        """Compiler flags that define the constants of encoder.cpp."""
        return [f"-D{name.upper()}={value}" for name, value in asdict(self).items()]

    def supported(self) -> bool:
        """Whether the sizes fill the operator's tiles."""
        fills = self.tokens % 32 == 0 and self.hidden_units % 64 == 0 and self.features % self.heads == 0
        some = self.tokens > 0 and self.hidden_units > 0  # 0 is a multiple of every number
        small = self.tokens * self.features <= 128 * 256  # beyond, PyTorch's matrix products are faster
        return fills and some and small


class _Call(ctypes.Structure):
    """`struct Call` of encoder.cpp."""

    _fields_ = (
        ("sequences", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("seed", ctypes.c_uint64),
        ("dropout", ctypes.c_double),
        ("eps1", ctypes.c_double),
        ("eps2", ctypes.c_double),
        ("bf16", ctypes.c_int64),
    )


def _say(message: str) -> None:
    print(f"ecgtransform: {message}", file=sys.stderr, flush=True)


def _command(shape: Shape) -> list[str]:
    """The compiler and its options for `shape` and this processor."""
    compiler = os.environ.get("CXX", "").split()  # with a wrapper or options, too
    if not compiler:
        found = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
        if found is None:
            raise OSError("no C++ compiler found")
        compiler = [found]  # whole: its folder's name may have a space
    elif shutil.which(compiler[0]) is None:
        raise OSError(f"CXX is {compiler[0]}, which cannot be run")
    cpu = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    options = f"-std=c++17 -O3 -fno-fast-math -fno-math-errno {cpu} -fopenmp -fPIC -shared"
    return [*compiler, *options.split(), *shape.flags()]


def _build(shape: Shape) -> Path:
    """Compile the operator for `shape`, unless the cache has it whole; returns the shared library.

    The digest of a library's bytes is part of its name. A file that was cut short or overwritten, which would end the
    process when it is loaded or called, is thereby found out and replaced.
    """
    command = _command(shape)
    # The macros that the compiler predefines tell its version and what this processor can do.
    macros = _run_compiler([*command, "-dM", "-E", "-x", "c++", os.devnull])
    key = hashlib.sha256(b"\0".join([SOURCE.read_bytes(), macros, *map(os.fsencode, command)])).hexdigest()[:16]
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_EXTENSIONS_DIR") or Path(caches).expanduser() / "torch_extensions"
    folder = Path(home) / "ecgtransform"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_ours(folder)
    for kept in folder.glob(f"encoder-{key}-*.so"):
        with suppress(OSError):  # what cannot be read is compiled again, like what is damaged
            if kept.name == f"encoder-{key}-{_digest(kept)}.so":
                return kept
            kept.unlink()
        _say(f"{kept} is damaged")
    _say("compiling the encoder for this processor, once (some seconds) ...")
    start = time.perf_counter()
    # Built aside, then moved into place in one step: another process sees all of it or nothing.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        built = Path(scratch) / "encoder.so"
        _run_compiler([*command, str(SOURCE), "-o", str(built)])
        with built.open("r+b") as stream:
            os.fsync(stream.fileno())
        library = built.replace(folder / f"encoder-{key}-{_digest(built)}.so")
    _say(f"... done in {time.perf_counter() - start:.0f} s, kept as {library}")
    return library


def _require_ours(folder: Path) -> None:
    """Raise an `OSError` where another user could put a library into `folder`: it would be run. Root may."""
    if hasattr(os, "geteuid"):  # not on Windows
        status = folder.stat()
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
            reason = "other users may write into it, and what lies in it is run"
            raise PermissionError(errno.EACCES, reason, str(folder))


def _run_compiler(command: list[str]) -> bytes:
    """What a compiler prints; its errors are in English, in which `load` looks for them."""
    return subprocess.run(command, env=os.environ | {"LC_ALL": "C"}, capture_output=True, check=True).stdout


UNWRITABLE = (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR)
NO_EXECUTION = "failed to map segment"  # of a library in a folder that is mounted noexec; it comes without an errno


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _unwanted(shape: Shape) -> str | None:
    """Why the operator for `shape` is not even to be compiled, if so."""
    if os.environ.get("ECGTRANSFORM_NATIVE") == "0":
        return "ECGTRANSFORM_NATIVE=0 is set in the environment"
    if not shape.supported():
        return f"it is not made for {shape}"
    return None


@functools.cache
def load(shape: Shape) -> ctypes.CDLL | str:
    """The compiled operator for `shape`, or why it is not available."""
    if reason := _unwanted(shape):
        return reason
    try:
        lib = ctypes.CDLL(str(_build(shape)))
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").splitlines()
        # The linker, "ld: ", does not call its errors so.
        told = (line for line in said if ("error" in line or "ld: " in line) and "warning" not in line)
        return next(told, f"{error.cmd[0]} ended with code {error.returncode}")
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        unusable = isinstance(error, RuntimeError) or error.errno in UNWRITABLE or NO_EXECUTION in str(error)
        return f"{error}{'; TORCH_EXTENSIONS_DIR names another folder for it' if unusable else ''}"
    lib.saved_size.restype = lib.has_bf16.restype = ctypes.c_int64
    lib.layer_forward.restype = lib.layer_backward.restype = ctypes.c_bool
    return lib


@functools.cache
def library(shape: Shape) -> ctypes.CDLL | None:
    """The compiled operator for `shape`, or None; says once, for each shape, that it could not be compiled."""
    loaded = load(shape)
    if isinstance(loaded, ctypes.CDLL):
        return loaded
    if _unwanted(shape) is None:
        _say(f"the compiled encoder is not available ({loaded}); using PyTorch operations, which are slower")
    return None


def no_bf16(lib: ctypes.CDLL) -> str | None:
    """Why the operator cannot compute its products in bfloat16, if so: it is compiled for the processor at hand."""
    return (
        None if lib.has_bf16() else "this processor has no AVX512-BF16 instructions, or the compiler does not know them"
    )


def _pointers(tensors: tuple[Tensor, ...]) -> ctypes.Array[ctypes.c_void_p]:
    """`struct Parameters` of encoder.cpp."""
    return (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


Backward = Callable[..., tuple[Tensor | None, ...]]


def first_order(backward: Backward) -> Backward:
    """Decorates the backward pass of an operator whose gradients have no gradients, so that asking for them is refused.

    PyTorch's `once_differentiable` says so only where the node that it leaves behind is reached, and from a gradient
    that came in without a graph it is not: second derivatives then lack this operator's part, without a word.
    """

    @functools.wraps(backward)
    def refusing(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        if torch.is_grad_enabled():  # where create_graph asks for a graph of the backward pass
            raise RuntimeError(
                "the encoder kernels torch and native have first derivatives only (no create_graph=True); for second "
                "ones take kernel='stock', forward and backward within "
                "torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)"
            )
        return backward(ctx, *grads)

    return refusing


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lib: ctypes.CDLL, call: _Call, *parameters: Tensor) -> Tensor:  # noqa: ANN401
        saved = x.new_empty(len(x), lib.saved_size())
        ctx.lib, ctx.call = lib, call
        ctx.save_for_backward(x, saved, *parameters)
        return _forward(x, lib, call, parameters, saved)

    @staticmethod
    @first_order
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, saved, *parameters = ctx.saved_tensors
        grad_y = grad_y.contiguous()
        grad_x, grads = torch.empty_like(x), tuple(map(torch.empty_like, parameters))
        _require_memory(
            ctx.lib.layer_backward(
                ctypes.byref(ctx.call), _pointers(parameters), _pointer(x), _pointer(saved),
                _pointer(grad_y), _pointer(grad_x), _pointers(grads),
            )
        )  # fmt: skip
        return grad_x, None, None, *grads


def _forward(x: Tensor, lib: ctypes.CDLL, call: _Call, parameters: tuple[Tensor, ...], saved: Tensor | None) -> Tensor:
    y = torch.empty_like(x)
    _require_memory(
        lib.layer_forward(ctypes.byref(call), _pointers(parameters), _pointer(x), _pointer(y), _pointer(saved))
    )
    return y


def _require_memory(enough: bool) -> None:
    if not enough:
        raise MemoryError("the compiled encoder finds no memory to work in; use fewer threads, or free some")


def encoder_layer(
    x: Tensor,
    parameters: tuple[Tensor, ...],
    lib: ctypes.CDLL,
    dropout: float,
    eps: tuple[float, float],
    bf16: bool = False,
) -> Tensor:
    """One encoder layer on `x` (sequences, tokens, features) of the library's shape; `parameters` in the stock order.

    Args:
        bf16: round what the matrix products multiply to bfloat16, where `no_bf16` does not object; sums and all else
            are float32.

    Raises:
        ValueError: a tensor is of another type or on another device; the operator would read other memory than its own.
        MemoryError: there is no memory to work in.
    """
    for tensor in (x, *parameters):
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise ValueError(f"the compiled encoder takes float32 on cpu, not {tensor.dtype} on {tensor.device}")
    # One draw of PyTorch's generator seeds all masks of the call: they follow torch.manual_seed and its saved state.
    seed = int(torch.randint(2**63 - 1, ())) if dropout > 0 else 0
    call = _Call(len(x), torch.get_num_threads(), seed, dropout, *eps, bf16)
    x, parameters = x.contiguous(), tuple(p.contiguous() for p in parameters)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *parameters)):
        return _Layer.apply(x, lib, call, *parameters)
    return _forward(x, lib, call, parameters, None)

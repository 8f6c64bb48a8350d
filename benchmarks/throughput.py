"""Beats per second and peak memory of the network, beside the plain formulation, in one run.

    python -m benchmarks.throughput [--batch_size 128] [--length 186] [--repeats 5] [--threads N] [--profile]

Every variant takes one step in each repeat, so that whatever else the machine does meets all of them alike; times
are medians and ratios the medians of the repeats' ratios. `of peak` is the arithmetic of the feed-forward alone beside
what large matrix products of the same type reach. Peak memory is that of a process of its own for each
variant, less what the process held before its first step. Inputs are noise: no figure here is of real beats.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

import hparams
from benchmarks.plain import PlainECGTransForm
from data_configs import mit
from kernels import native
from kernels.precision import seconds
from models import ecgTransForm
from support.cli import ArgumentParser, at_least_one, cpu_threads
from support.errors import run_command

VARIANTS = {  # name -> kernel and precision of the network; None is that of benchmarks.plain
    "plain": (None, "fp32"),
    "torch": ("torch", "fp32"),
    "native": ("native", "fp32"),
    "torch_bf16": ("torch", "bf16"),
    "native_bf16": ("native", "bf16"),
}
PEAKS = {"fp32": torch.float32, "bf16": torch.bfloat16}
WARM_UP, MEMORY_STEPS = 1, 2


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is measured."""

    batch_size: int
    """Beats in a step."""
    length: int
    """Samples of a beat."""
    threads: int


def has_native_bf16() -> bool:
    """Whether the compiled operator is there and this processor has its bf16 products."""
    library = native.library(native.Shape(tokens=128, features=25, heads=5, hidden_units=2048))
    return library is not None and native.no_bf16(library) is None


def build(variant: str, setting: Setting, train: bool) -> Callable[[], None]:
    """A step of `variant` on a batch of noise: of training (dropout on, optimiser included) or of inference."""
    torch.manual_seed(0)
    configs, recipe = mit(setting.length), hparams.supervised()
    kernel, precision = VARIANTS[variant]
    if kernel is None:
        model: nn.Module = PlainECGTransForm(configs, recipe)
    else:
        model = ecgTransForm(configs, dataclasses.replace(recipe, kernel=kernel, precision=precision))
    x = torch.randn(setting.batch_size, configs.input_channels, setting.length)
    y = torch.randint(configs.num_classes, (setting.batch_size,))
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    model.train(train)

    def train_step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    @torch.no_grad()
    def inference_step() -> None:
        model(x)

    return train_step if train else inference_step


def matmul_gflops(dtype: torch.dtype, size: int = 1024, repeats: int = 5) -> float:
    """What square matrix products of type `dtype` reach on the CPU, GFLOP/s: the best of `repeats`."""
    a, b = (torch.ones(size, size, dtype=dtype) for _ in range(2))
    times = [seconds(lambda: torch.mm(a, b)) for _ in range(repeats)]
    return 2 * size**3 / min(times) / 1e9


def step_gflop(setting: Setting, train: bool) -> float:
    """Arithmetic of the encoder's feed-forward products, nearly all there is; backward is twice forward."""
    configs = mit(setting.length)
    tokens = 2 * setting.batch_size * configs.final_out_channels  # both directions
    forward = configs.encoder_layers * tokens * 2 * 2 * configs.trans_dim * configs.feedforward_dim / 1e9
    return forward * (3 if train else 1)


def resident_mb() -> tuple[float, float]:
    """Memory of this process in MB: now, and at its highest; NaN on Windows, where Python cannot tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        if sys.platform == "win32":
            return math.nan, math.nan
        import resource  # here, since Windows has none

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return peak, peak  # the system tells no more: what is taken from now on shows where it goes beyond
    entries = dict(re.findall(r"(\w+):\s+(\d+)", status.read_text()))
    return int(entries["VmRSS"]) / 1024, int(entries["VmHWM"]) / 1024


def memory_of_steps(variant: str, setting: Setting, train: bool) -> float:
    """Peak memory in MB that steps of `variant` add, in this process, which must not have taken any."""
    step = build(variant, setting, train)
    before, _ = resident_mb()
    for _ in range(MEMORY_STEPS):
        step()
    return resident_mb()[1] - before


def memory_in_own_process(variant: str, setting: Setting, train: bool) -> float:
    """`memory_of_steps` in a process of its own."""
    sizes = map(str, dataclasses.astuple(setting))
    command = [sys.executable, "-m", "benchmarks.throughput", "--memory", variant, str(int(train)), *sizes]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure(setting: Setting, variants: Sequence[str], repeats: int, train: bool) -> None:
    """Print a line for each variant."""
    steps = {variant: build(variant, setting, train) for variant in variants}
    times: dict[str, list[float]] = {variant: [] for variant in variants}
    peaks: dict[str, list[float]] = {precision: [] for precision in PEAKS}
    for step in steps.values():
        for _ in range(WARM_UP):
            step()
    for _ in range(repeats):
        for precision, dtype in PEAKS.items():
            peaks[precision].append(matmul_gflops(dtype))
        for variant, step in steps.items():
            times[variant].append(seconds(step))
    peak = {precision: statistics.median(rates) for precision, rates in peaks.items()}
    gflop = step_gflop(setting, train)
    memory = {variant: memory_in_own_process(variant, setting, train) for variant in variants}
    first = variants[0]
    print(
        f"\n{'training step' if train else 'inference'}: {gflop:.0f} GFLOP; matrix products: "
        f"float32 {peak['fp32']:.0f}, bfloat16 {peak['bf16']:.0f} GFLOP/s"
    )
    print(f"  {'':12} {'ms':>7} {'beats/s':>8} {'ratio':>6} {'of peak':>8} {'memory MB':>10} {'ratio':>6}")
    for variant in variants:
        median = statistics.median(times[variant])
        of_peak = 100 * gflop / median / peak[VARIANTS[variant][1]]
        ratio = statistics.median(a / b for a, b in zip(times[first], times[variant], strict=True))
        print(
            f"  {variant:12} {1e3 * median:7.0f} {setting.batch_size / median:8.0f} {ratio:5.1f}x "
            f"{of_peak:6.0f} % {memory[variant]:10.0f} {memory[first] / memory[variant]:5.1f}x"
        )


def profile(setting: Setting, variants: Sequence[str]) -> None:
    """Print where a training step of each variant spends its time."""
    for variant in variants:
        step = build(variant, setting, train=True)
        step()
        with torch.profiler.profile() as seen:
            step()
        print(f"\n{variant}")
        print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=50))


def run(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--batch_size", type=at_least_one, default=128, help="beats in a step (default: 128)")
    add("--length", type=at_least_one, default=186, help="samples of a beat (default: 186)")
    add("--repeats", type=at_least_one, default=5, help="steps of each variant (default: 5)")
    add("--threads", type=cpu_threads, default=torch.get_num_threads(), help="CPU threads (default: torch's)")
    add(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        help="ratios are to the first (default: all; native_bf16 where the processor has AVX512-BF16)",
    )
    add("--profile", action="store_true", help="print where the time of a training step goes")
    add("--memory", nargs=5, help=argparse.SUPPRESS)  # variant, training or not, setting: for its own processes
    args = parser.parse_args(arguments)
    if args.memory:
        variant, train, *sizes = args.memory
        setting = Setting(*map(int, sizes))
        torch.set_num_threads(setting.threads)
        print(memory_of_steps(variant, setting, train == "1"))
        return
    setting = Setting(args.batch_size, args.length, args.threads)
    torch.set_num_threads(setting.threads)
    print(f"batch {setting.batch_size}, L = {setting.length}, {setting.threads} threads, {args.repeats} repeats, noise")
    variants = args.variants or [variant for variant in VARIANTS if variant != "native_bf16" or has_native_bf16()]
    for train in (True, False):
        measure(setting, variants, args.repeats, train)
    if args.profile:
        profile(setting, variants)


if __name__ == "__main__":
    sys.exit(run_command(run, "take a smaller --batch_size, or free some"))

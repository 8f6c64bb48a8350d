"""Data that the tests share: toy beats, synthetic and easy, and the real records where they are present."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import settings
from torch import Tensor, nn

import data_configs
import hparams
from data_configs import DatasetConfig
from hparams import TrainingConfig

for helper in Path(__file__).parent.glob("made_*.py"):
    pytest.register_assert_rewrite(helper.stem)  # so that what fails in them is told as in a test

# The same examples in every run, however slow the machine: nothing but a change makes the suite fail. To search on,
# with other examples each time: `pytest --hypothesis-profile=search`, which keeps those that fail in .hypothesis/.
settings.register_profile("same_examples", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile("same_examples")

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / os.environ.get("ECG_RAW", "data/raw")
MITDB = RAW / "mitdb"
RELEASED = RAW / "ptb_released_val.pt"

torch.set_num_threads(1)  # the suite runs in as many processes as there are cores; threads would only contend

LONGEST = ("reproduce", "trainer", "distributed", "main", "preprocess", "kernels", "readers", "databases", "report")
"""Files that come first, those that take longest before the rest: the suite's processes take whole files in turn, and
one that began last would keep a single process busy at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip a test where RAW lacks one of the databases or files that it reads."""
    absent = [name for name in names if not (RAW / name).exists()]
    return pytest.mark.skipif(bool(absent), reason=f"{RAW} has no {' and no '.join(absent)}")


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in the package may catch it."""


class LinearNetwork(nn.Module):
    """Stands in for the network where only what is around it is tested: no batch statistics, no dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(186, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.squeeze(1))


def scrambled(module: nn.Module, seed: int = 0) -> nn.Module:
    """`module` with every parameter and running statistic redrawn, as after some training.

    At its initial weights the network's features are zero for every input (the mean of a normalised axis), and a
    comparison of such outputs could not fail.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator)
                value.copy_(1 + 0.3 * noise.abs() if name.endswith("running_var") else value + 0.2 * noise)
    return module


def toy_beats(count: int, num_classes: int, length: int = 186, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`count` sine waves (n, 1, L) whose frequency is their class (n,), with noise; every class in turn."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % num_classes
    time = torch.linspace(0, 1, length)
    phase = 0.3 * torch.randn(count, 1, generator=generator)
    noise = 0.2 * torch.randn(count, length, generator=generator)
    waves = torch.sin(2 * torch.pi * (2 * labels[:, None] + 1) * time + phase) + noise
    return waves.unsqueeze(1), labels


def write_toy_splits(
    folder: Path, dataset: str, counts: tuple[int, int, int] = (60, 20, 25), length: int = 186, records: bool = True
) -> Path:
    """Write train, val and test of toy beats to `folder/dataset`; return `folder`, the --data_path."""
    configs = data_configs.get_dataset_class(dataset)(length)
    (folder / dataset).mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate(zip(("train", "val", "test"), counts, strict=True)):
        samples, labels = toy_beats(count, configs.num_classes, length, seed)
        contents = {"samples": samples, "labels": labels, "source": "synthetic", "protocol": "beat"}
        if records:
            contents |= {
                "records": torch.arange(count) * 2 // count,  # two records, one after the other
                "positions": (torch.arange(count) + 1000 * seed) * 300,  # no beat is in two splits
                "record_names": ["toy1", "toy2"],
            }
        torch.save(contents, folder / dataset / f"{split}.pt")
    return folder


@pytest.fixture
def mit() -> DatasetConfig:
    return data_configs.mit()


@pytest.fixture
def supervised() -> TrainingConfig:
    return hparams.supervised()


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data_path with toy splits of both datasets; tests only read it."""
    folder = tmp_path_factory.mktemp("data")
    write_toy_splits(folder, "mit")
    write_toy_splits(folder, "ptb")
    return folder


@pytest.fixture(scope="module")
def narrow_network() -> Iterator[None]:
    """Every network with a narrow feed-forward: most of its cost, and no part of what is tested with it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, whole in data_configs.DATASETS.items():
            narrow = functools.partial(_narrow, whole)
            patch.setitem(data_configs.DATASETS, name, narrow)
        yield


@pytest.fixture(scope="module")
def small_runs(narrow_network: None) -> Iterator[None]:
    """Narrow networks, and no pictures of a run, which take half of what is left; test_main.py has them."""
    import trainer
    from run_folder import reports

    no_pictures = SimpleNamespace(plot_curves=lambda *_: None, plot_confusion_matrix=lambda *_: None)
    with pytest.MonkeyPatch.context() as patch:
        for module in (trainer, reports):
            patch.setattr(module, "pictures", no_pictures)
        yield


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic records of a minute and a half, m001 and m002, with beats annotated; tests only read them."""
    from preprocess.synthetic import write_synthetic_mit

    folder = tmp_path_factory.mktemp("raw") / "records"
    write_synthetic_mit(folder, 2, 1.5, 0)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learnt nothing."""
    from made_reports import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("run") / "checkpoint_best.pt")


@pytest.fixture(scope="session")
def annotated(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report of m001 by its annotations, with a diary; tests only read it."""
    from made_reports import report_of

    folder = tmp_path_factory.mktemp("reports")
    (folder / "diary.csv").write_text(
        "time,kind,note,end\n00:00:20,activity,stairs,00:00:40\n50,symptom,=dizzy <b>,\n2026-01-31 08:01:10,other,,\n"
    )
    options = ["--annotations", "atr", "--diary", folder / "diary.csv", "--start_time", "2026-01-31T08:00"]
    assert report_of(records / "m001", folder / "m001", *options) == 0
    return folder / "m001"


def _narrow(whole: Callable[..., DatasetConfig], *given: object, **named: object) -> DatasetConfig:
    return dataclasses.replace(whole(*given, **named), feedforward_dim=64)

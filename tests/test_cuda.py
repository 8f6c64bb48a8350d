"""What a GPU must do as the CPU does; where there is none, that the network compiles as it will there."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import scrambled, toy_beats
from torch import Tensor
from torch.overrides import TorchFunctionMode

import data_configs
import hparams
import main
from data_configs import DatasetConfig
from dataloader import Batches
from hparams import TrainingConfig
from kernels.precision import require_arithmetic, set_arithmetic
from losses import ClassWeightedLoss
from models import ecgTransForm
from split_file import Split
from support.errors import InputError
from support.files import read_json
from trainer import as_fast_as_possible, evaluate, stream_logits, train_one_epoch

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


def no_dropout(**changes: Any) -> TrainingConfig:
    return dataclasses.replace(hparams.supervised(), dropout=0.0, encoder_dropout=0.0, batch_size=16, **changes)


def test_the_network_compiles_whole(mit: DatasetConfig) -> None:
    """torch.compile takes it without a break in the graph; on CUDA a break would wait for the device."""
    model = scrambled(ecgTransForm(mit, no_dropout(kernel="stock"))).train()
    x, y = toy_beats(6, 5)
    compiled: Any = torch.compile(model, dynamic=False, backend="aot_eager", fullgraph=True)
    for network in (model, compiled):
        network.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        if network is model:
            wanted = {name: p.grad.clone() for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-4, atol=1e-5)


class NoListAsIndex(TorchFunctionMode):
    """Refuses to index by a list: on CUDA it would be copied to the device, and the host wait for that."""

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            parts = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(part, list) for part in parts), "indexes by a list"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("context", data_configs.CONTEXTS)
def test_steps_and_evaluation_never_make_the_host_wait(context: str) -> None:
    """On the device meta, which has no numbers: what would have to wait for one is an error there."""
    configs = data_configs.mit(context=context)
    with torch.device("meta"):
        model = ecgTransForm(configs, hparams.supervised())
        samples, labels = torch.zeros(32, 1, configs.sequence_len), torch.zeros(32, dtype=torch.int64)
        columns = None if context == "none" else torch.zeros(32, len(configs.context_features))
        split, order = Split(samples, labels, columns), torch.arange(32).split(16)
        loss = ClassWeightedLoss(torch.ones(5))
    optimizer = torch.optim.Adam(model.parameters())
    with NoListAsIndex():
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):  # the figures of the epoch
            train_one_epoch(model, split, order, loss, optimizer, configs.classes, clip_norm=5.0)
        assert [logits.shape for logits in stream_logits(model, [split.inputs()])] == [(32, 5)]
    assert {int(state["step"]) for state in optimizer.state.values()} == {len(order)}


def test_arithmetic_that_a_device_lacks() -> None:
    with pytest.raises(InputError, match="tf32"):
        require_arithmetic("tf32", torch.device("cpu"))
    with pytest.raises(InputError, match="choose from fp32, tf32, bf16"):
        dataclasses.replace(hparams.supervised(), precision="fp8")
    with pytest.raises(InputError, match="choose from auto, stock, torch, native"):
        dataclasses.replace(hparams.supervised(), kernel="fast")


def test_arithmetic_that_a_gpu_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    require_arithmetic("fp32", torch.device("cuda"))
    for precision in ("tf32", "bf16"):
        with pytest.raises(
            InputError, match=f"--precision {precision} is not available on Tesla T4, a GPU older than Ampere; use fp32"
        ):
            require_arithmetic(precision, torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    require_arithmetic("bf16", torch.device("cuda"))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("kernel", ["auto", "stock"])
def test_epochs_on_cuda_are_those_of_the_cpu(mit: DatasetConfig, kernel: str, device: str) -> None:
    """Compared with itself the CPU shows, on any machine, that both networks begin alike."""
    recipe, results = no_dropout(kernel=kernel), []
    network = scrambled(ecgTransForm(mit, recipe))
    for on in (torch.device("cpu"), torch.device(device)):
        set_arithmetic("fp32", on, kernel, layer=None)
        model = copy.deepcopy(network).to(on)
        split = Split(*toy_beats(40, 5)).to(on)
        loss = ClassWeightedLoss(torch.ones(5)).to(on)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        learner = as_fast_as_possible(model, recipe, on)
        order = Batches(split, recipe, seed=0).order(1, on)
        epochs = [train_one_epoch(learner, split, order, loss, optimizer, mit.classes) for _ in range(2)]
        results.append([*(epoch["loss"] for epoch in epochs), evaluate(model, split, loss, mit.classes).loss])
    assert results[1] == pytest.approx(results[0], rel=1e-3)


@needs_cuda
def test_a_run_on_cuda_trains_tests_and_goes_on(toy_data: Path, tmp_path: Path) -> None:
    beats = ["--dataset", "ptb", "--data_path", str(toy_data), "--batch_size", "16", "--run_description", "run"]
    main.run([*beats, "--device", "cuda", "--num_epochs", "2", "--save_dir", str(tmp_path)])
    for epochs, device in ((3, "cuda"), (4, "cpu"), (5, "cuda")):
        main.run(["--resume", str(tmp_path / "ptb/run"), "--device", device, "--num_epochs", str(epochs)])
        assert read_json(tmp_path / "ptb/run/seed_0/test_last.json")["checkpoint_epoch"] == epochs


@needs_cuda
def test_steps_on_cuda_never_make_the_host_wait(mit: DatasetConfig) -> None:
    device = torch.device("cuda")
    recipe = no_dropout(kernel="stock")
    model = ecgTransForm(mit, recipe).to(device).train()
    split = Split(*toy_beats(40, 5)).to(device)
    loss = ClassWeightedLoss(torch.ones(5)).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    order = Batches(split, recipe, seed=0).order(1, device)
    steps = iter(order)

    def watched() -> Iterator[torch.Tensor]:
        """All batches; from the second on torch raises where the host would wait, until the last was handed out."""
        yield next(steps)
        torch.cuda.set_sync_debug_mode("error")
        yield from steps
        torch.cuda.set_sync_debug_mode("default")

    try:
        train_one_epoch(model, split, watched(), loss, optimizer, mit.classes, clip_norm=5.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")

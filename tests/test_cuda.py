"""What a GPU must do as the CPU does; where there is none, that the network compiles as it will there."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from conftest import toy_beats
from test_models import scrambled

import hparams
from data_configs import DatasetConfig
from dataloader import Batches
from hparams import TrainingConfig
from kernels.precision import require_arithmetic, set_arithmetic
from losses import ClassWeightedLoss
from models import ecgTransForm
from split_file import Split
from support.errors import InputError
from trainer import as_fast_as_possible, evaluate, train_one_epoch

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


def no_dropout(**changes: object) -> TrainingConfig:
    return dataclasses.replace(hparams.supervised(), dropout=0.0, encoder_dropout=0.0, batch_size=16, **changes)


def test_the_network_compiles_whole(mit: DatasetConfig) -> None:
    """torch.compile takes it without a break in the graph; on CUDA a break would wait for the device."""
    model = scrambled(ecgTransForm(mit, no_dropout(kernel="stock"))).train()
    x, y = toy_beats(6, 5)
    compiled = torch.compile(model, dynamic=False, backend="aot_eager", fullgraph=True)
    for network in (model, compiled):
        network.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        if network is model:
            wanted = {name: p.grad.clone() for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-4, atol=1e-5)


def test_arithmetic_that_a_device_lacks() -> None:
    with pytest.raises(InputError, match="tf32"):
        require_arithmetic("tf32", torch.device("cpu"))
    with pytest.raises(InputError, match="known are fp32, tf32, bf16"):
        dataclasses.replace(hparams.supervised(), precision="fp8")
    with pytest.raises(InputError, match="known are auto, stock, torch, native"):
        dataclasses.replace(hparams.supervised(), kernel="fast")


@needs_cuda
@pytest.mark.parametrize("kernel", ["auto", "stock"])
def test_epochs_on_cuda_are_those_of_the_cpu(mit: DatasetConfig, kernel: str) -> None:
    results = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        recipe = no_dropout(kernel=kernel)
        set_arithmetic("fp32", device, kernel, layer=None)
        model = scrambled(ecgTransForm(mit, recipe)).to(device)
        split = Split(*toy_beats(40, 5)).to(device)
        loss = ClassWeightedLoss(torch.ones(5)).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        learner = as_fast_as_possible(model, recipe, device)
        order = Batches(split, recipe, seed=0).order(1, device)
        epoch = [train_one_epoch(learner, split, order, loss, optimizer, mit.classes) for _ in range(2)]
        results.append((epoch, evaluate(model, split, loss, mit.classes)))
    (cpu_epochs, cpu_test), (cuda_epochs, cuda_test) = results
    for cpu, cuda in zip(cpu_epochs, cuda_epochs, strict=True):
        assert cuda["loss"] == pytest.approx(cpu["loss"], rel=1e-3)
    assert cuda_test.loss == pytest.approx(cpu_test.loss, rel=1e-3)


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

    def watched() -> object:
        """All batches; from the second on torch raises where the host would wait, until the last was handed out."""
        yield next(steps)
        torch.cuda.set_sync_debug_mode("error")
        yield from steps
        torch.cuda.set_sync_debug_mode("default")

    try:
        train_one_epoch(model, split, watched(), loss, optimizer, mit.classes, clip_norm=5.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")

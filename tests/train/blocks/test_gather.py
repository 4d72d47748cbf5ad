"""Two processes that gather and normalise together are compared with one process on the joined batch, gradients included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from train.blocks.gather import BatchNorm2d, gather, rank, world_size

ROOT = Path(__file__).parents[3]

# What both sides run: a network with normalisation, whose loss looks across the whole batch.
NETWORK = """
import torch
from torch import nn
from train.blocks.gather import BatchNorm2d, gather

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 2), BatchNorm2d(4))

def maps():
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * torch.arange(1, 7)[:, None, None, None]

def loss(model, images):
    rows = gather(model(images).flatten(1))
    return (rows @ rows.T).softmax(1).diagonal().log().mean() + rows.var(0).sum()
"""
CHILD = (
    NETWORK
    + """
import sys
import torch.distributed as dist
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
model, share = network(), maps().chunk(2)[rank].requires_grad_(True)
value = loss(model, share)
value.backward()
gradients = {}
for name, parameter in model.named_parameters():  # as data-parallel training does: the mean over processes
    dist.all_reduce(parameter.grad)
    gradients[name] = parameter.grad / 2
order = gather(torch.full((2, 1), float(rank)))
torch.save({"loss": value.detach(), "gradients": gradients, "state": model.state_dict(), "order": order,
            "pixels": share.grad / 2}, f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""
)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("gather")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    children = [subprocess.Popen([sys.executable, "-c", CHILD, str(i), str(folder)], env=environment) for i in range(2)]
    assert [child.wait(120) for child in children] == [0, 0]
    return [torch.load(folder / f"{i}.pt", weights_only=True) for i in range(2)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    known: dict[str, object] = {}
    exec(NETWORK, known)
    model = known["network"]()  # type: ignore[operator]
    images = known["maps"]().requires_grad_(True)  # type: ignore[operator]
    value = known["loss"](model, images)  # type: ignore[operator]
    value.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {"loss": value.detach(), "gradients": gradients, "state": model.state_dict(), "pixels": images.grad}


def test_one_process_is_itself() -> None:
    rows = torch.randn(3, 2)
    assert gather(rows) is rows and world_size() == 1 and rank() == 0


def test_rows_come_in_rank_order_in_every_process(processes: list[dict[str, Any]]) -> None:
    for process in processes:
        assert process["order"].flatten().tolist() == [0, 0, 1, 1]


def test_the_loss_is_that_of_the_joined_batch(processes: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    for process in processes:
        torch.testing.assert_close(process["loss"], alone["loss"])


def test_the_mean_gradient_of_the_weights_is_that_of_the_joined_batch(
    processes: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for process in processes:
        torch.testing.assert_close(process["gradients"], alone["gradients"], rtol=1e-4, atol=1e-5)


def test_the_gradient_of_the_images_is_that_of_the_joined_batch(processes: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    torch.testing.assert_close(torch.cat([process["pixels"] for process in processes]), alone["pixels"], rtol=1e-4, atol=1e-5)


def test_running_statistics_are_those_of_the_joined_batch(processes: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    torch.testing.assert_close(processes[0]["state"], processes[1]["state"], rtol=0, atol=0)
    torch.testing.assert_close(processes[0]["state"], alone["state"], rtol=1e-5, atol=1e-6)


def test_in_one_process_normalisation_is_torchs() -> None:
    ours, theirs = BatchNorm2d(3), nn.BatchNorm2d(3)
    maps = 5 * torch.randn(4, 3, 6, 6) + 2
    for training in (True, False):
        assert torch.equal(ours.train(training)(maps), theirs.train(training)(maps))
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))

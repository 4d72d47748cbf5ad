"""Momentum contrast against what follows from its definition; two processes with half of a batch each against one with all of it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from train.blocks.moco import MoCo
from train.blocks.resnet import SmallNet

ROOT = Path(__file__).parents[3]
STEP = """
import torch
from torch import nn
from train.blocks.moco import MoCo
from train.blocks.resnet import SmallNet

def step(part):
    torch.manual_seed(0)
    net = SmallNet((4, 4, 8, 8))
    model = MoCo(net, nn.Linear(8, 6), dim=6, rows=7, momentum=0.5, temperature=0.2)
    views = torch.rand(2, 8, 3, 32, 32)
    loss = model(*views[:, part])
    loss.backward()
    return model, loss.detach()
"""
CHILD = (
    STEP
    + """
import sys
import torch.distributed as dist
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
model, loss = step(slice(4 * rank, 4 * rank + 4))
gradients = {}
for name, parameter in model.query.named_parameters():  # as data-parallel training does: the mean over processes
    dist.all_reduce(parameter.grad)
    gradients[name] = parameter.grad / 2
torch.save({"loss": loss, "gradients": gradients, "state": model.state_dict()}, f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""
)


def moco(temperature: float = 0.2) -> MoCo:
    torch.manual_seed(0)
    net = SmallNet((4, 4, 8, 8))
    return MoCo(net, nn.Linear(net.dim, 6), dim=6, rows=10, momentum=0.5, temperature=temperature)


def test_at_first_query_and_key_of_identical_views_are_equal() -> None:
    model, view = moco(), torch.rand(4, 3, 32, 32)
    query, key = model.query(view), model.key(view)
    assert torch.allclose((query * key).sum(1), torch.ones(4), atol=1e-6)


def test_the_loss_is_that_of_the_queue_before_the_keys_join_it() -> None:
    model, view = moco(), torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        logits = model.query(view) @ model.queue().T / 0.2
        by_hand = -(1 / 0.2 - torch.logsumexp(torch.cat([torch.full((4, 1), 1 / 0.2), logits], 1), 1)).mean()
        assert math.isclose(float(model(view, view)), float(by_hand), rel_tol=1e-5)
    assert torch.allclose(model.queue()[:4], model.key(view), atol=1e-6)


def test_the_key_encoder_gets_no_gradient_and_follows() -> None:
    model, view = moco(), torch.rand(4, 3, 32, 32)
    model(view, view.flip(3)).backward()
    assert all(parameter.grad is None for parameter in model.key.parameters())
    assert all(parameter.grad is not None for parameter in model.query.parameters())
    before = model.key.copy.head.weight.clone()
    with torch.no_grad():
        model.query.head.weight += 1
    model.follow()
    assert torch.allclose(model.key.copy.head.weight, before + 0.5)


def test_two_processes_are_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    children = [subprocess.Popen([sys.executable, "-c", CHILD, str(i), str(tmp_path)], env=environment) for i in range(2)]
    known: dict[str, Any] = {}
    exec(STEP, known)
    model, loss = known["step"](slice(0, 8))
    assert [child.wait(300) for child in children] == [0, 0]
    found = [torch.load(tmp_path / f"{i}.pt", weights_only=True) for i in range(2)]
    torch.testing.assert_close((found[0]["loss"] + found[1]["loss"]) / 2, loss)
    for one in found:
        torch.testing.assert_close(one["state"], dict(model.state_dict()), rtol=1e-4, atol=1e-6)  # the queue among it
        for name, parameter in model.query.named_parameters():
            torch.testing.assert_close(one["gradients"][name], parameter.grad, rtol=1e-3, atol=1e-5, msg=name)

"""CMAH's loss on two processes, each with half of a batch, against one process with all of it: values, gradients, statistics."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[4]
STEP = """
import torch
from train.methods.cmah.config import SMOKE
from train.methods.cmah.method import CMAH

def step(part):
    torch.manual_seed(0)
    method = CMAH(SMOKE, {}).train()
    batch = {
        "image": torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8),
        "centres": torch.randn(8, 8, 3),
        "neighbourhoods": torch.randn(8, 8, 4, 3),
        "group_scores": torch.rand(8, 8),
        "patch_scores": torch.rand(8, 16),
        "instance": torch.tensor([0, 1, 2, 3, 4, 1, 6, 7]),
    }
    loss, parts = method.loss({**{name: value[part] for name, value in batch.items()}, "progress": torch.zeros(1)})
    loss.backward()
    return method, parts
"""
CHILD = (
    STEP
    + """
import sys
import torch.distributed as dist
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
method, parts = step(slice(4 * rank, 4 * rank + 4))
gradients = {}
for name, parameter in method.named_parameters():  # as data-parallel training does: the mean over processes
    dist.all_reduce(parameter.grad)
    gradients[name] = parameter.grad / 2
torch.save({"gradients": gradients, "state": method.state_dict(), "parts": parts}, f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""
)


def test_two_processes_are_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    children = [subprocess.Popen([sys.executable, "-c", CHILD, str(i), str(tmp_path)], env=environment) for i in range(2)]
    known: dict[str, Any] = {}
    exec(STEP, known)
    method, parts = known["step"](slice(0, 8))
    assert [child.wait(300) for child in children] == [0, 0]
    found = [torch.load(tmp_path / f"{i}.pt", weights_only=True) for i in range(2)]
    for one in found:
        torch.testing.assert_close(one["state"], dict(method.state_dict()), rtol=1e-4, atol=1e-6)
        for name, parameter in method.named_parameters():
            torch.testing.assert_close(one["gradients"][name], parameter.grad, rtol=1e-3, atol=1e-5, msg=name)
        torch.testing.assert_close(one["parts"]["contrast"], parts["contrast"])
    for name in ("points", "pixels"):
        torch.testing.assert_close((found[0]["parts"][name] + found[1]["parts"][name]) / 2, parts[name])

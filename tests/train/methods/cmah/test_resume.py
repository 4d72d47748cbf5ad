"""A CMAH run that is broken off and resumed against an unbroken one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from train import checkpoint, loop
from train.contract import Batch, Losses
from train.methods.cmah.config import SMOKE
from train.methods.cmah.method import CMAH

CONFIG = dataclasses.replace(SMOKE, steps=4, select_every=2, reconstruction_warm_up=0.7)
SETTING = loop.Setting(accelerator="cpu", checkpoint_every=1)


class Broken(RuntimeError):
    pass


def test_a_resumed_run_has_the_bits_of_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = checkpoint.load(loop.fit("cmah", CONFIG, None, tmp_path / "whole", SETTING))
    loss, calls = CMAH.loss, []

    def breaking(self: CMAH, batch: Batch) -> tuple[torch.Tensor, Losses]:
        calls.append(1)
        if len(calls) == 3:
            raise Broken
        return loss(self, batch)

    monkeypatch.setattr(CMAH, "loss", breaking)
    with pytest.raises(Broken):
        loop.fit("cmah", CONFIG, None, tmp_path / "broken", SETTING)
    monkeypatch.undo()
    found = checkpoint.load(loop.fit("cmah", CONFIG, None, tmp_path / "broken", dataclasses.replace(SETTING, resume=True)))
    assert [name for name, value in unbroken.model.items() if not torch.equal(value, found.model[name])] == []
    assert found.metrics == unbroken.metrics

"""A CdCL run that is broken off in either stage and resumed against an unbroken one, momentum copy included."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from train import checkpoint, loop
from train.methods.cdcl.config import SMOKE
from train.methods.cdcl.contrast import Contrast

CONFIG = dataclasses.replace(SMOKE, contrast_steps=3, steps=3)
SETTING = loop.Setting(accelerator="cpu", checkpoint_every=1)


class Broken(RuntimeError):
    pass


def weights(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(path).model


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return weights(loop.fit("cdcl", CONFIG, None, tmp_path_factory.mktemp("run"), SETTING))


@pytest.mark.parametrize("after", [2, 5])
def test_a_resumed_run_has_the_bits_of_an_unbroken_one(
    after: int, unbroken: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow, calls = Contrast.follow, []

    def breaking(self: Contrast) -> None:
        calls.append(1)
        if len(calls) == after:
            raise Broken
        follow(self)

    monkeypatch.setattr(Contrast, "follow", breaking)
    with pytest.raises(Broken):
        loop.fit("cdcl", CONFIG, None, tmp_path, SETTING)
    monkeypatch.undo()
    found = weights(loop.fit("cdcl", CONFIG, None, tmp_path, dataclasses.replace(SETTING, resume=True)))
    assert [name for name, value in unbroken.items() if not torch.equal(value, found[name])] == []

"""CdCL's graphs in ONNX Runtime and SuperResolver, against torch, at sizes that are no multiples of anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import runtime
from export.onnx import export
from train.methods.cdcl.config import SMOKE
from train.methods.cdcl.method import CdCL


@pytest.fixture(scope="module")
def method() -> CdCL:
    torch.manual_seed(0)
    made = CdCL(SMOKE, CdCL.prepare(SMOKE, None))
    for module in made.modules():  # statistics as after training: other than 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.1, 0.5)
    torch.nn.init.normal_(made.readout_weight)
    return made.eval()


@pytest.fixture(scope="module")
def artifact(method: CdCL, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(method.exportable(), tmp_path_factory.mktemp("export") / "artifact").path


@pytest.mark.parametrize(("h", "w"), [(1, 1), (37, 50), (64, 64), (33, 61)])
def test_the_picture_is_torchs(method: CdCL, artifact: Path, h: int, w: int) -> None:
    image = np.random.default_rng(h).integers(0, 256, (h, w, 3), dtype=np.uint8)
    found = runtime.load(artifact, threads=1, prefer=["cpu"]).upscale(image).pixels
    with torch.no_grad():
        expected = method.super_resolve(torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255))[0]
    assert found.shape == (2 * h, 2 * w, 3)
    assert np.abs(found.astype(int) - (255 * expected).round().clamp(0, 255).numpy().transpose(1, 2, 0)).max() <= 1


def test_the_estimate_is_torchs(method: CdCL, artifact: Path) -> None:
    image = np.random.default_rng(0).random((30, 41, 3)).astype(np.float32)
    found = runtime.load(artifact, prefer=["cpu"]).estimate(image)
    with torch.no_grad():
        code = method.encode(torch.from_numpy(image.transpose(2, 0, 1)[None]))[0]
    np.testing.assert_allclose(found.code, code.numpy(), atol=1e-4)
    assert found.blur == pytest.approx(float(code @ method.readout_weight + method.readout_offset), abs=1e-3)


def test_the_graphs_move_no_axes(artifact: Path) -> None:
    for name in ("estimator", "generator"):
        kinds = {node.op_type for node in onnx.load(artifact / f"{name}.onnx").graph.node}
        assert "Transpose" not in kinds and "Conv" in kinds


def test_an_image_estimated_in_tiles_has_the_code_and_the_picture_of_the_whole(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slope = np.linspace(0, 255, 112)[None, :, None]  # dark to light: a tile's own mean is not the image's
    image = np.clip(slope + np.random.default_rng(0).normal(0, 20, (96, 112, 3)), 0, 255).astype(np.uint8)
    task = runtime.load(artifact, prefer=["cpu"])
    whole, expected = task.estimate(image), task.upscale(image, tile=64).pixels
    monkeypatch.setattr("runtime.tasks.super_resolver.ESTIMATED", 40)
    found = task.upscale(image, tile=64)
    np.testing.assert_allclose(found.degradation.code, whole.code, atol=1e-4)
    assert np.abs(found.pixels.astype(int) - expected).max() <= 1

"""CMAH's graphs in ONNX Runtime against torch: logits, and the bits of codes."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from export.onnx import export
from runtime.artifact import GOLDEN, read, write
from runtime.proof import prove
from train.methods.cmah.config import SMOKE
from train.methods.cmah.method import CMAH

CLOSE = 1e-4  # of a logit to 0, where a bit may flip


@functools.cache
def method() -> CMAH:
    torch.manual_seed(0)
    made = CMAH(SMOKE, CMAH.prepare(SMOKE, None))
    for module in made.modules():  # statistics as after training: other than 0 and 1
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.1, 0.5)
    return made.eval()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(method().exportable(), tmp_path_factory.mktemp("export") / "artifact").path


@pytest.mark.parametrize("graph", ["image_hash", "point_hash"])
def test_bits_are_torchs(graph: str, artifact: Path) -> None:
    found = read(artifact)
    described = next(item for item in found.graphs if item.name == graph)
    generator = np.random.default_rng(0)
    inputs = {}
    for port in described.inputs:
        shape = (16, *port.shape[1:])
        inputs[port.name] = (
            generator.integers(0, 256, shape, dtype=np.uint8)
            if port.dtype == "uint8"
            else generator.standard_normal(shape, np.float32)
        )
    session = onnxruntime.InferenceSession(str(artifact / f"{graph}.onnx"), providers=["CPUExecutionProvider"])
    given = session.run(None, inputs)
    with torch.no_grad():
        expected = method().exportable().modules[graph](*(torch.from_numpy(inputs[port.name]) for port in described.inputs))
    assert [port.name for port in described.outputs] == ["code_8", "code_16"]
    for one, other in zip(given, expected, strict=True):
        sure = np.abs(other.numpy()) > CLOSE
        assert sure.mean() > 0.9 and np.array_equal((one >= 0)[sure], (other.numpy() >= 0)[sure])


def test_the_proof_groups_the_golden_clouds_again_and_fails_on_others(artifact: Path, tmp_path: Path) -> None:
    proof = prove(artifact)
    assert proof.passed and proof.pixels == 1 and proof.groups == 1
    other = tmp_path / "artifact"
    shutil.copytree(artifact, other)
    with np.load(other / GOLDEN) as stored:
        golden = {name: stored[name] for name in stored.files}
    golden["cloud_0"] = golden["cloud_0"] / 2
    np.savez_compressed(other / GOLDEN, **golden)
    write(read(artifact), other)
    proof = prove(other)
    assert proof.pixels == 1 and proof.groups is not None and 0 < proof.groups < 1 and not proof.passed


def test_the_artifact_says_how_to_make_inputs_and_holds_nothing_of_the_training(artifact: Path) -> None:
    options = read(artifact).options
    assert options["bits"] == [8, 16] and (options["points"], options["groups"], options["neighbours"]) == (64, 8, 4)
    assert options["geometry"]["size"] == [32, 32] and len(options["families"]) > 20
    for module in method().exportable().modules.values():
        assert not any("autoencoder" in name or "embedding" in name for name, _ in module.named_parameters())

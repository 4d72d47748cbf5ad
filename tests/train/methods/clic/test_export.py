"""CLIC's graph in ONNX Runtime and in ComplexityScorer against torch, with and without a head."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import runtime
from export.onnx import export
from runtime.prepare import batch
from train import checkpoint, loop
from train.methods.clic.config import SMOKE
from train.methods.clic.method import CLIC
from train.methods.clic.sets import open_sets


@pytest.fixture(scope="module")
def method() -> CLIC:
    torch.manual_seed(0)
    made = CLIC(SMOKE, CLIC.prepare(SMOKE, None))
    for module in made.modules():  # statistics as after training: other than 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.1, 0.5)
    return made.eval()


@pytest.fixture(scope="module")
def artifact(method: CLIC, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(method.exportable(), tmp_path_factory.mktemp("export") / "artifact").path


@pytest.mark.parametrize("count", [1, 5])
def test_all_outputs_are_torchs(method: CLIC, artifact: Path, count: int) -> None:
    generator = np.random.default_rng(count)
    images = [generator.integers(0, 256, (17 + 9 * at, 40, 3), dtype=np.uint8) for at in range(count)]
    pixels = batch(images, method.geometry)
    session = onnxruntime.InferenceSession(artifact / "complexity.onnx", providers=["CPUExecutionProvider"])
    assert [port.name for port in session.get_outputs()] == ["activation", "component", "embedding", "map", "score"]
    with torch.no_grad():
        expected = method.exportable().modules["complexity"](torch.from_numpy(pixels))
    for found, wanted in zip(session.run(None, {"image": pixels}), expected, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-4)


def test_the_runtime_scores_as_training_reads(method: CLIC, artifact: Path) -> None:
    image = np.random.default_rng(3).integers(0, 256, (50, 31, 3), dtype=np.uint8)
    found = runtime.load(artifact, threads=1, prefer=["cpu"]).score(image)
    read = method.readings(lambda _: image, 1)
    assert read.score is not None
    np.testing.assert_allclose([found.score, found.activation], [read.score[0], read.activation[0]], rtol=1e-4)
    np.testing.assert_allclose(found.embedding, read.embedding[0], rtol=1e-3, atol=1e-4)
    assert found.map.mean() == pytest.approx(read.activation[0], rel=0.05)


@pytest.mark.parametrize("measure", ["activation", "component"])
def test_the_label_free_score_is_of_the_measure_that_was_asked_for(measure: str, tmp_path: Path) -> None:
    config = dataclasses.replace(SMOKE, score_head="none", epochs=0.4, label_free=measure)
    trained = checkpoint.restore(loop.fit("clic", config, None, tmp_path / "run", loop.Setting(accelerator="cpu")))
    assert isinstance(trained, CLIC)
    held = open_sets(config, None).photos.val
    read = trained.readings(held.read, len(held))
    values = {"activation": read.activation, "component": read.component}[measure]
    np.testing.assert_allclose(trained.quantiles.numpy(), np.quantile(values, np.linspace(0, 1, 101)), rtol=1e-4, atol=1e-4)
    component = (read.embedding - trained.center.numpy()) / trained.spread.numpy() @ trained.direction.numpy()
    np.testing.assert_allclose(read.component, component, rtol=1e-4, atol=1e-4)
    task = runtime.load(export(trained.exportable(), tmp_path / "artifact").path, threads=1, prefer=["cpu"])
    found = [one.score for one in task.score([held.read(number) for number in range(len(held))])]
    expected = np.interp(values, trained.quantiles.numpy(), np.linspace(0, 100, 101))
    np.testing.assert_allclose(found, expected, atol=0.5)
    name = "pc1" if measure == "component" else "activation"
    assert f"{name}/rmse" in trained.evaluate(None, "test")


def test_what_the_runtime_needs_is_in_the_options(method: CLIC) -> None:
    exportable = method.exportable()
    options = exportable.artifact.options
    assert options["scored"] is True and len(options["quantiles"]) == 101 and options["geometry"]["mode"] == "squash"
    assert (np.diff(np.float32(options["quantiles"])) > 0).all()
    (graph,) = exportable.artifact.graphs
    assert [port.shape for port in graph.outputs] == [("batch",), ("batch",), ("batch", 480), ("batch", 8, 8), ("batch",)]


def test_without_a_head_there_is_no_score(method: CLIC) -> None:
    bare = CLIC(type(SMOKE)(**{**vars(SMOKE), "score_head": "none"}), method.facts).eval()
    artifact = bare.exportable().artifact
    assert artifact.options["scored"] is False
    assert [port.name for port in artifact.graphs[0].outputs] == ["activation", "component", "embedding", "map"]

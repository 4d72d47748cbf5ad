"""Artifacts as every earlier version wrote them, against this version: each must load, answer and prove itself."""

from pathlib import Path

import numpy as np
import pytest

import runtime
from runtime.bank import Bank
from runtime.proof import prove

VERSIONS = sorted(Path(__file__).parent.glob("artifact_v*"))


def test_there_is_a_golden_artifact_of_every_schema() -> None:
    from runtime.artifact import SCHEMA

    assert [path.name for path in VERSIONS] == [f"artifact_v{number}" for number in range(1, SCHEMA + 1)]


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.name)
def test_an_old_artifact_still_proves_itself(path: Path) -> None:
    proof = prove(path)
    assert proof.passed
    assert proof.pixels == 1.0
    assert {item.file for item in proof.agreements} == {"closed.onnx", "open.onnx", "embedding.onnx"}


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.name)
def test_an_old_artifact_still_gives_the_labels_it_gave(path: Path) -> None:
    task = runtime.load(path, threads=1)
    with np.load(path / "golden.npz") as golden:
        images = [golden[f"image_{place}"] for place in range(4)]
        probabilities = golden["closed/probabilities"]
    for _ in range(2):  # the artifact's own classes, then the same from its bank
        found = task.classify(images, top_k=1)
        assert [answer.label for answer in found] == [task.classes[place] for place in probabilities.argmax(1)]
        np.testing.assert_allclose([answer.probability for answer in found], probabilities.max(1), rtol=1e-4)
        task.set_classes(Bank.load(path / "bank.npz"))

"""The artifact's own proof: it passes on what was exported and fails on what was altered."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.artifact import GOLDEN, PARITY, read
from runtime.ops import backend
from runtime.proof import held_to, hold, prove, read_golden
from runtime.session import OrtSession

Seal = Callable[[Path], None]


def alter(folder: Path, seal: Seal, edit: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change golden arrays, checksums included: as if this device computed something else."""
    with np.load(folder / GOLDEN) as stored:
        golden = {name: stored[name] for name in stored.files}
    edit(golden)
    np.savez(folder / GOLDEN, **golden)
    seal(folder)


def restate(folder: Path, seal: Seal, edit: Callable[[dict[str, Any]], object]) -> None:
    parity = json.loads((folder / PARITY).read_text())
    edit(parity)
    (folder / PARITY).write_text(json.dumps(parity))
    seal(folder)


def test_what_was_exported_proves_itself(artifact: Path) -> None:
    proof = prove(artifact)
    assert proof.passed
    assert proof.pixels == 1.0
    assert proof.ops == backend()
    assert {(item.file, item.output) for item in proof.agreements} == {
        ("closed.onnx", "logits"),
        ("closed.onnx", "probabilities"),
        ("open.onnx", "logits"),
        ("open.onnx", "probabilities"),
        ("embedding.onnx", "embedding"),
    }


@pytest.mark.parametrize("output", ["closed/logits", "open/probabilities", "embedding/embedding"])
def test_an_altered_output_fails_and_only_that(artifact: Path, seal: Seal, output: str) -> None:
    alter(artifact, seal, lambda golden: golden[output].__setitem__((0, 0), golden[output][0, 0] + 0.5))
    proof = prove(artifact)
    assert not proof.passed
    assert [f"{item.file.removesuffix('.onnx')}/{item.output}" for item in proof.agreements if not item.passed] == [output]


def test_pixels_that_this_device_prepares_otherwise_fail(artifact: Path, seal: Seal) -> None:
    alter(artifact, seal, lambda golden: golden["image_1"].__setitem__(slice(0, 10), 0))
    proof = prove(artifact)
    assert proof.pixels is not None
    assert 0.5 < proof.pixels < 1
    assert not proof.passed


def test_an_answer_that_is_no_number_fails(artifact: Path, seal: Seal) -> None:
    alter(artifact, seal, lambda golden: golden["open/class_vectors"].fill(np.nan))
    assert {item.file for item in prove(artifact).agreements if not item.passed} == {"open.onnx"}


def test_rows_of_zeros_agree_with_rows_of_zeros(artifact: Path, seal: Seal) -> None:
    def none(golden: dict[str, np.ndarray]) -> None:
        golden["open/class_vectors"][:] = 0
        golden["open/logits"][:] = 0
        golden["open/probabilities"][:] = 0.2

    alter(artifact, seal, none)
    assert prove(artifact).passed


@pytest.mark.parametrize("name", [GOLDEN, PARITY])
def test_an_artifact_without_a_proof_says_so(artifact: Path, seal: Seal, name: str) -> None:
    (artifact / name).unlink()
    manifest = json.loads((artifact / "artifact.json").read_text())
    del manifest["files"][name]
    (artifact / "artifact.json").write_text(json.dumps(manifest))
    with pytest.raises(FileNotFoundError, match=f"carries no proof: {name}"):
        prove(artifact)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda parity: parity["files"].pop("open.onnx"), r"does not match the artifact's files \(open\.onnx\)"),
        (lambda parity: parity["files"].clear(), "does not match the artifact's files"),
        (lambda parity: parity.pop("files"), "does not say what each file was held to"),
        (lambda parity: parity["files"]["open.onnx"].update(graph="other"), "does not say what each file was held to"),
        (lambda parity: parity["files"]["open.onnx"]["tolerance"].pop("logits"), "does not say what each file was held to"),
    ],
)
def test_a_file_that_was_never_held_against_anything_is_no_proof(
    artifact: Path, seal: Seal, edit: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    restate(artifact, seal, edit)
    with pytest.raises(ValueError, match=sentence):
        prove(artifact)


def test_a_golden_array_that_is_missing_is_named(artifact: Path, seal: Seal) -> None:
    alter(artifact, seal, lambda golden: golden.pop("closed/image"))
    with pytest.raises(ValueError, match=r"golden\.npz has no closed/image"):
        prove(artifact)


def test_only_the_precisions_that_were_asked_for_are_run(artifact: Path, seal: Seal) -> None:
    (artifact / "open.fp16.onnx").write_bytes((artifact / "open.onnx").read_bytes())
    limits = json.loads((artifact / PARITY).read_text())["files"]["open.onnx"]
    restate(artifact, seal, lambda parity: parity["files"].update({"open.fp16.onnx": {**limits, "precision": "fp16"}}))
    assert {item.file for item in prove(artifact, precisions=["fp16"]).agreements} == {"open.fp16.onnx"}
    assert {item.file for item in prove(artifact).agreements} > {"open.fp16.onnx", "open.onnx"}
    with pytest.raises(ValueError, match="has no int8 variant"):
        prove(artifact, precisions=["int8"])


def test_any_session_can_be_held_against_the_golden_outputs(artifact: Path) -> None:
    found = read(artifact)
    graph, tolerance = held_to(artifact, found)["embedding.onnx"]
    session = OrtSession(artifact / "embedding.onnx")
    (agreement,) = hold(session, graph, read_golden(artifact), tolerance)
    assert agreement.passed
    assert (agreement.file, agreement.output, agreement.provider) == ("embedding.onnx", "embedding", "CPUExecutionProvider")

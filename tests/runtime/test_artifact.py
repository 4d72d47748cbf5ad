"""artifact.json: what was written against what is read, and each kind of damage against the sentence that refuses it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import runtime
from runtime.artifact import MANIFEST, SCHEMA, Axis, Graph, Port, check_inputs, read, write

Change = Callable[[dict[str, Any]], object]


def change(folder: Path, edit: Change) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    edit(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def test_what_was_written_is_read(tiny: SimpleNamespace, tmp_path: Path) -> None:
    made = tiny.build(tmp_path / "artifact")
    assert read(tmp_path / "artifact") == made
    assert set(made.files) == {item.name for item in (tmp_path / "artifact").iterdir()} - {MANIFEST}
    assert write(made, tmp_path / "artifact") == made


def built(content: dict[str, Any], **changes: Any) -> None:
    """Describe an engine; the ONNX file stands for its bytes."""
    entry = {"file": "open.onnx", "graph": "open", "precision": "fp32", "sdk": "tensorrt_rtx", "sdk_version": "1.7.1.116"}
    entry |= {"targets": ["sm86"], "profiles": [{"batch": [1, 8, 64]}], "onnx_sha256": "0", "size": 1, "seconds": 0.5}
    content["engines"] = [entry | {"layers": {"SHUFFLE": 2}, "options": []} | changes]


def test_engines_are_read_and_written_again(artifact: Path) -> None:
    assert read(artifact).engines == ()
    change(artifact, built)
    found = read(artifact)
    assert found.engines[0].profiles == ({"batch": (1, 8, 64)},)
    assert found.engines[0].targets == ("sm86",)
    write(found, artifact)
    assert read(artifact) == found


def test_a_flipped_byte_in_any_file_is_found(artifact: Path) -> None:
    for name in read(artifact).files:
        content = (artifact / name).read_bytes()
        middle = len(content) // 2
        (artifact / name).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        with pytest.raises(ValueError, match=f"{name} is damaged or was changed"):
            runtime.load(artifact)
        read(artifact, check=False)
        (artifact / name).write_bytes(content)
    read(artifact)


def test_a_missing_file_is_named(artifact: Path) -> None:
    (artifact / "open.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=r"open\.onnx is missing"):
        read(artifact)


def test_a_folder_without_a_manifest_is_no_artifact(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"it has no artifact\.json"):
            runtime.load(path)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda content: content.update(schema=SCHEMA + 1), f"schema {SCHEMA + 1}, and this version reads up to {SCHEMA}"),
        (lambda content: content.update(schema="1"), "no schema number"),
        (lambda content: content.pop("graphs"), "lacks graphs"),
        (lambda content: built(content, file="gone.engine"), "an engine 'gone.engine' that is not among its files"),
        (lambda content: built(content, graph="wide"), "of a graph 'wide' that is not described"),
        (lambda content: built(content, profiles=[{"batch": [8, 1, 64]}]), "1 <= min <= opt <= max of 'batch'"),
        (lambda content: content.update(files=[]), "files are not an object"),
        (lambda content: content.update(axes=[]), "axes are not an object"),
        (lambda content: content.update(options=[]), "options are not an object"),
        (lambda content: content.update(graphs=7), "not iterable"),
        (lambda content: content.update(graphs=["closed"]), "is not a valid artifact"),
        (lambda content: content["axes"]["batch"].update(max="64"), "'64' is not a whole number"),
        (lambda content: content["axes"]["batch"].update(max=True), "True is not a whole number"),
        (lambda content: content["axes"]["batch"].update(opt=0), "needs 1 <= min <= opt <= max"),
        (lambda content: content["axes"].pop("classes"), "axes that are not described: classes"),
        (lambda content: content["graphs"][0].update(name="../closed"), "lists no file"),
        (lambda content: content["files"].update({"bank.npz": 1}), "checksum of bank.npz is not a text"),
    ],
)
def test_a_manifest_that_is_newer_or_not_whole_is_refused(artifact: Path, edit: Change, sentence: str) -> None:
    change(artifact, edit)
    with pytest.raises(ValueError, match=sentence):
        read(artifact)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "C:secret", "C:\\secret", "a\0b"])
def test_a_file_name_cannot_lead_out_of_the_folder(artifact: Path, name: str) -> None:
    change(artifact, lambda content: content["files"].update({name: "0" * 64}))
    with pytest.raises(ValueError, match="leads out of the artifact's folder"):
        read(artifact)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"schema": 1'])
def test_a_manifest_that_is_no_json_object_is_refused(artifact: Path, text: bytes) -> None:
    (artifact / MANIFEST).write_bytes(text)
    with pytest.raises(ValueError, match=r"artifact\.json is not a valid artifact"):
        read(artifact)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda content: content.update(task="depth"), "for task 'depth'; this version knows zero_shot"),
        (lambda content: content["options"].pop("geometry"), "option 'geometry' is None; expected a dict"),
        (lambda content: content["options"].pop("teacher"), "option 'teacher'"),
        (lambda content: content["options"].update(geometry={"size": 8}), "is not a geometry"),
        (lambda content: content["options"].update(classes=["ant", "bee"]), "names 2 classes, and its graph's 'logits' has 5"),
    ],
)
def test_a_task_that_cannot_be_served_is_refused_at_load(artifact: Path, edit: Change, sentence: str) -> None:
    change(artifact, edit)
    with pytest.raises(ValueError, match=sentence):
        runtime.load(artifact)


def test_a_precision_that_was_not_exported_is_refused_with_the_files_there_are(artifact: Path) -> None:
    with pytest.raises(ValueError, match=r"no int8 variant of graph 'closed'.*closed\.onnx"):
        runtime.load(artifact, precision="int8")


# arrays against ports

PAIR = Graph("pair", (Port("image", "uint8", ("batch", 3, "side")), Port("other", "float32", ("batch",))), ())
AXES = {"batch": Axis(1, 1, 4), "side": Axis(8, 8, 32, 8)}


def arrays(batch: int = 2, side: int = 8) -> dict[str, np.ndarray]:
    return {"image": np.zeros((batch, 3, side), np.uint8), "other": np.zeros(batch, np.float32)}


def test_arrays_that_fit_bind_the_axes() -> None:
    assert check_inputs(PAIR, arrays(3, 16), AXES) == {"batch": 3, "side": 16}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "needs an input 'image'; given: none"),
        ({"image": arrays()["image"]}, "needs an input 'other'; given: image"),
        ({**arrays(), "image": np.zeros((2, 3, 8), np.float32)}, r"of type float32 .*expected uint8 \(batch, 3, side\)"),
        ({**arrays(), "image": np.zeros((2, 8), np.uint8)}, r"has shape \(2, 8\); expected"),
        ({**arrays(), "image": np.zeros((2, 4, 8), np.uint8)}, r"has shape \(2, 4, 8\); expected"),
        ({**arrays(), "other": np.zeros(3, np.float32)}, "'batch' has size 2 in one input and 3 in 'other'"),
        (arrays(5), "'batch' may be 1 to 4"),
        (arrays(0), "'batch' may be 1 to 4"),
        (arrays(2, 12), "'side' may be 8 to 32 in multiples of 8"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_what_was_given_and_expected(given: dict[str, np.ndarray], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_inputs(PAIR, given, AXES)

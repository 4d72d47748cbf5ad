"""The command line: what it prints and its exit status against what the task answers in Python."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import runtime
from runtime.artifact import GOLDEN, read, write
from runtime.run import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tiny: SimpleNamespace, tmp_path: Path) -> Path:
    """Three images, one of them in a folder below, beside a file that is none."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for name, image in zip(("a.png", "b.PNG", "below/c.png"), tiny.images(), strict=False):
        Image.fromarray(image).save(folder / name, "PNG")
    (folder / "notes.txt").write_text("no image")
    return folder


def files(photos: Path) -> list[Path]:
    return [photos / "a.png", photos / "b.PNG", photos / "below" / "c.png"]


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_folder_is_answered_a_line_an_image(artifact: Path, photos: Path, capsys: Captured) -> None:
    assert main([str(artifact), str(photos), "--top-k", "2"]) == 0
    printed = capsys.readouterr()
    found = runtime.load(artifact).classify(list(map(str, files(photos))), top_k=2)
    assert printed.out.splitlines() == [
        f"{path}: " + ", ".join(f"{guess.label} {guess.probability:.1%}" for guess in answer.guesses)
        for path, answer in zip(files(photos), found, strict=True)
    ]
    assert printed.err == ""


@pytest.mark.parametrize("size", ["1", "2", "8"])
def test_json_is_one_object_a_line(artifact: Path, photos: Path, capsys: Captured, size: str) -> None:
    assert main([str(artifact), "--json", str(photos), "--top-k", "1", "--batch-size", size]) == 0
    found = runtime.load(artifact).classify(list(map(str, files(photos))), top_k=1)
    printed = lines(capsys.readouterr().out)
    assert [line["path"] for line in printed] == list(map(str, files(photos)))
    assert [line["guesses"][0]["label"] for line in printed] == [answer.label for answer in found]  # type: ignore[index]


def test_a_pattern_is_expanded_and_options_may_stand_anywhere(artifact: Path, photos: Path, capsys: Captured) -> None:
    assert main(["--json", str(artifact), "--top-k", "1", str(photos / "**" / "*.png"), "--threads", "1"]) == 0
    assert [line["path"] for line in lines(capsys.readouterr().out)] == [str(files(photos)[0]), str(files(photos)[2])]


def test_a_name_with_a_patterns_marks_is_still_a_file(artifact: Path, photos: Path, capsys: Captured) -> None:
    odd = (photos / "a.png").rename(photos / "a[1].png")
    assert main([str(artifact), str(odd), "--json"]) == 0
    assert lines(capsys.readouterr().out)[0]["path"] == str(odd)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("size", ["1", "8"])
def test_one_bad_image_is_reported_and_the_others_answered(
    artifact: Path, photos: Path, capsys: Captured, as_json: bool, size: str
) -> None:
    bad = files(photos)[1]
    bad.write_bytes(bad.read_bytes()[:-30])
    assert main([str(artifact), str(photos), "--batch-size", size, *(["--json"] if as_json else [])]) == 1
    printed = capsys.readouterr()
    if as_json:
        found = lines(printed.out)
        assert ["error" in line for line in found] == [False, True, False]
        assert "is truncated" in str(found[1]["error"])
    else:
        assert len(printed.out.splitlines()) == 2
        assert f"{bad} is truncated" in printed.err


def test_a_missing_file_among_others_is_reported(artifact: Path, photos: Path, capsys: Captured) -> None:
    assert main([str(artifact), str(photos / "nowhere.png"), str(photos / "a.png")]) == 1
    printed = capsys.readouterr()
    assert "there is no file" in printed.err
    assert printed.out.startswith(str(photos / "a.png"))


def test_features_are_written_in_the_order_of_the_files(artifact: Path, photos: Path, tmp_path: Path, capsys: Captured) -> None:
    files(photos)[0].write_bytes(b"")
    assert main([str(artifact), str(photos), "--embed", str(tmp_path / "out.npz"), "--json"]) == 1
    with np.load(tmp_path / "out.npz") as stored:
        assert stored["path"].tolist() == list(map(str, files(photos)[1:]))
        np.testing.assert_allclose(
            stored["embedding"], runtime.load(artifact).embed(list(map(str, files(photos)[1:]))), atol=1e-6
        )
    assert lines(capsys.readouterr().out)[-1] == {"embedded": 2, "file": str(tmp_path / "out.npz")}


def test_a_bank_replaces_the_classes(
    artifact: Path, photos: Path, tiny: SimpleNamespace, tmp_path: Path, capsys: Captured
) -> None:
    tiny.bank(("fox", "gnu"), 7).save(tmp_path / "others.npz")
    assert main([str(artifact), str(photos), "--json", "--bank", str(tmp_path / "others.npz")]) == 0
    labels = {guess["label"] for line in lines(capsys.readouterr().out) for guess in line["guesses"]}  # type: ignore[attr-defined]
    assert labels == {"fox", "gnu"}


# the proof


def test_check_proves_the_artifact(artifact: Path, capsys: Captured) -> None:
    assert main([str(artifact), "--check"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "passed"
    assert "100.00% of golden pixels equal" in printed
    assert main([str(artifact), "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True


def test_check_fails_where_the_numbers_differ(artifact: Path, capsys: Captured) -> None:
    with np.load(artifact / GOLDEN) as stored:
        golden = {name: stored[name] for name in stored.files}
    golden["closed/logits"][0, 0] += 1
    np.savez(artifact / GOLDEN, **golden)
    write(read(artifact, check=False), artifact)
    assert main([str(artifact), "--check"]) == 1
    assert capsys.readouterr().out.count("FAILED") == 2


# what runs where


def test_verbose_says_on_standard_error_what_was_taken_and_why(artifact: Path, photos: Path, capsys: Captured) -> None:
    assert main([str(artifact), str(photos), "--verbose"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    first, *reasons = printed.err.splitlines()
    assert first == "closed runs closed.onnx on cpu"
    assert [line.split(":")[0] for line in reasons] == ["  not on tensorrt", "  not on cuda"]


def test_verbose_json_ends_with_a_line_on_the_sessions(artifact: Path, photos: Path, capsys: Captured) -> None:
    assert main([str(artifact), str(photos), "--json", "--verbose", "--prefer", "cpu"]) == 0
    *answers, last = lines(capsys.readouterr().out)
    assert len(answers) == 3
    assert last == {
        "sessions": [{"graph": "closed", "file": "closed.onnx", "picked": "cpu", "refused": [], "nodes": {}, "on_cpu": []}]
    }


def test_an_accelerator_alone_is_status_2_where_there_is_none(artifact: Path, photos: Path, capsys: Captured) -> None:
    assert main([str(artifact), str(photos), "--prefer", "openvino"]) == 2
    assert "graph 'closed' in fp32 does not run on openvino here: this installation" in capsys.readouterr().err


def test_check_tells_what_was_not_run_from_what_is_wrong(artifact: Path, capsys: Captured) -> None:
    assert main([str(artifact), "--check", "--prefer", "openvino"]) == 1
    printed = capsys.readouterr().out
    assert printed.count("NOT RUN: graph") == 3
    assert printed.splitlines()[-1] == "NOT PROVEN: not every file was run"
    assert main([str(artifact), "--check", "--precision", "fp16"]) == 2
    assert "has no fp16 variant" in capsys.readouterr().err


def test_a_required_signature_is_asked_of_answers_and_of_the_check(artifact: Path, photos: Path, capsys: Captured) -> None:
    golden = Path(__file__).parent.parent / "golden" / "signed_v1"
    key = ["--require-signature", str(golden / "public.pem")]
    assert main([str(golden / "artifact"), "--check", *key]) == 0
    for asked in (["--check"], [str(photos)]):
        assert main([str(artifact), *asked, *key]) == 2
        assert "is not signed: it has no model.sig" in capsys.readouterr().err


# mistakes


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((), "no image was given"),
        (("{photos}/*.jpg",), "no file matches"),
        (("{empty}",), "there is no image below the folder"),
        (("{photos}", "--bank", "{photos}/notes.txt"), "is not a readable bank"),
        (("{photos}", "--bank", "{photos}/nowhere.npz"), "there is no bank"),
        (("{photos}", "--top-k", "0"), "top_k=0"),
        (("{photos}", "--batch-size", "0"), "--batch-size 0"),
        (("{photos}", "--batch-size", "9"), "this artifact takes 1 to 8"),
        (("{photos}", "--precision", "int8"), "no int8 variant"),
        (("{photos}", "--prefer", "abacus"), "there is no provider 'abacus'"),
        (("{photos}", "--threads", "0"), "threads=0"),
        (("{photos}", "--embed", "{empty}/nowhere/out.npz"), "No such file"),
    ],
)
def test_a_mistake_is_a_sentence_and_status_2(
    artifact: Path, photos: Path, tmp_path: Path, capsys: Captured, given: tuple[str, ...], sentence: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main([str(artifact), *(text.format(photos=photos, empty=empty) for text in given)]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.startswith("runtime.run: ")
    assert printed.out == ""


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_a_flipped_byte_is_status_2(artifact: Path, photos: Path, capsys: Captured, options: tuple[str, ...]) -> None:
    content = bytearray((artifact / "closed.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (artifact / "closed.onnx").write_bytes(content)
    assert main([str(artifact), str(photos), *options]) == 2
    assert "closed.onnx is damaged or was changed" in capsys.readouterr().err


def test_what_is_no_artifact_is_status_2(photos: Path, capsys: Captured) -> None:
    assert main([str(photos), str(photos)]) == 2
    assert "is not an artifact" in capsys.readouterr().err

"""`runtime.run` on a recognizer artifact: lines and tables against what the task answers in Python, and bad files in good company."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import runtime
from runtime.run import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def chips(targeting: SimpleNamespace, raw_chip: Callable[..., bytes], tmp_path: Path) -> Path:
    """chips/a/0.png and 1.npy, chips/b/HB0.015 (raw), and chips/odd.png, which is refused."""
    folder = tmp_path / "chips"
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    given = targeting.chips(3, 12)
    Image.fromarray(given[0]).save(folder / "a/0.png")
    np.save(folder / "a/1.npy", given[1])
    (folder / "b/HB0.015").write_bytes(raw_chip(given[2].astype(np.float32)))
    (folder / "b/notes.txt").write_text("no chip")
    odd = np.full((12, 12), 5, np.uint8)
    odd[6, 6] = 255
    Image.fromarray(odd).save(folder / "odd.png")
    return folder


def names(folder: Path) -> list[Path]:
    return [folder / name for name in ("a/0.png", "a/1.npy", "b/HB0.015", "odd.png")]


@pytest.mark.parametrize("size", ["1", "3", "100"])
def test_lines_are_the_tasks_answers(target_artifact: Path, chips: Path, capsys: Captured, size: str) -> None:
    assert main([str(target_artifact), str(chips), "--json", "--batch-size", size]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    task = runtime.load(target_artifact, prefer=["cpu"])
    assert [line["path"] for line in found] == [str(path) for path in names(chips)]
    for line, answer in zip(found, task.recognize(names(chips)), strict=True):
        assert (line["label"], line["likeliest"], line["refused"]) == (answer.label, answer.likeliest, answer.refused)
        assert line["probability"] == pytest.approx(answer.probability, abs=1e-5)
        assert line["novelty"] == pytest.approx(answer.novelty, rel=1e-4, abs=1e-5)
        assert [guess["label"] for guess in line["probabilities"]] == list(answer.probabilities)
    assert [line["refused"] for line in found] == [False, False, False, True]


def test_words_say_what_is_unknown_and_why(target_artifact: Path, chips: Path, capsys: Captured) -> None:
    assert main([str(target_artifact), str(chips / "odd.png"), str(chips / "a/0.png"), "--top-k", "1"]) == 0
    odd, usual = capsys.readouterr().out.splitlines()
    assert odd.startswith(f"{chips / 'odd.png'}: unknown (novelty ") and " above 0.5); likeliest " in odd and odd.count("%") == 1
    assert "unknown (" not in usual
    assert main([str(target_artifact), str(chips / "odd.png"), "--refuse-above", "1000"]) == 0
    assert "unknown (" not in capsys.readouterr().out


def test_a_table_has_a_row_for_every_file(target_artifact: Path, chips: Path, tmp_path: Path, capsys: Captured) -> None:
    (chips / "z.png").write_bytes(b"no image")
    out = tmp_path / "seen.csv"
    assert main([str(target_artifact), str(chips), "-o", str(out)]) == 1
    said = capsys.readouterr()
    assert said.out == f"4 chips in {out}, 1 of them unknown; 1 could not be used\n" and "z.png" in said.err
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [row["path"] for row in rows] == [str(path) for path in [*names(chips), chips / "z.png"]]
    answers = runtime.load(target_artifact, prefer=["cpu"]).recognize(names(chips))
    assert [row["label"] for row in rows] == [*(answer.label or "unknown" for answer in answers), ""]
    assert "z.png" in rows[-1]["error"] and rows[0]["error"] == ""
    assert main([str(target_artifact), str(chips / "a"), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"recognised": 2, "unknown": 0, "failed": 0, "file": str(out)}


def test_one_bad_file_does_not_lose_the_others_of_its_batch(target_artifact: Path, chips: Path, capsys: Captured) -> None:
    (chips / "a/00.png").write_bytes((chips / "a/0.png").read_bytes()[:-30])  # truncated
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(chips / "a/2.png")
    assert main([str(target_artifact), str(chips), "--json", "--batch-size", "4"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wrong = {Path(line["path"]).name: line["error"] for line in found if "error" in line}
    assert set(wrong) == {"00.png", "2.png"} and len(found) == 6
    assert "truncated" in wrong["00.png"] and "1x1 pixels, fewer than the 8x8" in wrong["2.png"]


def test_where_nothing_could_be_used_no_table_is_written(target_artifact: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "z.png").write_bytes(b"no image")
    assert main([str(target_artifact), str(tmp_path / "z.png"), "-o", str(tmp_path / "t.csv")]) == 2
    assert "z.png" in capsys.readouterr().err and not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-o", "out.txt"], "give a name that ends in .csv"),
        (["-o", "nowhere/out.csv"], "there is no folder"),
        (["--top-k", "0"], "--top-k 0"),
        (["--batch-size", "0"], "--batch-size 0"),
        (["--refuse-above", "nan"], "--refuse-above nan"),
        (["--heat", "x.png"], "--heat is for a few_shot_classifier"),
    ],
)
def test_mistakes_end_in_a_sentence(
    target_artifact: Path, chips: Path, capsys: Captured, options: list[str], sentence: str
) -> None:
    assert main([str(target_artifact), str(chips), *options]) == 2
    assert sentence in capsys.readouterr().err


def test_an_empty_folder_is_a_mistake(target_artifact: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "empty").mkdir()
    assert main([str(target_artifact), str(tmp_path / "empty")]) == 2
    assert "there is no chip below the folder" in capsys.readouterr().err

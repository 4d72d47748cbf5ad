"""`runtime.run` on a complexity_scorer artifact: scores, lists, CSV files and pictures against what the task answers in Python."""

from __future__ import annotations

import csv
import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import runtime
from runtime import heat
from runtime.pictures import read
from runtime.run import main
from runtime.score_file import Row, ScoreFile

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def photos(scoring: SimpleNamespace, tmp_path: Path) -> Path:
    """photos/5.png (nearly plain) to photos/0.png (noisy): the order of names is not that of complexity."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for at, image in enumerate(scoring.images()):
        Image.fromarray(np.repeat(np.repeat(image, 10, 0), 10, 1)).save(folder / f"{5 - at}.png")
    return folder


@pytest.fixture
def answers(scorer: Path, photos: Path) -> dict[str, float]:
    """Path -> score, in Python."""
    task = runtime.load(scorer, prefer=["cpu"])
    return {str(path): task.score(path).score for path in sorted(photos.iterdir())}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("size", ["1", "3", "100"])
def test_scores_are_those_of_python(scorer: Path, photos: Path, answers: dict[str, float], capsys: Captured, size: str) -> None:
    assert main([str(scorer), str(photos), "--batch-size", size, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in found] == list(answers)
    assert [line["score"] for line in found] == pytest.approx(list(answers.values()), abs=2e-3)
    assert main([str(scorer), str(photos / "0.png")]) == 0
    assert capsys.readouterr().out == f"{photos / '0.png'}: {answers[str(photos / '0.png')]:.1f}\n"


def test_lists_are_filtered_and_ordered(scorer: Path, photos: Path, answers: dict[str, float], capsys: Captured) -> None:
    ordered = sorted(answers, key=lambda path: answers[path])
    assert ordered != list(answers)
    low, high = (answers[ordered[at]] for at in (1, 4))
    assert main([str(scorer), str(photos), "--order"]) == 0
    assert capsys.readouterr().out.splitlines() == ordered
    assert main([str(scorer), str(photos), "--keep-above", f"{high - 0.01}"]) == 0
    assert capsys.readouterr().out.splitlines() == [path for path in answers if answers[path] >= high]
    assert main([str(scorer), str(photos), "--keep-below", f"{high + 0.01}", "--keep-above", f"{low - 0.01}", "--order"]) == 0
    assert capsys.readouterr().out.splitlines() == ordered[1:5]
    assert main([str(scorer), str(photos), "--keep-above", "100", "--json"]) == 0
    assert capsys.readouterr().out == ""


def test_a_csv_file_has_every_score(scorer: Path, photos: Path, answers: dict[str, float], capsys: Captured) -> None:
    out = photos.parent / "scores.csv"
    assert main([str(scorer), str(photos), "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"6 images scored in {out}\n"
    found = rows(out)
    assert [row["path"] for row in found] == list(answers)
    assert [float(row["score"]) for row in found] == pytest.approx(list(answers.values()), abs=2e-3)
    task = runtime.load(scorer, prefer=["cpu"])
    assert float(found[0]["activation"]) == pytest.approx(task.score(photos / "0.png").activation, rel=1e-6)
    assert {row["model"] for row in found} == {task.maker[:12]}
    assert main([str(scorer), str(photos), "-o", str(out), "--order", "--keep-above", "50"]) == 0
    assert capsys.readouterr().out.splitlines() == sorted((p for p in answers if answers[p] >= 50), key=lambda p: answers[p])
    assert [row["path"] for row in rows(out)] == sorted(answers, key=lambda path: answers[path])  # all of them, in order
    assert sorted(path.name for path in photos.parent.iterdir()) == ["photos", "scorer", "scores.csv"]


def test_a_killed_run_goes_on(scorer: Path, photos: Path, answers: dict[str, float], capsys: Captured) -> None:
    out = photos.parent / "scores.csv"
    killed = ScoreFile(out, runtime.load(scorer).maker)
    killed.add([Row(str(photos / "1.png"), 12.5, 0.25)])  # numbers that no image has
    killed.close()
    with killed.part.open("ab") as file:
        file.write(b'{"path": "' + str(photos / "2.png").encode())  # torn
    assert main([str(scorer), str(photos), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"scored": 6, "failed": 0, "file": str(out)}
    found = {row["path"]: float(row["score"]) for row in rows(out)}
    assert found == pytest.approx({**answers, str(photos / "1.png"): 12.5}, abs=2e-3)
    assert not killed.part.exists()


def test_known_images_are_not_scored_again_until_they_change(scorer: Path, photos: Path, answers: dict[str, float]) -> None:
    out = photos.parent / "scores.csv"
    assert main([str(scorer), str(photos), "-o", str(out)]) == 0
    out.write_text(out.read_text().replace(rows(out)[0]["score"], "77.0"))
    assert main([str(scorer), str(photos), "-o", str(out)]) == 0
    assert rows(out)[0]["score"] == "77.0"
    later = time.time() + 60
    os.utime(photos / "0.png", (later, later))
    assert main([str(scorer), str(photos), "-o", str(out)]) == 0
    assert float(rows(out)[0]["score"]) == pytest.approx(answers[str(photos / "0.png")], abs=2e-3)


def test_scores_of_another_graph_are_not_mixed(scorer: Path, scoring: SimpleNamespace, photos: Path, capsys: Captured) -> None:
    scoring.build(photos.parent / "scored", scored=True)
    out = photos.parent / "scores.csv"
    assert main([str(scorer), str(photos), "-o", str(out)]) == 0
    before = out.read_bytes()
    assert main([str(photos.parent / "scored"), str(photos), "-o", str(out)]) == 2
    assert "holds scores of another graph" in capsys.readouterr().err and out.read_bytes() == before


def test_bad_images_are_reported_and_the_others_scored(scorer: Path, photos: Path, capsys: Captured) -> None:
    (photos / "bad.png").write_text("no picture")
    (photos / "empty.jpg").touch()
    (photos / "tiny.png").write_bytes(b"")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(photos / "tiny.png")
    out = photos.parent / "scores.csv"
    assert main([str(scorer), str(photos), "-o", str(out)]) == 1
    said = capsys.readouterr()
    assert "bad.png is not an image" in said.err and "empty.jpg is empty" in said.err
    assert said.out == f"7 images scored in {out}; 2 could not be used\n"
    assert [row["path"] for row in rows(out)] == [str(photos / name) for name in (*(f"{n}.png" for n in range(6)), "tiny.png")]
    assert main([str(scorer), str(photos), "--json", "--order"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines if "error" in line] == [str(photos / "bad.png"), str(photos / "empty.jpg")]
    out.unlink()
    assert main([str(scorer), str(photos / "bad.png"), "-o", str(out)]) == 2
    assert "none of the 1 images could be used" in capsys.readouterr().err
    assert not list(photos.parent.glob("scores*"))


def test_a_map_shows_where_it_is_complex(scorer: Path, photos: Path, capsys: Captured) -> None:
    image = np.full((80, 80, 3), 120, np.uint8)
    image[:40, :40] = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    Image.fromarray(image).save(photos.parent / "half.png")
    drawn = photos.parent / "map.png"
    assert main([str(scorer), str(photos.parent / "half.png"), "--map", str(drawn), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["map"] == str(drawn)
    picture = read(drawn).colour.astype(int)
    redness = picture[:, :, 0] - picture[:, :, 2]
    half = len(picture) // 2
    assert redness[:half, :half].mean() > 30 > -10 > redness[half:, half:].mean()  # red where complex, blue where plain
    found = runtime.load(scorer, prefer=["cpu"]).score(image).map
    expected = heat.overlay(image, found - found.mean(), np.ones((4, 4), bool))
    assert np.abs(picture - expected).max() <= 1
    assert main([str(scorer), str(photos), "--map", str(photos.parent / "maps")]) == 0
    assert sorted(path.name for path in (photos.parent / "maps").iterdir()) == [f"{at}.png" for at in range(6)]


def test_a_plain_image_has_a_grey_map(scorer: Path, photos: Path) -> None:
    Image.fromarray(np.full((30, 30, 3), 90, np.uint8)).save(photos.parent / "plain.png")
    assert main([str(scorer), str(photos.parent / "plain.png"), "--map", str(photos.parent / "map.png")]) == 0
    assert np.abs(read(photos.parent / "map.png").colour.astype(int) - 90).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["{photos}", "--keep-above", "101"], "--keep-above 101 was given; scores run from 0 to 100"),
        (["{photos}", "--keep-below", "nan"], "--keep-below nan was given"),
        (["{photos}", "--keep-above", "60", "--keep-below", "40"], "keep nothing; expected a range"),
        (["{photos}", "--batch-size", "0"], "--batch-size 0"),
        (["{photos}", "-o", "scores.txt"], "scores.txt was given for the scores; expected .* .csv"),
        (["{photos}", "-o", "no/scores.csv"], "no folder no"),
        (["{photos}", "-o", "other.csv"], "other.csv is there and is no file of scores"),
        (["{photos}", "-o", "damaged.csv"], "damaged.csv.part is damaged"),
        (["{photos}", "-o", "newer.csv"], "is of schema 2, and this version reads 1"),
        (["{photos}", "--map", "other.csv"], "other.csv is a file and there are several images"),
        (["{photos}/0.png", "--map", "{photos}/0.png"], "is one of the inputs; give another --map"),
        (["none"], "none of the 1 images could be used"),
        (["{photos}/*.gif"], "no file matches"),
        (["{photos}", "--heat", "a.png"], "--heat is for a few_shot_classifier artifact"),
    ],
)
def test_wrong_use_ends_with_2_and_writes_nothing(
    scorer: Path, photos: Path, arguments: list[str], word: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("other.csv").write_text("name,price\nmug,3\n")
    Path("damaged.csv.part").write_text('{"schema": 1}\n')
    Path("newer.csv.part").write_text('{"schema": 2, "model": "a"}\n')
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert main([str(scorer), *(argument.format(photos=photos) for argument in arguments)]) == 2
    assert re.search(word, capsys.readouterr().err)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_its_options_are_refused_elsewhere(artifact: Path, capsys: Captured) -> None:
    assert main([str(artifact), "photo.png", "--order"]) == 2
    assert "--order is for a complexity_scorer artifact, and this one is a zero_shot" in capsys.readouterr().err

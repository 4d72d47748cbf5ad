"""`runtime.run` on a few_shot_classifier artifact: files of classes and answers against what the task does in Python."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import runtime
from runtime import heat
from runtime.pictures import read
from runtime.run import main
from runtime.tasks import few_shot_classifier

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def photos(enrolling: SimpleNamespace, tmp_path: Path) -> Path:
    """mugs/0.png, mugs/1.png, cups/2.png, cups/3.png, new/4.png and new/5.png, each 80 pixels wide."""
    for at, image in enumerate(enrolling.images()):
        folder = tmp_path / ("mugs", "cups", "new")[at // 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.repeat(np.repeat(image, 10, 0), 10, 1)).save(folder / f"{at}.png")
    return tmp_path


@pytest.fixture
def shop(enroller: Path, photos: Path, capsys: Captured) -> Path:
    """Two mugs and two cups."""
    found = photos / "shop.fsc"
    assert main([str(enroller), "enroll", "mug", str(photos / "mugs"), "--classes", str(found)]) == 0
    assert main([str(enroller), "enroll", "cup", str(photos / "cups/*.png"), "--classes", str(found), "--batch-size", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"mug: 2 photos, 1 class in {found}", f"cup: 2 photos, 2 classes in {found}"]
    return found


def lines(capsys: Captured) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_classes_are_enrolled_listed_and_forgotten(enroller: Path, photos: Path, shop: Path, capsys: Captured) -> None:
    command = [str(enroller), "--classes", str(shop)]
    assert main([*command, "list"]) == 0
    assert capsys.readouterr().out == "mug: 2 photos\ncup: 2 photos\n"
    assert main([*command, "add", "mug", str(photos / "new/4.png"), "--json"]) == 0
    assert lines(capsys) == [{"label": "mug", "images": 3, "failed": 0, "classes": 2, "file": str(shop)}]
    assert main([*command, "list", "--json"]) == 0
    assert lines(capsys) == [{"label": "mug", "images": 3}, {"label": "cup", "images": 2}]
    assert main([*command, "forget", "mug"]) == 0
    assert capsys.readouterr().out == f"mug is forgotten, 1 class in {shop}\n"
    assert main([*command, "forget", "cup", "--json"]) == 0
    assert lines(capsys) == [{"forgotten": "cup", "classes": 0, "file": str(shop)}]
    assert main([*command, "list"]) == 0 and capsys.readouterr().out == ""
    assert main([*command, "classify", str(photos / "new")]) == 2
    assert "holds no class; enroll one first" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["1", "3", "100"])
def test_images_are_classified_as_in_python(enroller: Path, photos: Path, shop: Path, capsys: Captured, size: str) -> None:
    options = ["--classes", str(shop), "--json", "--batch-size", size]
    assert main([str(enroller), "classify", str(photos / "new"), str(photos / "mugs/0.png"), *options]) == 0
    found = lines(capsys)
    task = runtime.load(enroller, prefer=["cpu"])
    task.load_classes(shop)
    paths = [photos / "new/4.png", photos / "new/5.png", photos / "mugs/0.png"]
    for line, path, expected in zip(found, paths, task.classify(paths), strict=True):
        assert line["path"] == str(path) and line["label"] == expected.label
        assert line["score"] == pytest.approx(expected.score, abs=1e-5)
        assert line["margin"] == pytest.approx(expected.margin, abs=1e-5)
        assert [guess["label"] for guess in line["scores"]] == list(expected.scores)  # type: ignore[attr-defined]
    assert main([str(enroller), "classify", str(paths[2]), "--classes", str(shop), "--top-k", "1"]) == 0
    assert capsys.readouterr().out == f"{paths[2]}: mug {found[2]['score']:.3f}\n"


def test_one_class_alone_is_an_answer_without_a_margin(enroller: Path, photos: Path, capsys: Captured) -> None:
    options = ["--classes", str(photos / "one.fsc"), "--json"]
    assert main([str(enroller), "enroll", "mug", str(photos / "mugs/0.png"), *options]) == 0
    assert main([str(enroller), "classify", str(photos / "cups/2.png"), *options]) == 0
    assert lines(capsys)[1]["margin"] is None


def test_bad_photos_are_reported_and_the_others_used(enroller: Path, photos: Path, shop: Path, capsys: Captured) -> None:
    (photos / "new/bad.png").write_text("no picture")
    (photos / "new/empty.png").touch()
    given = [str(photos / "new"), str(photos / "none.png")]
    assert main([str(enroller), "enroll", "jug", *given, "--classes", str(shop), "--json"]) == 1
    found = lines(capsys)
    assert [Path(str(line["path"])).name for line in found[:-1]] == ["bad.png", "empty.png", "none.png"]
    assert found[-1]["images"] == 2 and found[-1]["failed"] == 3
    assert main([str(enroller), "classify", *given, "--classes", str(shop), "--batch-size", "2"]) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2 and len(said.err.splitlines()) == 3


def test_where_no_photo_can_be_used_nothing_is_written(enroller: Path, photos: Path, shop: Path, capsys: Captured) -> None:
    before = shop.read_bytes()
    (photos / "bad.png").write_text("no picture")
    for place in (shop, photos / "new.fsc"):
        assert main([str(enroller), "enroll", "jug", str(photos / "bad.png"), "--classes", str(place)]) == 2
        assert "none of the 1 photos of class 'jug' could be used" in capsys.readouterr().err
    assert shop.read_bytes() == before and not (photos / "new.fsc").exists()


def test_more_photos_than_memory_are_refused_before_any_is_read(
    enroller: Path, photos: Path, shop: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [str(enroller), "enroll", "jug", str(photos / "none.png"), "--classes", str(photos / "new.fsc")]
    monkeypatch.setattr(few_shot_classifier, "available", lambda: 10)
    assert main(command) == 2
    assert "need 0.00 GB for their descriptors" in capsys.readouterr().err


# heat


def test_a_picture_shows_where_the_answer_comes_from(enroller: Path, photos: Path, shop: Path, capsys: Captured) -> None:
    target = photos / "why.png"
    command = [str(enroller), "classify", str(photos / "new/4.png"), "--classes", str(shop)]
    assert main([*command, "--heat", str(target), "--json"]) == 0
    assert lines(capsys)[0]["heat"] == str(target)
    task = runtime.load(enroller, prefer=["cpu"])
    task.load_classes(shop)
    why = task.classify(photos / "new/4.png", explain=True).explanation
    expected = heat.overlay(read(photos / "new/4.png").joined(), why.heat, why.selected)
    found = read(target).joined().astype(int)
    assert found.shape == (256, 256, 3) and np.abs(found - expected).max() <= 1
    assert main([*command, "--heat", str(target)]) == 0 and str(target) in capsys.readouterr().out


def test_several_pictures_go_into_a_folder(enroller: Path, photos: Path, shop: Path) -> None:
    command = [str(enroller), "classify", str(photos / "new"), "--classes", str(shop)]
    assert main([*command, "--heat", str(photos / "why")]) == 0
    assert sorted(path.name for path in (photos / "why").iterdir()) == ["4.png", "5.png"]


# wrong use


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["{photos}/new"], "of this artifact ask `enroll NAME PHOTOS...`"),
        (["enroll", "jug", "--classes", "{shop}"], "`enroll jug` was given"),
        (["enroll", "--classes", "{shop}"], "`enroll` was given"),
        (["classify", "--classes", "{shop}"], "`classify` was given"),
        (["list", "all", "--classes", "{shop}"], "`list all` was given"),
        (["forget", "mug", "cup", "--classes", "{shop}"], "`forget mug cup` was given"),
        (["list"], "give --classes FILE.fsc"),
        (["enroll", "mug", "{photos}/new", "--classes", "{shop}"], "class 'mug' is in {shop} already; `add` gives it"),
        (["add", "jug", "{photos}/new", "--classes", "{shop}"], "there are mug, cup; `enroll` makes a new one"),
        (["forget", "jug", "--classes", "{shop}"], "no class 'jug' is enrolled; there are mug, cup"),
        (["enroll", " ", "{photos}/new", "--classes", "{shop}"], "expected one line of text"),
        (["enroll", "jug", "{photos}/none/*.png", "--classes", "{shop}"], "no file matches"),
        (["enroll", "jug", "{photos}/new", "--classes", "no/shop.fsc"], "there is no folder no"),
        (["list", "--classes", "none.fsc"], "there is no file none.fsc"),
        (["list", "--classes", "{photos}"], "there is no file"),
        (["list", "--classes", "{photos}/new/4.png"], "is no file of enrolled classes"),
        (["enroll", "jug", "{photos}/new", "--classes", "{photos}/new/4.png"], "is no file of enrolled classes"),
        (["classify", "{photos}/new", "--classes", "{shop}", "--top-k", "0"], "--top-k 0"),
        (["classify", "{photos}/new", "--classes", "{shop}", "--batch-size", "0"], "--batch-size 0"),
        (["list", "--classes", "{shop}", "--heat", "a.png"], "--heat does not go with `list`"),
        (["classify", "{photos}/new", "--classes", "{shop}", "--heat", "{photos}/new/4.png"], "is a file and there are several"),
        (["classify", "{photos}/new/4.png", "--classes", "{shop}", "--heat", "{photos}/new/4.png"], "is one of the inputs"),
        (["classify", "{photos}/new/4.png", "--classes", "{shop}", "--heat", "a.gif"], "suffix '.gif'"),
        (["classify", "{photos}/new/4.png", "--classes", "{shop}", "--heat", "no/a.png"], "no folder"),
        (["classify", "{photos}/new", "--classes", "{shop}", "--heat", "{photos}/new"], "is one of the inputs"),
        (["classify", "{photos}/new/4.png", "{photos}/4.png", "--classes", "{shop}", "--heat", "w"], "would both be"),
        (["classify", "{photos}/new", "--classes", "{shop}", "--bank", "a.npz"], "--bank is for a zero_shot artifact"),
    ],
)
def test_wrong_use_ends_with_2_and_writes_nothing(
    enroller: Path,
    photos: Path,
    shop: Path,
    arguments: list[str],
    word: str,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photos)
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    assert main([str(enroller), *(argument.format(photos=photos, shop=shop) for argument in arguments)]) == 2
    assert word.format(shop=shop) in capsys.readouterr().err
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == before


def test_a_damaged_file_and_one_of_another_artifact_are_refused(
    enroller: Path, enrolling: SimpleNamespace, photos: Path, shop: Path, capsys: Captured
) -> None:
    enrolling.build(photos / "other", matcher=False, query={"rule": "adaptive", "value": None})
    assert main([str(photos / "other"), "classify", str(photos / "new"), "--classes", str(shop)]) == 2
    assert "shop.fsc was made by another artifact" in capsys.readouterr().err
    shop.write_bytes(shop.read_bytes()[:-1])
    before = shop.read_bytes()
    assert main([str(enroller), "enroll", "jug", str(photos / "new"), "--classes", str(shop)]) == 2
    assert "is truncated" in capsys.readouterr().err and shop.read_bytes() == before


def test_its_options_are_refused_elsewhere(artifact: Path, capsys: Captured) -> None:
    assert main([str(artifact), "photo.png", "--classes", "shop.fsc"]) == 2
    assert "--classes is for a few_shot_classifier artifact, and this one is a zero_shot" in capsys.readouterr().err

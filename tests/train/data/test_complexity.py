"""Rated images in Savoias' and IC9600's layouts, against the lists they were written from."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from train.data.complexity import rated


def write_images(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), np.full((4, 6, 3), number, np.uint8))


@pytest.fixture
def savoias(tmp_path: Path) -> Path:
    root = tmp_path / "savoias"
    write_images(root, ["set/art/0.png", "set/art/1.png", "set/scenes/0.png"])
    (root / "set/art.csv").write_text("image,complexity\n1.png,80\n0.png,12.5\n")
    (root / "set/scenes.csv").write_text("image,complexity\n0.png,100\n")
    return root


@pytest.fixture
def ic9600(tmp_path: Path) -> Path:
    root = tmp_path / "IC9600"
    write_images(root / "images", ["person_0.png", "person_1.png", "odd name.png", "2008_1.png"])
    (root / "train.txt").write_text("person_0.png  0.25\nodd name.png  1\n")
    (root / "test.txt").write_text("person_1.png  0.5\n\n2008_1.png  0.0\n")
    return root


def test_savoias_has_names_scores_and_categories_in_the_order_of_its_tables(savoias: Path) -> None:
    found = rated(savoias)
    assert list(found) == ["all"]
    everything = found["all"]
    assert everything.names == ("set/art/1.png", "set/art/0.png", "set/scenes/0.png")
    assert everything.scores.tolist() == [80, 12.5, 100] and everything.scores.dtype == np.float64
    assert everything.categories == ("art", "art", "scenes")
    assert everything.rows("art").tolist() == [0, 1]
    assert everything.image(0).shape == (4, 6, 3) and (everything.image(0) == 1).all()


def test_a_zip_is_as_its_folder(savoias: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "savoias.zip", "w") as archive:
        for path in sorted(savoias.rglob("*.*")):
            archive.write(path, path.relative_to(savoias))
    one, other = rated(savoias)["all"], rated(tmp_path / "savoias.zip")["all"]
    assert one.names == other.names and np.array_equal(one.scores, other.scores)
    assert np.array_equal(one.image(2), other.image(2))


def test_ic9600_has_two_parts_with_scores_up_to_100(ic9600: Path) -> None:
    found = rated(ic9600)
    assert list(found) == ["train", "test"]
    assert found["train"].names == ("images/person_0.png", "images/odd name.png")
    assert found["train"].scores.tolist() == [25, 100] and found["test"].scores.tolist() == [50, 0]
    assert found["train"].categories == ("person", "images") and found["test"].categories == ("person", "images")


def test_rated_images_that_are_not_there_are_listed_and_counted(savoias: Path, ic9600: Path) -> None:
    (savoias / "set/art.csv").write_text("image,complexity\n" + "".join(f"{n}.png,1\n" for n in range(7)))
    with pytest.raises(
        FileNotFoundError, match=r"art\.csv rates 5 images .*art/2\.png, .*art/3\.png, .*art/4\.png and 2 more are missing"
    ):
        rated(savoias)
    (ic9600 / "test.txt").write_text("nobody.png  0.5\n")
    with pytest.raises(FileNotFoundError, match=r"test\.txt rates 1 images .*nobody\.png is missing"):
        rated(ic9600)


def test_images_without_a_rating_are_left_out_and_said(savoias: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(savoias, ["set/art/9.png"])
    with caplog.at_level(logging.WARNING):
        assert len(rated(savoias)["all"]) == 3
    assert "set/art/9.png" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("person_1.png 0.5", "line 1: 'person_1.png 0.5' was found; expected a name, two spaces"),
        ("person_1.png  1.5", r"line 1: the score is '1\.5'; expected a number in 0\.\.1"),
        ("person_1.png  high", "the score is 'high'"),
        ("person_1.png  nan", "the score is 'nan'"),
        ("person_1.png  0.5\nperson_1.png  0.4", r"person_1\.png is rated more than once"),
        ("person_0.png  0.5", r"person_0\.png is in train\.txt and in test\.txt"),
        ("", "rates no image"),
    ],
)
def test_a_bad_list_is_refused_with_its_line(ic9600: Path, line: str, message: str) -> None:
    (ic9600 / "test.txt").write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        rated(ic9600)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,score\n0.png,3\n", "columns name, score; expected image and complexity"),
        ("image,complexity\n0.png,101\n", "line 2.*'101'"),
    ],
)
def test_a_bad_table_is_refused(savoias: Path, table: str, message: str) -> None:
    (savoias / "set/scenes.csv").write_text(table)
    with pytest.raises(ValueError, match=message):
        rated(savoias)


def test_ground_truth_as_xlsx_is_refused_with_what_to_do(tmp_path: Path) -> None:
    write_images(tmp_path, ["Images/Art/0.png"])
    (tmp_path / "global_ranking_art.xlsx").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"Save each .* as <category>\.csv"):
        rated(tmp_path)


def test_a_folder_without_ratings_is_told_what_is_expected(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png"])
    with pytest.raises(ValueError, match="no ratings of complexity"):
        rated(tmp_path)

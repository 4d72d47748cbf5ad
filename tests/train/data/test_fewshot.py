"""Data sets whose classes are parted, against the folders and tables that they were written as."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from train.data import cifar_fs
from train.data.fewshot import ClassSets, open_classes
from train.data.split import Split


def write(folder: Path, names: Sequence[str], each: int = 3, size: int = 12) -> Path:
    """Class folders whose images are all different."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for copy in range(each):
            image = np.full((size, size, 3), (number, copy, 7), np.uint8)
            image[0] = 255  # the top
            cv2.imwrite(str(folder / name / f"{name.replace('/', '_')}_{copy}.png"), image)
    return folder


def names(found: ClassSets, part: Split) -> set[str]:
    return {found.classes[label] for label in part.labels}


def parted(found: ClassSets) -> tuple[set[str], set[str], set[str]]:
    """The classes of each part, which must be disjoint, and name their images."""
    for part in (found.train, found.val, found.test):
        for index in range(len(part)):
            assert found.classes[part.labels[index]].split(" turned")[0].split("/")[-1] in part.name(index)
    parts = names(found, found.train), names(found, found.val), names(found, found.test)
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(found.classes)
    assert set(found.train.labels.tolist()) == set(range(len(parts[0])))
    return parts


def test_class_folders_are_parted_by_their_names_alone(tmp_path: Path) -> None:
    data = write(tmp_path / "data", [f"bird{number}" for number in range(25)])
    before = parted(open_classes(data))
    assert [len(part) for part in before] == [16, 4, 5]
    archive = Path(shutil.make_archive(str(tmp_path / "zip"), "zip", tmp_path, "data"))
    assert parted(open_classes(archive)) == before


def test_train_val_and_test_folders_share_no_class(tmp_path: Path) -> None:
    write(tmp_path / "train", ["a", "b"])
    write(tmp_path / "val", ["c", "d"])
    write(tmp_path / "test", ["e"])
    assert parted(open_classes(tmp_path)) == ({"a", "b"}, {"c", "d"}, {"e"})
    write(tmp_path / "test", ["b"])
    with pytest.raises(ValueError, match="the class 'b' is in train and in test, and 1 are in both"):
        open_classes(tmp_path)


def test_without_val_some_training_classes_become_it(tmp_path: Path) -> None:
    write(tmp_path / "train", [f"a{number}" for number in range(10)])
    write(tmp_path / "test", ["e", "f"])
    train, val, test = parted(open_classes(tmp_path))
    assert (len(train), len(val), test) == (8, 2, {"e", "f"})


def test_parts_with_the_same_classes_are_taken_together(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path / part, [f"a{number}" for number in range(10)], each=2)
    found = open_classes(tmp_path)
    parted(found)
    assert (np.bincount(np.concatenate([part.labels for part in (found.train, found.val, found.test)])) == 4).all()


def test_cifars_classes_are_parted_as_cifar_fs_does(tmp_path: Path) -> None:
    every = [name for part in cifar_fs.PARTS.values() for name in part]
    assert len(every) == len(set(every)) == 100 and [len(part) for part in cifar_fs.PARTS.values()] == [64, 16, 20]
    write(tmp_path / "cifar100", every, each=1, size=4)
    assert parted(open_classes(tmp_path / "cifar100")) == tuple(map(set, cifar_fs.PARTS.values()))


def test_alphabets_may_stand_above_characters_and_what_was_trained_on_is_no_test(tmp_path: Path) -> None:
    drawings = [f"Greek/character0{n}" for n in range(4)] + ["Latin/character01"]
    known = write(tmp_path / "small1/images_background_small1", drawings)
    other = write(
        tmp_path / "small2/images_background_small2", ["Greek/character01", "Tagalog/character01", "Tagalog/character02"]
    )
    found = open_classes(known.parent, test_data=other.parent)
    train, val, test = parted(found)
    assert test == {"Tagalog/character01", "Tagalog/character02"} and train | val == set(drawings)
    assert "1 of its classes are left out" in found.notes[-1]
    with pytest.raises(ValueError, match=r"every class of .* is in the training data too"):
        open_classes(known.parent, test_data=known.parent)


def test_turned_classes_are_further_ones(tmp_path: Path) -> None:
    data = write(tmp_path / "data", [f"bird{number}" for number in range(10)])
    plain, turned = open_classes(data), open_classes(data, turned=True)
    parted(turned)
    own = len(names(plain, plain.train))
    assert len(turned.train) == 4 * len(plain.train) and len(names(turned, turned.train)) == 4 * own
    assert names(turned, turned.test) == names(plain, plain.test)
    for row in range(8):
        image = turned.train.read(row)
        assert np.array_equal(image, np.rot90(plain.train.read(row // 4), row % 4))
        assert turned.train.labels[row] == plain.train.labels[row // 4] + own * (row % 4)


def table(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    path.write_text("filename,label\n" + "".join(f"{name},{label}\n" for name, label in rows))


def test_tables_beside_images(tmp_path: Path) -> None:
    folder = tmp_path / "mini" / "images"
    folder.mkdir(parents=True)
    for part in ("train", "val", "test"):
        rows = [(f"{part}{label}_{copy}.png", f"{part}{label}") for label in range(2) for copy in range(3)]
        for name, _ in rows:
            cv2.imwrite(str(folder / name), np.zeros((8, 8, 3), np.uint8))
        table(tmp_path / "mini" / f"{part}.csv", rows)
    assert parted(open_classes(tmp_path)) == ({"train0", "train1"}, {"val0", "val1"}, {"test0", "test1"})
    table(folder.parent / "val.csv", [("absent.png", "x")])
    with pytest.raises(FileNotFoundError, match=r"absent\.png, which val\.csv, line 2, names"):
        open_classes(tmp_path)
    (folder.parent / "val.csv").write_text("filename,label\none\n")
    with pytest.raises(ValueError, match=r"val\.csv, line 2: \['one'\] was found; expected filename,label"):
        open_classes(tmp_path)
    (folder.parent / "val.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected train\.csv, val\.csv and test\.csv"):
        open_classes(tmp_path)


def test_drawn_classes_need_no_data() -> None:
    found = open_classes(None, scenes=2, scene_classes=18, scene_size=16)
    train, val, test = names(found, found.train), names(found, found.val), names(found, found.test)
    assert (len(train), len(val), len(test)) == (9, 3, 6) and not (train & test or train & val or val & test)
    assert found.train.read(0).shape == (16, 16, 3)


def test_what_is_no_such_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_classes(tmp_path / "absent")
    with pytest.raises(ValueError, match="has 0 folders of images; expected class folders"):
        open_classes(tmp_path)
    with pytest.raises(ValueError, match="give both"):
        open_classes(None, test_data=tmp_path)
    with pytest.raises(ValueError, match="expected 18 and 2"):
        open_classes(None, scene_classes=3)
    write(tmp_path, ["a", "b"])
    with pytest.raises(ValueError, match="2 classes were found; train and val and test need one each"):
        open_classes(tmp_path)

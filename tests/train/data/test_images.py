"""What open_images reads is compared with the folders, zips and splits written here."""

import json
import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.prepare import Geometry, UnreadableImage
from train.data.images import ImageData, base_and_new, few_shot, open_images

RED = (220, 30, 30)


def write(path: Path, colour: tuple[int, int, int] = RED) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((8, 8, 3), colour[::-1], np.uint8))


def class_folders(root: Path, parts: tuple[str, ...], classes: tuple[str, ...], each: int) -> Path:
    for part in parts:
        for number, name in enumerate(classes):
            for i in range(each):
                write(root / part / name / f"{i}.png", (40 * number, 10 * i, 100))
    return root


def files_of(data: ImageData) -> list[set[str]]:
    return [{split.name(i) for i in range(len(split))} for split in (data.train, data.val, data.test)]


def refused(path: Path, *words: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        open_images(path, seed=0)
    for word in words:
        assert word in str(caught.value)


def test_train_and_test_folders_are_kept_and_val_is_held_out_of_train(tmp_path: Path) -> None:
    data = open_images(class_folders(tmp_path, ("train", "test"), ("sea_lion", "ape", "cat"), 10), seed=0, held_out=0.2)
    assert data.classes == ("ape", "cat", "sea lion")
    assert (data.base, data.new) == ((0, 1), (2,))
    assert [len(data.train), len(data.val), len(data.test)] == [24, 6, 30]
    assert np.bincount(data.val.labels).tolist() == [2, 2, 2]
    train, val, test = files_of(data)
    assert not train & val
    assert all("/train/" in name for name in train | val)
    assert all("/test/" in name for name in test)
    assert "held out of train" in data.notes[0]
    np.testing.assert_array_equal(data.test.read(25), np.full((8, 8, 3), (0, 50, 100)))  # sea_lion/5.png, written as class 0


def test_a_zip_with_an_outer_folder_gives_the_same_split_as_the_folder(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set", ("train", "test"), ("a", "b"), 6)
    for method, name in ((zipfile.ZIP_STORED, "stored.zip"), (zipfile.ZIP_DEFLATED, "deflated.zip")):
        with zipfile.ZipFile(tmp_path / name, "w", method) as archive:
            for path in root.rglob("*.png"):
                archive.write(path, Path("outer") / path.relative_to(root))
            archive.writestr("__MACOSX/outer/._x.png", b"")
        zipped, plain = open_images(tmp_path / name, seed=3), open_images(root, seed=3)
        for one, other in ((zipped.train, plain.train), (zipped.val, plain.val), (zipped.test, plain.test)):
            assert [one.name(i)[-13:] for i in range(len(one))] == [other.name(i)[-13:] for i in range(len(other))]
            for i in range(len(one)):
                np.testing.assert_array_equal(one.read(i), other.read(i))


def test_a_flipped_byte_in_a_zip_is_noticed(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set", ("train", "test"), ("a", "b"), 2)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted(root.rglob("*.png")):
            archive.write(path, path.relative_to(root))
    content = bytearray((tmp_path / "set.zip").read_bytes())
    content[content.index(b"IDAT") + 6] ^= 1
    (tmp_path / "set.zip").write_bytes(content)
    data = open_images(tmp_path / "set.zip", seed=0)
    with pytest.raises(ValueError, match="damaged"):
        for split in (data.train, data.val, data.test):
            for i in range(len(split)):
                split.read(i)


def test_class_folders_alone_are_parted_the_same_way_at_every_call(tmp_path: Path) -> None:
    root = class_folders(tmp_path, ("",), ("a", "b"), 20)
    first, again, other = (files_of(open_images(root, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert [len(part) for part in first] == [28, 4, 8]
    assert not first[0] & first[1] and not first[0] & first[2] and not first[1] & first[2]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    root = class_folders(tmp_path, ("",), ("car", "train"), 5)
    write(root / "preview.png")
    data = open_images(root, seed=0)
    assert data.classes == ("car", "train")
    assert "1 images outside" in data.notes[1]


def test_a_given_val_part_is_used_as_it_is(tmp_path: Path) -> None:
    data = open_images(class_folders(tmp_path, ("train", "valid", "test"), ("a", "b"), 3), seed=0)
    assert [len(data.train), len(data.val), len(data.test)] == [6, 6, 6]


def test_bare_images_have_no_labels(tmp_path: Path) -> None:
    for i in range(10):
        write(tmp_path / f"{i}.jpg")
    data = open_images(tmp_path, seed=0)
    assert data.classes == () and set(data.train.labels.tolist()) == {-1}
    assert [len(data.train), len(data.val), len(data.test)] == [9, 1, 0]


def test_further_unlabelled_images_come_from_any_folders(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set", ("train", "test"), ("a", "b"), 2)
    more = class_folders(tmp_path / "more", ("x",), ("c", "d"), 3)
    data = open_images(root, seed=0, unlabelled=more)
    assert data.unlabelled is not None
    assert data.unlabelled.labels.tolist() == [-1] * 6


def test_bad_folders_are_refused_with_a_reason(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no folder or zip at")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "is empty")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    refused(tmp_path / "text", "no image among the 1 files")
    refused(tmp_path / "text" / "a.txt", "neither a folder nor a zip")
    refused(class_folders(tmp_path / "one", ("",), ("a",), 3), "one class ('a')")
    refused(class_folders(tmp_path / "one2", ("train", "test"), ("a",), 3), "one class ('a')")
    root = class_folders(tmp_path / "lacking", ("",), ("a", "b"), 3)
    (root / "c").mkdir()
    refused(root, "lacking/c has no images")
    refused(class_folders(tmp_path / "untested", ("train",), ("a", "b"), 3), "no test/")
    refused(class_folders(tmp_path / "single", ("",), ("a", "b"), 1), "single image")
    refused(class_folders(tmp_path / "same", ("",), ("sea_lion", "sea lion"), 3), "'sea lion' and 'sea_lion'", "both called")
    root = class_folders(tmp_path / "uneven", ("train", "test"), ("a", "b"), 3)
    class_folders(root, ("test",), ("c",), 1)
    refused(root, "'c'", "missing in", "uneven/train.")
    for part in ("train", "test"):
        write(tmp_path / "bare" / part / "1.png")
    refused(tmp_path / "bare", "no class folders")


def test_held_out_must_be_a_share(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="held_out is 1"):
        open_images(tmp_path, seed=0, held_out=1)


def test_an_unreadable_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    root = class_folders(tmp_path, ("train", "test"), ("a", "b"), 3)
    (root / "test" / "b" / "1.png").write_bytes(b"no image")
    data = open_images(root, seed=0)
    for read in (lambda: data.test.read(4), lambda: data.test.in_memory(Geometry((4, 4)))):
        with pytest.raises(UnreadableImage, match=re.escape("b/1.png")):
            read()


def test_few_shot_takes_so_many_of_each_class_by_seed(tmp_path: Path) -> None:
    train = open_images(class_folders(tmp_path, ("train", "test"), ("a", "b", "c"), 10), seed=0).train
    chosen = few_shot(train, (0, 2), 4, seed=1)
    assert np.bincount(train.labels[chosen]).tolist() == [4, 0, 4]
    assert len(set(chosen.tolist())) == 8
    np.testing.assert_array_equal(chosen, few_shot(train, (0, 2), 4, seed=1))
    assert chosen.tolist() != few_shot(train, (0, 2), 4, seed=2).tolist()
    assert len(few_shot(train, (1,), 99, seed=1)) == 9
    with pytest.raises(ValueError, match="No image has label 7"):
        few_shot(train, (7,), 1, seed=0)


def test_selecting_keeps_labels_images_and_memory(tmp_path: Path) -> None:
    test = open_images(class_folders(tmp_path, ("train", "test"), ("a", "b", "c"), 4), seed=0).test
    part = test.restrict((0, 2)).in_memory(Geometry((8, 8)))
    assert part.labels.tolist() == [0] * 4 + [2] * 4
    assert part.pixels is not None and part.pixels.shape == (8, 3, 8, 8)
    for i, row in enumerate((0, 1, 2, 3, 8, 9, 10, 11)):
        np.testing.assert_array_equal(part.read(i), test.read(row))
        assert part.name(i) == test.name(row)
    again = part.select([5, 0])
    assert again.pixels is not None
    np.testing.assert_array_equal(again.pixels[0].transpose(1, 2, 0), test.read(9))


def test_images_over_the_limit_stay_on_disk(tmp_path: Path) -> None:
    test = open_images(class_folders(tmp_path, ("train", "test"), ("a", "b"), 4), seed=0).test
    assert test.in_memory(Geometry((8, 8)), limit=100) is test
    assert test.pixels is None


def test_the_first_half_rounded_up_is_base() -> None:
    assert base_and_new(5) == ((0, 1, 2), (3, 4))
    assert base_and_new(0) == ((), ())


def coop_set(root: Path, content: object = None) -> Path:
    for name in ("cat_1", "cat_2", "dog_1", "dog_2"):
        write(root / "images" / f"{name}.jpg")
    items = {
        "train": [["cat_1.jpg", 0, "tabby_cat"], ["dog_1.jpg", 1, "dog"]],
        "val": [["dog_2.jpg", 1, "dog"]],
        "test": [["cat_2.jpg", 0, "tabby_cat"]],
    }
    (root / "split_zhou_OxfordPets.json").write_text(json.dumps(items if content is None else content))
    return root


def test_a_coop_split_is_read_with_its_prompt(tmp_path: Path) -> None:
    root = coop_set(tmp_path)
    for path in (root, root / "split_zhou_OxfordPets.json"):
        data = open_images(path, seed=0)
        assert (data.name, data.classes) == ("OxfordPets", ("tabby cat", "dog"))
        assert data.templates == ("a photo of a {}, a type of pet.",)
        assert [split.labels.tolist() for split in (data.train, data.val, data.test)] == [[0, 1], [1], [0]]
        assert data.test.read(0).shape == (8, 8, 3)


def test_bad_coop_splits_are_refused_with_a_reason(tmp_path: Path) -> None:
    good = [["cat_1.jpg", 0, "cat"], ["dog_1.jpg", 1, "dog"]]
    refused(coop_set(tmp_path / "a", {"train": good}), "not a CoOp split", "val")
    refused(coop_set(tmp_path / "b", {"train": good, "val": [], "test": [["x.jpg", 0, "cat"]]}), "1 images", "x.jpg")
    refused(coop_set(tmp_path / "c", {"train": good, "val": [], "test": [["cat_2.jpg", 0, "lion"]]}), "'cat'", "'lion'")
    refused(coop_set(tmp_path / "d", {"train": good[:1], "val": [], "test": good[:1]}), "one class")
    refused(coop_set(tmp_path / "e", {"train": good[:1], "val": [], "test": good}), "'dog'", "no images in train")
    refused(coop_set(tmp_path / "f", {"train": good, "val": [], "test": [["cat_2.jpg", 5, "lion"]]}), "without a gap")
    refused(coop_set(tmp_path / "h", {"train": good, "val": [], "test": []}), "no images for test")
    root = coop_set(tmp_path / "g")
    (root / "split_zhou_OxfordPets.json").write_text("{")
    refused(root, "not readable as JSON")


def test_imagenet_tests_on_its_val_and_holds_val_out_of_train(tmp_path: Path) -> None:
    class_folders(tmp_path / "images", ("train", "val"), ("n01", "n02", "n03"), 10)
    (tmp_path / "classnames.txt").write_text("n01 great white shark\nn02 missile\nn03 missile\n")
    data = open_images(tmp_path, seed=0)
    assert (data.name, data.classes) == ("ImageNet", ("great white shark", "missile", "missile"))
    assert [len(data.train), len(data.val), len(data.test)] == [27, 3, 30]
    assert "'missile'" in data.notes[1]


def test_aircraft_is_read_from_its_own_lists(tmp_path: Path) -> None:
    (tmp_path / "variants.txt").write_text("707-320\nDC-3 X\n")
    for number, part in enumerate(("train", "val", "test")):
        (tmp_path / f"images_variant_{part}.txt").write_text(f"{number}0 707-320\n{number}1 DC-3 X\n")
        for variant in (0, 1):
            write(tmp_path / "images" / f"{number}{variant}.jpg")
    data = open_images(tmp_path, seed=0)
    assert (data.name, data.classes, data.test.labels.tolist()) == ("FGVCAircraft", ("707-320", "DC-3 X"), [0, 1])

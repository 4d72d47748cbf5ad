"""Layouts of SAR chips as written against what is read, windows against slices, and labels against what a class has."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.chips import convert
from runtime.prepare import UnreadableImage
from train.data.sar import Chips, chips, labelled, windows

Raw = Callable[..., bytes]
GENERATOR = np.random.default_rng(0)


def chip(side: int = 12) -> np.ndarray:
    return GENERATOR.integers(0, 256, (side, side), np.uint8)


def write(path: Path, pixels: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def jpegs(tmp_path: Path) -> Path:
    """mstar/train and mstar/test of two classes whose chips differ in size, as PNG so that pixels are kept."""
    root = tmp_path / "mstar"
    for part, count in (("train", 3), ("test", 2)):
        for label, side in (("bmp2", 12), ("t72", 15)):
            for at in range(count):
                write(root / part / label / f"{at}.png", chip(side))
    return root


# folders


def test_class_folders_below_train_and_test_are_read(jpegs: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mstar.zip", "w") as archive:
        for path in sorted(jpegs.rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))
    for source in (jpegs, tmp_path / "mstar.zip", tmp_path):
        if source == tmp_path:
            (tmp_path / "mstar.zip").unlink()
        found = chips(source)
        assert list(found) == ["train", "test"] and found["train"].classes == ("bmp2", "t72")
        assert found["train"].labels.tolist() == [0, 0, 0, 1, 1, 1] and found["test"].labels.tolist() == [0, 0, 1, 1]
        np.testing.assert_array_equal(found["test"].chip(2), np.asarray(Image.open(jpegs / "test/t72/0.png")))
        assert found["test"].names[2].endswith("test/t72/0.png")


def test_a_val_folder_joins_train(jpegs: Path) -> None:
    for label in ("bmp2", "t72"):
        write(jpegs / "val" / label / "9.png", chip())
    assert {part: len(found) for part, found in chips(jpegs).items()} == {"train": 8, "test": 4}


def test_class_folders_alone_are_parted_by_name_and_seed(jpegs: Path) -> None:
    for at in range(20):
        write(jpegs / "train/bmp2" / f"b{at}.png", chip())
        write(jpegs / "train/t72" / f"t{at}.png", chip())
    (jpegs / "train").rename(jpegs.parent / "whole")
    found = chips(jpegs.parent / "whole", seed=1)
    assert [np.bincount(part.labels).tolist() for part in found.values()] == [[18, 18], [5, 5]]
    assert set(found["train"].names).isdisjoint(found["test"].names)
    assert (
        chips(jpegs.parent / "whole", seed=1)["test"].names == found["test"].names != chips(jpegs.parent / "whole")["test"].names
    )


def test_npy_arrays_are_chips_too(jpegs: Path) -> None:
    values = GENERATOR.normal(size=(12, 12)) + 1j
    for part in ("train", "test"):
        for label in ("bmp2", "t72"):
            np.save(jpegs / part / label / "z.npy", values.astype(np.complex64))
    found = chips(jpegs)["train"]
    np.testing.assert_allclose(found.chip(3), np.abs(values), rtol=1e-6)
    with pytest.raises(ValueError, match="say which is wanted by kind="):
        windows(found, 8)
    assert windows(found, 8, kind="uint8").dtype == np.uint8 and windows(found, 8, kind="magnitude").dtype == np.float32


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda root: (root / "train/bmp2/0.png").rename(root / "train/0.png"), "lies in no class folder"),
        (lambda root: write(root / "train/zil/0.png", chip()), "'zil' has no chips in test"),
        (lambda root: write(root / "test/zil/0.png", chip()), "'zil' has no chips in train"),
    ],
)
def test_a_layout_that_is_none_is_refused(jpegs: Path, change: Callable[[Path], object], sentence: str) -> None:
    change(jpegs)
    with pytest.raises(ValueError, match=sentence):
        chips(jpegs)


def test_what_holds_no_chips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        chips(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(ValueError, match="no chip among the 1 files"):
        chips(tmp_path)
    write(tmp_path / "train/a/0.png", chip())
    write(tmp_path / "test/a/0.png", chip())
    with pytest.raises(ValueError, match="has 1 classes"):
        chips(tmp_path)


def test_a_damaged_chip_is_named(jpegs: Path) -> None:
    (jpegs / "train/t72/1.png").write_bytes(b"none")
    with pytest.raises(UnreadableImage, match=r"t72/1\.png cannot be read as a chip"):
        chips(jpegs)["train"].chip(4)


# raw files


def test_raw_files_are_parted_by_their_angle_and_named_by_their_target(
    raw_chip: Raw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    magnitude = GENERATOR.rayleigh(1, (10, 10)).astype(np.float32)
    for target in ("t72_tank", "bmp2_tank"):
        for angle in (15, 17, 30):
            place = tmp_path / f"{target}/{angle}_DEG/HB0.{angle:03}"
            place.parent.mkdir(parents=True)
            place.write_bytes(raw_chip(magnitude * angle, TargetType=target, DesiredDepression=f"{angle}.000000"))
    write(tmp_path / "T72.JPG", chip())  # a photograph that lies beside
    with caplog.at_level(logging.INFO):
        found = chips(tmp_path)
    assert found["train"].classes == ("bmp2_tank", "t72_tank") and [len(part) for part in found.values()] == [2, 2]
    np.testing.assert_allclose(found["train"].chip(0), magnitude * 17)
    np.testing.assert_allclose(found["test"].chip(0), magnitude * 15)
    assert "2 chips seen from other angles" in caplog.text


def test_folders_part_raw_files_before_their_angle_does(raw_chip: Raw, tmp_path: Path) -> None:
    magnitude = np.ones((10, 10), np.float32)
    for part in ("TRAIN", "TEST"):
        for target in ("a", "b"):
            place = tmp_path / part / target / "HB1.030"
            place.parent.mkdir(parents=True)
            place.write_bytes(raw_chip(magnitude, TargetType=target, DesiredDepression="30"))
    assert [len(part) for part in chips(tmp_path).values()] == [2, 2]
    (tmp_path / "TRAIN/a/HB2.030").write_bytes(raw_chip(magnitude))
    with pytest.raises(UnreadableImage, match="no TargetType"):
        chips(tmp_path)


# OpenSARShip


def test_products_of_opensarship_are_parted_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for product in range(10):
        below = tmp_path / f"S1A_IW_{product}"
        for at in range(2):
            write(below / f"Patch_Uint8/Cargo_x{at}_y7_vh.tif", chip())
            write(below / f"Patch_Uint8/Cargo_x{at}_y7_vv.tif", chip())
            write(below / f"Patch_Uint8/Visual_Other_Type_x{at}_y9_VV.tif", chip())
            write(below / f"Patch_RGB/Cargo_x{at}_y7.tif", chip())
        (below / "Ship.xml").write_text("<ships/>")
    write(tmp_path / "S1A_IW_0/Patch_Uint8/Tug_x1_y1_vv.tif", chip())
    with caplog.at_level(logging.INFO):
        found = chips(tmp_path, seed=3)
    assert found["train"].classes == ("Cargo", "Other_Type") and "left out: Tug" in caplog.text
    products = {part: {name.split("S1A_IW_")[1][0] for name in of.names} for part, of in found.items()}
    assert len(products["test"]) in (2, 3) and products["train"].isdisjoint(products["test"])
    assert all("_vv" in name.lower() and "Patch_Uint8" in name for name in found["train"].names) and len(
        found["train"]
    ) == 40 - 4 * len(products["test"])
    with pytest.raises(ValueError, match="polarisation='x'"):
        chips(tmp_path, polarisation="x")


# windows and labels


def test_windows_are_centres_at_native_resolution(jpegs: Path) -> None:
    found = chips(jpegs)["train"]
    cut = windows(found, 8)
    assert cut.shape == (6, 8, 8) and cut.dtype == np.uint8
    np.testing.assert_array_equal(cut[0], found.chip(0)[2:10, 2:10])
    np.testing.assert_array_equal(cut[3], found.chip(3)[3:11, 3:11])
    np.testing.assert_array_equal(windows(found.select([3, 0]), 8), cut[[3, 0]])
    with pytest.raises(UnreadableImage, match=r"bmp2/0\.png has 12x12 pixels, fewer than the 13x13"):
        windows(found, 13)
    assert windows(found, 13, "resize").shape == (6, 13, 13)
    assert windows(found.select([]), 8).shape == (0, 8, 8)


def test_a_selection_keeps_names_and_labels(jpegs: Path) -> None:
    found = chips(jpegs)["train"]
    some = found.select([4, 1]).select([1])
    assert (some.names, some.labels.tolist(), len(some)) == ((found.names[1],), [0], 1)
    np.testing.assert_array_equal(some.chip(0), found.chip(1))


def test_labels_are_as_many_of_each_class() -> None:
    labels = np.repeat(np.arange(10), (299, 233, 298, 256, 233, 299, 298, 232, 299, 299))  # MSTAR's training part
    for seed in range(5):
        rows = labelled(labels, 1 / 32, seed)
        counts = np.bincount(labels[rows], minlength=10)
        assert len(rows) == len(set(rows.tolist())) == 86 and (counts.min(), counts.max()) == (8, 9)
        np.testing.assert_array_equal(rows, np.sort(rows))
        np.testing.assert_array_equal(rows, labelled(labels, 86, seed))
    assert not np.array_equal(labelled(labels, 86, 0), labelled(labels, 86, 1))
    assert np.bincount(labels[labelled(labels, 20, 0)]).tolist() == [2] * 10


def test_a_small_class_gives_all_and_the_others_fill_up() -> None:
    labels = np.array([0] * 2 + [1] * 30 + [2] * 30)
    assert np.bincount(labels[labelled(labels, 32, 0)]).tolist() == [2, 15, 15]
    np.testing.assert_array_equal(labelled(labels, 62, 0), np.arange(62))


@pytest.mark.parametrize("wrong", [2, 63, 0.01, 0])
def test_impossible_numbers_of_labels_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="one for each of the 3 classes"):
        labelled(np.array([0] * 2 + [1] * 30 + [2] * 30), wrong, 0)


# drawn chips


def test_drawn_chips_are_functions_of_seed_part_class_and_row() -> None:
    found, again, other = chips(None, scenes=3), chips(None, scenes=3), chips(None, scenes=3, seed=1)
    assert isinstance(found["train"], Chips) and len(found["train"]) == 24 and len(found["train"].classes) == 8
    np.testing.assert_array_equal(found["train"].chip(5), again["train"].chip(5))
    assert not np.array_equal(found["train"].chip(5), other["train"].chip(5))
    np.testing.assert_array_equal(found["test"].chip(5), other["test"].chip(5))  # the test is the same for every seed
    assert not np.array_equal(found["train"].chip(5), found["test"].chip(5))


def test_a_drawn_chip_has_a_target_a_shadow_behind_it_and_speckled_ground() -> None:
    many = np.stack([chips(None, scenes=12)["train"].chip(row) for row in range(96)]).astype(np.float64)  # (n, 96, 96)
    assert many.shape == (96, 96, 96)
    ground = many[:, :20]
    assert abs(ground.std() / ground.mean() / 0.5227 - 1) < 0.02  # Rayleigh's: (4 / pi - 1) ** 0.5
    assert 19 <= np.median(ground) <= 21
    mean = many.mean(0)
    assert mean[40:56, 40:56].mean() > 1.2 * ground.mean()
    assert mean[62:68, 44:52].mean() < 0.85 * ground.mean() < mean[28:32, 44:52].mean()  # behind, and before


def test_a_chip_given_as_magnitude_keeps_the_drawn_level() -> None:
    drawn = chips(None, scenes=1)["train"].chip(0)
    assert abs(np.median(convert(drawn.astype(np.float32), "uint8")) - np.median(drawn)) <= 1


def test_impossible_drawings_are_refused() -> None:
    with pytest.raises(ValueError, match="48 pixels or more"):
        chips(None, scene_size=32)
    with pytest.raises(ValueError, match="1 chip"):
        chips(None, scenes=0)

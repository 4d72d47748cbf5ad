"""Layouts written here in small against what is read from them: parts, labels, clouds as the runtime reads them, pictures."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import clouds
from train.data.cad import build
from train.data.cad_parts import Mesh, box
from train.data.shape_files import SYNSETS
from train.data.shapes3d import ShapeSets, open_shapes

pytest.importorskip("trimesh", reason="trimesh reads meshes: pip install 'contrastrt[points]'")


def off(mesh: Mesh) -> str:
    lines = [f"OFF\n{len(mesh.vertices)} {len(mesh.faces)} 0"]
    lines += [" ".join(f"{x:.6f}" for x in vertex) for vertex in mesh.vertices]
    lines += [f"3 {a} {b} {c}" for a, b, c in mesh.faces]
    return "\n".join(lines) + "\n"


def ply(points: NDArray[np.float32]) -> str:
    head = (
        f"ply\nformat ascii 1.0\nelement vertex {len(points)}\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    )
    return head + "".join(f"{x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in points)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def opened(path: Path, **options: object) -> ShapeSets:
    return open_shapes(path, seed=0, **{"size": 24, "points": 64, "views": 2, **options})  # type: ignore[arg-type]


def parts(sets: ShapeSets) -> tuple[set[str], set[str], set[str]]:
    found = set(sets.train.names), set(sets.val.names), set(sets.test.names)
    assert sum(map(len, found)) == len(set.union(*found))
    return found


def modelnet(root: Path) -> Path:
    for family in ("chair", "night_stand"):
        for part, count in (("train", 4), ("test", 2)):
            for number in range(count):
                mesh = build("chair" if family == "chair" else "bookcase", number).turned(0, 90)  # z up, as ModelNet's are
                put(root / family / part / f"{family}_{part}{number:04d}.off", off(mesh))
    return root


def test_modelnets_folders_keep_their_parts_and_are_rendered_upright(tmp_path: Path) -> None:
    sets = opened(modelnet(tmp_path / "ModelNet40"))
    train, val, test = parts(sets)
    assert (len(train), len(val), len(test)) == (6, 2, 4)
    assert all("/train/" in name for name in train | val) and all("/test/" in name for name in test)
    assert sets.train.families == ("chair", "night_stand") and sets.unseen is None
    assert "with z up" in sets.notes[0]
    for index, name in enumerate(sets.test.names):
        assert name.startswith(sets.test.families[sets.test.labels[index]] + "/")
        path = tmp_path / "ModelNet40" / name
        np.testing.assert_array_equal(sets.test.cloud(index), clouds.normalise(clouds.resample(clouds.read_cloud(path, 64), 64)))
    upright, lying = opened(tmp_path / "ModelNet40").test.image(0, 0), opened(tmp_path / "ModelNet40", up="y").test.image(0, 0)
    assert not np.array_equal(upright, lying)
    assert sets.conditions is not None
    np.testing.assert_array_equal(sets.conditions.cloud(1), sets.test.cloud(1))
    assert not np.array_equal(sets.conditions.image(1, 0), sets.test.image(1, 0))


def test_a_zip_with_an_outer_folder_reads_as_the_folder_does(tmp_path: Path) -> None:
    root = modelnet(tmp_path / "ModelNet40")
    with zipfile.ZipFile(tmp_path / "ModelNet40.zip", "w") as archive:
        for path in sorted(root.rglob("*.off")):
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr("ModelNet40/README.txt", "no shape")
        archive.writestr("__MACOSX/ModelNet40/chair/train/._chair_train0000.off", "not a mesh")
    folder, zipped = opened(root), opened(tmp_path / "ModelNet40.zip")
    assert folder.train.names == zipped.train.names
    np.testing.assert_array_equal(folder.train.cloud(2), zipped.train.cloud(2))
    np.testing.assert_array_equal(folder.train.image(2, 1), zipped.train.image(2, 1))


def test_class_folders_of_any_kind_are_parted_by_name(tmp_path: Path) -> None:
    for family in ("mug", "car", "gear"):
        for number in range(6):
            mesh = build(family, number)
            put(tmp_path / family / f"{number}.off", off(mesh))
        np.save(tmp_path / family / "cloud.npy", mesh.vertices)
        put(tmp_path / family / "cloud.xyz", "\n".join(" ".join(map(str, vertex)) for vertex in mesh.vertices))
        put(tmp_path / family / "cloud.ply", ply(mesh.vertices))
        put(tmp_path / family / "readme.md", "no shape")
    put(tmp_path / "stray.xyz", "0 0 0\n1 1 1\n")
    sets = opened(tmp_path)
    train, val, test = parts(sets)
    assert (len(train), len(val), len(test)) == (18, 3, 6)
    assert any("1 files outside" in note for note in sets.notes) and any("with y up" in note for note in sets.notes)
    for part in (sets.train, sets.val, sets.test):
        for index in range(len(part)):
            assert np.linalg.norm(part.cloud(index), axis=1).max() == pytest.approx(1, abs=1e-6)
            assert len(np.unique(part.image(index, 0))) > 5


def test_a_picture_depends_on_the_things_own_name(tmp_path: Path) -> None:
    for number in range(8):
        put(tmp_path / "car" / f"{number}.off", off(build("car", number)))
    before = opened(tmp_path)
    put(tmp_path / "car" / "3a.off", off(build("car", 9)))
    after = opened(tmp_path)
    both = sorted(set(before.train.names) & set(after.train.names))
    assert len(both) >= 4
    for name in both:
        one, other = before.train.names.index(name), after.train.names.index(name)
        np.testing.assert_array_equal(before.train.image(one, 1), after.train.image(other, 1))


@pytest.mark.parametrize("outer", [".", "data"])
def test_parts_may_stand_above_the_classes(outer: str, tmp_path: Path) -> None:
    for part, count in (("Train", 3), ("val", 1), ("test", 2)):
        for family in ("train", "plane"):  # a class may be called train
            for number in range(count):
                np.save(
                    _made(tmp_path / outer / part / family) / f"{number}.npy", np.random.default_rng(number).normal(size=(80, 3))
                )
    sets = opened(tmp_path)
    train, val, test = parts(sets)
    assert (len(train), len(val), len(test)) == (6, 2, 4)
    assert sets.train.families == ("plane", "train")


def test_a_lone_class_with_parts_is_a_class(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 2)):
        for number in range(count):
            put(tmp_path / "chair" / part / f"{number}.off", off(build("chair", number)))
    sets = opened(tmp_path)
    assert sets.train.families == ("chair",) and len(sets.test) == 2


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_families_are_held_back_from_every_part(tmp_path: Path) -> None:
    for family in ("a", "b", "c"):
        for number in range(6):
            np.save(_made(tmp_path / family) / f"{number}.npy", np.random.default_rng(number).normal(size=(70, 3)))
    sets = opened(tmp_path, unseen=["b"])
    assert sets.unseen is not None and sets.train.families == ("a", "c", "b")
    assert len(sets.unseen) == 6 and all(name.startswith("b/") for name in sets.unseen.names)
    assert not any(name.startswith("b/") for part in parts(sets) for name in part)
    with pytest.raises(ValueError, match=r"no class 'd'.*a, b, c"):
        opened(tmp_path, unseen=["d"])


def shapenet(root: Path) -> Path:
    for synset in ("02691156", "03001627", "09999999"):
        for number in range(5):
            mesh = box((1 + number, 1, 1))
            put(root / "ShapeNet" / synset / f"id{number}.ply", ply(mesh.vertices))
            place = root / "ShapeNetRendering" / synset / f"id{number}" / "rendering"
            place.mkdir(parents=True)
            for view in range(4):
                cv2.imwrite(str(place / f"{view:02d}.png"), np.full((30, 30, 4), 40 * view + number, np.uint8))
            put(place / "rendering_metadata.txt", "0 0")
    put(root / "ShapeNet" / "02691156" / "bare.ply", ply(box((1, 1, 1)).vertices))
    return root


def test_crosspoints_layout_pairs_clouds_with_their_own_pictures(tmp_path: Path) -> None:
    sets = opened(shapenet(tmp_path / "data"), size=16)
    assert sets.train.families == ("09999999", SYNSETS["02691156"], SYNSETS["03001627"]) and sets.conditions is None
    assert sum(map(len, parts(sets))) == 15
    assert any("1 clouds without pictures" in note for note in sets.notes)
    for part in (sets.train, sets.test):
        for index, name in enumerate(part.names):
            number = int(name[-5])
            for view, shown in ((0, 0), (1, 2)):  # two of four, evenly
                image = part.image(index, view)
                assert image.shape == (16, 16, 3) and (image == 40 * shown + number).all()
    fewer = opened(tmp_path / "data", views=6)
    assert fewer.train.image(0, 5)[0, 0, 0] == fewer.train.image(0, 1)[0, 0, 0]


def test_pictures_without_clouds_say_where_clouds_are_expected(tmp_path: Path) -> None:
    root = shapenet(tmp_path)
    (root / "ShapeNet").rename(root / "PointClouds")
    with pytest.raises(ValueError, match="Put the folder ShapeNet beside"):
        opened(root)


def test_hdf5_files_of_clouds(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py reads HDF5: pip install 'contrastrt[points]'")
    rng = np.random.default_rng(0)
    root = _made(tmp_path / "modelnet40_ply_hdf5_2048")
    given = {}
    for name, count in (("ply_data_train0", 6), ("ply_data_train1", 4), ("ply_data_test0", 4)):
        given[name] = rng.normal(size=(count, 100, 3)).astype(np.float32)
        with h5py.File(root / f"{name}.h5", "w") as file:
            file["data"], file["label"] = given[name], (np.arange(count) % 2).astype(np.uint8)[:, None]
    put(root / "shape_names.txt", "airplane\nbathtub\n")
    put(root / "train_files.txt", json.dumps("data/modelnet40_ply_hdf5_2048/ply_data_train0.h5"))
    sets = opened(tmp_path)
    train, val, test = parts(sets)
    assert (len(train), len(val), len(test)) == (8, 2, 4) and sets.train.families == ("airplane", "bathtub")
    place = sets.test.names.index("ply_data_test0.h5/3")
    assert sets.test.families[sets.test.labels[place]] == "bathtub"
    cloud = clouds.read_cloud(given["ply_data_test0"][3], 64)
    np.testing.assert_array_equal(sets.test.cloud(place), clouds.normalise(clouds.resample(cloud, 64)))
    assert len(np.unique(sets.test.image(place, 0))) > 5
    with h5py.File(root / "other.h5", "w") as file:
        file["data"] = given["ply_data_test0"]
    with pytest.raises(ValueError, match="does not say by its name"):
        opened(tmp_path)
    (root / "other.h5").rename(root / "more_test.h5")
    with pytest.raises(ValueError, match="no `data` and `label`"):
        opened(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    root = modelnet(tmp_path)
    bad = root / "chair" / "test" / "chair_test0000.off"
    bad.write_text(bad.read_text()[:400])
    sets = opened(root)
    with pytest.raises(clouds.UnreadableCloud, match=r"chair_test0000\.off.*Repair or remove"):
        sets.test.in_memory()
    np.save(root / "chair" / "test" / "nan.npy", np.full((5, 3), np.nan))
    where = opened(root).test
    with pytest.raises(clouds.UnreadableCloud, match=r"nan\.npy.*NaN"):
        where.cloud(where.names.index("chair/test/nan.npy"))


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.ones((40, 3)), np.eye(3), np.linspace(0, 1, 30)[:, None] * np.ones(3)])
def test_a_cloud_of_any_kind_has_a_picture(points: NDArray[np.float64], tmp_path: Path) -> None:
    for number in range(2):
        np.save(_made(tmp_path / "odd") / f"{number}.npy", points)
    sets = opened(tmp_path)
    assert sets.train.image(0, 0).shape == (24, 24, 3)
    assert np.isfinite(sets.train.cloud(0)).all()


@pytest.mark.parametrize(("scale", "offset"), [(1e30, 0.0), (1e-30, 0.0), (1.0, 1e9)])
def test_a_mesh_of_any_scale_and_place_has_the_same_picture(scale: float, offset: float, tmp_path: Path) -> None:
    mesh = box((1, 2, 3))
    for number in range(2):
        put(tmp_path / "plain" / "box" / f"{number}.off", off(mesh))
        lines = [f"OFF\n{len(mesh.vertices)} {len(mesh.faces)} 0"]
        lines += [" ".join(repr(float(x) * scale + offset) for x in vertex) for vertex in mesh.vertices]
        put(tmp_path / "odd" / "box" / f"{number}.off", "\n".join([*lines, *(f"3 {a} {b} {c}" for a, b, c in mesh.faces)]))
    plain, odd = opened(tmp_path / "plain"), opened(tmp_path / "odd")
    assert plain.train.names == odd.train.names
    apart = np.linalg.norm(odd.train.cloud(0)[:, None] - plain.train.cloud(0), axis=2)
    assert max(apart.min(0).max(), apart.min(1).max()) < 1e-5  # two points that are as far may change places
    assert np.abs(odd.train.image(0, 0).astype(int) - plain.train.image(0, 0)).max() <= 1


def test_what_is_no_layout_is_refused_with_those_that_are(tmp_path: Path) -> None:
    put(tmp_path / "a" / "b.txt", "x")
    with pytest.raises(ValueError, match=r"no mesh or cloud among the 1 files.*ShapeNetRendering.*ply_data_train"):
        opened(tmp_path)
    put(tmp_path / "c.off", off(box((1, 1, 1))))
    with pytest.raises(ValueError, match="in no class folders"):
        opened(tmp_path)
    put(tmp_path / "a" / "one.off", off(box((1, 1, 1))))
    with pytest.raises(ValueError, match="no things for test"):
        opened(tmp_path)
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "absent")
    with pytest.raises(ValueError, match="expected y or z"):
        opened(tmp_path, up="x")

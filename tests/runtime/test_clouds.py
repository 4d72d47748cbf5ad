"""Point clouds against what their definitions say: files of each kind, damaged ones, sampling by area, thinning, scale and offset."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import clouds, ops
from runtime.clouds import UnreadableCloud

trimesh = pytest.importorskip("trimesh", reason="reading meshes needs trimesh: pip install 'contrastrt[points]'")
SQUARE = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]], float)


def written(mesh: object, kind: str, **options: object) -> bytes:
    content = mesh.export(file_type=kind, **options)  # type: ignore[attr-defined]
    return content if isinstance(content, bytes) else content.encode()


def box(kind: str, **options: object) -> bytes:
    return written(trimesh.creation.box(extents=(2, 4, 6)), kind, **options)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 999), st.sampled_from((1e-300, 1e-30, 1.0, 1e30, 1e300)), st.sampled_from((0.0, 1e6)))
def test_normalised_clouds_are_centred_and_in_the_unit_sphere_at_any_scale(
    n: int, seed: int, scale: float, offset: float
) -> None:
    points = np.random.default_rng(seed).standard_normal((n, 3))
    found = clouds.normalise((points + offset) * scale)
    centred = points - points.mean(0)
    size = np.sqrt((centred**2).sum(1).max())
    np.testing.assert_allclose(found, centred / size if size else centred, atol=1e-6)
    assert found.dtype == np.float32


def test_equal_points_become_zeros() -> None:
    assert not clouds.normalise(np.full((7, 3), 0.1)).any()
    assert not clouds.normalise(np.zeros((1, 3))).any()


def test_as_many_points_stay_and_fewer_repeat() -> None:
    points = np.arange(15.0).reshape(5, 3)
    np.testing.assert_array_equal(clouds.resample(points, 5), points)
    np.testing.assert_array_equal(clouds.resample(points, 12), points[[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]])


def test_more_points_are_thinned_to_different_ones_that_cover_the_shape() -> None:
    points = np.random.default_rng(0).random((100_000, 3)) * 1e-3
    found = clouds.resample(points, 512)
    np.testing.assert_array_equal(found, clouds.resample(points, 512))
    assert len(np.unique(found, axis=0)) == 512
    assert np.isin(found, points.astype(np.float32)).all()
    spread = ops.nearest_points(found[None], found[None], 2)[0, :, 1]
    nearest = np.linalg.norm(found - found[spread], axis=1)
    drawn = points[:512].astype(np.float32)
    neighbours = ops.nearest_points(drawn[None], drawn[None], 2)[0, :, 1]
    assert nearest.min() > 5 * np.linalg.norm(drawn - drawn[neighbours], axis=1).min()


def test_groups_are_the_nearest_points_about_their_centres() -> None:
    batch = np.random.default_rng(1).standard_normal((3, 200, 3), np.float32)
    centres, neighbourhoods = clouds.group(batch, 16, 8)
    assert centres.shape == (3, 16, 3) and neighbourhoods.shape == (3, 16, 8, 3)
    assert not neighbourhoods[:, :, 0].any()  # each centre is its own nearest
    distances = np.linalg.norm(batch[:, None] - centres[:, :, None], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(neighbourhoods, axis=-1), np.sort(distances, axis=-1)[..., :8], rtol=1e-5)


@pytest.mark.parametrize("kind", ["ply", "obj", "off", "stl"])
def test_a_mesh_is_sampled_by_area(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"box.{kind.upper()}"
    path.write_bytes(box(kind))
    found = clouds.read_cloud(path, 1000, oversample=4)
    assert found.shape == (4000, 3) and found.dtype == np.float32
    np.testing.assert_array_equal(found, clouds.read_cloud(path.read_bytes(), 1000, oversample=4, suffix=f".{kind}"))
    on = np.isclose(np.abs(found), np.abs(found).max(0), atol=1e-3)  # on which pair of sides
    area = np.array([24, 12, 8]) * 2
    np.testing.assert_allclose(on.sum(0) / on.sum(), area / area.sum(), atol=0.01)
    np.testing.assert_allclose(np.ptp(found, axis=0), (2, 4, 6), rtol=0.02)


def test_points_in_a_face_are_spread_evenly() -> None:
    found = clouds.sample_surface(SQUARE, np.array([[0, 1, 2], [0, 2, 3]]), 4000)
    counts, _, _ = np.histogram2d(found[:, 0], found[:, 1], bins=10, range=((0, 2), (0, 2)))
    assert counts.min() > 25 and counts.max() < 55


def test_a_mesh_without_area_and_a_cloud_give_their_vertices() -> None:
    line = b"OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n"
    np.testing.assert_array_equal(clouds.read_cloud(line, 8, suffix=".off"), [[-1, 0, 0], [0, 0, 0], [1, 0, 0]])
    points = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    cloud = written(trimesh.PointCloud(points), "ply")
    np.testing.assert_allclose(np.ptp(clouds.read_cloud(cloud, 8, suffix=".ply"), axis=0), np.ptp(points, axis=0), rtol=1e-6)


def test_objects_and_materials_of_one_file_are_one_mesh() -> None:
    text = (
        "mtllib none.mtl\no a\nusemtl a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\no b\nusemtl b\nv 0 0 5\nv 1 0 5\nv 0 1 5\nf 4 5 6\n"
    )
    vertices, faces = clouds.read_mesh(text.encode(), ".obj")
    assert len(faces) == 2
    assert sorted(vertices[faces].reshape(-1, 3)[:, 2]) == [0, 0, 0, 5, 5, 5]


def test_an_off_file_without_a_space_behind_its_magic_is_read() -> None:
    vertices, faces = clouds.read_mesh(b"OFF4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n", ".off")
    assert vertices.shape == (4, 3) and faces.shape == (2, 3)


def test_arrays_and_text_are_read() -> None:
    points = np.arange(12).reshape(4, 3)
    expected = points - points.mean(0)
    np.testing.assert_array_equal(clouds.read_cloud(points, 4), expected)
    text = "\n".join(f"{x} {y} {z} 0 0 1" for x, y, z in points)
    np.testing.assert_array_equal(clouds.read_cloud(text.encode(), 4, suffix=".xyz"), expected)
    np.testing.assert_array_equal(clouds.read_cloud(f"4\n{text}".encode(), 4, suffix=".pts"), expected)
    np.testing.assert_array_equal(clouds.read_cloud(text.replace(" ", ",").encode(), 4, suffix=".xyz"), expected)


def test_a_cloud_far_from_the_origin_keeps_its_shape(tmp_path: Path) -> None:
    points = np.random.default_rng(0).random((50, 3))
    np.save(tmp_path / "far.npy", points + 5e6)
    found = clouds.read_cloud(tmp_path / "far.npy", 50)
    np.testing.assert_allclose(clouds.normalise(found), clouds.normalise(points), atol=1e-6)


def test_a_large_cloud_is_thinned(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", np.random.default_rng(0).random((100_000, 3)))
    assert clouds.read_cloud(tmp_path / "large.npy", 100, oversample=2).shape == (1600, 3)


@pytest.mark.parametrize(
    ("content", "suffix", "sentence"),
    [
        (b"", ".ply", "is empty"),
        (b" \n", ".xyz", "is empty"),
        (b"no cloud at all", ".ply", "trimesh reads, or truncated"),
        (bytes(range(256)) * 4, ".obj", "holds no points|trimesh reads"),
        (b"OFF\n3 1 0\n0 0 0\n1 0 0\n", ".off", "truncated: 2 lines .* of 4"),
        (b"OFF\nthree\n", ".off", "does not begin as"),
        (b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n", ".off", "trimesh reads|does not hold"),
        (b"OFF\n3 1 0\n0 0 nan\n1 0 0\n0 1 0\n3 0 1 2\n", ".off", "NaN or an infinity"),
        (b"OFF\n0 0 0\n", ".off", "holds no points|trimesh reads"),
        (b"v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", ".obj", "holds no points|trimesh reads"),
        (b"1 2\n3 4\n", ".xyz", "three numbers a line"),
        (b"1 2 3\n4 five 6\n", ".pts", "three numbers a line"),
        (b"9\n1 2 3\n", ".pts", "truncated: 1 points, of 9"),
        (b"# nothing\n", ".xyz", "holds no points"),
        (b"1 2 inf\n", ".xyz", "NaN or an infinity"),
        (b"\x93NUMPY", ".npy", r"no \.npy file"),
        (b"PK\x03\x04", ".npy", r"no \.npy file"),
        (b"x", ".las", "expected one of .ply"),
    ],
)
def test_damaged_files_are_refused_by_a_sentence(content: bytes, suffix: str, sentence: str) -> None:
    with pytest.raises(UnreadableCloud, match=sentence):
        clouds.read_cloud(content, 8, suffix=suffix)


@pytest.mark.parametrize(
    ("kind", "options"), [("ply", {}), ("ply", {"encoding": "ascii"}), ("stl", {}), ("stl_ascii", {}), ("off", {})]
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_a_truncated_mesh_is_refused(kind: str, options: dict[str, str], share: float) -> None:
    content = box(kind, **options)
    with pytest.raises(UnreadableCloud):
        clouds.read_cloud(content[: int(share * len(content))], 8, suffix=f".{kind.removesuffix('_ascii')}")


@pytest.mark.parametrize("kind", ["ply", "obj", "off", "stl", "npy", "xyz"])
def test_damaged_bytes_give_points_or_a_refusal(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole = io.BytesIO()
    np.save(whole, SQUARE)
    content = {"npy": whole.getvalue(), "xyz": b"1 2 3\n4 5 6\n"}.get(kind) or box(kind)
    generator = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for place in generator.integers(0, len(damaged), generator.integers(1, 6)):
            damaged[place] = generator.integers(256)
        try:
            assert np.isfinite(clouds.read_cloud(bytes(damaged), 8, suffix=f".{kind}")).all()
        except UnreadableCloud:
            continue
    assert capfd.readouterr().err == ""


def test_arrays_that_are_no_clouds_are_refused() -> None:
    for wrong in (np.zeros((0, 3)), np.zeros((4, 2)), np.zeros(3), np.array([["a", "b", "c"]]), np.full((2, 3), np.nan)):
        with pytest.raises(UnreadableCloud):
            clouds.read_cloud(wrong, 8)
    with pytest.raises(UnreadableCloud, match="float32"):
        clouds.read_cloud(np.array([[0, 0, 0], [1e300, 0, 0]]), 8)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(UnreadableCloud, match=r"no \.npy file"):
        clouds.read_cloud(tmp_path / "objects.npy", 8)


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        clouds.read_cloud(tmp_path / "none.ply", 8)
    with pytest.raises(UnreadableCloud, match="is a folder"):
        clouds.read_cloud(tmp_path, 8)
    with pytest.raises(ValueError, match="without a suffix"):
        clouds.read_cloud(b"1 2 3", 8)
    with pytest.raises(ValueError, match="count = 0"):
        clouds.read_cloud(b"1 2 3", 0, suffix=".xyz")
    with pytest.raises(ValueError, match="count = 0"):
        clouds.resample(np.zeros((1, 3)), 0)
    with pytest.raises(UnreadableCloud, match="a mesh is one of"):
        clouds.read_mesh(b"1 2 3", ".xyz")

"""Families against what a mesh must be (whole, closed, facing outwards), and against themselves built again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.cad import FAMILIES, UNSEEN, build
from train.data.cad_parts import Chance, Mesh, ball, box, join, lathe, oval, plate, rod, smooth, tube, vessel


def volume(mesh: Mesh) -> float:
    """Of what is enclosed; negative where the faces look inwards."""
    a, b, c = mesh.vertices[mesh.faces].astype(np.float64).transpose(1, 0, 2)
    return float((np.cross(a, b) * c).sum() / 6)


def border(mesh: Mesh) -> int:
    """Edges that two faces do not share in opposite directions."""
    begin, end = mesh.faces.ravel(), mesh.faces[:, [1, 2, 0]].ravel()
    there, back = np.stack([begin, end], 1), np.stack([end, begin], 1)
    return len(set(map(tuple, there.tolist())) ^ set(map(tuple, back.tolist())))


def test_there_are_enough_families_and_some_are_held_back() -> None:
    assert len(FAMILIES) >= 24 and tuple(sorted(FAMILIES)) == FAMILIES
    assert set(UNSEEN) < set(FAMILIES) and len(FAMILIES) - len(UNSEEN) >= 20


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_builds_closed_meshes_that_face_outwards(family: str) -> None:
    for seed in range(25):
        mesh = build(family, seed)
        assert mesh.vertices.dtype == np.float32 and mesh.faces.dtype == np.int32
        assert np.isfinite(mesh.vertices).all()
        assert mesh.faces.min() >= 0 and mesh.faces.max() < len(mesh.vertices) and len(mesh.faces) < 5000
        assert border(mesh) == 0
        assert volume(mesh) > 0
        extent = np.ptp(mesh.vertices, axis=0)
        assert 0.1 < extent.max() < 6 and extent.min() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_an_instance_is_a_function_of_its_number_and_no_two_are_alike(family: str) -> None:
    meshes = [build(family, seed) for seed in range(12)]
    again = build(family, 3)
    np.testing.assert_array_equal(meshes[3].vertices, again.vertices)
    np.testing.assert_array_equal(meshes[3].faces, again.faces)
    assert len({mesh.vertices.tobytes() for mesh in meshes}) == 12
    proportions = {tuple(np.round(np.ptp(mesh.vertices, axis=0) / np.ptp(mesh.vertices, axis=0).max(), 2)) for mesh in meshes}
    assert len(proportions) >= 10


@given(seed=st.integers(0, 2**64 - 1))
@settings(max_examples=30, deadline=None)
def test_any_number_of_64_bits_is_an_instance(seed: int) -> None:
    for family in FAMILIES:
        assert np.isfinite(build(family, seed).vertices).all()


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no family 'sphinx'.*aircraft"):
        build("sphinx", 0)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (box((1, 2, 3)), 6.0),
        (box((2, 3, 2), taper=0.5), 7.0),  # a frustum: 3 / 3 * (4 + 1 + 2)
        (lathe([(1, 0), (1, 2)], 4), 4.0),  # a square across corners
        (lathe([(1, 0), (1, 2)], 400), 2 * np.pi),
        (rod((0, 0, 0), (0, 0, 3), 0.5, segments=400), 3 * np.pi / 4),
        (rod((1, 1, 1), (-1, 0, 1), 0.5, segments=400), 5**0.5 * np.pi / 4),
        (plate([(0, 0), (1, 0), (1, 1), (0, 1)], 0.5), 0.5),
        (plate(oval(1, 1, 400), 2, oval(0.5, 0.5, 400)), 1.5 * np.pi),
        (ball((1, 2, 3), segments=200), 8 * np.pi),
        (tube(np.stack([*oval(2, 2, 300).T, np.zeros(300)], 1), 0.5, 300, closed=True), np.pi**2),  # a torus, 2 pi^2 R r^2
        (lathe(vessel([(1, 0), (1, 1)], 0.5, 0.25), 400), np.pi * (1 - 0.25 * 0.75)),
    ],
)
def test_a_part_has_the_volume_of_its_formula(part: Mesh, expected: float) -> None:
    assert border(part) == 0
    assert volume(part) == pytest.approx(expected, rel=2e-3)


def test_moving_turning_and_mirroring_keep_volume_and_side() -> None:
    part = join([box((1, 2, 3), (5, 0, 0)), ball((1, 1, 1))])
    for moved in (part.moved((1, 2, 3)), part.turned(0, 70), part.turned(1, -30), part.turned(2, 200), part.scaled((-1, 1, 1))):
        assert volume(moved) == pytest.approx(volume(part), rel=1e-5)
    np.testing.assert_allclose(box((2, 2, 2), (1, 0, 0)).turned(1, 90).vertices.mean(0), (0, 0, -1), atol=1e-6)


def test_a_smooth_curve_passes_through_its_points() -> None:
    knots = np.array([(0, 0), (1, 2), (3, 1), (4, 4)], np.float64)
    np.testing.assert_allclose(smooth(knots, 7)[::2], knots, atol=1e-12)
    np.testing.assert_allclose(smooth([(0, 0), (2, 4)], 3), [(0, 0), (1, 2), (2, 4)], atol=1e-12)


def test_choices_are_within_their_bounds() -> None:
    chance = Chance(np.uint64(5))
    wholes = {chance.whole(2, 4) for _ in range(60)}
    assert wholes == {2, 3, 4}
    assert all(-1 <= chance.between(-1, 1) < 1 for _ in range(20))
    assert chance.pick("a") == "a" and not chance.happens(0) and chance.happens(1)

"""Profiles against the sizes that the artifact's axes allow."""

from __future__ import annotations

import pytest

from export import profiles
from runtime.artifact import Axis, Graph, Port

GRAPH = Graph(
    "open",
    (Port("image", "uint8", ("batch", 3, "height", 32)), Port("bank", "float32", ("classes", 16))),
    (Port("logits", "float32", ("batch", "classes")),),
)
AXES = {"batch": Axis(1, 8, 64), "height": Axis(32, 64, 128, 32), "classes": Axis(1, 100, 700), "rows": Axis(1, 2, 3)}


def test_a_wide_axis_gets_a_profile_for_its_usual_sizes_before_the_whole_range() -> None:
    usual, whole = profiles.default(GRAPH, AXES)
    assert usual == {"batch": (1, 8, 8), "height": (32, 64, 128), "classes": (1, 100, 700)}
    assert whole == {"batch": (1, 8, 64), "height": (32, 64, 128), "classes": (1, 100, 700)}


def test_narrow_axes_take_one_profile_and_a_graph_without_any_an_empty_one() -> None:
    assert profiles.default(GRAPH, {**AXES, "batch": Axis(1, 9, 64)}) == (
        {"batch": (1, 9, 64), "height": (32, 64, 128), "classes": (1, 100, 700)},
    )
    assert profiles.default(Graph("fixed", (Port("x", "float32", (4,)),), ()), AXES) == ({},)


def test_shapes_follow_from_the_ports() -> None:
    found = profiles.shapes(GRAPH, {"batch": (1, 2, 4), "height": (32, 32, 64), "classes": (5, 5, 5)})
    assert found == {"image": ((1, 3, 32, 32), (2, 3, 32, 32), (4, 3, 64, 32)), "bank": ((5, 16),) * 3}


def test_a_profile_is_read_and_the_axes_it_leaves_out_are_the_artifacts() -> None:
    given = profiles.parse(" batch=1:4:16, classes=10 ", AXES)
    assert given == {"batch": (1, 4, 16), "classes": (10, 10, 10)}
    assert profiles.chosen(GRAPH, AXES, [given]) == ({"batch": (1, 4, 16), "height": (32, 64, 128), "classes": (10, 10, 10)},)


def test_profiles_that_differ_only_in_axes_that_a_graph_lacks_are_one() -> None:
    given = [profiles.parse(text, AXES) for text in ("batch=1,rows=1", "batch=1,rows=2", "batch=2")]
    assert [profile["batch"] for profile in profiles.chosen(GRAPH, AXES, given)] == [(1, 1, 1), (2, 2, 2)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("depth=1", "names the axis 'depth'; the artifact has batch, height, classes, rows"),
        ("batch=1:2", r"expected sizes as in batch=1:8:64"),
        ("batch=many", r"expected sizes as in batch=1:8:64"),
        ("batch=1:8:65", r"verified from 1 to 64, smallest first: --profile batch=1:8:64, or export again"),
        ("batch=0:8:64", r"verified from 1 to 64"),
        ("batch=8:1:64", r"smallest first"),
        ("height=32:48:64", r"verified from 32 to 128 in multiples of 32"),
        (" ", "names no axis; expected one or more of batch, height, classes, rows"),
    ],
)
def test_what_the_artifact_was_not_verified_for_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        profiles.parse(text, AXES)

"""Enrolled classes against the native ops where all have as many photos, and against the formulas written out where they have not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from runtime import ops
from runtime.support_selection import RATIO_FLOOR, Rule, checkerboard
from runtime.support_set import SupportSet

L, D = 6, 5


def drawn(images: int, seed: int, *, locations: int = L, d: int = D, bias: float = 0.5) -> np.ndarray:
    """Unit rows that are not centred, (images, locations, d)."""
    found = np.random.default_rng(seed).normal(bias, 1, (images, locations, d)).astype(np.float32)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def filled(rule: Rule, counts: tuple[int, ...], *, locations: int = L, d: int = D) -> SupportSet:
    found = SupportSet((locations, d), rule)
    for at, images in enumerate(counts):
        found.enroll(f"class {at}", drawn(images, at, locations=locations, d=d))
    return found


def slow_scores(classes: list[np.ndarray], rule: Rule) -> list[np.ndarray]:
    """Contrast by the matrix of all cosines, each other class counting the same."""
    exact = [rows.astype(np.float64) for rows in classes]
    if rule.center == "task":
        center = np.mean([rows.mean((0, 1)) for rows in exact], axis=0)
        exact = [(rows - center) / np.linalg.norm(rows - center, axis=-1, keepdims=True) for rows in exact]
    found = []
    for at, rows in enumerate(exact):
        images, locations, d = rows.shape
        flat = rows.reshape(-1, d)
        image = np.repeat(np.arange(images), locations)
        leave = rule.other_images and images > 1
        apart = image[:, None] != image if leave else ~np.eye(len(flat), dtype=bool)
        intra = (flat @ flat.T * apart).sum(1) / np.maximum(apart.sum(1), 1)
        others = [(flat @ other.reshape(-1, d).T).mean(1) for place, other in enumerate(exact) if place != at]
        inter = np.mean(others, axis=0) if others else np.zeros(len(flat))
        found.append(intra / (inter + RATIO_FLOOR) if rule.score == "ratio" else intra - inter)
    return found


def slow_logits(classes: list[np.ndarray], kept: Any, query: np.ndarray, rule: Rule) -> np.ndarray:
    """Sums of the nearest by the matrix of all cosines, queries and offsets by their formulas."""
    center = np.mean([rows.astype(np.float64).mean((0, 1)) for rows in classes], axis=0) if rule.center == "task" else 0.0
    flat = [rows.reshape(-1, rows.shape[-1])[chosen] - center for rows, chosen in zip(classes, kept, strict=True)]
    flat = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in flat]
    moved = query - center
    unit = moved / np.linalg.norm(moved, axis=-1, keepdims=True)
    relevance = np.stack([(unit @ rows.T).mean(-1) for rows in flat], -1)  # (n, l, c)
    best = relevance.max(-1)
    margin = best - (relevance.sum(-1) - best) / max(len(flat) - 1, 1)
    count = query.shape[1] if rule.query == "none" else int(np.ceil(rule.query_fraction * query.shape[1] - 1e-9))
    mask = np.argsort(np.argsort(-margin, axis=1, kind="stable"), axis=1) < count
    found = np.empty((len(query), len(flat)))
    for c, rows in enumerate(flat):
        near = np.sort(unit @ rows.T, axis=-1)[..., -rule.neighbours :].sum(-1)  # (n, l)
        own = np.sort(rows @ rows.T - 9 * np.eye(len(rows)), axis=-1)[:, ::-1][:, : min(rule.neighbours, len(rows) - 1)]
        offset = own.sum(1).mean() if rule.class_offset == "support" else 0.0
        found[:, c] = ((near - offset) * mask).sum(1)
    return found


@pytest.mark.parametrize(
    "options",
    [
        {"fraction": 0.5},
        {"fraction": 0.3, "other_images": True},
        {"fraction": 1.0},
        {"threshold": "mean"},
        {"threshold": 0.02, "other_images": True},
        {"threshold": 5.0},
    ],
)
@pytest.mark.parametrize(("classes", "images"), [(1, 1), (1, 4), (3, 1), (4, 3)])
def test_with_equal_numbers_of_photos_the_ops_answer_the_same(options: dict[str, Any], classes: int, images: int) -> None:
    support = np.stack([drawn(images, at) for at in range(classes)])
    query = drawn(3, 99)
    chosen = filled(Rule(**options), (images,) * classes).chosen()
    leave = options.get("other_images", False) and images > 1  # of one photo, its own image stays in
    expected = ops.select_descriptors(support, **{**options, "other_images": leave}).rows
    for kept, rows in zip(chosen.kept, expected, strict=True):
        assert kept.tolist() == rows[rows >= 0].tolist()
    assert np.allclose(chosen.logits(query), ops.image_to_class(query, support, expected), rtol=1e-5, atol=1e-5)
    selected = ops.select_queries(query, support, expected, 0.5)
    quantile = replace(chosen, rule=replace(chosen.rule, query="fraction", query_fraction=0.5))
    assert np.array_equal(quantile.select(query), selected.mask)
    thresholds = np.sort(selected.margin, axis=1)[:, 2:3].repeat(L, 1) + 1e-6
    adaptive = replace(chosen, rule=replace(chosen.rule, query="adaptive"))
    assert np.array_equal(adaptive.select(query, thresholds), selected.margin > thresholds)
    logits = ops.image_to_class(query, support, expected, selected.mask)
    assert np.allclose(chosen.logits(query, selected.mask), logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("counts", [(1,), (3,), (1, 4), (2, 1, 7, 3), (30, 1, 2)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"other_images": True, "class_offset": "support"},
        {"score": "ratio", "query": "fraction", "query_fraction": 0.4},
        {"center": "task", "class_offset": "support"},
        {"center": "task", "threshold": "mean", "query": "fraction", "query_fraction": 0.5},
        {"score": "none", "fraction": 1.0, "neighbours": 5},
    ],
)
def test_unequal_numbers_of_photos_follow_the_formulas(options: dict[str, Any], counts: tuple[int, ...]) -> None:
    rule = Rule(**options)
    classes, query = [drawn(images, at) for at, images in enumerate(counts)], drawn(4, 99)
    chosen = filled(rule, counts).chosen()
    for kept, score in zip(chosen.kept, slow_scores(classes, rule), strict=True):
        if rule.threshold == "mean":
            assert kept.tolist() == np.flatnonzero(score >= score.mean()).tolist()
        else:
            count = int(np.ceil(rule.fraction * len(score) - 1e-9))
            assert kept.tolist() == np.sort(np.argsort(-score, kind="stable")[:count]).tolist()
    centred = chosen.centred(query)
    mask = chosen.select(centred)
    assert np.allclose(chosen.logits(centred, mask), slow_logits(classes, chosen.kept, query, rule), atol=1e-4)
    assert chosen.neighbours().tolist() == [min(len(kept), rule.neighbours) for kept in chosen.kept]


def test_a_class_of_one_photo_keeps_the_grid_and_others_what_they_would() -> None:
    rule = Rule(query="fraction", query_fraction=0.5, one_image_grid=(2, 3))
    assert checkerboard(2, 3) == (0, 2, 4)
    mixed, query = filled(rule, (1, 3, 1)).chosen(), drawn(4, 99)
    plain = filled(replace(rule, one_image_grid=None), (1, 3, 1)).chosen()
    assert [kept.tolist() for kept in mixed.kept] == [[0, 2, 4], plain.kept[1].tolist(), [0, 2, 4]]
    assert mixed.select(query).sum(1).tolist() == [3] * 4, "one class of several photos tells which descriptors count"
    single = filled(rule, (1, 1)).chosen()
    assert single.select(query).all()
    rows = np.stack([drawn(1, at)[:, [0, 2, 4]] for at in range(2)])
    assert np.allclose(single.logits(query, single.select(query)), ops.image_to_class(query, rows), atol=1e-5)


def test_what_each_location_gives_adds_up_to_the_logit() -> None:
    chosen = filled(Rule(class_offset="support"), (2, 3, 1)).chosen()
    query = drawn(1, 99)
    summed = [chosen.evidence(query[0], place).sum() for place in range(3)]
    assert np.allclose(summed, chosen.logits(query)[0], atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"class_offset": "support"}, {"center": "task", "class_offset": "support"}])
def test_any_order_of_changes_ends_in_the_same(options: dict[str, Any]) -> None:
    rule, query = Rule(**options), drawn(2, 99)
    found = filled(rule, (2, 3))
    found.chosen()
    found.enroll("late", drawn(4, 7)[:1])
    found.chosen()
    found.add("late", drawn(4, 7)[1:])
    found.chosen()
    found.forget("class 0")
    once = SupportSet((L, D), rule)
    once.fill({"class 1": drawn(3, 1), "late": drawn(4, 7)})
    assert found.images == once.images == {"class 1": 3, "late": 4}
    for name, value in vars(found.chosen()).items():
        other = getattr(once.chosen(), name)
        if name in ("kept", "rows"):
            assert all(np.array_equal(one, two) for one, two in zip(value, other, strict=True))
        elif name in ("means", "offsets"):
            assert np.array_equal(value, other)
    assert np.array_equal(found.chosen().logits(query), once.chosen().logits(query))


def test_a_change_makes_the_choice_anew_and_no_change_does_not() -> None:
    found = filled(Rule(), (2, 2))
    before = found.chosen()
    assert found.chosen() is before
    kept = [rows.tolist() for rows in before.kept]
    found.enroll("near class 0", drawn(2, 0))
    assert found.chosen() is not before and [rows.tolist() for rows in before.kept] == kept


def test_offsets_of_what_did_not_change_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = filled(Rule(fraction=1.0, class_offset="support"), (2, 3, 1))
    found.chosen()
    calls = []
    original = ops.image_to_class
    monkeypatch.setattr(ops, "image_to_class", lambda *given, **named: calls.append(1) or original(*given, **named))
    found.add("class 1", drawn(1, 50))
    found.chosen()
    assert len(calls) == 1


def test_of_equal_descriptors_the_first_are_kept_and_equal_classes_score_the_same() -> None:
    same = np.repeat(drawn(1, 0)[:, :1], L, axis=1)
    found = SupportSet((L, D), Rule(class_offset="support"))
    for name in ("one", "two", "three"):
        found.enroll(name, np.concatenate([same, same]))
    chosen = found.chosen()
    assert [rows.tolist() for rows in chosen.kept] == [list(range(L))] * 3
    logits = chosen.logits(drawn(2, 9))
    assert (logits == logits[:, :1]).all()


def test_zero_descriptors_are_the_last_to_be_kept() -> None:
    rows = drawn(2, 0)
    rows[0, :2] = 0
    found = SupportSet((L, D), Rule(fraction=0.8))
    found.enroll("a", rows)
    found.enroll("b", drawn(2, 1))
    assert found.chosen().kept[0].tolist() == list(range(2, 12))
    dark = SupportSet((L, D), Rule(threshold="mean", class_offset="support"))
    dark.enroll("dark", np.zeros((1, L, D), np.float32))
    dark.enroll("b", drawn(2, 1))
    assert dark.chosen().kept[0].tolist() == [0]
    assert np.isfinite(dark.chosen().logits(np.zeros((1, L, D), np.float32))).all()


def test_one_descriptor_is_enough() -> None:
    found = SupportSet((1, D), Rule(class_offset="support"))
    found.enroll("a", drawn(1, 0, locations=1))
    chosen = found.chosen()
    assert chosen.offsets.tolist() == [0.0] and chosen.neighbours().tolist() == [1]
    assert np.allclose(chosen.logits(drawn(1, 0, locations=1)), 1)


def test_classes_of_all_sizes_share_few_arrays() -> None:
    found = filled(Rule(threshold="mean"), tuple(range(1, 60)))
    chosen = found.chosen()
    counts = [len(rows) for rows in chosen.kept]
    assert len(set(counts)) > 25 and len(chosen.groups) < 40
    for group in chosen.groups:
        index = np.tile(np.arange(group.rows.shape[2]), (len(group.places), 1)) if group.index is None else group.index
        for place, rows, own in zip(group.places, group.rows, index, strict=True):
            assert (own >= 0).sum() == counts[place] >= 7 / 8 * own.size
            assert np.array_equal(rows[0, : counts[place]], chosen.rows[place])
    assert found.nbytes >= sum(4 * L * D * images for images in range(1, 60)) + 4 * D * sum(counts)


def test_threads_see_whole_states() -> None:
    found, query = filled(Rule(), (1, 2)), drawn(1, 99)

    def work(number: int) -> int:
        if number % 2:
            found.enroll(f"new {number}", drawn(1, number))
            found.forget(f"new {number}")
        return found.chosen().logits(query).shape[1]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(60))) <= {2, 3, 4, 5, 6}
    assert list(found.images) == ["class 0", "class 1"]


# refusals


def test_names_and_descriptors_are_checked() -> None:
    found = filled(Rule(), (1,))
    for name in ("", "  ", "two\nlines", "\udcff"):
        with pytest.raises(ValueError, match="expected one line of text"):
            found.enroll(name, drawn(1, 0))
    with pytest.raises(ValueError, match="'class 0' is enrolled already; add further images"):
        found.enroll("class 0", drawn(1, 0))
    for call in (found.forget, lambda name: found.add(name, drawn(1, 0))):
        with pytest.raises(ValueError, match="no class 'mug' is enrolled; there are class 0"):
            call("mug")
    with pytest.raises(ValueError, match=r"shape \(1, 6, 4\) and type float32 were given; expected float32 \(images, 6, 5\)"):
        found.enroll("mug", drawn(1, 0, d=4))
    with pytest.raises(ValueError, match="type float64"):
        found.enroll("mug", drawn(1, 0).astype(np.float64))
    with pytest.raises(ValueError, match="'mug' was given no image"):
        found.enroll("mug", drawn(0, 0))
    with pytest.raises(ValueError, match="must be finite"):
        found.enroll("mug", np.full((1, L, D), np.nan, np.float32))
    assert found.images == {"class 0": 1}
    found.forget("class 0")
    with pytest.raises(ValueError, match="no class is enrolled"):
        found.chosen()
    with pytest.raises(ValueError, match="there is none"):
        found.forget("class 0")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"fraction": 0.0}, "a fraction of 0.0"),
        ({"fraction": 1}, None),
        ({"fraction": "half"}, "'fraction' is 'half'; expected a float"),
        ({"threshold": "median"}, "a threshold of 'median'"),
        ({"threshold": True}, "a threshold of True"),
        ({"threshold": float("nan")}, "a threshold of nan"),
        ({"threshold": -0.1}, None),
        ({"score": "none"}, "without a score all descriptors are kept"),
        ({"score": "product"}, "score = 'product'"),
        ({"other_images": 1}, "'other_images' is 1; expected a bool"),
        ({"center": "image"}, "center = 'image'"),
        ({"query": "none"}, "'query' is 'none'; expected a dict"),
        ({"query": {"rule": "best"}}, "query = 'best'"),
        ({"query": {"rule": "fraction", "value": 2}}, "a fraction of 2"),
        ({"query": {"rule": "adaptive", "value": None}}, None),
        ({"neighbours": 64}, "neighbours = 64"),
        ({"neighbours": 2.0}, "'neighbours' is 2.0; expected a int"),
        ({"class_offset": None}, "'class_offset' is None; expected a str"),
        ({"one_image": "grid", "grid": [2, 3]}, None),
        ({"one_image": "grid"}, "option 'grid' is None"),
        ({"one_image": "grid", "grid": [2, 0]}, r"option 'grid' is \[2, 0\]"),
        ({"one_image": "mean"}, "one_image = 'mean'"),
        ({"one_image": 1}, "one_image = 1"),
    ],
)
def test_options_of_an_artifact_are_checked(options: dict[str, Any], word: str | None) -> None:
    whole = {**vars(Rule()), "query": {"rule": "fraction", "value": 0.5}}
    if word is None:
        Rule.from_options({**whole, **options})
        return
    with pytest.raises(ValueError, match=word):
        Rule.from_options({**whole, **options})


def test_an_artifact_from_before_there_was_a_choice_selects_one_image_as_others() -> None:
    whole = {**vars(Rule()), "query": {"rule": "none", "value": None}}
    assert "one_image" not in whole
    assert Rule.from_options(whole) == Rule()


@pytest.mark.parametrize("name", ["fraction", "threshold", "score", "other_images", "center", "neighbours", "class_offset"])
def test_an_option_that_is_missing_is_named(name: str) -> None:
    whole = {**vars(Rule()), "query": {"rule": "none", "value": None}}
    del whole[name]
    with pytest.raises(ValueError, match=f"{name!r} is missing"):
        Rule.from_options(whole)

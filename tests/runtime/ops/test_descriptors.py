"""Descriptor selection and the image-to-class score: native op, NumPy twin and the slow formulas against each other."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime import ops
from runtime.ops.backend import native as find_native

native: Any = find_native()
needs_native = pytest.mark.skipif(native is None, reason="the native ops are not built: pip install -e .")
KERNELS = ["portable"] if native is None else native.descriptor_kernels()
SEED = st.integers(0, 9999)
EPISODE = st.tuples(
    st.integers(1, 7),  # classes
    st.integers(1, 3),  # images of a class
    st.integers(1, 40),  # locations
    st.one_of(st.integers(1, 40), st.sampled_from((64, 100))),  # d
    st.integers(0, 4),  # query images
    st.integers(1, 70),  # their locations
)
CLOSE = {"rtol": 1e-5, "atol": 3e-6}


def draw(shape: tuple[int, int, int, int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise; some seeds with rows that are equal, zero or tiny, as a support and its queries."""
    classes, images, locations, d, queries, places = shape
    generator = np.random.default_rng(seed)
    support = generator.standard_normal((classes, images, locations, d), np.float32)
    query = generator.standard_normal((queries, places, d), np.float32)
    if seed % 3 == 0:  # few different rows: ties
        support = support[:, :, generator.integers(0, max(locations // 4, 1), locations)]
        query = query[:, generator.integers(0, max(places // 4, 1), places)]
    if seed % 2 == 0:
        support[generator.random(support.shape[:3]) < 0.2] = 0
        query[generator.random(query.shape[:2]) < 0.2] = 0
    if seed % 5 == 0:
        support *= np.float32(1e-12)
        query *= np.float32(1e12)
    return np.ascontiguousarray(support), np.ascontiguousarray(query)


def first_best(values: np.ndarray, count: int) -> np.ndarray:
    """The rows of the largest, of equals the earlier, ascending."""
    return np.sort(np.argsort(-values, axis=1, kind="stable")[:, :count], axis=1)


def unit(rows: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(rows.astype(np.float64), axis=-1, keepdims=True)
    return np.divide(rows, norm, out=np.zeros(rows.shape), where=norm > 0)


def masked_gram(support: np.ndarray, other_images: bool) -> np.ndarray:
    """The score as the paper says it: means over a masked matrix of all cosines."""
    classes, images, locations, d = support.shape
    rows = unit(support.reshape(-1, d))
    gram = rows @ rows.T
    image = np.repeat(np.arange(classes * images), locations)
    same_class = image[:, None] // images == image // images
    aside = image[:, None] == image if other_images else np.eye(len(rows), dtype=bool)
    intra, inter = same_class & ~aside, ~same_class
    score = (gram * intra).sum(1) / np.maximum(intra.sum(1), 1) - (gram * inter).sum(1) / np.maximum(inter.sum(1), 1)
    score[~rows.any(1)] = -np.inf
    return score.reshape(classes, -1)


def slow_margin(query: np.ndarray, support: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Means of all cosines to the kept descriptors, the best class's less those of the others."""
    kept = [unit(rows.reshape(-1, rows.shape[-1])[chosen]) for rows, chosen in zip(support, index, strict=True)]
    relevance = np.stack([(unit(query) @ rows.T).mean(-1) for rows in kept], axis=-1)
    ordered = np.sort(relevance, axis=-1)
    margin = ordered[..., -1] - (ordered[..., :-1].mean(-1) if len(support) > 1 else 0)
    return np.where(query.any(-1), margin, -np.inf)


def slow_logits(query: np.ndarray, support: np.ndarray, index: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    logits = np.zeros((len(query), len(support)))
    for n, descriptors in enumerate(query):
        for c, chosen in enumerate(index):
            cosines = unit(descriptors[mask[n]]) @ unit(support[c].reshape(-1, support.shape[-1])[chosen]).T
            logits[n, c] = -np.sort(-cosines, axis=1)[:, :k].sum()
    return logits


@needs_native
@pytest.mark.parametrize("kernels", KERNELS)
@settings(max_examples=80, deadline=None)
@given(EPISODE, SEED, st.booleans(), st.integers(1, 12), st.sampled_from((0.1, 0.5, 1.0)), st.integers(1, 3))
def test_the_native_ops_equal_their_twins_and_their_selection_their_scores(
    kernels: str, shape: Any, seed: int, other_images: bool, k: int, fraction: float, threads: int
) -> None:
    support, query = draw(shape, seed)
    rows, places = support.shape[1] * support.shape[2], query.shape[1]
    count, visible = max(1, int(fraction * rows)), max(1, int(fraction * places))
    index, score = native.select_descriptors(support, count, other_images, threads, kernels)
    np.testing.assert_allclose(score, ops.select_descriptors_numpy(support, count, other_images)[1], **CLOSE)
    np.testing.assert_array_equal(index, first_best(score, count))

    mask, margin = native.select_queries(query, support, index, visible, threads, kernels)
    np.testing.assert_allclose(margin, ops.select_queries_numpy(query, support, index, visible)[1], **CLOSE)
    np.testing.assert_array_equal(np.nonzero(mask)[1].reshape(-1, visible), first_best(margin, visible))

    for chosen, seen in ((index, mask), (None, None)):
        logits = native.image_to_class(query, support, chosen, seen, k, threads, kernels)
        np.testing.assert_allclose(logits, ops.image_to_class_numpy(query, support, chosen, seen, k), rtol=1e-5, atol=5e-5)


@settings(max_examples=80, deadline=None)
@given(EPISODE, SEED, st.booleans(), st.integers(1, 12))
def test_the_twins_equal_the_formulas_over_all_cosines(shape: Any, seed: int, other_images: bool, k: int) -> None:
    support, query = draw(shape, seed)
    count, visible = -(-support.shape[1] * support.shape[2] // 2), -(-query.shape[1] // 2)
    index, score = ops.select_descriptors_numpy(support, count, other_images)
    np.testing.assert_allclose(score, masked_gram(support, other_images), atol=1e-6)
    np.testing.assert_array_equal(index, first_best(score, count))
    mask, margin = ops.select_queries_numpy(query, support, index, visible)
    np.testing.assert_allclose(margin, slow_margin(query, support, index), atol=1e-6)
    logits = ops.image_to_class_numpy(query, support, index, mask, k)
    np.testing.assert_allclose(logits, slow_logits(query, support, index, mask, k), rtol=1e-5, atol=5e-5)


def test_a_case_by_hand() -> None:
    east, north = (2, 0), (0, 3)
    support = np.array([[[east, north, east]], [[north, north, (0, 0)]]], np.float32)  # two classes, one image, three locations
    index, score = ops.select_descriptors(support, 0.5)
    # East: one of two others is east, none of the other class. North: no other in its class, two of three in the other. In the
    # second class one of two others is north, and one of three in the first.
    np.testing.assert_allclose(score, [[1 / 2, -2 / 3, 1 / 2], [1 / 2 - 1 / 3, 1 / 2 - 1 / 3, -np.inf]], atol=1e-6)
    assert index.tolist() == [[0, 2], [0, 1]]
    query = np.array([[(1, 0), (1, 1), (0, 0), (-1, 0)]], np.float32)
    mask, margin = ops.select_queries(query, support, index, 0.25)
    np.testing.assert_allclose(
        margin, [[1, 0, -np.inf, 1]], atol=1e-6
    )  # to the west both classes are foreign, the second less so
    assert mask.tolist() == [[True, False, False, False]]
    np.testing.assert_allclose(ops.image_to_class(query, support, index, mask, 3), [[2, 0]], atol=1e-6)
    everything = ops.image_to_class(query, support, k=1)
    np.testing.assert_allclose(everything, [[1 + 0.5**0.5, 0.5**0.5]], atol=1e-6)  # west's best in the first class is north, 0


@pytest.mark.parametrize("answer", ["dispatched", "twin"])
def test_one_class_has_no_others_and_one_descriptor_no_fellows(answer: str) -> None:
    select: Callable[..., Any] = ops.select_descriptors if answer == "dispatched" else ops.select_descriptors_numpy
    support, _ = draw((1, 1, 9, 8, 0, 1), 1)
    np.testing.assert_allclose(select(support, 1)[1], masked_gram(support, False), atol=1e-6)
    lone, _ = draw((3, 1, 1, 8, 0, 1), 1)
    np.testing.assert_allclose(select(lone, 1)[1], masked_gram(lone, False), atol=1e-6)
    index, score = select(lone[:1], 1)
    assert (index.tolist(), score.tolist()) == ([[0]], [[0.0]])


def test_a_class_of_zeros_is_kept_only_because_nothing_else_is_left() -> None:
    support, query = draw((2, 1, 6, 5, 2, 4), 1)
    support[0] = 0
    index, score = ops.select_descriptors(support, 0.5)
    assert np.isneginf(score[0]).all() and index[0].tolist() == [0, 1, 2]
    assert not ops.image_to_class(query, support, index)[:, 0].any()
    assert not ops.image_to_class(np.zeros_like(query), support, index).any()
    _, margin = ops.select_queries(np.zeros_like(query), support, index)
    assert np.isneginf(margin).all()


def test_more_neighbours_than_descriptors_are_all_of_them() -> None:
    support, query = draw((3, 1, 5, 16, 2, 7), 1)
    all_of_them = ops.image_to_class(query, support, k=5)
    np.testing.assert_array_equal(ops.image_to_class(query, support, k=64), all_of_them)
    np.testing.assert_allclose(all_of_them, (unit(query).sum(1) @ unit(support).sum((1, 2)).T), atol=1e-4)


def test_no_queries_give_no_logits_and_nothing_seen_gives_zeros() -> None:
    support, query = draw((3, 1, 5, 16, 2, 7), 1)
    assert ops.image_to_class(query[:0], support).shape == (0, 3)
    assert ops.select_queries(query[:0], support).mask.shape == (0, 7)
    assert not ops.image_to_class(query, support, mask=np.zeros((2, 7), bool)).any()


def test_what_is_masked_or_not_kept_is_not_read() -> None:
    support, query = draw((3, 1, 5, 16, 2, 7), 1)
    index, mask = np.array([[0, 2], [1, -1], [3, 4]], np.int32), np.ones((2, 7), bool)
    mask[0, 3] = False
    expected = ops.image_to_class(query, support, index, mask)
    support[0, 0, 1], query[0, 3] = np.nan, np.inf
    np.testing.assert_array_equal(ops.image_to_class(query, support, index, mask), expected)
    np.testing.assert_allclose(ops.image_to_class_numpy(query, support, index, mask, 3), expected, atol=1e-5)


def test_a_threshold_keeps_what_reaches_it_and_each_class_its_best() -> None:
    support, query = draw((4, 2, 11, 16, 3, 9), 1)
    score = ops.select_descriptors(support).score
    for threshold, bound in (
        ("mean", score.mean(1, keepdims=True, dtype=np.float64)),
        (float(np.median(score)), np.median(score)),
    ):
        index, again = ops.select_descriptors(support, threshold=threshold)
        np.testing.assert_array_equal(again, score)
        for c, kept in enumerate(index):
            assert kept[kept >= 0].tolist() == np.flatnonzero((score >= bound)[c]).tolist()
    index, _ = ops.select_descriptors(support, threshold=9.0)
    np.testing.assert_array_equal(index[:, 0], score.argmax(1))
    assert index.shape == (4, 1)
    mask, margin = ops.select_queries(query, support, index, threshold=0.1)
    np.testing.assert_array_equal(mask, margin > 0.1)


@pytest.mark.parametrize(("fraction", "kept"), [(0.1, 3), (0.5, 15), (0.51, 16), (1e-9, 1), (1.0, 30)])
def test_a_fraction_keeps_its_share_rounded_up(fraction: float, kept: int) -> None:
    support, query = draw((2, 1, 30, 4, 1, 30), 1)
    assert ops.select_descriptors(support, fraction).rows.shape == (2, kept)
    assert ops.select_queries(query, support, fraction=fraction).mask.sum() == kept


def test_the_lengths_of_descriptors_and_the_order_of_classes_do_not_matter() -> None:
    support, query = draw((4, 1, 20, 33, 3, 25), 1)
    index, score = ops.select_descriptors(support)
    scales = np.exp2(np.random.default_rng(0).integers(-9, 9, (4, 1, 20, 1))).astype(np.float32)  # exact
    np.testing.assert_array_equal(ops.select_descriptors(support * scales).score, score)
    logits = ops.image_to_class(query, support, index)
    np.testing.assert_array_equal(ops.image_to_class(query, support * scales, index), logits)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(ops.select_descriptors(support[order]).score, score[order], atol=1e-6)
    np.testing.assert_array_equal(ops.image_to_class(query, support[order], index[order]), logits[:, order])
    np.testing.assert_array_equal(ops.image_to_class(query[::-1], support, index), logits[::-1])


def test_equal_descriptors_tie_and_the_lower_is_kept() -> None:
    support, _ = draw((3, 1, 10, 37, 0, 1), 1)
    doubled = np.concatenate([support, support], axis=2)
    index, score = ops.select_descriptors(doubled, 0.05)
    np.testing.assert_array_equal(score[:, :10], score[:, 10:])
    np.testing.assert_array_equal(index[:, 0], score.argmax(1))  # the first of equals


def test_identical_classes_have_equal_logits_and_what_keeps_nothing_scores_nothing() -> None:
    support, query = draw((1, 2, 15, 12, 3, 20), 1)
    same = np.repeat(support, 4, axis=0)
    logits = ops.image_to_class(query, same, ops.select_descriptors(same, 0.3).rows)
    np.testing.assert_array_equal(logits, np.repeat(logits[:, :1], 4, axis=1))
    index, mask = np.array([[-1, -1], [2, -1]], np.int32), np.ones((3, 20), bool)
    mask[1] = False
    for found in (ops.image_to_class(query, same[:2], index, mask), ops.image_to_class_numpy(query, same[:2], index, mask, 3)):
        assert (found != 0).tolist() == [[False, True], [False, False], [False, True]]
    assert np.isfinite(ops.select_queries(query, same[:2], index).margin).all()


def test_selection_finds_what_a_class_has_for_itself_among_clutter_that_all_share() -> None:
    """Synthetic: 30 % of an image are its class's, the rest are three of twelve clutter vectors; five shots, their clutter differs."""
    generator = np.random.default_rng(0)
    classes, shots, queries, locations, d, own = 5, 5, 100, 64, 64, 19
    things, clutter = generator.standard_normal((classes, d)), generator.standard_normal((12, d))

    def images(label: np.ndarray) -> np.ndarray:
        found = clutter[generator.choice(12, (len(label), 3)).repeat(22, axis=1)[:, :locations]]  # (n, locations, d)
        found[:, :own] = things[label][:, None]
        return (found + generator.standard_normal(found.shape) * 1.5).astype(np.float32)

    label = np.arange(queries) % classes
    support, query = images(np.arange(classes).repeat(shots)).reshape(classes, shots, locations, d), images(label)
    index = ops.select_descriptors(support, 0.25, other_images=True).rows
    assert (index % locations < own).mean() > 0.9
    mask = ops.select_queries(query, support, index, 0.25).mask
    assert mask[:, :own].sum() > 0.9 * mask.sum()
    assert (ops.image_to_class(query, support, index, mask).argmax(1) == label).mean() > 0.95


@needs_native
@pytest.mark.parametrize("kernels", KERNELS)
def test_results_are_the_same_bit_for_bit_on_any_number_of_threads(kernels: str) -> None:
    support, query = draw((5, 5, 200, 900, 12, 500), 1)  # enough for the ops to take the threads
    count, visible, few = 500, 250, query[:3, :90].copy()
    alone: tuple[np.ndarray, ...] | None = None
    for threads in (1, 2, 3):
        index, score = native.select_descriptors(support, count, True, threads, kernels)
        mask, margin = native.select_queries(query, support, index, visible, threads, kernels)
        one, some = (native.image_to_class(part, support, index, None, 3, threads, kernels) for part in (few[:1], few))
        found = (index, score, mask, margin, one, some)
        alone = alone or found
        for first, second in zip(alone, found, strict=True):
            np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(one[0], some[0])


def bf16(values: np.ndarray) -> np.ndarray:
    """Rounded to the nearest of 8 significant bits, ties to even."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


@pytest.mark.skipif("bf16" not in ops.descriptor_precisions(), reason="this processor has no AVX-512 BF16")
@settings(deadline=None, max_examples=60)
@given(shape=EPISODE, seed=SEED, k=st.sampled_from((1, 2, 3, 7)))
@example(shape=(2, 1, 9, 700, 2, 20), seed=1, k=3)  # more than is narrowed at once
@example(shape=(2, 1, 9, 513, 2, 50), seed=1, k=3)
def test_bf16_multiplies_rounded_factors_and_is_off_by_no_more_than_it_says(shape: Any, seed: int, k: int) -> None:
    support, query = draw(shape, seed)
    classes, images, locations, d = support.shape
    found = ops.image_to_class(query, support, k=k, precision="bf16")
    rows = support.reshape(classes, images * locations, d)
    norm = np.linalg.norm(rows.astype(np.float64), axis=-1, keepdims=True)
    factors = np.divide(bf16(rows).astype(np.float64), norm, out=np.zeros(rows.shape), where=norm > 0)
    cosines = np.einsum("qld,cnd->qlcn", bf16(unit(query)).astype(np.float64), factors)
    most = min(k, images * locations)
    expected = np.sort(cosines, axis=-1)[..., -most:].sum((1, 3))
    terms = query.shape[1] * most
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4 * terms)  # a unit's last bit may round to another bf16
    exact = ops.image_to_class(query, support, k=k)
    np.testing.assert_allclose(found, exact, rtol=0, atol=0.004 * terms)
    for threads in (2, 3):
        np.testing.assert_array_equal(found, ops.image_to_class(query, support, k=k, precision="bf16", threads=threads))


def test_calls_from_several_threads_do_not_disturb_each_other() -> None:
    episodes = [draw((5, 1, 50, 64, 4, 50), 6 * number + 1) for number in range(8)]

    def answer(episode: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        support, query = episode
        index, _ = ops.select_descriptors(support)
        mask, _ = ops.select_queries(query, support, index)
        return ops.image_to_class(query, support, index, mask)

    alone = [answer(episode) for episode in episodes]
    with ThreadPoolExecutor(3) as pool:
        np.testing.assert_array_equal(list(pool.map(answer, episodes)), alone)


def test_views_and_read_only_arrays_give_what_their_copies_give_and_stay_as_they_are() -> None:
    support, query = draw((4, 2, 12, 30, 4, 20), 1)
    views = support[::-1, :, ::2, ::3], query[:, ::-1, ::3]
    copies = tuple(view.copy() for view in views)
    for array in copies:
        array.setflags(write=False)
    index, mask = ops.select_descriptors(views[0]).rows, ops.select_queries(views[1], views[0]).mask
    np.testing.assert_array_equal(index, ops.select_descriptors(copies[0]).rows)
    found = ops.image_to_class(views[1], views[0], index[:, ::-1], mask)
    np.testing.assert_allclose(found, ops.image_to_class(copies[1], copies[0], index, mask), atol=1e-5)
    np.testing.assert_array_equal(views[0], copies[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (2, 1, 6, 18)])
def test_values_that_are_not_finite_are_refused_wherever_they_stand(value: float, place: tuple[int, int, int, int]) -> None:
    support, query = draw((3, 2, 7, 19, 3, 7), 1)
    bad, worse = support.copy(), query.copy()
    bad[place] = value
    worse[place[0], place[2], place[3]] = value
    for call in (
        lambda: ops.select_descriptors(bad),
        lambda: ops.select_descriptors_numpy(bad, 1),
        lambda: ops.select_queries(query, bad),
        lambda: ops.image_to_class(query, bad),
        lambda: ops.image_to_class_numpy(query, bad, None, None, 3),
    ):
        with pytest.raises(ValueError, match="support must be finite"):
            call()
    for call in (
        lambda: ops.select_queries(worse, support),
        lambda: ops.select_queries_numpy(worse, support, None, 1),
        lambda: ops.image_to_class(worse, support),
        lambda: ops.image_to_class_numpy(worse, support, None, None, 3),
    ):
        with pytest.raises(ValueError, match="query must be finite"):
            call()


S, Q = np.ones((2, 1, 3, 4), np.float32), np.ones((1, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ops.select_descriptors(S[0]), r"float32 \(classes, images, locations, d\)"),
        (lambda: ops.select_descriptors(S.astype(np.float64)), "type float64"),
        (lambda: ops.select_descriptors(S[:, :0]), "not empty"),
        (lambda: ops.select_descriptors(S, 0.0), "fraction of 0.0"),
        (lambda: ops.select_descriptors(S, 1.5), "fraction of 1.5"),
        (lambda: ops.select_descriptors(S, float("nan")), "fraction of nan"),
        (lambda: ops.select_descriptors(S, threshold="median"), "'median'"),
        (lambda: ops.select_descriptors(S, threshold=float("nan")), "threshold of nan"),
        (lambda: ops.select_descriptors(S, threads=0), "threads = 0"),
        (lambda: ops.select_queries(Q[0], S), r"float32 \(images, locations, 4\)"),
        (lambda: ops.select_queries(Q[:, :0], S), "at least one location"),
        (lambda: ops.select_queries(Q[:, :, :2].copy(), S), r"shape \(1, 3, 2\)"),
        (lambda: ops.select_queries(Q, S, threshold=float("nan")), "threshold of nan"),
        (lambda: ops.image_to_class(Q, S, np.zeros((1, 2), np.int32)), r"int32 \(2, n\)"),
        (lambda: ops.image_to_class(Q, S, np.zeros((2, 2), np.int64)), "type int64"),
        (lambda: ops.image_to_class(Q, S, np.full((2, 2), 3, np.int32)), "rows from 0 to 2"),
        (lambda: ops.image_to_class(Q, S, np.full((2, 2), -2, np.int32)), "rows from 0 to 2"),
        (lambda: ops.image_to_class(Q, S, np.array([[-1, 0], [0, 1]], np.int32)), "only behind"),
        (lambda: ops.image_to_class(Q, S, mask=np.ones((1, 2), bool)), r"bool \(1, 3\)"),
        (lambda: ops.image_to_class(Q, S, mask=np.ones((1, 3), np.uint8)), "type uint8"),
        (lambda: ops.image_to_class(Q, S, k=0), "k = 0"),
        (lambda: ops.image_to_class(Q, S, k=65), "1 to 64"),
        (lambda: ops.image_to_class(Q, S, precision="fp8"), "'fp8' was given; expected one of fp32"),
    ],
)
def test_what_cannot_be_selected_or_scored_is_refused_by_a_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()


@needs_native
def test_the_native_ops_check_for_themselves() -> None:
    for call in (
        lambda: native.select_descriptors(S[0], 1, False, 1, ""),
        lambda: native.select_descriptors(S, 4, False, 1, ""),
        lambda: native.select_descriptors(S, 1, False, 0, ""),
        lambda: native.select_descriptors(S, 1, False, 1, "sse2"),
        lambda: native.select_queries(Q[0], S, None, 1, 1, ""),
        lambda: native.select_queries(Q, S, None, 4, 1, ""),
        lambda: native.image_to_class(Q, S, np.full((2, 1), 3, np.int32), None, 3, 1, ""),
        lambda: native.image_to_class(Q, S, np.array([[-1, 0], [0, 1]], np.int32), None, 3, 1, ""),
        lambda: native.image_to_class(Q, S, None, np.ones((1, 2), bool), 3, 1, ""),
        lambda: native.image_to_class(Q, S, None, None, 0, 1, ""),
    ):
        with pytest.raises(ValueError, match="must"):
            call()
    with pytest.raises(TypeError):
        native.select_descriptors(S.astype(np.float64), 1, False, 1, "")

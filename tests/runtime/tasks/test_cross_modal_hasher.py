"""CrossModalHasher against the graphs' formula in NumPy: kinds of input, lengths, ties at 0, search, re-ranking, refusals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import runtime
from runtime.clouds import UnreadableCloud
from runtime.index import HammingIndex
from runtime.prepare import UnreadableImage
from runtime.tasks.cross_modal_hasher import CrossModalHasher, pack


@pytest.fixture
def task(hasher: Path) -> CrossModalHasher:
    found = runtime.load(hasher, threads=1, prefer=["cpu"])
    assert isinstance(found, CrossModalHasher)
    return found


def signs(logits: np.ndarray) -> np.ndarray:
    """Codes written a second way."""
    codes = np.zeros((len(logits), logits.shape[1] // 8), np.uint8)
    for row, column in np.argwhere(logits >= 0):
        codes[row, column // 8] |= 1 << column % 8
    return codes


def test_lengths_are_the_artifacts_and_the_longest_is_taken(task: CrossModalHasher) -> None:
    assert task.lengths == (8, 16) and task.bits == 16
    assert task.index().bits == 16 and task.index(8).bits == 8


@pytest.mark.parametrize("bits", [8, 16])
def test_images_are_coded_by_the_formula_whatever_the_batch(task: CrossModalHasher, hashing: SimpleNamespace, bits: int) -> None:
    images = hashing.images()
    expected = hashing.expected_images(images.transpose(0, 3, 1, 2), bits)
    for size in (None, 1, 3):
        assert np.allclose(task.logits_images(images, bits=bits, batch_size=size), expected, atol=1e-3)
        assert np.array_equal(task.encode_images(list(images), bits=bits, batch_size=size), signs(expected))
    assert np.array_equal(task.encode_images(images[1], bits=bits), signs(expected)[1:2])


@pytest.mark.parametrize("bits", [8, 16])
def test_clouds_are_coded_by_the_formula_whatever_the_batch(task: CrossModalHasher, hashing: SimpleNamespace, bits: int) -> None:
    points = hashing.point_clouds()
    expected = hashing.expected_points(*task.prepare_points(list(points)), bits)
    for size in (None, 1, 3):
        assert np.allclose(task.logits_points(points, bits=bits, batch_size=size), expected, atol=1e-3)
        assert np.array_equal(task.encode_points(list(points), bits=bits, batch_size=size), signs(expected))
    assert np.array_equal(task.encode_points(points[1], bits=bits), signs(expected)[1:2])


def test_scale_and_offset_of_a_cloud_do_not_matter(task: CrossModalHasher, hashing: SimpleNamespace) -> None:
    cloud = hashing.point_clouds()[0].astype(np.float64)
    for moved in (1000 * cloud, 1e-6 * cloud, cloud * 512 + [4096, 0, -8192]):
        assert np.allclose(task.logits_points(moved), task.logits_points(cloud), atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 5000])
def test_any_number_of_points_is_coded(task: CrossModalHasher, count: int) -> None:
    cloud = np.random.default_rng(count).normal(size=(count, 3))
    assert task.encode_points(cloud).shape == (1, 2)


@pytest.mark.parametrize("cloud", [np.ones((1, 3)), np.full((100, 3), -7.5)])
def test_a_logit_of_0_is_a_bit_of_1(task: CrossModalHasher, cloud: np.ndarray) -> None:
    assert (task.logits_points(cloud) == 0).all()
    assert task.encode_points(cloud).tolist() == [[255, 255]]
    assert pack(np.array([[-0.0, 0, 1, -1, -1e-30, 1e-30, -1, 1]], np.float32)).tolist() == [[0b10100111]]


def test_nothing_given_is_nothing_coded(task: CrossModalHasher) -> None:
    assert task.encode_images([]).shape == task.encode_points([]).shape == (0, 2)
    assert task.logits_points([], bits=8).shape == (0, 8)


def test_files_are_coded_as_their_arrays(task: CrossModalHasher, hashing: SimpleNamespace, tmp_path: Path) -> None:
    Image.fromarray(hashing.images()[0]).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", hashing.point_clouds()[0])
    assert np.array_equal(task.encode_images(tmp_path / "a.png"), task.encode_images(hashing.images()[0]))
    assert np.array_equal(task.encode_images((tmp_path / "a.png").read_bytes()), task.encode_images(hashing.images()[0]))
    assert np.array_equal(task.encode_points([str(tmp_path / "a.npy")]), task.encode_points(hashing.point_clouds()[0]))


def test_a_graph_is_opened_on_its_first_use_only(task: CrossModalHasher, hashing: SimpleNamespace) -> None:
    assert task.providers == {}
    task.encode_points(hashing.point_clouds())
    assert list(task.providers) == ["point_hash"] and task.reports[0].picked == "cpu"


def test_threads_get_the_same_codes(task: CrossModalHasher, hashing: SimpleNamespace) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: task.encode_points(hashing.point_clouds()), range(16)))
    assert all(np.array_equal(codes, found[0]) for codes in found)


# search


def test_a_search_is_that_of_its_codes(task: CrossModalHasher, hashing: SimpleNamespace) -> None:
    index = task.index(8)
    index.add(task.encode_points(hashing.point_clouds(), bits=8), [5, 6, 7])
    index.add(task.encode_images(hashing.images(), bits=8), [1, 2, 3])
    found = task.search(index, points=hashing.point_clouds(), k=2)
    assert found.ids[:, 0].tolist() == [5, 6, 7] and (found.distances[:, 0] == 0).all() and found.scores is None
    codes = task.encode_images(hashing.images(), bits=8)
    assert np.array_equal(task.search(index, images=hashing.images(), k=6).distances, index.search(codes, 6).distances)


def test_re_ranking_orders_by_the_product_that_training_compares(task: CrossModalHasher, hashing: SimpleNamespace) -> None:
    index = task.index(8)
    codes = np.arange(256, dtype=np.uint8)[:, None]
    index.add(codes)
    found = task.search(index, images=hashing.images()[0], k=20, rerank=True, candidates=256)
    query = np.tanh(hashing.expected_images(hashing.images()[:1].transpose(0, 3, 1, 2), 8)[0])
    scores = (2.0 * np.unpackbits(codes, axis=1, bitorder="little") - 1) @ query
    assert found.scores is not None
    assert np.allclose(found.scores[0], np.sort(scores)[::-1][:20], atol=1e-4)
    assert np.allclose(scores[found.ids[0]], found.scores[0], atol=1e-4)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "give one of the two"),
        ({"images": [], "points": []}, "give one of the two"),
        ({"points": [], "index": HammingIndex(24)}, "24 bits; this artifact makes 8, 16"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(task: CrossModalHasher, given: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        task.search(given.pop("index", task.index()), **given)


# refusals


@pytest.mark.parametrize(
    ("cloud", "word"),
    [(np.empty((0, 3)), ""), (np.full((4, 3), np.nan), ""), (np.ones((4, 2)), ""), (np.full((4, 3), np.inf), "")],
)
def test_a_bad_cloud_among_others_is_named(task: CrossModalHasher, cloud: np.ndarray, word: str) -> None:
    with pytest.raises(UnreadableCloud, match="number 1, counted from 0: "):
        task.encode_points([np.ones((3, 3)), cloud])
    with pytest.raises(UnreadableCloud, match=r"^(?!number)"):
        task.encode_points(cloud)


def test_a_bad_file_is_named_by_its_path(task: CrossModalHasher, tmp_path: Path) -> None:
    (tmp_path / "bad.npy").write_bytes(b"no array")
    with pytest.raises(UnreadableCloud, match=r"bad\.npy"):
        task.encode_points([np.ones((3, 3)), tmp_path / "bad.npy"])
    with pytest.raises(FileNotFoundError, match=r"none\.ply"):
        task.encode_points(tmp_path / "none.ply")
    with pytest.raises(UnreadableImage, match="number 1, counted from 0: "):
        task.encode_images([np.zeros((4, 4, 3), np.uint8), b"no image"])


def test_lengths_and_batches_that_are_not_there_are_refused(task: CrossModalHasher, hashing: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match=r"bits=24 was given; this artifact makes codes of 8, 16 bits"):
        task.encode_images(hashing.images(), bits=24)
    with pytest.raises(ValueError, match="batch_size=5 was given; this artifact takes 1 to 4"):
        task.encode_points(hashing.point_clouds(), batch_size=5)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"bits": []}, "'bits' is"),
        ({"bits": [8, 12]}, "'bits' is"),
        ({"bits": [8, 32]}, "port 'code_32' of shape None"),
        ({"points": "32"}, "'points' is '32'; expected a int"),
        ({"groups": 5}, r"port 'centres' of shape \('batch', 4, 3\)"),
        ({"geometry": {"size": [9, 9], "mode": "squash", "interpolation": "bilinear"}}, "port 'image'"),
    ],
)
def test_a_manifest_that_is_not_its_graphs_is_refused(
    hashing: SimpleNamespace, tmp_path: Path, options: dict[str, Any], word: str
) -> None:
    hashing.build(tmp_path / "other", **options)
    with pytest.raises(ValueError, match=word):
        runtime.load(tmp_path / "other")


def test_an_artifact_of_one_graph_answers_for_it(hashing: SimpleNamespace, tmp_path: Path) -> None:
    hashing.build(tmp_path / "points", graphs=hashing.GRAPHS[1:])
    task = runtime.load(tmp_path / "points")
    assert task.encode_points(hashing.point_clouds()).shape == (3, 2)
    with pytest.raises(ValueError, match="no graph 'image_hash'; export it with --graphs image_hash"):
        task.encode_images(hashing.images())


def test_codes_of_another_artifact_have_another_maker(task: CrossModalHasher, hashing: SimpleNamespace, tmp_path: Path) -> None:
    hashing.build(tmp_path / "points", graphs=hashing.GRAPHS[1:])
    assert runtime.load(tmp_path / "points").maker != task.maker == runtime.load(task.folder).maker

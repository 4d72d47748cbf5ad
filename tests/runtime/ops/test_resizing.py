"""Antialiased resize: the native op against its NumPy twin and against Pillow, all bit for bit."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from runtime import ops

SIDE = st.integers(1, 70)
SIZE = st.tuples(SIDE, SIDE)
FILTER = st.sampled_from(("bicubic", "bilinear"))
CHANNELS = st.sampled_from((1, 3, 4))
SEED = st.integers(0, 99)
needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the native ops are not built: pip install -e .")


def draw(size: tuple[int, int], channels: int, seed: int) -> np.ndarray:
    """Noise or black and white, which overshoots under the bicubic filter."""
    found = np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)
    return np.where(found > 127, 255, 0).astype(np.uint8) if seed % 2 else found


def pillow(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Channel by channel: of four channels Pillow would multiply by the last, if it took it for alpha."""
    method = Image.Resampling.BICUBIC if interpolation == "bicubic" else Image.Resampling.BILINEAR
    planes = [Image.fromarray(np.ascontiguousarray(image[:, :, c])).resize(size[::-1], method) for c in range(image.shape[2])]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


@needs_native
@settings(max_examples=150, deadline=None)
@given(SIZE, SIZE, CHANNELS, FILTER, SEED, st.data())
def test_the_native_op_equals_its_twin_in_any_window(
    before: tuple[int, int], after: tuple[int, int], channels: int, interpolation: str, seed: int, data: st.DataObject
) -> None:
    image = draw(before, channels, seed)
    top, left = data.draw(st.integers(0, after[0] - 1)), data.draw(st.integers(0, after[1] - 1))
    window = (top, left, data.draw(st.integers(1, after[0] - top)), data.draw(st.integers(1, after[1] - left)))
    twin = ops.resize_numpy(image, after, interpolation, window)
    np.testing.assert_array_equal(ops.resize(image, after, interpolation, window), twin)


@settings(max_examples=100, deadline=None)
@given(SIZE, SIZE, CHANNELS, FILTER, SEED)
def test_the_result_is_pillows_horizontal_pass_and_then_its_vertical_pass(
    before: tuple[int, int], after: tuple[int, int], channels: int, interpolation: str, seed: int
) -> None:
    image = draw(before, channels, seed)
    narrow = pillow(image, (before[0], after[1]), interpolation)
    np.testing.assert_array_equal(ops.resize(image, after, interpolation), pillow(narrow, after, interpolation))


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) > 12, reason="from version 13 on Pillow may take the vertical pass first")
@settings(max_examples=100, deadline=None)
@given(SIZE, SIZE, CHANNELS, FILTER, SEED)
def test_the_result_is_that_of_pillow_up_to_version_12(
    before: tuple[int, int], after: tuple[int, int], channels: int, interpolation: str, seed: int
) -> None:
    image = draw(before, channels, seed)
    np.testing.assert_array_equal(ops.resize(image, after, interpolation), pillow(image, after, interpolation))


@settings(max_examples=60, deadline=None)
@given(SIZE, SIZE, FILTER, SEED, st.data())
def test_a_window_is_that_part_of_the_whole(
    before: tuple[int, int], after: tuple[int, int], interpolation: str, seed: int, data: st.DataObject
) -> None:
    image = draw(before, 3, seed)
    top, left = data.draw(st.integers(0, after[0] - 1)), data.draw(st.integers(0, after[1] - 1))
    height, width = data.draw(st.integers(1, after[0] - top)), data.draw(st.integers(1, after[1] - left))
    whole = ops.resize(image, after, interpolation)[top : top + height, left : left + width]
    np.testing.assert_array_equal(ops.resize(image, after, interpolation, (top, left, height, width)), whole)


def test_a_flat_image_stays_flat_and_the_same_size_changes_nothing() -> None:
    flat = np.full((13, 9, 3), 200, np.uint8)
    assert (ops.resize(flat, (31, 5)) == 200).all()
    image = draw((13, 9), 3, 0)
    np.testing.assert_array_equal(ops.resize(image, (13, 9)), image)


def test_views_that_are_not_contiguous_give_what_their_copies_give() -> None:
    image = draw((40, 50), 3, 0)[::-2, 1::3, ::-1]
    np.testing.assert_array_equal(ops.resize(image, (11, 17)), ops.resize(np.ascontiguousarray(image), (11, 17)))


def test_threads_get_what_one_thread_gets() -> None:
    images = [draw((60, 40), 3, seed) for seed in range(16)]
    alone = [ops.resize(image, (21, 33)) for image in images]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda image: ops.resize(image, (21, 33)), images))
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("image", "size", "interpolation", "window", "sentence"),
    [
        (np.zeros((0, 4, 3), np.uint8), (2, 2), "bicubic", None, "not empty"),
        (np.zeros((4, 4), np.uint8), (2, 2), "bicubic", None, r"expected uint8 \(h, w, c\)"),
        (np.zeros((4, 4, 3)), (2, 2), "bicubic", None, "type float64"),
        (np.zeros((4, 4, 3), np.uint8), (0, 2), "bicubic", None, "at least 1"),
        (np.zeros((4, 4, 3), np.uint8), (2, 2), "nearest", None, "bicubic or bilinear"),
        (np.zeros((4, 4, 3), np.uint8), (2, 2), "bicubic", (1, 0, 2, 2), "inside the resized image"),
        (np.zeros((4, 4, 3), np.uint8), (2, 2), "bicubic", (0, -1, 1, 1), "inside the resized image"),
        (np.zeros((4, 4, 3), np.uint8), (2, 2), "bicubic", (0, 0, 0, 1), "inside the resized image"),
    ],
)
def test_what_cannot_be_resized_is_refused_by_a_sentence(
    image: np.ndarray, size: tuple[int, int], interpolation: str, window: ops.Window | None, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        ops.resize(image, size, interpolation, window)

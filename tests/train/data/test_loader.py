"""Batches are compared with each other: another start, world size, storage or way to ask must give the same pixels."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from runtime.prepare import Geometry, UnreadableImage, fit
from train.data import draws
from train.data.augment import AUGMENTS, rrc_box
from train.data.loader import batches, view, views
from train.data.split import Split

SQUARE = Geometry((16, 16))


class Noise:
    """A source of different images, all 20 wide and 24 high."""

    def read(self, row: int) -> np.ndarray:
        return np.random.default_rng(row).integers(0, 256, (24, 20, 3), np.uint8)

    def name(self, row: int) -> str:
        return f"noise {row}"


class Torn(Noise):
    def read(self, row: int) -> np.ndarray:
        if row == 7:
            raise UnreadableImage(f"{self.name(row)} cannot be read as an image.")
        return super().read(row)


def noise(count: int, source: Noise | None = None) -> Split:
    return Split(np.arange(count) % 3, source or Noise(), np.arange(count))


def take(count: int, *args: Any, **kwargs: Any) -> list[dict[str, Tensor]]:
    return list(islice(batches(*args, **kwargs), count))


def same(one: list[dict[str, Tensor]], other: list[dict[str, Tensor]]) -> bool:
    return all(
        torch.equal(a[name], b[name]) for a, b in zip(one, other, strict=True) for name in ("image", "label", "index", "view")
    )


@pytest.mark.parametrize("augment", AUGMENTS)
@pytest.mark.parametrize("count", [0, 3])
def test_a_later_start_gives_what_an_unbroken_run_sees(augment: str, count: int) -> None:
    options: dict[str, Any] = {"augment": augment, "views": count, "seed": 5}
    for split in (noise(10), noise(10).in_memory(SQUARE)):
        whole = take(7, split, SQUARE, 4, **options)
        assert same(whole[3:], take(4, split, SQUARE, 4, start=3, **options))
        other = take(7, split, SQUARE, 4, augment=augment, views=count, seed=6)
        assert [batch["index"].tolist() for batch in whole] != [batch["index"].tolist() for batch in other]


@pytest.mark.parametrize("augment", AUGMENTS)
def test_the_shares_of_all_processes_make_the_global_batch(augment: str) -> None:
    split = noise(10)
    whole = take(4, split, SQUARE, 6, augment=augment)
    shares = [take(4, split, SQUARE, 6, augment=augment, rank=rank, world=3) for rank in range(3)]
    joined = [{name: torch.cat([share[step][name] for share in shares]) for name in whole[0]} for step in range(4)]
    assert same(whole, joined)


@pytest.mark.parametrize("augment", ["none", "flip", "shift", "crop"])
def test_memory_gives_what_reading_gives(augment: str) -> None:
    split = noise(10)
    held = split.in_memory(SQUARE)
    assert same(take(5, split, SQUARE, 4, augment=augment), take(5, held, SQUARE, 4, augment=augment))
    part = [8, 1, 5]
    assert same(take(2, split.select(part), SQUARE, 3, augment=augment), take(2, held.select(part), SQUARE, 3, augment=augment))


@pytest.mark.parametrize("augment", AUGMENTS)
def test_views_are_the_pixels_that_batches_yield(augment: str) -> None:
    for split in (noise(10), noise(10).in_memory(SQUARE)):
        for batch in take(6, split, SQUARE, 5, augment=augment, views=2, seed=9):
            again = views(split, SQUARE, batch["index"].numpy(), batch["view"].numpy(), augment=augment)
            np.testing.assert_array_equal(batch["image"].numpy(), again)
            one = view(split, SQUARE, int(batch["index"][3]), int(batch["view"][3]), augment=augment)
            np.testing.assert_array_equal(one, again[3])


def test_every_image_is_seen_once_an_epoch_and_every_view_in_as_many_epochs() -> None:
    seen = take(15, noise(12), SQUARE, 4, augment="crop", views=5)
    index = torch.cat([batch["index"] for batch in seen]).reshape(5, 12)
    number = torch.cat([batch["view"] for batch in seen]).reshape(5, 12)
    for epoch in index:
        assert sorted(epoch.tolist()) == list(range(12))
    assert index[0].tolist() != index[1].tolist()
    pairs = set(zip(index.flatten().tolist(), number.flatten().tolist(), strict=True))
    assert len(pairs) == 60


def test_a_set_smaller_than_the_batch_is_repeated_and_labels_follow() -> None:
    (batch,) = take(1, noise(3), SQUARE, 8)
    assert sorted(batch["index"][:3].tolist()) == sorted(batch["index"][3:6].tolist()) == [0, 1, 2]
    assert batch["label"].tolist() == (batch["index"] % 3).tolist()
    assert set(batch["view"].tolist()) == {-1}
    assert batch["image"].dtype == torch.uint8 and batch["image"].shape == (8, 3, 16, 16)


def test_without_augmentation_the_image_is_the_fitted_one() -> None:
    split = noise(4)
    (batch,) = take(1, split, SQUARE, 4)
    for image, index in zip(batch["image"], batch["index"], strict=True):
        np.testing.assert_array_equal(image.numpy().transpose(1, 2, 0), fit(split.read(int(index)), SQUARE))


def test_a_crop_lies_in_the_reflected_image_and_half_are_mirrored() -> None:
    pixels = noise(1).in_memory(SQUARE)
    assert pixels.pixels is not None
    padded = np.pad(pixels.pixels[0], ((0, 0), (2, 2), (2, 2)), mode="reflect")
    cuts = {padded[:, top : top + 16, left : left + 16].tobytes(): (top, left) for top in range(5) for left in range(5)}
    found, mirrored = set(), 0
    many = views(pixels, SQUARE, [0] * 400, range(400), augment="crop")
    for image in many:
        turned = np.ascontiguousarray(image[:, :, ::-1])
        mirrored += turned.tobytes() in cuts
        found.add(cuts.get(image.tobytes()) or cuts[turned.tobytes()])
    assert len(found) == 25
    assert 150 < mirrored < 250


def test_random_parts_fill_the_scale_and_stay_inside() -> None:
    boxes = [rrc_box(key, 40, 30, (0.3, 0.9)) for key in draws.key(1, np.arange(500))]
    area = [h * w / 1200 for _, _, h, w in boxes]
    assert all(0 <= top <= 40 - h and 0 <= left <= 30 - w for top, left, h, w in boxes)
    assert 0.27 < min(area) < 0.35 and 0.8 < max(area) < 0.93
    assert all(0.7 < w / h < 1.4 for _, _, h, w in boxes)
    assert rrc_box(draws.key(np.arange(1, 2))[0], 400, 10, (0.9, 1.0)) == (
        193,
        0,
        13,
        10,
    )  # nothing fits: the centre, at the narrowest shape


def test_an_unreadable_image_stops_the_batches_and_is_named() -> None:
    with pytest.raises(UnreadableImage, match="noise 7"):
        take(9, noise(10, Torn()), SQUARE, 2)


def test_wrong_arguments_are_refused() -> None:
    for words, options in (
        ("no augmentation 'turn'", {"augment": "turn"}),
        ("cannot be shared by 3", {"world": 3}),
        ("0 < low <= high", {"augment": "rrc", "scale": (0.5, 0.1)}),
    ):
        with pytest.raises(ValueError, match=words):
            batches(noise(4), SQUARE, 4, **options)
    with pytest.raises(ValueError, match="no images"):
        batches(noise(0), SQUARE, 4)
    with pytest.raises(ValueError, match="Prepare them again"):
        batches(noise(4).in_memory(SQUARE), Geometry((8, 8)), 4)


def test_draws_are_even_and_differ_by_key() -> None:
    numbers = draws.uniforms(draws.key(3, np.arange(20_000)), 4)
    assert np.abs(numbers.mean(0) - 0.5).max() < 0.01
    assert np.abs(numbers.var(0) - 1 / 12).max() < 0.003
    assert np.abs(np.corrcoef(numbers.T) - np.eye(4)).max() < 0.03
    assert len(np.unique(draws.key(np.arange(100)[:, None], np.arange(100)))) == 10_000
    assert sorted(draws.permutation(50, 1, 2).tolist()) == list(range(50))

"""Changes of colour and place against slow formulas row by row, and against doing nothing where nothing is drawn."""

from __future__ import annotations

import math

import pytest
import torch

from train.data.photometric import GREY, JITTER, blur, flip, jitter, noise, rotate

STRENGTH = (0.4, 0.4, 0.4, 0.1)


def images(seed: int = 0, n: int = 3) -> torch.Tensor:
    return 0.3 + 0.4 * torch.rand(n, 3, 12, 10, generator=torch.Generator().manual_seed(seed))


def numbers(n: int, count: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(n, count, generator=torch.Generator().manual_seed(seed))


def grey(image: torch.Tensor) -> torch.Tensor:
    return (image * torch.tensor(GREY)[:, None, None]).sum(0)


def slowly(image: torch.Tensor, drawn: list[float], strength: tuple[float, float, float]) -> torch.Tensor:
    """Brightness, contrast and saturation one after the other, as torchvision's documentation has them."""
    factor = [1 + strength[at] * (2 * drawn[1 + at] - 1) for at in range(3)]
    for what in sorted(range(4), key=lambda at: drawn[5 + at]):
        if what == 0:
            image = factor[0] * image
        elif what == 1:
            image = factor[1] * image + (1 - factor[1]) * grey(image).mean()
        elif what == 2:
            image = factor[2] * image + (1 - factor[2]) * grey(image)
    return image


def test_one_map_of_colours_is_the_three_changes_in_their_order() -> None:
    batch, drawn = images(n=8), numbers(8, JITTER)
    found = jitter(batch, drawn, (0.2, 0.2, 0.2, 0.0), 1.0)
    for row, image in enumerate(batch):
        torch.testing.assert_close(found[row], slowly(image, drawn[row].tolist(), (0.2, 0.2, 0.2)).clamp(0, 1), atol=1e-5, rtol=0)


def test_a_turn_of_hue_leaves_grey_and_back_again_is_the_image() -> None:
    batch = images()
    drawn = torch.full((3, JITTER), 0.5)
    drawn[:, 4] = torch.tensor([1.0, 0.75, 0.25])
    there = jitter(batch, drawn, (0.0, 0.0, 0.0, 0.05), 1.0)
    assert not torch.allclose(there, batch, atol=1e-2)
    for one, other in zip(there, batch, strict=True):
        torch.testing.assert_close(grey(one), grey(other), atol=1e-3, rtol=0)
    drawn[:, 4] = 1 - drawn[:, 4]
    torch.testing.assert_close(jitter(there, drawn, (0.0, 0.0, 0.0, 0.05), 1.0), batch, atol=1e-3, rtol=0)


def test_blur_is_the_gaussian_and_its_mean() -> None:
    spike = torch.zeros(1, 3, 21, 21)
    spike[:, :, 10, 10] = 1
    found = blur(spike, torch.tensor([[0.0, 0.5]]), (1.0, 2.0), 0.5)  # sigma 1.5
    assert float(found[0, 0].sum()) == pytest.approx(1, abs=1e-5)
    assert float(found[0, 0, 10, 12] / found[0, 0, 10, 10]) == pytest.approx(math.exp(-4 / (2 * 1.5**2)), rel=1e-4)
    assert float(found[0, 0, 12, 12] / found[0, 0, 10, 10]) == pytest.approx(math.exp(-8 / (2 * 1.5**2)), rel=1e-4)


def test_each_row_is_blurred_by_its_own_sigma() -> None:
    batch, drawn = images(), torch.tensor([[0.9, 0.1], [0.1, 0.2], [0.2, 0.9]])
    found = blur(batch, drawn, (0.1, 2.0), 0.5)
    assert torch.equal(found[0], batch[0])
    for row in (1, 2):
        torch.testing.assert_close(found[row : row + 1], blur(batch[row : row + 1], drawn[row : row + 1], (0.1, 2.0), 0.5))
    assert found[2].var() < found[1].var() < batch[1].var()


def test_a_rotation_by_a_quarter_is_torchs() -> None:
    square = images()[:, :, :10]
    found = rotate(square, torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.9, 1.0]]), 90.0, 0.5)
    torch.testing.assert_close(found[0], square[0].rot90(1, (1, 2)), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], square[1].rot90(-1, (1, 2)), atol=1e-4, rtol=0)
    assert torch.equal(found[2], square[2])


def test_a_turned_constant_stays_constant_up_to_its_corners() -> None:
    flat = torch.full((2, 3, 9, 17), 0.4)
    torch.testing.assert_close(rotate(flat, torch.tensor([[0.0, 0.8], [0.0, 0.1]]), 30.0, 1.0), flat)


def test_flips_and_noise_are_of_their_rows() -> None:
    batch, drawn = images(), torch.tensor([0.2, 0.7, 0.4])
    found = flip(batch, drawn, 3)
    assert torch.equal(found[0], batch[0].flip(2)) and torch.equal(found[1], batch[1])
    assert torch.equal(flip(batch, drawn, 2)[2], batch[2].flip(1))
    noisy = noise(batch, drawn, 0.1, 0.5)
    assert torch.equal(noisy[1], batch[1]) and 0.07 < float((noisy[0] - batch[0]).std()) < 0.13


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2)])
def test_the_smallest_images_pass(shape: tuple[int, int]) -> None:
    batch = torch.rand(2, 3, *shape)
    drawn = torch.zeros(2, JITTER)
    for found in (
        jitter(batch, drawn, STRENGTH, 1.0),
        blur(batch, drawn[:, :2], (0.1, 2.0), 1.0),
        rotate(batch, drawn[:, :2], 30.0, 1.0),
        noise(batch, drawn[:, 0], 0.1, 1.0),
    ):
        assert found.shape == batch.shape and bool(found.isfinite().all())

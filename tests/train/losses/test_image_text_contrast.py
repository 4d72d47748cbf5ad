"""CLIP's contrast is compared with its sums written out, with torch's cross-entropy where captions differ, and with itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from train.losses.image_text_contrast import image_text_contrast


def rows(n: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(n, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


def written_out(image: Tensor, text: Tensor, scale: float, caption: list[int]) -> float:
    """Both directions, each the mean over rows of minus the mean log-probability of the row's positives."""
    n, total = len(caption), 0.0
    for one, other in ((image, text), (text, image)):
        for i in range(n):
            score = [scale * sum(a * b for a, b in zip(one[i].tolist(), other[j].tolist(), strict=True)) for j in range(n)]
            log_sum = math.log(sum(math.exp(value) for value in score))
            positives = [score[j] - log_sum for j in range(n) if caption[j] == caption[i]]
            total -= sum(positives) / len(positives) / n
    return total / 2


@pytest.mark.parametrize("caption", [[0, 1, 2, 3, 4], [3, 1, 3, 3, 1], [7, 7, 7, 7, 7]])
def test_equals_the_formula_written_out(caption: list[int]) -> None:
    image, text = rows(5, 0), rows(5, 1)[torch.tensor(caption).unique(return_inverse=True)[1]]
    value = image_text_contrast(image, text, torch.tensor(9.0, dtype=torch.float64), torch.tensor(caption))
    assert value.item() == pytest.approx(written_out(image, text, 9.0, caption), rel=1e-9)


def test_with_all_captions_different_it_is_clips_loss() -> None:
    image, text, scale = rows(5, 0), rows(5, 1), torch.tensor(20.0)
    logits, diagonal = scale * image @ text.T, torch.arange(5)
    expected = (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2
    torch.testing.assert_close(image_text_contrast(image, text, scale, diagonal), expected)


def test_two_orthogonal_pairs_by_hand() -> None:
    pairs = torch.eye(2, dtype=torch.float64)
    value = image_text_contrast(pairs, pairs, torch.tensor(1.0), torch.tensor([0, 1]))
    assert value.item() == pytest.approx(math.log(1 + math.exp(-1.0)))


def test_does_not_depend_on_the_order_of_the_pairs() -> None:
    image, text, caption, order = rows(5, 0), rows(5, 1), torch.tensor([3, 1, 4, 1, 5]), torch.randperm(5)
    text[3] = text[1]
    torch.testing.assert_close(
        image_text_contrast(image[order], text[order], torch.tensor(5.0), caption[order]),
        image_text_contrast(image, text, torch.tensor(5.0), caption),
    )


def test_images_and_texts_may_change_places() -> None:
    image, text, caption = rows(4, 0), rows(4, 1), torch.arange(4)
    scale = torch.tensor(5.0)
    torch.testing.assert_close(image_text_contrast(image, text, scale, caption), image_text_contrast(text, image, scale, caption))

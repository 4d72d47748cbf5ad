"""Masks, fusion and the masked decoder: counts, shapes, and what depends on what."""

from __future__ import annotations

import pytest
import torch

from train.blocks.fusion import CrossAttention, Fusion
from train.blocks.masked_decoder import MaskedDecoder
from train.blocks.masking import pick, split


@pytest.mark.parametrize(("masked", "hidden"), [(0.6, 6), (0.75, 7), (0.05, 0), (0.99, 9)])
def test_the_highest_scores_are_masked_and_places_ascend(masked: float, hidden: int) -> None:
    torch.manual_seed(0)
    scores = torch.rand(4, 10)
    kept, gone = split(scores, masked)
    assert gone.shape == (4, hidden) and kept.shape == (4, 10 - hidden)
    for row in range(4):
        assert sorted([*kept[row].tolist(), *gone[row].tolist()]) == list(range(10))
        assert kept[row].tolist() == sorted(kept[row].tolist()) and gone[row].tolist() == sorted(gone[row].tolist())
        if hidden:
            assert scores[row, kept[row]].max() < scores[row, gone[row]].min()


def test_pick_takes_rows_of_any_further_shape() -> None:
    tokens = torch.arange(2 * 5 * 3 * 2).reshape(2, 5, 3, 2)
    found = pick(tokens, torch.tensor([[4, 0], [1, 1]]))
    assert torch.equal(found, torch.stack([tokens[0, [4, 0]], tokens[1, [1, 1]]]))


def test_cross_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    layer = CrossAttention(8, 2)
    tokens, context = torch.randn(3, 4, 8), torch.randn(3, 6, 8)
    query, (key, value) = layer.query(tokens), layer.key_value(context).chunk(2, 2)
    parts = []
    for head in (slice(0, 4), slice(4, 8)):
        weight = torch.softmax(query[..., head] @ key[..., head].transpose(1, 2) / 2, -1)
        parts.append(weight @ value[..., head])
    assert torch.allclose(layer(tokens, context), layer.out_proj(torch.cat(parts, 2)), atol=1e-5)


def test_in_the_fusion_each_modality_sees_the_other() -> None:
    torch.manual_seed(0)
    fusion = Fusion(8, 2, 2)
    first, second = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    one, other = fusion(first, second)
    assert one.shape == first.shape and other.shape == second.shape
    changed, _ = fusion(first, second + 1 * torch.eye(5, 8))
    assert not torch.allclose(one, changed)
    _, changed = fusion(first + 1 * torch.eye(3, 8), second)
    assert not torch.allclose(other, changed)


def test_the_decoder_tells_masked_tokens_by_their_places() -> None:
    torch.manual_seed(0)
    decoder = MaskedDecoder(8, 12, 2, 1, 5)
    seen, seen_places, places = torch.randn(2, 3, 8), torch.randn(2, 3, 12), torch.randn(2, 4, 12)
    told = decoder(seen, seen_places, places)
    assert told.shape == (2, 4, 5)
    assert torch.allclose(decoder(seen, seen_places, places.flip(1)), told.flip(1), atol=1e-5)

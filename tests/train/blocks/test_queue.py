"""The queue against a plain list from which the oldest rows are dropped."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from train.blocks.queue import Queue


def keys(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None].expand(-1, 2).clone()


def test_it_starts_with_different_unit_rows() -> None:
    queue = Queue(5, 8, torch.Generator().manual_seed(0))
    assert torch.allclose(queue().norm(dim=1), torch.ones(5))
    assert len(queue().unique(dim=0)) == 5


def test_overwrites_the_oldest_rows_and_wraps() -> None:
    queue = Queue(5, 2)
    for batch in (keys(1, 2, 3), keys(4, 5, 6), keys(7)):  # the second wraps: no divisor of the queue's length is needed
        queue.enqueue(batch)
    assert queue()[:, 0].tolist() == [6, 7, 3, 4, 5]
    assert int(queue.place) == 2


@pytest.mark.parametrize("count", [1, 4, 5, 6, 11, 12])
def test_of_any_batch_the_last_keys_stay(count: int) -> None:
    queue, said = Queue(5, 2), [*range(1, 4)]
    queue.enqueue(keys(*said))
    said += range(10, 10 + count)
    queue.enqueue(keys(*said[3:]))
    wanted = said[-5:]
    held = queue()[:, 0].tolist()
    assert set(wanted) <= set(held)
    assert int(queue.place) == len(said) % 5
    if len(said) >= 5:  # the oldest stands where the next is written
        assert held[int(queue.place) :] + held[: int(queue.place)] == wanted


def test_what_was_read_does_not_change_and_can_be_differentiated_through() -> None:
    queue = Queue(4, 2)
    query = F.normalize(torch.randn(3, 2), dim=1).requires_grad_()
    before = queue()
    loss = (query @ before.T).square().sum()
    queue.enqueue(keys(1, 2, 3))
    loss.backward()
    assert query.grad is not None and not torch.equal(before, queue())


def test_rows_and_place_are_saved() -> None:
    queue, other = Queue(4, 2), Queue(4, 2)
    queue.enqueue(keys(1, 2, 3))
    other.load_state_dict(queue.state_dict())
    other.enqueue(keys(4, 5))
    queue.enqueue(keys(4, 5))
    assert torch.equal(queue(), other()) and torch.equal(queue.place, other.place)


def test_an_empty_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        Queue(0, 2)

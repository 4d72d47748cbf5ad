"""Episodes against what an episode is: so many classes, so many images of each, none of them twice, the same at every call."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.episodes import Episodes

LABELS = np.repeat(np.arange(7), 9)[np.random.default_rng(0).permutation(63)]


@given(st.integers(0, 10**6), st.integers(0, 99), st.integers(2, 7), st.integers(1, 4), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_an_episode_has_its_classes_and_no_image_twice(number: int, seed: int, ways: int, shots: int, queries: int) -> None:
    found = Episodes(LABELS, ways=ways, shots=shots, queries=queries, seed=seed).draw(number)
    assert found.support.shape == (ways, shots) and found.query.shape == (ways, queries)
    assert len(set(found.classes.tolist())) == ways
    assert (LABELS[found.support] == found.classes[:, None]).all() and (LABELS[found.query] == found.classes[:, None]).all()
    everything = np.concatenate([found.support.ravel(), found.query.ravel()])
    assert len(set(everything.tolist())) == len(everything)


def test_an_episode_is_a_function_of_seed_and_number() -> None:
    one, other = (Episodes(LABELS, ways=3, shots=2, queries=2, seed=5) for _ in range(2))
    for _ in range(3):
        one.draw(1)
    assert np.array_equal(one.draw(9).query, other.draw(9).query)
    assert not np.array_equal(one.draw(9).query, one.draw(10).query)
    assert not np.array_equal(one.draw(9).query, Episodes(LABELS, ways=3, shots=2, queries=2, seed=6).draw(9).query)


def test_more_shots_add_images_and_keep_those_there_were() -> None:
    few, many = (Episodes(LABELS, ways=3, shots=shots, queries=2, seed=0).draw(4) for shots in (1, 3))
    assert np.array_equal(few.classes, many.classes) and np.array_equal(few.support[:, 0], many.support[:, 0])


def test_unlabelled_images_are_left_out() -> None:
    labels = np.array([-1, -1, -1, 0, 0, 1, 1])
    found = Episodes(labels, ways=2, shots=1, queries=1, seed=0)
    assert all((found.draw(number).query >= 3).all() for number in range(20))


def test_every_class_and_image_is_asked_for() -> None:
    sampler = Episodes(LABELS, ways=2, shots=1, queries=1, seed=0)
    seen = np.concatenate([sampler.draw(number).query.ravel() for number in range(600)])
    assert set(seen.tolist()) == set(range(63))
    assert np.bincount(LABELS[seen]).min() > 120  # of 1,200 in 7 classes


def test_what_cannot_be_asked_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="8-way episodes were asked for, and the data has 7 classes"):
        Episodes(LABELS, ways=8, shots=1, queries=1, seed=0)
    with pytest.raises(ValueError, match="the class 'elk' has 9 images, and an episode takes 5 shots and 5 queries"):
        Episodes(LABELS, ways=2, shots=5, queries=5, seed=0, names=("elk", *"abcdef"))
    with pytest.raises(ValueError, match="expected at least 2, 1 and 1"):
        Episodes(LABELS, ways=1, shots=1, queries=1, seed=0)

"""Parts of the embedded set against one another and against themselves drawn again."""

import numpy as np
import pytest

from train.data.cad import FAMILIES, UNSEEN
from train.data.shapes3d import Drawn, ShapeSets, open_shapes


def small(seed: int = 0) -> ShapeSets:
    return open_shapes(None, seed=seed, size=24, points=64, views=2, train=2, val=1, test=2)


def test_the_embedded_set_opens_without_a_path() -> None:
    sets = open_shapes(None, seed=0)
    known = len(FAMILIES) - len(UNSEEN)
    assert np.bincount(sets.train.labels).tolist() == [96] * known
    assert (len(sets.val), len(sets.test)) == (8 * known, 24 * known)
    assert sets.train.families[known:] == tuple(sorted(UNSEEN)) and set(sets.train.families) == set(FAMILIES)


def test_no_thing_is_in_two_parts_and_no_unseen_family_in_training() -> None:
    sets = open_shapes(None, seed=0)
    assert sets.conditions is not None and sets.unseen is not None
    seen: set[tuple[str, int]] = set()
    for part in (sets.train, sets.val, sets.test, sets.unseen):
        assert isinstance(part.source, Drawn)
        things = set(zip(part.source.families, part.source.seeds, strict=True))
        assert len(things) == len(part) and not things & seen
        seen |= things
        unseen = {part.families[label] in UNSEEN for label in part.labels}
        assert unseen == {part is sets.unseen}
    assert len(set(sets.train.names + sets.val.names + sets.test.names + sets.unseen.names)) == len(seen)
    assert isinstance(sets.conditions.source, Drawn) and isinstance(sets.test.source, Drawn)
    assert sets.conditions.source.seeds == sets.test.source.seeds


def test_labels_and_names_say_the_family_that_is_drawn() -> None:
    sets = small()
    for part in (sets.train, sets.unseen):
        assert part is not None and isinstance(part.source, Drawn)
        for index, name in enumerate(part.names):
            assert name.startswith(part.families[part.labels[index]] + "/")
            assert part.source.families[part.rows[index]] == part.families[part.labels[index]]


def test_clouds_are_normalised_and_pictures_have_their_size() -> None:
    sets = small()
    cloud, image = sets.train.cloud(3), sets.train.image(3, 1)
    assert cloud.shape == (64, 3) and cloud.dtype == np.float32
    np.testing.assert_allclose(cloud.mean(0), 0, atol=1e-6)
    assert np.linalg.norm(cloud, axis=1).max() == pytest.approx(1, abs=1e-6)
    assert image.shape == (24, 24, 3) and image.dtype == np.uint8
    with pytest.raises(IndexError, match="each thing has 2"):
        sets.train.image(3, 2)


def test_a_thing_is_a_function_of_seed_part_row_and_view() -> None:
    sets, again, other = small(), small(), small(1)
    np.testing.assert_array_equal(sets.train.cloud(5), again.train.cloud(5))
    np.testing.assert_array_equal(sets.train.image(5, 1), again.train.image(5, 1))
    np.testing.assert_array_equal(sets.test.image(5, 1), other.test.image(5, 1))
    assert not np.array_equal(sets.train.cloud(5), other.train.cloud(5))
    assert not np.array_equal(sets.train.image(5, 0), sets.train.image(5, 1))
    assert sets.conditions is not None
    np.testing.assert_array_equal(sets.conditions.cloud(5), sets.test.cloud(5))
    assert not np.array_equal(sets.conditions.image(5, 1), sets.test.image(5, 1))


def test_memory_holds_what_is_drawn_with_any_number_of_workers() -> None:
    part = small().train.select([4, 1, 9])
    held = part.in_memory(workers=1)
    both = part.in_memory(workers=3)
    assert part.clouds is None and part.images is None
    assert held.clouds is not None and held.images is not None and both.clouds is not None and both.images is not None
    np.testing.assert_array_equal(held.clouds, both.clouds)
    np.testing.assert_array_equal(held.images, both.images)
    np.testing.assert_array_equal(held.clouds[2], part.cloud(2))
    np.testing.assert_array_equal(held.images[2, 1], part.image(2, 1))
    assert held.names == part.names and held.in_memory() is held
    assert np.shares_memory(held.clouds, held.clouds) and np.shares_memory(held.images, held.images)
    chosen = held.select([2, 0])
    np.testing.assert_array_equal(chosen.cloud(0), part.cloud(2))
    assert chosen.images is not None and chosen.images.shape == (2, 2, 24, 24, 3)
    assert part.in_memory(limit=1000) is part


def test_halves_share_no_thing_and_both_have_every_family() -> None:
    unseen = small().unseen
    assert unseen is not None
    queries, database = unseen.halves()
    assert set(queries.names).isdisjoint(database.names) and len(queries) + len(database) == len(unseen)
    assert set(queries.labels) == set(database.labels) == set(unseen.labels)


def test_all_families_can_be_trained_on_and_unknown_ones_are_refused() -> None:
    sets = open_shapes(None, seed=0, train=1, val=1, test=1, unseen=())
    assert sets.unseen is None and len(sets.train) == len(FAMILIES)
    with pytest.raises(ValueError, match="no family 'sphinx' to hold back"):
        open_shapes(None, seed=0, unseen=["sphinx"])
    with pytest.raises(ValueError, match="at least 1 of each"):
        open_shapes(None, seed=0, val=0)
    with pytest.raises(ValueError, match="points=0"):
        open_shapes(None, seed=0, points=0)

"""Scenes are compared with their captions and labels, and with themselves drawn again."""

import numpy as np
import pytest

from train.data.images import open_images
from train.data.scenes import EVERY, RELATIONS, Scenes, caption_corpus, compositions, open_scenes
from train.data.shapes import COLOURS
from train.data.split import Split
from train.data.templates import COOP


def small(seed: int = 0) -> tuple[Split, Split, Split]:
    data = open_scenes(seed=seed, train=2, val=1, test=1)
    return data.train, data.val, data.test


def scenes_of(split: Split) -> Scenes:
    assert isinstance(split.source, Scenes)
    return split.source


def test_an_image_is_a_function_of_seed_part_and_row() -> None:
    train, val, test = small()
    again, _, _ = small()
    other, _, test_of_other = small(seed=1)
    for row in (5, 0, 5):
        np.testing.assert_array_equal(train.read(row), again.read(row))
    assert not np.array_equal(train.read(3), other.read(3))
    assert not np.array_equal(train.read(3), val.read(3))
    np.testing.assert_array_equal(test.read(3), test_of_other.read(3))
    assert train.captions == again.captions != other.captions
    assert train.read(0).shape == (48, 48, 3) and train.read(0).dtype == np.uint8


def test_new_compositions_are_made_of_what_base_ones_show() -> None:
    for base, new in ((64, 32), (16, 8), (40, 0)):
        known, unseen = compositions(base, new)
        assert (len(set(known)), len(set(unseen)), set(known) & set(unseen)) == (base, new, set())
        for part in ("object", "colour", "texture"):
            assert {getattr(item, part) for item in unseen} <= {getattr(item, part) for item in known}
    assert len({item.name for item in EVERY}) == len(EVERY)


def test_the_embedded_data_opens_without_a_path() -> None:
    data = open_images(None, seed=0)
    assert (len(data.classes), len(data.base), len(data.new)) == (96, 64, 32)
    assert min(len(data.train), len(data.val), len(data.test)) > 1000
    assert np.bincount(data.train.labels).tolist() == [128] * 96
    captions = data.train.captions
    assert captions is not None
    for label, text in zip(data.train.labels, captions, strict=True):
        assert data.classes[label] in text


def test_new_classes_never_stand_beside() -> None:
    data = open_scenes(seed=0, train=20, val=1, test=1)
    unseen = {data.classes[label] for label in data.new}
    for row, scene in enumerate(scenes_of(data.train).scenes):
        assert scene.second is None or scene.second.name not in unseen
        assert (scene.main.name in unseen) == (data.train.labels[row] in data.new)


def test_a_corpus_shows_nothing_that_is_excluded() -> None:
    unseen = {item.name for item in compositions()[1]}
    corpus = caption_corpus(2000, seed=0, exclude=unseen)
    assert corpus.captions is not None
    for scene, text in zip(scenes_of(corpus).scenes, corpus.captions, strict=True):
        assert scene.main.name not in unseen and (scene.second is None or scene.second.name not in unseen)
        assert not any(name in text for name in unseen)
    assert len({scene.main for scene in scenes_of(corpus).scenes}) == len(EVERY) - len(unseen)
    with pytest.raises(ValueError, match="not the name of a composition"):
        caption_corpus(1, seed=0, exclude=["red mug"])


def test_captions_say_where_things_are() -> None:
    corpus = caption_corpus(600, seed=0)
    assert corpus.captions is not None
    said = set()
    for scene, text in zip(scenes_of(corpus).scenes, corpus.captions, strict=True):
        relation, inverse, place = RELATIONS[scene.relation]
        if scene.second is None:
            assert not any(word in text for word in ("left", "right", "above", "below"))
            continue
        assert scene.second.object in text and scene.second.colour in text
        first = (
            text.index(scene.main.name) < text.index(scene.second.object) if scene.second.object != scene.main.object else True
        )
        said.add((scene.relation, first))
        assert (relation if relation in text else inverse if inverse in text else place) in text
    assert len(said) == 8


def test_things_are_where_and_what_the_scene_says() -> None:
    corpus = caption_corpus(400, seed=3, size=64)
    right = total = 0
    for row, scene in enumerate(scenes_of(corpus).scenes):
        if scene.second is None or {scene.main.colour, scene.second.colour} != {"red", "green"}:
            continue
        image = corpus.read(row).astype(float)
        red = np.clip(image[:, :, 0] - image[:, :, 1:].max(2) - 50, 0, None)
        green = np.clip(image[:, :, 1] - image[:, :, ::2].max(2) - 25, 0, None)
        if red.sum() < 500 or green.sum() < 500:
            continue
        main, second = (red, green) if scene.main.colour == "red" else (green, red)
        axis = 0 if scene.relation < 2 else 1
        line = np.arange(64)
        at = [(part.sum(axis) * line).sum() / part.sum() for part in (main, second)]
        right += (at[0] < at[1]) == (scene.relation in (0, 2))
        total += 1
    assert total >= 5
    assert right == total


def test_size_is_free_and_shows_the_same_scene() -> None:
    small_one, large = caption_corpus(4, seed=0, size=32), caption_corpus(4, seed=0, size=96)
    assert small_one.captions == large.captions
    for row in range(4):
        reduced = large.read(row).reshape(32, 3, 32, 3, 3).mean((1, 3))
        assert np.abs(reduced - small_one.read(row)).mean() < 25


def test_numbers_of_classes_are_checked() -> None:
    with pytest.raises(ValueError, match="500 base"):
        compositions(500, 0)
    assert len(COLOURS) >= 8


def test_every_coop_set_has_a_prompt_with_one_place() -> None:
    assert len(COOP) == 11
    assert all(template.count("{}") == 1 for template in COOP.values())

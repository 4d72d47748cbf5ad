"""Configurations and data that cannot work are compared with the sentence that refuses them before any training."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from train.config import override
from train.methods.comkd_clip import METHOD
from train.methods.comkd_clip.preparation import captions, open_data, prepare


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (["pretrain_epochs=0"], "there is no teacher: give teacher=PATH"),
        (["student_trains=prompts"], "student_trains=prompts needs a ready image tower: give student=PATH"),
        (["kl_weight=0", "align_weight=0"], "every loss has weight 0; give one of kl_weight, align_weight, feature_weight"),
        (["kl_weight=-1"], "a loss has a negative weight: kl_weight=-1.0"),
        (["batch=1"], "batch=1 was given; the projector's normalisation needs at least 2"),
        (["templates=a photo"], "the template 'a photo' has no {} for the class name"),
        (["templates=a {} in a photo"], "has fewer than 2 words before the class name"),
        (["base_classes=13"], "base_classes=13 was given for 12 classes; expected 1 to 12"),
        (["held_out=1"], "held_out is 1.0"),
        (["teacher_stem=8,16"], "a stem of 2 stages divides the side by 4, but patch_size=8"),
        (["image_size=30"], "patch_size=8 was given for images of 30 pixels"),
        (["vocabulary=100"], "vocabulary=100 was given; expected at least 258"),
        (["student=nowhere.pt"], "there is no student at nowhere.pt"),
        (["unlabelled=nowhere"], "nowhere"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(photos: Path, fields: list[str], said: str) -> None:
    config = override(METHOD.smoke, fields)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        METHOD.method(config, prepare(config, photos))
    assert said in str(error.value)


def test_data_that_cannot_work_is_refused(photos: Path, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.mkdir()
    with pytest.raises(ValueError, match="is empty"):
        prepare(METHOD.smoke, place)
    shutil.copytree(photos / "fox", place / "fox")
    with pytest.raises(ValueError, match="classifier needs at least two"):
        prepare(METHOD.smoke, place)
    (place / "gull").mkdir()
    with pytest.raises(ValueError, match=r"The class folder .*gull has no images"):
        prepare(METHOD.smoke, place)
    bare = tmp_path / "bare"
    shutil.copytree(photos / "fox", bare)
    with pytest.raises(ValueError, match="has 0 class"):
        prepare(METHOD.smoke, bare)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        prepare(METHOD.smoke, tmp_path / "nowhere")


def test_templates_and_base_classes_given_take_the_place_of_the_datas(photos: Path) -> None:
    data = open_data(override(METHOD.smoke, ["templates=a blurred photo of a {}.", "base_classes=3"]), photos)
    assert data.templates == ("a blurred photo of a {}.",)
    assert (data.base, data.new) == ((0, 1, 2), tuple(range(3, 12)))
    assert open_data(METHOD.smoke, photos).base == tuple(range(6))


def test_facts_say_what_the_modules_are_built_from(photos: Path) -> None:
    facts = prepare(METHOD.smoke, photos)
    assert facts["classes"][:2] == ["apple", "barn owl"] and facts["base"] == [0, 1, 2, 3, 4, 5]
    assert facts["teacher"]["prompt_length"] == 2 and facts["teacher"]["format"] == "trained here"
    assert len(facts["samples"]) == 8
    assert METHOD.method(METHOD.smoke, facts).tokenizer(["a photo of a barn owl"]).shape == (1, METHOD.smoke.text_context)


def test_images_without_captions_are_described_by_the_first_template(photos: Path) -> None:
    data = open_data(METHOD.smoke, photos)
    texts, number = captions(data)
    assert texts == tuple(data.templates[0].format(name) for name in data.classes)
    np.testing.assert_array_equal(number.numpy(), data.train.labels)


def test_equal_captions_of_scenes_share_a_number() -> None:
    data = open_data(METHOD.smoke, None)
    texts, number = captions(data)
    assert len(set(texts)) == len(texts)
    assert data.captioned is not None and data.captioned.captions is not None
    assert [texts[place] for place in number.tolist()] == list(data.captioned.captions)


def test_a_teacher_of_scenes_reads_of_no_new_class() -> None:
    data = open_data(METHOD.smoke, None)
    texts, _ = captions(data)
    assert not any(data.classes[label] in text for label in data.new for text in texts)

"""FewShotClassifier on an artifact of one convolution, against its formula in NumPy and the ops: enrolment, answers, files, refusals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import runtime
from runtime import class_file, ops
from runtime.prepare import UnreadableImage
from runtime.tasks import few_shot_classifier
from runtime.tasks.few_shot_classifier import FewShotClassifier, Recognition


@pytest.fixture
def task(enroller: Path) -> FewShotClassifier:
    found = runtime.load(enroller, threads=1, prefer=["cpu"])
    assert isinstance(found, FewShotClassifier)
    return found


@pytest.fixture
def enrolled(task: FewShotClassifier, enrolling: SimpleNamespace) -> FewShotClassifier:
    """Two photos of a mug, two of a cup."""
    photos = enrolling.images()
    task.enroll("mug", photos[:2])
    task.enroll("cup", list(photos[2:4]))
    return task


def scores(enrolling: SimpleNamespace, support: np.ndarray, query: np.ndarray, fraction: float = 0.5) -> np.ndarray:
    """Mean cosines by the formula of the graph and the ops: (n, classes); support (classes, images, 8, 8, 3)."""
    rows = np.stack([enrolling.expected(images) for images in support]).astype(np.float32)
    kept = ops.select_descriptors(rows, fraction).rows
    return ops.image_to_class(enrolling.expected(query).astype(np.float32), rows, kept) / (16 * 3)


def same(one: Recognition, other: Recognition) -> bool:
    return list(one.scores) == list(other.scores) and np.allclose(list(one.scores.values()), list(other.scores.values()))


def test_scores_are_those_of_the_ops(enrolled: FewShotClassifier, enrolling: SimpleNamespace) -> None:
    photos = enrolling.images()
    expected = scores(enrolling, photos[:4].reshape(2, 2, 8, 8, 3), photos)
    for size in (None, 1, 4):
        found = enrolled.classify(list(photos), batch_size=size)
        assert np.allclose([[one.scores["mug"], one.scores["cup"]] for one in found], expected, atol=1e-5)
    for one, row in zip(found, expected, strict=True):
        assert one.label == ("mug", "cup")[row.argmax()] and one.score == pytest.approx(row.max(), abs=1e-5)
        assert one.margin == pytest.approx(abs(row[0] - row[1]), abs=1e-5)
        assert list(one.scores.values()) == sorted(one.scores.values(), reverse=True)
        assert one.explanation is None
    assert [one.label for one in found[:4]] == ["mug", "mug", "cup", "cup"]


def test_logits_are_those_of_the_graph_that_is_pure_onnx(enrolled: FewShotClassifier, enrolling: SimpleNamespace) -> None:
    enrolled.enroll("jug", enrolling.images(2, seed=9))
    described = enrolled.describe(enrolled.prepare(list(enrolling.images(4, seed=5))))
    support = np.stack(list(enrolled.support.descriptors().values())).reshape(3, -1, 8)
    (expected,) = enrolled.session("matcher").run(["scores"], {"support": support, "query": described.descriptors})
    assert np.abs(enrolled.logits(described) - expected).max() < 1e-5 * 48


def test_one_class_is_enough_and_leads_by_nothing(task: FewShotClassifier, enrolling: SimpleNamespace) -> None:
    task.enroll("mug", enrolling.images()[0])
    found = task.classify(enrolling.images()[0], explain=True)
    assert found.label == "mug" and found.margin is None and len(found.scores) == 1
    assert found.explanation is not None and found.explanation.heat.sum() == pytest.approx(found.score, abs=1e-5)


def test_further_photos_and_other_classes_need_no_graph(
    enrolled: FewShotClassifier, enrolling: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    describe = FewShotClassifier.describe
    monkeypatch.setattr(FewShotClassifier, "describe", lambda self, given: seen.append(len(given)) or describe(self, given))
    photos = enrolling.images(3, seed=8)
    enrolled.add("mug", photos[0])
    enrolled.enroll("jug", photos[1:])
    assert seen == [1, 2] and enrolled.classes == {"mug": 3, "cup": 2, "jug": 2}
    enrolled.forget("cup")
    found = enrolled.classify(photos[1])
    assert seen == [1, 2, 1] and list(enrolled.classes) == ["mug", "jug"]
    once = runtime.load(enrolled.folder, prefer=["cpu"])
    once.enroll("mug", [*enrolling.images()[:2], photos[0]])
    once.enroll("jug", photos[1:])
    assert same(found, once.classify(photos[1]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"query": {"rule": "fraction", "value": 0.5}, "class_offset": "support"},
        {"center": "task", "other_images": True, "query": {"rule": "fraction", "value": 0.3}},
        {"query": {"rule": "adaptive", "value": None}, "threshold": "mean"},
    ],
)
def test_an_explanation_adds_up_to_the_margin(enrolling: SimpleNamespace, tmp_path: Path, options: dict[str, Any]) -> None:
    enrolling.build(tmp_path / "other", matcher=False, **options)
    task = runtime.load(tmp_path / "other", prefer=["cpu"])
    for at, count in enumerate((1, 3, 2)):
        task.enroll(f"class {at}", enrolling.images(count, seed=20 + at))
    for found in task.classify(enrolling.images(4, seed=3), explain=True):
        why = found.explanation
        assert why.heat.shape == why.selected.shape == (4, 4) and why.heat.dtype == np.float32
        assert why.heat.sum() == pytest.approx(found.margin, abs=1e-5)
        assert (why.heat[~why.selected] == 0).all() and why.selected.any()
        assert [mask.shape for mask in why.support.values()] == [(1, 4, 4), (3, 4, 4), (2, 4, 4)]
        if "threshold" not in options:
            assert [int(mask.sum()) for mask in why.support.values()] == [8, 24, 16]
        if isinstance(options.get("query"), dict) and options["query"]["rule"] == "fraction":
            assert why.selected.sum() == np.ceil(options["query"]["value"] * 16)


def test_learned_thresholds_decide_which_locations_count(enrolling: SimpleNamespace, tmp_path: Path) -> None:
    enrolling.build(tmp_path / "other", matcher=False, query={"rule": "adaptive", "value": None}, fraction=1.0)
    task = runtime.load(tmp_path / "other", prefer=["cpu"])
    photos = enrolling.images()
    task.enroll("mug", photos[:2])
    task.enroll("cup", photos[2:4])
    support = np.stack([enrolling.expected(photos[:2]), enrolling.expected(photos[2:4])]).astype(np.float32)
    query = enrolling.expected(photos).astype(np.float32)
    margin = ops.select_queries(query, support, None, 1.0).margin
    mask = margin > (query @ enrolling.threshold_weights())[:, :, 0]
    assert 0.1 < mask.mean() < 0.9
    mask[np.arange(6), margin.argmax(1)] = True
    found = task.classify(photos, explain=True)
    assert np.array_equal([one.explanation.selected.ravel() for one in found], mask)
    expected = ops.image_to_class(query, support, None, mask) / (3 * mask.sum(1)[:, None])
    assert np.allclose([[one.scores["mug"], one.scores["cup"]] for one in found], expected, atol=1e-5)


def test_photos_of_any_size_and_kind_are_taken(task: FewShotClassifier, enrolling: SimpleNamespace, tmp_path: Path) -> None:
    big = np.repeat(np.repeat(enrolling.images()[0], 40, 0), 30, 1)
    Image.fromarray(big).save(tmp_path / "a.png")
    grey = np.random.default_rng(0).integers(0, 256, (20, 11), dtype=np.uint8)
    task.enroll("mug", [tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), big, grey])
    task.enroll("dot", np.full((1, 1, 3), 7, np.uint8))
    found = task.classify([tmp_path / "a.png", big, (tmp_path / "a.png").read_bytes()])
    assert same(found[0], found[1]) and same(found[0], found[2]) and found[0].label == "mug"
    assert task.classify([]) == [] and task.classes == {"mug": 5, "dot": 1}


def test_threads_get_the_same_answers(enrolled: FewShotClassifier, enrolling: SimpleNamespace) -> None:
    photo = enrolling.images()[5]
    expected = enrolled.classify(photo)

    def ask(number: int) -> Recognition:
        if number % 4 == 0:
            enrolled.enroll(f"passing {number}", photo)
            enrolled.forget(f"passing {number}")
        return enrolled.classify(photo)

    with ThreadPoolExecutor(4) as pool:
        assert all({"mug", "cup"} <= set(found.scores) for found in pool.map(ask, range(16)))
    assert same(enrolled.classify(photo), expected)


# files


def test_saved_classes_answer_as_before(enrolled: FewShotClassifier, enrolling: SimpleNamespace, tmp_path: Path) -> None:
    enrolled.add("cup", enrolling.images(3, seed=7))
    expected = enrolled.classify(enrolling.images()[5])
    enrolled.save(tmp_path / "shop.fsc")
    other = runtime.load(enrolled.folder, prefer=["cpu"])
    other.enroll("gone", enrolling.images()[0])
    other.load_classes(str(tmp_path / "shop.fsc"))
    assert other.classes == {"mug": 2, "cup": 5} and other.providers
    assert other.classify(enrolling.images()[5]).scores == expected.scores
    other.save(tmp_path / "again.fsc")
    assert (tmp_path / "again.fsc").read_bytes() == (tmp_path / "shop.fsc").read_bytes()


def test_classes_of_another_artifact_are_refused_by_name(
    enrolled: FewShotClassifier, enrolling: SimpleNamespace, tmp_path: Path
) -> None:
    enrolling.build(tmp_path / "other", matcher=False, query={"rule": "adaptive", "value": None})
    other = runtime.load(tmp_path / "other", prefer=["cpu"])
    enrolled.save(tmp_path / "shop.fsc")
    with pytest.raises(ValueError, match=rf"shop\.fsc was made by another artifact \(graph {enrolled.maker[:12]}, and .*other"):
        other.load_classes(tmp_path / "shop.fsc")
    assert other.classes == {}


def test_the_same_graph_under_other_rules_takes_the_same_file(
    enrolled: FewShotClassifier, enrolling: SimpleNamespace, tmp_path: Path
) -> None:
    enrolling.build(tmp_path / "other", fraction=1.0)
    other = runtime.load(tmp_path / "other", prefer=["cpu"])
    enrolled.save(tmp_path / "shop.fsc")
    other.load_classes(tmp_path / "shop.fsc")
    photos = enrolling.images()
    expected = scores(enrolling, photos[:4].reshape(2, 2, 8, 8, 3), photos[5:], 1.0)
    assert np.allclose(sorted(other.classify(photos[5]).scores.values()), sorted(expected[0]), atol=1e-5)


def test_a_damaged_file_leaves_the_classes_as_they_were(enrolled: FewShotClassifier, tmp_path: Path) -> None:
    enrolled.save(tmp_path / "shop.fsc")
    data = bytearray((tmp_path / "shop.fsc").read_bytes())
    data[-1] ^= 1
    (tmp_path / "shop.fsc").write_bytes(data)
    with pytest.raises(ValueError, match="damaged or was changed"):
        enrolled.load_classes(tmp_path / "shop.fsc")
    assert enrolled.classes == {"mug": 2, "cup": 2}


# refusals


def test_nothing_changes_where_an_enrolment_is_refused(enrolled: FewShotClassifier, tmp_path: Path) -> None:
    photo = np.zeros((8, 8, 3), np.uint8)
    (tmp_path / "bad.png").write_text("no picture")
    for call, error, word in (
        (lambda: enrolled.enroll("mug", photo), ValueError, "'mug' is enrolled already"),
        (lambda: enrolled.enroll("jug", []), ValueError, "'jug' was given no image"),
        (lambda: enrolled.enroll("", photo), ValueError, "expected one line of text"),
        (lambda: enrolled.add("jug", photo), ValueError, "no class 'jug' is enrolled; there are mug, cup"),
        (lambda: enrolled.add("mug", []), ValueError, "'mug' was given no image"),
        (lambda: enrolled.forget("jug"), ValueError, "no class 'jug'"),
        (lambda: enrolled.enroll("jug", [photo, tmp_path / "bad.png"]), UnreadableImage, r"bad\.png"),
        (lambda: enrolled.enroll("jug", [photo, b"no picture"]), UnreadableImage, "number 1, counted from 0"),
        (lambda: enrolled.enroll("jug", tmp_path / "none.png"), FileNotFoundError, r"none\.png"),
        (lambda: enrolled.enroll("jug", photo, batch_size=5), ValueError, "takes 1 to 4"),
        (lambda: enrolled.load_classes(tmp_path / "none.fsc"), FileNotFoundError, r"none\.fsc"),
    ):
        with pytest.raises(error, match=word):
            call()
    assert enrolled.classes == {"mug": 2, "cup": 2}


def test_without_classes_nothing_is_answered(task: FewShotClassifier) -> None:
    with pytest.raises(ValueError, match="no class is enrolled"):
        task.classify(np.zeros((8, 8, 3), np.uint8))
    assert task.providers == {}


def test_more_photos_than_memory_are_refused_before_any_is_read(
    enrolled: FewShotClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled.save(tmp_path / "shop.fsc")
    monkeypatch.setattr(few_shot_classifier, "available", lambda: 10_000)
    with pytest.raises(MemoryError, match=r"100 photos of class 'jug' need 0\.00 GB for their descriptors"):
        enrolled.enroll("jug", ["none.png"] * 100)
    enrolled.enroll("jug", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(few_shot_classifier, "available", lambda: 10)
    with pytest.raises(MemoryError, match=r"the 4 photos of .*shop\.fsc"):
        runtime.load(enrolled.folder).load_classes(tmp_path / "shop.fsc")
    monkeypatch.setattr(few_shot_classifier, "available", lambda: None)
    enrolled.add("jug", np.zeros((8, 8, 3), np.uint8))
    assert enrolled.classes["jug"] == 2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"grid": [4]}, "'grid' is"),
        ({"grid": [4, 3]}, r"port 'descriptors' of shape \('batch', 16, 8\)"),
        ({"grid": [4, True]}, "'grid' is"),
        ({"geometry": None}, "'geometry' is None"),
        ({"geometry": {"size": [9, 9], "mode": "crop", "interpolation": "bilinear"}}, "port 'image'"),
        ({"query": None}, "'query' is None"),
        ({"fraction": 0.0}, "a fraction of 0.0"),
        ({"neighbours": 0}, "neighbours = 0"),
    ],
)
def test_a_manifest_that_is_not_its_graphs_is_refused(
    enrolling: SimpleNamespace, tmp_path: Path, options: dict[str, Any], word: str
) -> None:
    enrolling.build(tmp_path / "other", **options)
    with pytest.raises(ValueError, match=word):
        runtime.load(tmp_path / "other")


def test_a_precision_that_was_not_exported_is_refused(enroller: Path) -> None:
    with pytest.raises(ValueError, match="no int8 variant of graph 'descriptors'"):
        runtime.load(enroller, precision="int8")


def test_the_artifact_proves_itself(enroller: Path) -> None:
    from runtime.proof import prove

    proof = prove(enroller)
    assert proof.passed and {item.output for item in proof.agreements} == {"descriptors", "scores"}


def test_a_file_binds_to_the_graph_and_not_to_its_precision(enrolled: FewShotClassifier, tmp_path: Path) -> None:
    enrolled.save(tmp_path / "shop.fsc")
    assert class_file.header(tmp_path / "shop.fsc").maker == enrolled.artifact.files["descriptors.onnx"]

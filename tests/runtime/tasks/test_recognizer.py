"""The recognizer on a tiny artifact against its formula in NumPy, what it refuses, and manifests that lie."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import runtime
from runtime.chips import convert
from runtime.prepare import UnreadableImage
from runtime.proof import prove
from runtime.tasks.recognizer import Recognition, Recognizer


@pytest.fixture
def task(target_artifact: Path) -> Recognizer:
    found = runtime.load(target_artifact, threads=1, prefer=["cpu"])
    assert isinstance(found, Recognizer)
    return found


def strange() -> np.ndarray:
    """A chip of one bright point."""
    chip = np.full((8, 8), 5, np.uint8)
    chip[4, 4] = 255
    return chip


def test_answers_are_the_formulas(task: Recognizer, targeting: SimpleNamespace) -> None:
    chips = targeting.chips()
    wanted = targeting.expected(chips[:, None])
    found = task.recognize(list(chips))
    assert [answer.likeliest for answer in found] == [targeting.CLASSES[at] for at in wanted["probabilities"].argmax(1)]
    for answer, row, novelty in zip(found, wanted["probabilities"], wanted["novelty"], strict=True):
        order = np.argsort(-row)
        assert list(answer.probabilities) == [targeting.CLASSES[at] for at in order]
        np.testing.assert_allclose(list(answer.probabilities.values()), row[order], atol=1e-5)
        assert answer.novelty == pytest.approx(novelty, rel=1e-4)
        assert answer.probability == max(answer.probabilities.values())
    np.testing.assert_allclose(task.run(chips[:4, None])["logits"], wanted["logits"][:4], rtol=1e-4, atol=1e-4)


def test_the_proof_holds(target_artifact: Path) -> None:
    assert prove(target_artifact).passed


def test_what_is_strange_is_refused(task: Recognizer, targeting: SimpleNamespace) -> None:
    usual = task.recognize(targeting.chips()[0])
    assert (usual.refused, usual.label) == (False, usual.likeliest)
    odd = task.recognize(strange())
    assert odd.novelty > task.threshold and odd.refused and odd.label is None and odd.likeliest in targeting.CLASSES
    task.threshold = odd.novelty + 1
    assert task.recognize(strange()).label == odd.likeliest


def test_only_what_lies_above_the_threshold_is_refused() -> None:
    assert not Recognition({"a": 1.0}, 0.5, 0.5).refused
    assert Recognition({"a": 1.0}, np.nextafter(0.5, 1), 0.5).refused


def test_files_arrays_and_batches_agree(task: Recognizer, targeting: SimpleNamespace, tmp_path: Path) -> None:
    chips = targeting.chips(5, 11)
    paths = [tmp_path / f"{at}.npy" for at in range(5)]
    for path, chip in zip(paths, chips, strict=True):
        np.save(path, chip)
    wanted = task.recognize(list(chips))
    assert task.recognize(paths) == wanted
    for size in (1, 3):
        for one, other in zip(task.recognize([path.read_bytes() for path in paths], batch_size=size), wanted, strict=True):
            assert one.likeliest == other.likeliest and one.novelty == pytest.approx(other.novelty, rel=1e-5)
    np.testing.assert_array_equal(task.prepare([chips[0]])[0, 0], chips[0][1:9, 1:9])
    assert task.recognize([]) == []


def test_magnitudes_complex_values_and_raw_files_give_one_answer(
    task: Recognizer, targeting: SimpleNamespace, raw_chip: Callable[..., bytes]
) -> None:
    magnitude = np.random.default_rng(3).rayleigh(2, (10, 10)).astype(np.float32)
    wanted = task.recognize(convert(magnitude, "uint8"))
    for source in (magnitude, magnitude * np.exp(0.5j), raw_chip(magnitude)):
        assert task.recognize(source).novelty == pytest.approx(wanted.novelty, rel=0.02)


def test_an_artifact_of_magnitudes_takes_them_as_they_are(targeting: SimpleNamespace, tmp_path: Path) -> None:
    targeting.build(tmp_path / "floats", input="magnitude")
    task = runtime.load(tmp_path / "floats", prefer=["cpu"])
    magnitude = np.random.default_rng(3).rayleigh(2, (8, 8)).astype(np.float32)
    wanted = targeting.expected(magnitude[None, None])
    assert task.recognize(magnitude).novelty == pytest.approx(wanted["novelty"][0], rel=1e-4)
    assert task.recognize(targeting.chips()[0]).novelty == pytest.approx(
        targeting.expected(targeting.chips()[:1])["novelty"][0], rel=1e-4
    )


def test_the_published_protocol_takes_chips_of_any_size(targeting: SimpleNamespace, tmp_path: Path) -> None:
    targeting.build(tmp_path / "whole", crop="resize")
    task = runtime.load(tmp_path / "whole", prefer=["cpu"])
    assert task.prepare([np.full((5, 3), 9, np.uint8), targeting.chips(1, 30)[0]]).shape == (2, 1, 8, 8)


def test_a_bad_chip_is_named(task: Recognizer, targeting: SimpleNamespace, tmp_path: Path) -> None:
    good = targeting.chips()[0]
    np.save(tmp_path / "small.npy", good[:3, :3])
    with pytest.raises(UnreadableImage, match=r"small\.npy has 3x3 pixels, fewer than the 8x8"):
        task.recognize([tmp_path / "small.npy"])
    with pytest.raises(UnreadableImage, match=r"number 3, counted from 0: .*negative"):
        task.recognize([good, good, good, -good.astype(np.float32)], batch_size=2)
    with pytest.raises(FileNotFoundError):
        task.recognize(tmp_path / "none.npy")
    with pytest.raises(ValueError, match="takes 1 to 4"):
        task.recognize([good], batch_size=9)


def test_constant_chips_are_answered(task: Recognizer) -> None:
    for level in (0, 7, 255):
        answer = task.recognize(np.full((8, 8), level, np.uint8))
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_several_threads_get_their_own_answers(task: Recognizer, targeting: SimpleNamespace) -> None:
    chips = targeting.chips(16)
    wanted = [task.recognize(chip) for chip in chips]
    found: list[Recognition | None] = [None] * len(chips)

    def ask(at: int) -> None:
        found[at] = task.recognize(chips[at])

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(chips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classes": ["a"]}, "'classes' is .*two or more"),
        ({"classes": ["a", "a", "b"]}, "each once"),
        ({"classes": "abc"}, "two or more"),
        ({"classes": ["a", "b"]}, "'logits'.* not that of this graph"),
        ({"size": 0}, "'size' is 0"),
        ({"size": 9, "crop": 9}, "'chip'"),
        ({"crop": 7}, "'crop' is 7"),
        ({"input": "decibel"}, "'input' is 'decibel'"),
        ({"novelty_threshold": "1"}, "'novelty_threshold'"),
        ({"novelty_threshold": float("nan")}, "'novelty_threshold'"),
        ({"novelty_rate": 1.5}, "'novelty_rate'"),
        ({"crop": "resize", "input": "magnitude"}, "in 8 bits only"),
    ],
)
def test_a_manifest_that_lies_is_refused(
    targeting: SimpleNamespace, tmp_path: Path, options: dict[str, object], sentence: str
) -> None:
    targeting.build(tmp_path / "lies", **options)
    with pytest.raises(ValueError, match=sentence):
        runtime.load(tmp_path / "lies")
    with pytest.raises(ValueError, match="no int8 variant"):
        targeting.build(tmp_path / "true")
        runtime.load(tmp_path / "true", precision="int8")

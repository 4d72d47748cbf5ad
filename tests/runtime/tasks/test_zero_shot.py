"""The classifier on a tiny artifact against the graphs' formula in NumPy, alone and from several threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import runtime
from runtime.artifact import read, write
from runtime.bank import Bank
from runtime.prepare import UnreadableImage, batch
from runtime.tasks.zero_shot import ZeroShotClassifier

OTHERS = ("fox", "gnu", "hen")


@pytest.fixture
def task(artifact: Path) -> ZeroShotClassifier:
    found = runtime.load(artifact, threads=1)
    assert isinstance(found, ZeroShotClassifier)
    return found


def expected(tiny: SimpleNamespace, graph: str, images: list[np.ndarray], bank: Bank) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = tiny.expected(graph, batch(images, tiny.GEOMETRY), bank.vectors)
    return found


# answers


def test_the_closed_graph_answers_among_the_artifacts_classes(task: ZeroShotClassifier, tiny: SimpleNamespace) -> None:
    images = list(tiny.images())
    wanted = expected(tiny, "closed", images, tiny.bank())["probabilities"]
    for answer, row in zip(task.classify(images, top_k=5), wanted, strict=True):
        order = np.argsort(-row)
        assert [guess.label for guess in answer.guesses] == [tiny.CLASSES[place] for place in order]
        np.testing.assert_allclose([guess.probability for guess in answer.guesses], row[order], atol=1e-5)
        assert (answer.label, answer.probability) == (answer.guesses[0].label, answer.guesses[0].probability)
    assert task.classes == tiny.CLASSES
    assert task.providers == {"closed": ("CPUExecutionProvider",)}


def test_a_bank_gives_other_classes_and_none_gives_the_artifacts_back(
    task: ZeroShotClassifier, tiny: SimpleNamespace, tmp_path: Path
) -> None:
    images, bank = list(tiny.images()), tiny.bank(OTHERS, 7)
    before = task.classify(images)
    bank.save(tmp_path / "others.npz")
    for given in (bank, tmp_path / "others.npz", str(tmp_path / "others.npz")):
        task.set_classes(given)
        assert task.classes == OTHERS
        wanted = expected(tiny, "open", images, bank)["probabilities"]
        found = task.classify(images, top_k=99)
        assert [answer.label for answer in found] == [OTHERS[place] for place in wanted.argmax(1)]
        assert {len(answer.guesses) for answer in found} == {3}
        task.set_classes(None)
        assert task.classify(images) == before


def test_embeddings_are_the_graphs_and_of_unit_length(task: ZeroShotClassifier, tiny: SimpleNamespace) -> None:
    images = list(tiny.images())
    found = task.embed(images)
    np.testing.assert_allclose(found, expected(tiny, "embedding", images, tiny.bank())["embedding"], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert task.embed(images[0]).shape == (1, tiny.DIM)


def test_logits_take_what_is_prepared_already(task: ZeroShotClassifier, tiny: SimpleNamespace) -> None:
    images = list(tiny.images())
    found = task.logits(batch(images, tiny.GEOMETRY))
    np.testing.assert_allclose(found, expected(tiny, "closed", images, tiny.bank())["logits"], atol=1e-4)


def test_one_image_gives_one_answer_and_several_a_list(task: ZeroShotClassifier, tiny: SimpleNamespace) -> None:
    image = tiny.images()[0]
    one = task.classify(image)
    assert task.classify([image]) == [one]
    assert task.classify((image,)) == [one]
    assert task.classify(np.stack([image, image])) == [one, one]
    assert task.classify([]) == []
    assert task.embed([]).shape == (0, tiny.DIM)


@pytest.mark.parametrize("size", [1, 2, 3, 8, None])
def test_the_cut_into_batches_changes_no_answer(task: ZeroShotClassifier, tiny: SimpleNamespace, size: int | None) -> None:
    images = [*tiny.images(), *tiny.images()[::-1], tiny.images()[1]]
    alone = np.concatenate([task.embed(image) for image in images])
    np.testing.assert_allclose(task.embed(images, batch_size=size), alone, atol=1e-6)
    assert [answer.label for answer in task.classify(images, batch_size=size)] == [task.classify(image).label for image in images]


def test_equal_probabilities_keep_the_order_of_the_classes(task: ZeroShotClassifier, tiny: SimpleNamespace) -> None:
    vectors = np.repeat(tiny.bank(("one",)).vectors, 4, axis=0)
    task.set_classes(Bank(vectors, ("d", "a", "c", "b"), tiny.TEACHER, ()))
    assert [guess.label for guess in task.classify(tiny.images()[0]).guesses] == ["d", "a", "c", "b"]


# threads


def test_eight_threads_get_what_one_gets(artifact: Path, tiny: SimpleNamespace) -> None:
    images = list(tiny.images()) * 8
    alone = [runtime.load(artifact, threads=1).classify(image) for image in images]
    fresh = runtime.load(artifact, threads=1)  # its session is opened by whichever thread comes first
    start = threading.Barrier(8)

    def ask(part: int) -> list[object]:
        start.wait()
        return [fresh.classify(image) for image in images[part::8]]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert found == [alone[part::8] for part in range(8)]


def test_names_and_vectors_stay_together_while_another_thread_changes_the_classes(
    task: ZeroShotClassifier, tiny: SimpleNamespace
) -> None:
    image, banks = tiny.images()[0], (None, tiny.bank(OTHERS, 7))
    possible = set()
    for bank in banks:
        task.set_classes(bank)
        possible.add(task.classify(image))
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            for bank in banks:
                task.set_classes(bank)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        found = {task.classify(image) for _ in range(200)}
    finally:
        done.set()
        changing.join()
    assert found <= possible


# what is missing


def test_an_artifact_of_the_open_graph_alone_answers_from_its_own_bank(tiny: SimpleNamespace, tmp_path: Path) -> None:
    tiny.build(tmp_path / "open", ("open",))
    tiny.build(tmp_path / "closed", ("closed",))
    task, other = runtime.load(tmp_path / "open"), runtime.load(tmp_path / "closed")
    image = tiny.images()[0]
    assert task.classify(image).label == other.classify(image).label
    task.set_classes(tiny.bank(OTHERS))
    task.set_classes(None)
    assert task.classes == tiny.CLASSES
    with pytest.raises(ValueError, match="no graph for other classes; export it with --graphs open"):
        other.set_classes(tiny.bank(OTHERS))
    with pytest.raises(ValueError, match="no graph 'embedding'; export it with --graphs embedding"):
        other.embed(image)


# refusals


@pytest.mark.parametrize("classes", [7, 20])
def test_a_bank_with_more_classes_than_the_graph_takes_is_refused(
    task: ZeroShotClassifier, tiny: SimpleNamespace, classes: int
) -> None:
    with pytest.raises(ValueError, match=f"the bank has {classes} classes; this artifact takes 1 to 6"):
        task.set_classes(tiny.bank([f"class {number}" for number in range(classes)]))


def test_a_bank_of_another_teacher_or_dimension_is_refused_and_changes_nothing(
    task: ZeroShotClassifier, tiny: SimpleNamespace, tmp_path: Path
) -> None:
    vectors = tiny.bank(OTHERS).vectors
    with pytest.raises(ValueError, match="was made by teacher 666666666666, the student learned from 555555555555"):
        task.set_classes(Bank(vectors, OTHERS, "6" * 64, ()))
    with pytest.raises(ValueError, match="vectors have 5 numbers; this artifact expects 4"):
        task.set_classes(Bank(np.eye(3, 5, dtype=np.float32), OTHERS, tiny.TEACHER, ()))
    with pytest.raises(FileNotFoundError, match="there is no bank"):
        task.set_classes(tmp_path / "nowhere.npz")
    assert task.classes == tiny.CLASSES


def test_a_bank_of_one_class_is_certain(task: ZeroShotClassifier, tiny: SimpleNamespace) -> None:
    task.set_classes(tiny.bank(("only",)))
    assert task.classify(tiny.images()[0]).probability == pytest.approx(1)


@pytest.mark.parametrize("size", [0, -1, 9])
def test_a_batch_size_that_the_graph_does_not_take_is_refused(task: ZeroShotClassifier, tiny: SimpleNamespace, size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size={size} was given; this artifact takes 1 to 8"):
        task.classify(tiny.images()[0], batch_size=size)


def test_no_class_at_all_is_refused(task: ZeroShotClassifier, tiny: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="top_k=0 was given; expected 1 or more"):
        task.classify(tiny.images()[0], top_k=0)


def test_bad_images_are_refused(task: ZeroShotClassifier, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="not finite"):
        task.classify(np.full((4, 4, 3), np.nan))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        task.classify([tmp_path / "nowhere.jpg"])
    with pytest.raises(ValueError, match=r"has shape \(1, 3, 9, 9\); expected uint8 \(batch, 3, 8, 8\)"):
        task.logits(np.zeros((1, 3, 9, 9), np.uint8))
    with pytest.raises(ValueError, match="is of type float32"):
        task.logits(np.zeros((1, 3, 8, 8), np.float32))  # type: ignore[arg-type]


def test_an_answer_that_is_no_number_is_refused(artifact: Path, tiny: SimpleNamespace) -> None:
    model = onnx.load(str(artifact / "closed.onnx"))
    for weight in model.graph.initializer:
        if weight.name == "scale":
            weight.CopyFrom(numpy_helper.from_array(np.array(np.nan, np.float32), "scale"))
    onnx.save(model, str(artifact / "closed.onnx"))
    write(read(artifact, check=False), artifact)
    task = runtime.load(artifact)
    with pytest.raises(ValueError, match="'probabilities' is not finite"):
        task.classify(tiny.images()[0])
    with pytest.raises(ValueError, match="'logits' is not finite"):
        task.logits(batch(tiny.images()[:1], tiny.GEOMETRY))

"""ComplexityScorer on an artifact of one convolution, against its formula in NumPy: scores, maps, odd pictures, refusals."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import runtime
from runtime.prepare import UnreadableImage
from runtime.tasks.complexity_scorer import ComplexityScorer


@pytest.fixture
def task(scorer: Path) -> ComplexityScorer:
    found = runtime.load(scorer, threads=1, prefer=["cpu"])
    assert isinstance(found, ComplexityScorer)
    return found


def test_answers_are_those_of_the_formula(task: ComplexityScorer, scoring: SimpleNamespace) -> None:
    photos = scoring.images()
    expected = scoring.expected(photos)
    quantiles = scoring.OPTIONS["quantiles"]
    for size in (None, 1, 4):
        for at, found in enumerate(task.score(list(photos), batch_size=size)):
            assert found.activation == pytest.approx(expected["activation"][at], abs=1e-6)
            np.testing.assert_allclose(found.map, expected["map"][at], atol=1e-6)
            np.testing.assert_allclose(found.embedding, expected["embedding"][at], atol=1e-6)
            place = np.searchsorted(quantiles, found.activation, "right")  # a second way: which two quantiles it lies between
            assert 0 <= found.score <= 100 and place - 1 <= found.score <= place
    assert not task.scored


def test_the_label_free_score_is_the_place_among_the_quantiles(task: ComplexityScorer) -> None:
    quantiles = np.asarray(task.quantiles)
    between = (quantiles[40] + quantiles[41]) / 2
    given = np.array([-1, quantiles[0], quantiles[25], between, quantiles[100], 9], np.float32)
    np.testing.assert_allclose(task.percentile(given), [0, 0, 25, 40.5, 100, 100], atol=1e-4)


def test_an_artifact_names_the_measure_that_its_score_is_the_place_of(scoring: SimpleNamespace, tmp_path: Path) -> None:
    scoring.build(tmp_path / "component", percentile_of="component")
    task, photos = runtime.load(tmp_path / "component", prefer=["cpu"]), scoring.images()
    found, expected = task.score(list(photos)), scoring.expected(photos)
    places = np.interp(expected["component"], scoring.OPTIONS["quantiles"], np.linspace(0, 100, 101))
    np.testing.assert_allclose([one.score for one in found], places, atol=1e-2)
    np.testing.assert_allclose([one.activation for one in found], expected["activation"], atol=1e-6)
    assert np.corrcoef(places, expected["activation"])[0, 1] < -0.9  # it is not the activation's place


def test_with_a_head_the_score_is_its_own(scoring: SimpleNamespace, tmp_path: Path) -> None:
    scoring.build(tmp_path / "scored", scored=True)
    task = runtime.load(tmp_path / "scored", prefer=["cpu"])
    photos = scoring.images()
    assert task.scored
    np.testing.assert_allclose([found.score for found in task.score(list(photos))], scoring.expected(photos)["score"], atol=1e-2)


def test_one_image_has_one_answer_and_several_have_a_list(
    task: ComplexityScorer, scoring: SimpleNamespace, tmp_path: Path
) -> None:
    photos = scoring.images()
    Image.fromarray(photos[3]).save(tmp_path / "a.png")
    alone = task.score(tmp_path / "a.png")
    assert isinstance(alone.score, float) and alone.map.shape == (4, 4) and alone.map.dtype == np.float32
    for several in ([str(tmp_path / "a.png")], photos[3:4], [(tmp_path / "a.png").read_bytes()]):
        (found,) = task.score(several)  # type: ignore[call-overload]
        assert found.score == alone.score
    assert task.score([]) == []


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, form, **options)
    return held.getvalue()


def test_odd_pictures_are_scored(task: ComplexityScorer, scoring: SimpleNamespace) -> None:
    plain = np.full((5, 90, 3), 7, np.uint8)
    assert task.score(plain).activation == pytest.approx(0, abs=1e-6) and task.score(plain).score == pytest.approx(0, abs=0.1)
    assert task.score(np.zeros((1, 1, 3), np.uint8)).score == pytest.approx(0, abs=0.1)
    noisy = scoring.images()[5]
    reference = task.score(noisy)
    clear = np.concatenate([noisy, np.zeros((8, 8, 1), np.uint8)], axis=2)
    assert task.score(encoded(Image.fromarray(clear), "png")).score == reference.score  # alpha is dropped
    deep = cv2.imencode(".png", noisy[:, :, ::-1].astype(np.uint16) * 256)[1].tobytes()
    assert task.score(deep).score == reference.score  # of 16 bits the upper 8 stay
    grey = task.score(encoded(Image.fromarray(noisy).convert("L"), "png"))
    assert 0 < grey.score < 100
    inks = task.score(encoded(Image.fromarray(noisy).resize((64, 64)).convert("CMYK"), "jpeg", quality=95))
    assert 0 < inks.score < 100


def test_what_is_no_picture_is_named(task: ComplexityScorer, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(UnreadableImage, match=r"bad\.jpg"):
        task.score([tmp_path / "bad.jpg"])
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        task.score(tmp_path / "none.jpg")
    with pytest.raises(UnreadableImage, match="number 1, counted from 0"):
        task.score([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 2), np.uint8)])
    with pytest.raises(ValueError, match="batch_size=9 was given; this artifact takes 1 to 4"):
        task.score(np.zeros((4, 4, 3), np.uint8), batch_size=9)


def test_threads_get_the_answers_of_one(task: ComplexityScorer, scoring: SimpleNamespace) -> None:
    photos = list(scoring.images())
    expected = [found.score for found in task.score(photos)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda image: task.score(image).score, photos)) == pytest.approx(expected, abs=1e-3)


def test_the_golden_inputs_prove_it(scorer: Path, scoring: SimpleNamespace, tmp_path: Path) -> None:
    from runtime.run import main

    scoring.build(tmp_path / "scored", scored=True)
    assert main([str(scorer), "--check", "--prefer", "cpu"]) == 0
    assert main([str(tmp_path / "scored"), "--check", "--prefer", "cpu"]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantiles": None}, "option 'quantiles' is None; expected a list"),
        ({"percentile_of": "entropy"}, "option 'percentile_of' is 'entropy'; expected activation or component"),
        ({"quantiles": [1.0]}, "has 1 numbers that do not rise"),
        ({"quantiles": [2.0, 1.0]}, "has 2 numbers that do not rise"),
        ({"quantiles": [1.0, 1.0]}, "has 2 numbers that do not rise"),
        ({"quantiles": [1.0, "2"]}, "something else than numbers"),
        ({"scored": 1}, "option 'scored' is 1; expected a bool"),
        ({"geometry": None}, "option 'geometry' is None"),
        ({"geometry": {"size": [9, 9], "mode": "squash", "interpolation": "bilinear"}}, "port 'image' of shape .*export again"),
    ],
)
def test_a_manifest_that_does_not_fit_its_graph_is_refused(
    scoring: SimpleNamespace, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    scoring.build(tmp_path / "other", **change)
    with pytest.raises(ValueError, match=message):
        runtime.load(tmp_path / "other")


def test_a_head_that_the_graph_has_not_is_refused(scorer: Path, seal: Callable[[Path], None]) -> None:
    manifest = json.loads((scorer / "artifact.json").read_text())
    manifest["options"]["scored"] = True
    (scorer / "artifact.json").write_text(json.dumps(manifest))
    seal(scorer)
    with pytest.raises(ValueError, match="port 'score' of shape None"):
        runtime.load(scorer)
    with pytest.raises(ValueError, match="no int8 variant of graph 'complexity'"):
        manifest["options"]["scored"] = False
        (scorer / "artifact.json").write_text(json.dumps(manifest))
        seal(scorer)
        runtime.load(scorer, precision="int8")

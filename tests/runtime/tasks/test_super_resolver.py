"""SuperResolver against the graphs' formula in NumPy: kinds of pictures, sizes, tiles, shared degradations, refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import runtime
from runtime.artifact import read, write
from runtime.pictures import lanczos
from runtime.tasks import super_resolver
from runtime.tasks.super_resolver import Degradation, SuperResolver, uniform


@pytest.fixture
def task(resolver: Path) -> SuperResolver:
    found = runtime.load(resolver, threads=1, prefer=["cpu"])
    assert isinstance(found, SuperResolver)
    return found


def drawn(*shape: int, kind: type = np.uint8) -> np.ndarray:
    generator = np.random.default_rng(sum(shape))
    return generator.integers(0, np.iinfo(kind).max // 2, shape, dtype=kind)


def expected(resolving: SimpleNamespace, image: np.ndarray, code: np.ndarray | None = None) -> np.ndarray:
    """The whole formula on a colour picture."""
    peak = np.iinfo(image.dtype).max
    low = image.transpose(2, 0, 1)[None] / peak
    found = resolving.estimated(low)
    degradation = found["degradation"] if code is None else uniform(code, *image.shape[:2], 4)
    high = resolving.generated(low, found["code"] if code is None else code[None], degradation)
    return np.rint(high[0].clip(0, 1) * peak).astype(int).transpose(1, 2, 0)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (37, 50), (33, 61), (64, 64)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_any_size_is_enlarged_by_the_formula(
    task: SuperResolver, resolving: SimpleNamespace, size: tuple[int, int], kind: type
) -> None:
    image = drawn(*size, 3, kind=kind)
    found = task.upscale(image)
    assert found.pixels.dtype == kind and found.tiles == 1 and not found.repeated and found.scale == 2
    assert np.abs(found.pixels.astype(int) - expected(resolving, image)).max() <= 1


def test_grey_stays_grey_and_alpha_is_enlarged(task: SuperResolver, resolving: SimpleNamespace) -> None:
    grey = drawn(9, 11)
    found = task.upscale(grey).pixels
    assert found.shape == (18, 22)
    colour = np.repeat(grey[:, :, None], 3, 2)
    assert np.abs(found.astype(int) - expected(resolving, colour).mean(2)).max() <= 1
    clear = np.concatenate([colour, drawn(9, 11, 1)], axis=2)
    both = task.upscale(clear).pixels
    assert both.shape == (18, 22, 4) and np.abs(both[:, :, :3].astype(int) - expected(resolving, colour)).max() <= 1
    assert np.array_equal(both[:, :, 3:], lanczos(clear[:, :, 3:], (18, 22)))


def test_tiles_share_the_degradation_and_leave_no_seam(task: SuperResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(super_resolver, "ESTIMATED", 64)
    image = drawn(150, 203, 3)
    tiled = task.upscale(image, tile=80)
    monkeypatch.undo()
    whole = task.upscale(image, tile=0)
    assert tiled.tiles > 4 and whole.tiles == 1
    np.testing.assert_allclose(
        tiled.degradation.code, whole.degradation.code, rtol=3e-2
    )  # cells that an edge cuts count by what is seen
    assert np.abs(tiled.pixels.astype(int) - whole.pixels).max() <= 1


def test_the_code_of_tiles_is_that_of_the_whole(task: SuperResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    image = drawn(160, 200, 3)
    whole = task.estimate(image)
    monkeypatch.setattr(super_resolver, "ESTIMATED", 64)
    parts = task.estimate(image)
    np.testing.assert_allclose(parts.code, whole.code, rtol=1e-5)
    assert parts.blur == pytest.approx(whole.blur, rel=1e-5)


def test_a_given_degradation_holds_everywhere_and_nothing_is_estimated(task: SuperResolver, resolving: SimpleNamespace) -> None:
    image = drawn(30, 40, 3)
    given = Degradation(np.linspace(0, 1, 16, dtype=np.float32), 1.5)
    found = task.upscale(image, degradation=given)
    assert found.degradation is given and "estimator" not in task.providers
    assert np.abs(found.pixels.astype(int) - expected(resolving, image, given.code)).max() <= 1


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0, 3.25, 0.3])
def test_another_scale_is_resampled_from_the_networks(task: SuperResolver, factor: float) -> None:
    image = drawn(20, 31, 3)
    found = task.upscale(image, outscale=factor)
    size = (round(20 * factor), round(31 * factor))
    assert found.pixels.shape == (*size, 3) and found.scale == factor
    native = task.upscale(image).pixels
    assert np.array_equal(found.pixels, native if factor == 2 else lanczos(native, size))


def test_progress_counts_the_tiles(task: SuperResolver) -> None:
    seen: list[tuple[int, int]] = []
    done = task.upscale(drawn(150, 90, 3), tile=80, progress=lambda *counts: seen.append(counts))
    assert seen == [(number + 1, done.tiles) for number in range(done.tiles)]


def test_wrong_options_are_refused(task: SuperResolver) -> None:
    image = drawn(8, 8, 3)
    for options, word in (
        ({"outscale": 0}, "outscale=0"),
        ({"outscale": 17}, "outscale=17"),
        ({"tile": -3}, "tile=-3"),
        ({"degradation": Degradation(np.zeros(5, np.float32), 0.0)}, "same artifact"),
    ):
        with pytest.raises(ValueError, match=word):
            task.upscale(image, **options)  # type: ignore[arg-type]


def test_what_memory_cannot_hold_is_refused_before_any_work(task: SuperResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(super_resolver, "available", lambda: 10_000)
    with pytest.raises(MemoryError, match="100x90 pixels at 2 times"):
        task.upscale(drawn(90, 100, 3))
    assert task.providers == {}


class Failing:
    """A generator's session whose answers are spoiled."""

    providers = ("spoiled",)

    def __init__(self, spoil: Callable[[np.ndarray], np.ndarray], real: Any) -> None:
        self.spoil, self.real, self.calls = spoil, real, 0

    def run(self, outputs: Any, inputs: Any) -> list[np.ndarray]:
        self.calls += 1
        return [self.spoil(found) for found in self.real.run(outputs, inputs)]


@pytest.mark.parametrize("spoil", [lambda high: high * np.nan, np.zeros_like], ids=["NaN", "black"])
def test_a_spoiled_tile_is_computed_again_in_fp32_with_a_warning(task: SuperResolver, spoil: Any) -> None:
    image = drawn(70, 150, 3)
    clean = task.upscale(image, tile=80)
    task._precision = "fp16"
    spoiled = Failing(spoil, task.session("generator", "fp32"))
    task._sessions["generator", "fp16"] = spoiled  # type: ignore[assignment]
    task._sessions["estimator", "fp16"] = task.session("estimator", "fp32")
    with pytest.warns(RuntimeWarning, match="in fp16 a tile came out not finite or flat"):
        found = task.upscale(image, tile=80)
    assert found.repeated and spoiled.calls == 1 and np.array_equal(found.pixels, clean.pixels)


def test_an_answer_that_is_no_picture_in_fp32_is_refused(task: SuperResolver) -> None:
    task._sessions["generator", "fp32"] = Failing(lambda high: high * np.inf, task.session("generator"))  # type: ignore[assignment]
    with pytest.raises(ValueError, match="no picture"):
        task.upscale(drawn(8, 8, 3))


def test_a_flat_picture_may_stay_flat(task: SuperResolver) -> None:
    assert task.upscale(np.full((8, 8, 3), 90, np.uint8)).pixels.shape == (16, 16, 3)


def test_manifests_that_do_not_fit_their_graphs_are_refused(resolver: Path, resolving: SimpleNamespace) -> None:
    for options, word in (
        ({"scale": 4}, r"\(scale 4\)"),
        ({"scale": "2"}, "'scale' is '2'"),
        ({"code_dim": 32}, "code_dim"),
        ({"blur_weight": [1.0]}, "list of 16 numbers"),
    ):
        found = read(resolver, check=False)
        write(dataclasses.replace(found, options={**found.options, **options}), resolver)
        with pytest.raises(ValueError, match=word):
            runtime.load(resolver)
        write(found, resolver)


def test_a_graph_for_other_channels_is_refused(resolver: Path) -> None:
    found = read(resolver)
    graphs = tuple(
        dataclasses.replace(
            graph,
            inputs=tuple(
                dataclasses.replace(port, shape=("batch", 1, "height", "width")) if port.name == "image" else port
                for port in graph.inputs
            ),
        )
        for graph in found.graphs
    )
    write(dataclasses.replace(found, graphs=graphs), resolver)
    with pytest.raises(ValueError, match="channels"):
        runtime.load(resolver)


def test_a_missing_precision_is_named(resolver: Path) -> None:
    with pytest.raises(ValueError, match="no fp16 variant of graph 'estimator'"):
        runtime.load(resolver, precision="fp16")

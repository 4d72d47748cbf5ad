"""benchmarks.hashing_latency on an artifact of one product a graph: every part is timed, and bits that differ are counted right."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import runtime
from benchmarks import hashing_latency
from benchmarks.hashing_latency import Flips, flips, items, main, parity

PARTS = ["preprocess", "encode", "search", "re-rank", "whole"]


def test_every_part_is_timed_on_pinned_cores(hasher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = os.sched_getaffinity(0)
    target = tmp_path / "figures.json"
    assert main([str(hasher), "--codes", "1000", "--rounds", "2", "--bits", "8", "--into", str(target)]) == 0
    found = json.loads(target.read_text())
    assert list(found["milliseconds"]) == ["image, photo.png", "cloud, cloud.npy"]
    for parts in found["milliseconds"].values():
        assert [name for name in parts if not name.startswith(" ")] == PARTS
        assert all(time["rounds"] == 2 and time["median"] > 0 for time in parts.values())
    assert found["bits"] == 8 and found["pinned"] == f"pinned to core {min(before)}"
    assert os.sched_getaffinity(0) == before and "preprocess" in capsys.readouterr().out


def test_queries_can_be_files(hasher: Path, hashing: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "part.npy", hashing.point_clouds()[0])
    assert main([str(hasher), "--cloud", str(tmp_path / "part.npy"), "--codes", "10", "--rounds", "1"]) == 0
    assert "cloud, part.npy" in capsys.readouterr().out


def test_bits_that_differ_are_counted() -> None:
    theirs = np.array([[0.5, -0.5, 5e-5, -5e-5], [0.0, 1.0, -1.0, 2.0]], np.float32)
    ours = np.array([[0.5, 0.5, -5e-5, -5e-5], [-1e-6, 1.0, -1.0, 2.0]], np.float32)
    found = flips("image_hash", ours, theirs)
    assert found == Flips("image_hash", 4, items=2, bits=3, codes=2, outside=1, near=0.375, largest=1.0)


def product(hashing: SimpleNamespace, graph: str, offset: float) -> object:
    """The graph's formula in torch, off by a number."""

    def call(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        flat = torch.cat([part.flatten(1).float() for part in given], 1)
        flat = flat / 255 - 0.5 if graph == "image_hash" else flat
        return tuple(flat @ torch.from_numpy(hashing.weights(graph, length)) + offset for length in hashing.LENGTHS)

    return call


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_torch_and_the_runtime_are_compared_on_the_same_inputs(
    hasher: Path, hashing: SimpleNamespace, offset: float, tmp_path: Path
) -> None:
    modules = {graph.name: product(hashing, graph.name, offset) for graph in hashing.GRAPHS}
    task = runtime.load(hasher)
    found = parity(task, modules, items(task, None, 9))  # type: ignore[arg-type]
    assert [(row.graph, row.length, row.items) for row in found] == [
        (graph.name, length, 9) for graph in hashing.GRAPHS for length in hashing.LENGTHS
    ]
    assert all(row.largest == pytest.approx(offset, abs=1e-4) for row in found)
    assert (sum(row.outside for row in found) > 0) == (offset > 0)


def test_items_are_those_of_a_folder_or_things_of_the_embedded_test(
    hasher: Path, hashing: SimpleNamespace, tmp_path: Path
) -> None:
    task = runtime.load(hasher)
    found = items(task, None, 3)
    assert [image.shape for image in found["image_hash"]] == [(8, 8, 3)] * 3
    assert [cloud.shape for cloud in found["point_hash"]] == [(32, 3)] * 3
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("b.npy", "a.png", "notes.txt", "c.ply"):
        (folder / name).touch()
    assert items(task, folder, 1) == {"image_hash": [folder / "a.png"], "point_hash": [folder / "b.npy"]}


def test_a_bit_that_should_not_differ_is_a_status(
    hasher: Path, hashing: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for offset, status in ((0.0, 0), (0.5, 1)):
        modules = {graph.name: product(hashing, graph.name, offset) for graph in hashing.GRAPHS}
        monkeypatch.setattr(hashing_latency, "_modules", lambda _, modules=modules: modules)
        assert main([str(hasher), "--model", "model.pt", "--codes", "10", "--rounds", "1", "--items", "5"]) == status
        assert "of logits are within 1e-4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--threads", "0"], "--threads 0"),
        (["--data", "models"], "give --model too"),
        (["--bits", "24"], "bits=24"),
        (["--cloud", "none.ply"], "no file"),
    ],
)
def test_wrong_use_is_told(hasher: Path, options: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(hasher), "--codes", "10", *options]) == 2
    assert word in capsys.readouterr().err


def test_another_task_is_refused(resolver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(resolver)]) == 2
    assert "is a super_resolver; expected a cross_modal_hasher" in capsys.readouterr().err

"""The comparison of few-shot arms on tiny drawn class folders: what is trained, asked once, paired and told."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import asking, plot, tcdsnet

TINY = (
    "size=16",
    "width=8",
    "pretrain_epochs=1",
    "pretrain_batch=16",
    "episodes=2",
    "ways=3",
    "queries=2",
    "test_ways=3",
    "test_queries=3",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 class folders of 10 images each: a colour and noise."""
    folder = tmp_path_factory.mktemp("data") / "birds"
    generator = np.random.default_rng(0)
    for number in range(20):
        (folder / f"bird{number}").mkdir(parents=True)
        colour = generator.integers(0, 256, 3)
        for copy in range(10):
            image = np.clip(colour + generator.normal(0, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"bird{number}" / f"{copy}.png"), image)
    return folder


def test_arms_are_trained_asked_once_and_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(asking, "CURVE_EPISODES", 3)
    command = ["--data", str(data), "--out", str(tmp_path), "--seeds", "1", "--episodes", "4", "--jobs", "1", *TINY]
    command += ["--arm", "DN4", "--arm", "TCDSNet", "--plot", str(tmp_path / "plot.png"), "--write", str(tmp_path / "table.md")]
    assert tcdsnet.main(command) == 0
    told = capsys.readouterr().out
    assert "birds, preset cifar_fs size=16" in told and (tmp_path / "table.md").read_text() in told + "\n"
    for name in ("DN4", "TCDSNet", "DN4's backbone, TCDSNet's selection"):
        assert f"| {name} | " in told
    assert "- TCDSNet minus DN4, paired by episode: 1 shot" in told
    assert cv2.imread(str(tmp_path / "plot.png")).shape == (plot.HEIGHT, plot.WIDTH, 3)
    found = json.loads((tmp_path / "results.json").read_text())
    assert np.shape(found["shots"]["5"]["DN4"]["accuracy"]) == (1, 4)
    assert set(found["curves"]["TCDSNet, contrast, 5 shots"]) == {f"{fraction:g}" for fraction in asking.FRACTIONS}

    monkeypatch.setattr(asking, "_asked", lambda *given: pytest.fail(f"asked again: {given}"))
    assert tcdsnet.main(command) == 0
    assert json.loads((tmp_path / "results.json").read_text())["shots"] == found["shots"]


def test_differences_are_paired_by_episode_and_seed() -> None:
    rows = {"DN4": {"accuracy": [[50.0, 60.0], [40.0, 50.0]]}, "arm": {"accuracy": [[55.0, 65.0], [45.0, 57.0]]}}
    found = {"seeds": {"DN4": [0, 2], "arm": [2, 0]}, "shots": {"1": rows, "5": rows}}
    (line,) = tcdsnet._differences(found)
    gaps = np.array([[45 - 50, 57 - 60], [55 - 40, 65 - 50]])  # seed 0 is the arm's second row, seed 2 its first
    mean = gaps.mean(0)
    assert f"1 shot {mean.mean():+.2f} ± {1.96 * mean.std(ddof=1) / 2**0.5:.2f} (by seed -4.00, +15.00)" in line


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("--data", "absent"), "there is no absent"),
        (("--data", "{data}", "--arm", "mine"), "there is no arm 'mine'; there are ProtoNet, DN4"),
        (("--data", "{data}", "--seeds", "0"), "0 seeds and "),
        (("--data", "{data}", "--out", "{data}", "--report"), "there is no finished run"),
    ],
)
def test_mistakes_end_with_status_2(
    given: tuple[str, ...], expected: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tcdsnet.main([part.format(data=data) for part in given]) == 2
    assert expected in capsys.readouterr().err

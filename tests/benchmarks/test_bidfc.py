"""The report of runs that have ended against the figures in their checkpoints, and which run starts from which."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import bidfc, runs
from benchmarks.bidfc import named
from train import checkpoint
from train.checkpoint import Checkpoint

CONFIG = {"epochs": 3, "batch": 8, "size": 64, "held_out": ["bmp2", "t72"]}


def ended(out: Path, name: str, seed: int, accuracy: float, **more: float) -> None:
    """A model.pt with figures that say where they come from."""
    metrics = {"test/accuracy": accuracy, "test/ece": 4.0, "test/class/t72": accuracy - 1, "val/accuracy": 99.0}
    metrics |= {f"test/{measure}": value for measure, value in more.items()}
    place = runs.folder(out, name, seed)
    place.mkdir(parents=True)
    model = {"encoder.a": torch.zeros(3), "classifier.b": torch.zeros(4), "discrimination.c": torch.zeros(9)}
    checkpoint.save(Checkpoint("bidfc", CONFIG, {}, model, metrics=metrics), place / "model.pt")
    (place / "seconds.json").write_text(json.dumps({"wall": 5.0, "cpu": 60.0 + seed}))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for seed in range(2):
        for share, plus in ((0.01, -20), (0.03125, 0), (0.1, 10)):
            for how, more in (("finetune", 2), ("linear", 0)):
                ended(tmp_path, named("BIDFC", how, share), seed, 70 + plus + more + 4 * seed)
                ended(tmp_path, named("from scratch", how, share), seed, 50.0 + plus)
        ended(tmp_path, named("BIDFC, T = 4", "finetune", 0.03125), seed, 60)
        ended(tmp_path, named("BIDFC, whole chips", "finetune", 0.03125), seed, 90)
        refused = {"auroc": 80 + 10.0 * seed, "known_refused": 5.0, "unknown_refused": 40.0}
        ended(tmp_path, named("BIDFC, two held out", "finetune", 0.03125), seed, 75, **refused)
    ended(tmp_path, named("SimCLR", "linear", 0.03125), 1, 66)
    return tmp_path


def test_temperatures_are_compared_on_the_seeds_that_all_have(out: Path) -> None:
    ended(out, named("BIDFC, T = 1", "finetune", 0.03125), 1, 64)
    arms = ("BIDFC", "BIDFC, T = 1", "BIDFC, T = 4")
    found = runs.collect(out, [named(arm, "finetune", 0.03125) for arm in arms], 2, lambda _: 0) | {"headline": 0.03125}
    dial = {0.5: "BIDFC", 1.0: "BIDFC, T = 1", 2.0: "BIDFC, T = 2", 4.0: "BIDFC, T = 4"}
    assert bidfc._by_temperature(found, dial, "finetune") == [(0.5, 76), (1.0, 64), (4.0, 60)]
    assert bidfc._by_temperature(found, dial, "linear") == []


def test_the_report_tells_every_figure_and_differences_by_seed(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written, picture = out / "told.md", out / "labels.png"
    options = ["--report", "--out", str(out), "--write", str(written), "--plot", str(picture)]
    assert bidfc.main(options) == 0
    text = capsys.readouterr().out
    assert written.read_text() == text
    rows = {row.split("|")[1].strip(): row for row in text.split("**")[0].splitlines() if row.startswith("|")}
    assert (
        "| 54.0 ± 2.8 | 52.0 ± 2.8 | 74.0 ± 2.8 | 72.0 ± 2.8 | 84.0 ± 2.8 | 82.0 ± 2.8 | 4.0 ± 0.0 | 2 | 7 | 60 |"
        in rows["BIDFC"]
    )
    assert "|  |  |  | 66.0 |  |  |  | 1 | 7 | 61 |" in rows["SimCLR"] and "MoCo v2" not in rows
    assert "BIDFC minus from scratch, fine-tuned, paired by seed: 0.01 24.0 ± 2.8 (+22.0, +26.0); 0.03125 24.0 ± 2.8" in text
    assert "BIDFC minus SimCLR, linear, paired by seed: 0.03125 8.0 (+8.0)" in text
    assert "BIDFC minus BIDFC, T = 4, fine-tuned, paired by seed: 0.03125 14.0 ± 2.8 (+12.0, +16.0)" in text
    assert "| BIDFC, T = 4 | 60.0 ± 0.0 |" in text and "| BIDFC, whole chips | 90.0 ± 0.0 |" in text
    assert "Refusal: bmp2 and t72 in no training" in text
    assert "| BIDFC, fine-tuned | 75.0 ± 0.0 | 85.0 ± 7.1 | 5.0 ± 0.0 | 40.0 ± 0.0 | 2 |" in text
    assert "- BIDFC, fine-tuned at 0.03125, by class: t72 73.0" in text
    assert picture.is_file() and (out / "labels-temperature.png").is_file()
    assert json.loads((out / "results.json").read_text())["headline"] == 0.03125


def test_one_pretraining_serves_all_shares_and_both_ways() -> None:
    plan = bidfc.Plan(("BIDFC", "BIDFC, T = 4", "SimCLR, two held out"), (0.01, 0.03125, 0.1), ("a", "b"))
    found = list(plan.runs())
    first = named("BIDFC", "linear", 0.03125)
    assert found[0] == bidfc.Run(first, ("evaluation=linear", "labels=0.03125"))
    assert [run.start for run in found[1:6]] == [first] * 5 and len({run.name for run in found}) == len(found) == 6 + 2 + 2
    assert found[-1].fields == ("pretraining=simclr", "held_out=a,b", "evaluation=finetune", "labels=0.03125")
    assert found[-1].start == found[-2].name
    assert bidfc.Plan(("BIDFC",), (0.2,), ()).headline == 0.2


def test_the_held_out_classes_are_the_datas_first_and_last() -> None:
    given = bidfc._parser().parse_args([])
    assert bidfc._held_out(given) == ("bridgelayer", "tractor")
    assert bidfc._held_out(bidfc._parser().parse_args(["--arm", "BIDFC"])) == ()


def test_what_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, sentence in (
        (["--report", "--out", str(tmp_path)], "no finished run"),
        (["--arm", "CdCL"], "there is no arm 'CdCL'"),
        (["--data", str(tmp_path / "no")], f"there is no {tmp_path / 'no'}"),
        (["--labels", "few"], "--labels few was given"),
        (["--labels", "0"], "expected shares above 0"),
    ):
        assert bidfc.main(options) == 2 and sentence in capsys.readouterr().err

"""benchmarks.upscaling on an artifact whose answer is local: no way may differ from the whole image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import upscaling


def test_every_way_is_timed_and_tiles_of_a_local_answer_leave_no_seam(
    resolver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.json"
    arguments = [str(resolver), "--size", "96", "--tile", "64", "--rounds", "1", "--threads", "1", "--json", str(target)]
    assert upscaling.main(arguments) == 0
    found = json.loads(target.read_text())
    assert set(found["milliseconds"]) == set(found["peak_mib"]) == set(upscaling.WAYS)
    assert found["against_whole"]["runtime, tiles"]["largest"] <= 1 and found["against_whole"]["raw onnxruntime"]["largest"] <= 1
    assert all(value > 1 for value in found["peak_mib"].values())
    assert "| naive tiles |" in capsys.readouterr().out


def test_the_peak_of_a_large_image_is_measured(resolver: Path, tmp_path: Path) -> None:
    given = upscaling._parser().parse_args([str(resolver), "--one", "large", "--megapixels", "0.2", "--threads", "1"])
    found = upscaling._peak(given)
    assert found["tiles"] > 1 and found["result_mib"] == pytest.approx(4 * found["input_mib"])


def test_wrong_use_is_told(resolver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upscaling.main([str(tmp_path)]) == 2
    assert "is not an artifact" in capsys.readouterr().err

"""benchmarks.gpu_acceptance on a machine without a GPU: what it refuses, how it times, and what its report says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks import gpu_acceptance
from benchmarks.gpu_acceptance import Step, main
from runtime.cuda import Unavailable, driver


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 5)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(image.float().flatten(1) / 255)
        return logits, logits.softmax(1)


def rows_of(device: str, compiled: bool) -> list[gpu_acceptance.TorchRow]:
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 256, (3, 3, 2, 2), dtype=np.uint8)
    return gpu_acceptance.torch_rows(Classifier().eval(), image, [1, 4], device, rounds=4, compiled=compiled)


def test_torch_is_timed_at_every_batch_and_precision_and_held_against_fp32() -> None:
    rows = rows_of("cpu", compiled=False)
    assert [(row.batch, row.precision, row.name) for row in rows] == [
        (batch, precision, "torch eager") for batch in (1, 4) for precision in ("fp32", "fp16")
    ]
    assert all(row.timing.rounds == 4 and row.device is None for row in rows)
    assert all(row.cosine > (0.999999 if row.precision == "fp32" else 0.999) for row in rows)


@pytest.mark.gpu
def test_a_gpu_is_timed_between_cuda_events() -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    rows = rows_of("cuda", compiled=True)
    assert {row.name for row in rows} == {"torch eager", "torch.compile"}
    assert all(row.device is not None and 0 < row.device.median < row.timing.median for row in rows)


def test_without_a_gpu_nothing_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        driver()
    except Unavailable:
        (tmp_path / "model.pt").write_bytes(b"")
        assert main([str(tmp_path / "model.pt"), "--results", str(tmp_path / "results")]) == 2
        assert "the acceptance needs an NVIDIA GPU, and " in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
        return
    pytest.skip("there is a GPU here")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.pt"], "missing.pt is not a file"),
        (["x", "--batch", "0"], "must be 1 or more"),
        (["x", "--rounds", "0"], "must be"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err


def test_a_command_is_kept_with_its_status_and_words() -> None:
    step = gpu_acceptance.run("a mistake", ["export.trt", "missing.pt", "--precision", "fp8"])
    assert (step.status, step.command) == (2, "python -m export.trt missing.pt --precision fp8")
    assert "There is no precision 'fp8'" in step.output


def test_a_report_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    step = gpu_acceptance.run(
        "a mistake", ["export.trt", str(Path.cwd() / "missing.pt"), "--profile", str(Path.home()), "--out", str(tmp_path)]
    )
    assert str(Path.cwd()) not in step.command + step.output and str(Path.home()) not in step.command
    assert str(tmp_path) not in step.command


def test_the_report_lists_what_ran_and_what_did_not() -> None:
    done = [
        Step("golden check", "python -m runtime.doctor artifact", 0, 1.5, "proof on cpu  ok"),
        Step("export", "python -m export.onnx model.pt", 1, 2.0, "error: no"),
        Step("engines of tensorrt", "", None, 0.0, "tensorrt is not installed"),
    ]
    told = gpu_acceptance.markdown("GPU acceptance", "a GPU\na processor", done, rows_of("cpu", compiled=False), "")
    assert "| golden check | `python -m runtime.doctor artifact` | passed | 1.5 |" in told
    assert "| export | `python -m export.onnx model.pt` | exit status 1 | 2.0 |" in told
    assert "| engines of tensorrt |  | not run: tensorrt is not installed | 0.0 |" in told
    assert "    proof on cpu  ok" in told and "| 4 | torch eager | fp16 |" in told
    assert "Not run: torch sees no GPU." in gpu_acceptance.markdown("t", "m", done, [], "torch sees no GPU")

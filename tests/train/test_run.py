"""The command line is compared with its help: what it prints, what it writes, and its exit status."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from train import checkpoint, registry
from train.run import main


@pytest.fixture
def short(photos: Path, tiny: tuple[str, ...], tmp_path: Path) -> list[str]:
    """A run of a few steps."""
    steps = ("pretrain_epochs=1", "prompt_epochs=0", "epochs=1")
    return ["comkd_clip", *tiny, *steps, "--smoke", "--data", str(photos), "--out", str(tmp_path / "run"), "--accelerator", "cpu"]


def test_without_a_name_the_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.split() == ["methods:", *registry.names()]


def test_fields_are_printed_with_the_values_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["comkd_clip", "--fields", "kl_temperature=2"]) == 0
    said = capsys.readouterr().out
    assert "kl_temperature=2.0 " in said and "PromptSRC" in said


def test_a_run_writes_a_model_and_says_where(short: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*short, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == str(tmp_path / "run" / "model.pt") and said["config"]["epochs"] == 1.0
    assert said["metrics"] == checkpoint.load(tmp_path / "run" / "model.pt").metrics
    assert main(short) == 2
    assert "exists already: give --resume" in capsys.readouterr().err
    assert main([*short, "--resume"]) == 2
    assert "there is nothing to resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["comkd"], "there is no method 'comkd'; the methods are: "),
        (["comkd_clip", "epoch=1"], "there is no field 'epoch'; did you mean epochs"),
        (["comkd_clip", "epochs=many"], "epochs='many' was given; expected a number"),
        (["comkd_clip", "--preset", "imagenet"], "has no preset 'imagenet'; it has: paper, promptkd, scenes, cifar100"),
        (["comkd_clip", "--preset", "scenes", "--smoke"], "--smoke and --preset were both given"),
        (["comkd_clip"], "there is no teacher: give teacher=PATH"),
        (["comkd_clip", "--smoke", "--data", "nowhere"], "nowhere"),
        (["comkd_clip", "--smoke", "teacher=nowhere.pt"], "there is no teacher at nowhere.pt"),
        (["comkd_clip", "--smoke", "--precision", "31-true"], "31-true"),
        (["comkd_clip", "--smoke", "scenes=0"], "scenes=0 was given"),
    ],
)
def test_a_mistake_ends_with_status_2_and_one_sentence(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.run: ") and said in error and "Traceback" not in error


@pytest.mark.parametrize("option", ["--checkpoint-every=0", "--log-every=-1", "--colour"])
def test_an_unknown_or_impossible_option_ends_with_status_2(option: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["comkd_clip", option])
    assert ended.value.code == 2


def test_a_diverged_run_ends_with_status_3(short: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*short, "optimizer=sgd", "learning_rate=inf", "clip=0"]) == 3
    assert "of stage 'student' was not a finite number at step" in capsys.readouterr().err


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow beyond 100 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_refuses_ends_with_status_4(
    short: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], full_disk: None
) -> None:
    assert main(short) == 4
    assert f"could not be written to {tmp_path / 'run'} (File too large); there was none before it" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("*.pt*")) and not list((tmp_path / "run").glob(".*"))

"""`runtime.run` on a super_resolver artifact: files, folders, videos and pictures that compare, and what is left after a failure."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

import runtime
from runtime import video
from runtime.commands.upscaling import GAP
from runtime.pictures import read, write
from runtime.run import main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, shape, kind in (
        ("a.png", (9, 12, 3), np.uint8),
        ("b.jpg", (8, 8, 3), np.uint8),
        ("more/c.png", (5, 6, 4), np.uint16),
    ):
        write(folder / name, generator.integers(0, np.iinfo(kind).max, shape, dtype=kind))
    return folder


def film(path: Path, frames: int = 5) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (24, 16))
    for number in range(frames):
        writer.write(np.full((16, 24, 3), 8 * number, np.uint8))
    writer.release()
    return path


def test_a_file_is_written_beside_a_comparison(
    resolver: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, both = tmp_path / "large.png", tmp_path / "both.png"
    assert main([str(resolver), str(photos / "a.png"), "-o", str(out), "--compare", str(both), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["size"] == [18, 24] and found["out"] == str(out) and found["tiles"] == 1
    assert np.array_equal(read(out).joined(), runtime.load(resolver).upscale(photos / "a.png").pixels)
    picture = read(both).joined()
    assert picture.shape == (18, 24 + GAP + 24, 3) and (picture[:, 24 : 24 + GAP] == 255).all()
    assert np.array_equal(picture[:, -24:], read(out).joined())


def test_a_folder_is_mirrored(resolver: Path, photos: Path, tmp_path: Path) -> None:
    assert (
        main([str(resolver), str(photos), "-o", str(tmp_path / "large"), "--outscale", "3", "--compare", str(tmp_path / "both")])
        == 0
    )
    assert read(tmp_path / "large/more/c.png").joined().shape == (15, 18, 4)
    assert read(tmp_path / "large/more/c.png").joined().dtype == np.uint16
    assert sorted(path.relative_to(tmp_path / "both").as_posix() for path in (tmp_path / "both").rglob("*.*")) == [
        "a.png",
        "b.jpg",
        "more/c.png",
    ]


def test_a_bad_image_does_not_lose_the_others(
    resolver: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "empty.png").touch()
    (photos / "text.png").write_text("no picture")
    assert main([str(resolver), str(photos), "-o", str(tmp_path / "large"), "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["path"]).name for line in lines if "error" in line] == ["empty.png", "text.png"]
    assert len(list((tmp_path / "large").rglob("*.*"))) == 3


def test_the_blur_alone_can_be_asked_for(resolver: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(resolver), str(photos / "a.png"), "--estimate", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["code"]) == 16 and found["blur"] == pytest.approx(
        runtime.load(resolver).estimate(photos / "a.png").blur, abs=1e-3
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ((), "give -o OUT"),
        (("-o", "large.gif"), "suffix"),
        (("-o", "no/such/large.png"), "no folder"),
        (("-o", "large.png", "--smooth", "1"), "--smooth"),
        (("-o", "large.png", "--top-k", "2"), "--top-k is for a zero_shot, "),
        (("-o", "{source}"), "is the input itself"),
    ],
)
def test_wrong_use_ends_with_2_and_writes_nothing(
    resolver: Path,
    photos: Path,
    options: tuple[str, ...],
    word: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photos)
    before = sorted(photos.rglob("*"))
    assert main([str(resolver), "a.png", *(option.format(source="a.png") for option in options)]) == 2
    assert word in capsys.readouterr().err and sorted(photos.rglob("*")) == before


def test_options_of_super_resolution_are_refused_by_a_classifier(
    artifact: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(artifact), str(photos / "a.png"), "--outscale", "2"]) == 2
    assert "--outscale is for a super_resolver artifact" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_left_as_it_was(resolver: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    assert main([str(resolver), str(photos / "a.png"), "-o", str(tmp_path / "closed/a.png")]) == 1
    assert list((tmp_path / "closed").iterdir()) == []


def test_a_full_disk_leaves_no_half_of_a_picture(
    resolver: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main([str(resolver), str(photos / "a.png"), "-o", str(tmp_path / "large.png")]) == 1
    assert "No space left" in capsys.readouterr().err and not list(tmp_path.glob("*large*"))


def test_a_video_is_enlarged_frame_by_frame(resolver: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = film(tmp_path / "film.avi")
    assert main([str(resolver), str(source), "-o", str(tmp_path / "large.avi")]) == 0
    assert "5 frames of 48x32" in (said := capsys.readouterr().out) and "sound is not carried over" in said
    reader = cv2.VideoCapture(str(tmp_path / "large.avi"))
    frames = [reader.read()[1] for _ in range(5)]
    assert all(frame.shape == (32, 48, 3) for frame in frames) and frames[4].mean() > frames[0].mean() + 20
    assert reader.get(cv2.CAP_PROP_FPS) == 10.0


def test_a_video_that_ends_early_is_said_to(
    resolver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film(tmp_path / "film.avi", 30)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    status = main([str(resolver), str(source), "-o", str(tmp_path / "large.avi")])
    said = capsys.readouterr()
    if status == 1:  # the header announces more frames than there are
        assert "ends early" in said.err and (tmp_path / "large.avi").exists()
    else:  # this build of OpenCV counts what it can read, or reads nothing of it
        assert status in (0, 2) and (status == 0) == (tmp_path / "large.avi").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_video_that_breaks_off_leaves_nothing(
    resolver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film(tmp_path / "film.avi")
    monkeypatch.setattr(video, "_mixed", lambda *_: (_ for _ in ()).throw(ValueError("broken")))
    assert main([str(resolver), str(source), "-o", str(tmp_path / "large.avi")]) == 2
    assert not (tmp_path / "large.avi").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("content", [b"", b"no film"])
def test_what_is_no_video_is_refused(resolver: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "film.avi").write_bytes(content)
    assert main([str(resolver), str(tmp_path / "film.avi"), "-o", str(tmp_path / "large.avi")]) == 2
    assert "not a video" in capsys.readouterr().err and not (tmp_path / "large.avi").exists()

"""What is loaded is compared with what was saved, and files that were cut, changed, or made to harm with a plain refusal."""

from __future__ import annotations

import dataclasses
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from train import checkpoint
from train.checkpoint import Checkpoint

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def made(size: int = 4, fill: float = 1.0) -> Checkpoint:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    return Checkpoint(
        "comkd_clip",
        {"seed": 3, "widths": (1, 2), "name": "x"},
        {"classes": ["a", "b"], "samples": [torch.ones(2, 2, 3, dtype=torch.uint8)]},
        {"weight": torch.full((size,), fill)},
        metrics={"val/top1": 50.0},
        optimizer=optimizer.state_dict(),
        step={"stage": 1, "step": 2, "total": 5},
        rng={"torch": torch.get_rng_state(), "cuda": []},
        best={"score": 1.0, "step": 2, "model": {"weight": torch.zeros(size)}},
    )


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def content(**changes: Any) -> dict[str, Any]:
    return {field.name: getattr(made(), field.name) for field in dataclasses.fields(Checkpoint)} | changes


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    saved = made()
    checkpoint.save(saved, tmp_path / "model.pt")
    loaded = checkpoint.load(tmp_path / "model.pt")
    for field in dataclasses.fields(Checkpoint):
        assert equal(getattr(loaded, field.name), getattr(saved, field.name)), field.name
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is not a file; expected the model\.pt"):
        checkpoint.load(tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError, match="is not a file"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, part: float) -> None:
    path = tmp_path / "model.pt"
    checkpoint.save(made(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError, match="not a readable checkpoint of this project"):
        checkpoint.load(path)


@pytest.mark.parametrize("kind", ["text", "picture", "zip", "pickle", "noise"])
def test_another_kind_of_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.pt"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "no checkpoint")
    else:
        others = {
            "text": b"no checkpoint\n",
            "picture": b"\x89PNG\r\n\x1a\n" + bytes(50),
            "noise": random.Random(0).randbytes(400),
        }
        path.write_bytes(others.get(kind, pickle.dumps(Path("there"))))
    with pytest.raises(ValueError, match="not a readable checkpoint of this project"):
        checkpoint.load(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_damaged_bytes_are_refused_or_read_but_never_a_surprise(tmp_path: Path, legacy: bool) -> None:
    path, generator = tmp_path / "model.pt", random.Random(0)
    torch.save(content(facts={}, optimizer={}, rng={}, best={}), path, _use_new_zipfile_serialization=not legacy)
    whole, refused = path.read_bytes(), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(generator.choice((1, 3))):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            checkpoint.load(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 50


def test_a_hostile_pickle_does_not_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path / 'harm'}",)

    torch.save(content(facts={"classes": Hostile()}), tmp_path / "model.pt")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "model.pt")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2], "holds no 'format' entry"),
        ({"state_dict": {}}, "holds no 'format' entry"),
        (content(format="1"), "holds no 'format' entry"),
        (content(format=checkpoint.FORMAT + 1), rf"has checkpoint format {checkpoint.FORMAT + 1}; this version reads up to"),
        ({"format": 1, "method": "comkd_clip", "model": {}}, "lacks config, facts;"),
        (content(model=[1]), "has model of another type"),
        (content(method=3), "has method of another type"),
    ],
)
def test_a_file_that_lacks_something_says_what(tmp_path: Path, value: Any, said: str) -> None:
    torch.save(value, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=said):
        checkpoint.load(tmp_path / "model.pt")


def test_entries_that_came_later_are_not_asked_of_an_older_file_nor_unknown_ones_read(tmp_path: Path) -> None:
    torch.save({"format": 1, "method": "m", "config": {}, "facts": {}, "model": {}, "notes": "x"}, tmp_path / "model.pt")
    assert checkpoint.load(tmp_path / "model.pt") == Checkpoint("m", {}, {}, {})


def test_a_method_or_field_that_this_version_does_not_know_is_named(tmp_path: Path) -> None:
    checkpoint.save(dataclasses.replace(made(), method="of_tomorrow"), tmp_path / "model.pt")
    with pytest.raises(ValueError, match="no method 'of_tomorrow'"):
        checkpoint.restore(tmp_path / "model.pt")
    checkpoint.save(dataclasses.replace(made(), config={"seed": 0, "wings": 2}), tmp_path / "model.pt")
    with pytest.raises(ValueError, match="fields that this version does not know: wings"):
        checkpoint.restore(tmp_path / "model.pt")


# what the disk does

SAVER = """
import sys
sys.path.insert(0, {tests!r})
import torch
from pathlib import Path
from train.checkpoint import Checkpoint, save
def write(fill, size):
    save(Checkpoint("comkd_clip", {{}}, {{}}, {{"weight": torch.full((size,), float(fill))}}), Path(sys.argv[1]))
"""


def saver(code: str, path: Path, **more: Any) -> subprocess.Popen[str]:
    whole = SAVER.format(tests=str(ROOT)) + code
    return subprocess.Popen(
        [sys.executable, "-c", whole, str(path)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


FILL = """
write(1, 1000)
try:
    write(2, 1_000_000)
except OSError as error:
    print(error)
"""


def assert_old_file_is_kept(path: Path, said: str, reason: str) -> None:
    assert f"could not be written to {path.parent} ({reason}); the one before it is kept in {path}" in said
    assert checkpoint.load(path).model["weight"].tolist() == [1.0] * 1000
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_over_the_limit_leaves_the_old_one_and_no_temporary(tmp_path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    path = tmp_path / "run" / "model.pt"
    path.parent.mkdir()
    said, errors = saver(FILL, path, preexec_fn=limit).communicate(timeout=120)
    assert not errors
    assert_old_file_is_kept(path, said, "File too large")


def test_a_full_disk_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command to make a small disk with")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        said, errors = saver(FILL, disk / "model.pt").communicate(timeout=120)
        assert not errors
        assert_old_file_is_kept(disk / "model.pt", said, "No space left on device")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"could not be written to .*gone \(No such file or directory\); there was none before it"):
        checkpoint.save(made(), tmp_path / "gone" / "model.pt")


def test_a_process_killed_while_it_saves_leaves_a_whole_file_and_the_next_save_its_place_clean(tmp_path: Path) -> None:
    path, generator = tmp_path / "model.pt", random.Random(0)
    code = "import itertools\nfor i in itertools.count(): write(i, 500_000); i or print('saved', flush=True)"
    for _ in range(3):
        child = saver(code, path)
        assert child.stdout is not None and child.stdout.readline() == "saved\n"
        time.sleep(generator.uniform(0.0, 0.1))
        child.kill()
        child.communicate()
        weight = checkpoint.load(path).model["weight"]
        assert len(weight) == 500_000 and bool((weight == weight[0]).all())
    checkpoint.save(made(), path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]

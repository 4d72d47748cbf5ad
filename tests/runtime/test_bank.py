"""Class banks: what was saved against what is loaded, and every flipped byte against the sentence that refuses it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from runtime.bank import SCHEMA, Bank

ROWS = np.eye(3, 4, dtype=np.float32)
NAMES = ("ant", "bee", "größer, 'quoted'")


def make() -> Bank:
    return Bank(ROWS, NAMES, "5" * 64, ("a photo of a {}.", "{}"))


def rewrite(path: Path, **changes: object) -> None:
    """Change the header, and keep the file a valid .npz."""
    with np.load(path) as stored:
        header, vectors = json.loads(stored["header"].tobytes()), stored["vectors"]
    header = {name: value for name, value in {**header, **changes}.items() if value is not None}
    np.savez(path, vectors=vectors, header=np.frombuffer(json.dumps(header).encode(), np.uint8))


def test_a_saved_bank_is_loaded_as_it_was(tmp_path: Path) -> None:
    made = make()
    made.save(tmp_path / "bank.npz")
    found = Bank.load(tmp_path / "bank.npz")
    np.testing.assert_array_equal(found.vectors, made.vectors)
    assert (found.classes, found.teacher, found.templates) == (made.classes, made.teacher, made.templates)
    assert found.digest == made.digest
    assert (tmp_path / "bank.npz").read_bytes() == made.to_bytes()


def test_the_digest_depends_on_vectors_names_and_their_order(tiny: SimpleNamespace) -> None:
    banks = [make(), Bank(ROWS, ("bee", "ant", NAMES[2]), "5" * 64, ()), Bank(-ROWS, NAMES, "5" * 64, ())]
    assert len({bank.digest for bank in banks}) == len(banks)
    assert make().digest == make().digest


def test_no_flipped_byte_goes_unnoticed(tmp_path: Path) -> None:
    """A flip in what the zip format does not use may pass; then the content is what it was."""
    made, path = make(), tmp_path / "bank.npz"
    content = made.to_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xA5]) + content[place + 1 :])
        try:
            found = Bank.load(path)
        except ValueError:
            continue
        assert found.digest == made.digest
        assert found.teacher == made.teacher


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_half_a_bank_is_refused(share: float, tmp_path: Path) -> None:
    content = make().to_bytes()
    (tmp_path / "bank.npz").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"bank\.npz is not a readable bank"):
        Bank.load(tmp_path / "bank.npz")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": SCHEMA + 1}, f"schema {SCHEMA + 1}, and this version reads up to {SCHEMA}; install a newer"),
        ({"schema": None}, "no bank schema"),
        ({"schema": "1"}, "no bank schema"),
        ({"classes": None}, "lacks 'classes'"),
        ({"classes": 3}, "header"),
        ({"classes": ["bee", "ant", NAMES[2]]}, "is damaged"),
        ({"digest": None}, "is damaged"),
    ],
)
def test_a_header_that_is_newer_or_not_whole_is_refused(changes: dict[str, object], sentence: str, tmp_path: Path) -> None:
    make().save(tmp_path / "bank.npz")
    rewrite(tmp_path / "bank.npz", **changes)
    with pytest.raises(ValueError, match=sentence):
        Bank.load(tmp_path / "bank.npz")


def test_a_missing_bank_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no bank .*bank\.npz"):
        Bank.load(tmp_path / "bank.npz")


def test_code_in_a_bank_does_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    np.savez(tmp_path / "bank.npz", vectors=np.array([Trap()], object), header=np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(ValueError, match="is not a readable bank"):
        Bank.load(tmp_path / "bank.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("vectors", "classes", "sentence"),
    [
        (ROWS, ("ant", "bee"), "a bank of 2 classes"),
        (ROWS.astype(np.float64), NAMES, "type float64"),
        (ROWS[0], NAMES, "shape"),
        (ROWS[:0], (), "at least one class"),
        (ROWS, ("ant", "bee", "ant"), "given twice: ant"),
        (ROWS * 2, NAMES, "of unit length"),
        (ROWS * np.float32("nan"), NAMES, "finite"),
    ],
)
def test_what_is_no_bank_is_refused_when_it_is_made(vectors: np.ndarray, classes: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Bank(vectors, classes, "", ())


def test_a_save_that_fails_leaves_the_old_bank_and_nothing_else(tmp_path: Path) -> None:
    make().save(tmp_path / "bank.npz")
    before = (tmp_path / "bank.npz").read_bytes()
    broken = make()
    object.__setattr__(broken, "teacher", object())  # JSON cannot hold it: the write stops in the middle
    with pytest.raises(TypeError):
        broken.save(tmp_path / "bank.npz")
    assert [item.name for item in tmp_path.iterdir()] == ["bank.npz"]
    assert (tmp_path / "bank.npz").read_bytes() == before

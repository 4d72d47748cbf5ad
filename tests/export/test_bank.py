"""A class bank against the text encoder that made it, and the mistakes that the command tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from export.bank import build, main
from runtime.bank import Bank


class Letters:
    """Encodes a text by the letters that are in it; complete, if simple-minded."""

    def class_vectors(self, names: Sequence[str], templates: Sequence[str]) -> Tensor:
        rows = torch.zeros(len(names), 26)
        for row, name in enumerate(names):
            for template in templates:
                for letter in template.format(name).lower():
                    if letter.isascii() and letter.isalpha():
                        rows[row, ord(letter) - ord("a")] += 1
        return F.normalize(rows, dim=1)  # (k, d)

    def teacher_digest(self) -> str:
        return "ab" * 32


def test_a_bank_holds_the_encoders_unit_rows_and_says_whose_they_are(tmp_path: Path) -> None:
    bank = build(Letters(), ["red mug", "blue ball"], ["a photo of a {}.", "the {}"])
    assert bank.classes == ("red mug", "blue ball") and bank.templates == ("a photo of a {}.", "the {}")
    assert bank.teacher == "ab" * 32
    assert bank.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(bank.vectors, axis=1), 1, rtol=1e-6)
    bank.save(tmp_path / "bank.npz")
    assert np.array_equal(Bank.load(tmp_path / "bank.npz").vectors, bank.vectors)


def test_a_method_without_a_text_tower_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear has no text tower"):
        build(torch.nn.Linear(1, 1), ["red mug"])


@pytest.mark.parametrize(
    ("classes", "templates", "sentence"),
    [
        ([], ["{}"], "No class names were given"),
        (["mug", " "], ["{}"], "blank"),
        (["mug", "Mug"], ["{}"], "'Mug' is given twice"),
        (["mug"], ["a photo"], "must contain {} once"),
        (["mug"], ["{} {}"], "must contain {} once"),
        (["mug"], ["{name} and {}"], "must contain {} once"),
    ],
)
def test_names_and_templates_are_checked(classes: list[str], templates: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build(Letters(), classes, templates)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model.pt", "--classes", "red mug", "--out", "bank.npz"], "model.pt is not a file"),
        (["model.pt", "--classes", " , ", "--out", "bank.npz"], "No class names"),
        (["model.pt", "--classes", "mug", "--out", "bank.txt"], "must end with .npz"),
        (["model.pt", "--classes-file", "none.txt", "--out", "bank.npz"], "none.txt is not a file"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(arguments: list[str], sentence: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_shows_how_it_is_used(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "--classes-file names.txt" in capsys.readouterr().out

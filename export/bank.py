"""python -m export.bank model.pt --classes "red mug,blue ball" --out bank.npz: a class bank from new class names."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from runtime.bank import Bank

TEMPLATES = ("a photo of a {}.",)

EXAMPLES = """examples:
  python -m export.bank model.pt --classes "red mug,blue ball" --out bank.npz
  python -m export.bank model.pt --classes-file names.txt --out bank.npz --template "a photo of a {}." --template "a small {}."
"""


@runtime_checkable
class TextEncoder(Protocol):
    """A method that can turn class names into vectors of its image space."""

    def class_vectors(self, names: Sequence[str], templates: Sequence[str]) -> Tensor:
        """Unit rows (k, d), the mean over the templates."""

    def teacher_digest(self) -> str:
        """sha256 of the text-side weights: banks and models of one teacher fit each other."""


def build(method: object, classes: Sequence[str], templates: Sequence[str] = TEMPLATES) -> Bank:
    """Encode class names with a method's text tower.

    Raises:
        ValueError: the method has no text tower, the names are empty or double, or a template has no {}.
    """
    if not isinstance(method, TextEncoder):
        raise ValueError(f"{type(method).__name__} has no text tower, so that no class bank can be made from names with it.")
    check_names(classes)
    for template in templates:
        if template.count("{}") != 1 or template.count("{") != 1 or template.count("}") != 1:
            raise ValueError(f"The template {template!r} must contain {{}} once, for the class name, and no other brace.")
    vectors = method.class_vectors(tuple(classes), tuple(templates)).detach().cpu().numpy().astype(np.float32)  # (k, d)
    assert vectors.shape[0] == len(classes) and vectors.ndim == 2
    return Bank(vectors=vectors, classes=tuple(classes), teacher=method.teacher_digest(), templates=tuple(templates))


def check_names(classes: Sequence[str]) -> None:
    """Refuse an empty list, blank names and names that occur twice."""
    if not classes:
        raise ValueError('No class names were given; expected at least one, as in --classes "red mug,blue ball".')
    if not all(name.strip() for name in classes):
        raise ValueError("One of the class names is blank; remove it.")
    seen: set[str] = set()
    for name in classes:
        if name.casefold() in seen:
            raise ValueError(f"The class {name!r} is given twice; the two could never be told apart.")
        seen.add(name.casefold())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m export.bank", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model.pt of a method with a text tower")
    names = parser.add_mutually_exclusive_group(required=True)
    names.add_argument("--classes", help="class names, separated by commas")
    names.add_argument("--classes-file", type=Path, help="a text file with one class name a line")
    parser.add_argument(
        "--template", action="append", help=f"prompt with {{}} for the name, repeatable (default: {TEMPLATES[0]!r})"
    )
    parser.add_argument("--out", type=Path, required=True, help="the bank to write, .npz")
    options = parser.parse_args(arguments)
    try:
        classes = _classes(options.classes, options.classes_file)
        check_names(classes)
        if options.out.suffix != ".npz":
            raise ValueError(f"--out {options.out} must end with .npz.")
        from train.checkpoint import restore

        bank = build(restore(options.model), classes, tuple(options.template or TEMPLATES))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        bank.save(options.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(bank.classes)} classes, {bank.vectors.shape[1]} dimensions, sha256 {bank.digest}")
    return 0


def _classes(given: str | None, file: Path | None) -> tuple[str, ...]:
    if file is None:
        return tuple(name.strip() for name in (given or "").split(",") if name.strip())
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not a file; expected a text file with one class name a line.")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text: {error}.") from error
    return tuple(line.strip() for line in lines if line.strip())


if __name__ == "__main__":
    sys.exit(main())

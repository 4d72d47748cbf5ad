"""A tiny zero_shot artifact, built without torch by the script of the golden files."""

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime.artifact import read, write


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """build(folder, names), bank(classes, seed), images(), expected(graph, prepared, vectors) and the constants."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / "golden" / "make_zero_shot.py")))


@pytest.fixture
def artifact(tiny: SimpleNamespace, tmp_path: Path) -> Path:
    """All three graphs."""
    tiny.build(tmp_path / "artifact")
    return tmp_path / "artifact"


@pytest.fixture
def seal() -> Callable[[Path], None]:
    """Renew the checksums after a test has changed a file."""

    def renew(folder: Path) -> None:
        write(read(folder, check=False), folder)

    return renew

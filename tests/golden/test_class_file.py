"""Files of enrolled classes as every earlier version wrote them, against what they were made of."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from runtime import class_file

VERSIONS = sorted(Path(__file__).parent.glob("class_file_v*"))
SCRIPT = runpy.run_path(str(Path(__file__).parent / "make_class_file.py"))


def content(path: Path) -> dict[str, np.ndarray]:
    with np.load(path / "content.npz") as stored:
        return {name: stored[f"class_{at}"] for at, name in enumerate(SCRIPT["NAMES"])}


def test_there_is_a_golden_file_of_every_version() -> None:
    assert [path.name for path in VERSIONS] == [f"class_file_v{number}" for number in range(1, class_file.VERSION + 1)]


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.name)
def test_an_old_file_still_holds_its_classes(path: Path) -> None:
    found, expected = class_file.read(path / "classes.fsc"), content(path)
    assert found.maker == SCRIPT["MAKER"] and list(found.classes) == list(expected)
    for name, rows in expected.items():
        np.testing.assert_array_equal(found.classes[name], rows)


def test_this_version_writes_the_golden_bytes(tmp_path: Path) -> None:
    class_file.write(tmp_path / "again.fsc", content(VERSIONS[-1]), (4, 3), SCRIPT["MAKER"])
    assert (tmp_path / "again.fsc").read_bytes() == (VERSIONS[-1] / "classes.fsc").read_bytes()

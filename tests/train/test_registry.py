"""The names listed are compared with the files there are, and with what Python has imported after listing them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from train import registry

ROOT = Path(__file__).parents[2]


def test_a_method_is_found_by_its_files_name() -> None:
    files = {path.stem for path in (ROOT / "train" / "methods").iterdir() if not path.name.startswith("_")}
    assert set(registry.names()) == files and "comkd_clip" in files
    assert list(registry.names()) == sorted(registry.names())


def test_listing_imports_no_method_and_no_torch() -> None:
    code = "import sys; from train import registry; print(*registry.names()); print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    names, modules = (line.split() for line in said.splitlines())
    assert "comkd_clip" in names
    assert not {"torch", "train.methods", "train.methods.comkd_clip"} & set(modules)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no method 'comkd'; the methods are: .*comkd_clip"):
        registry.entry("comkd")

"""The compiled module's own checks, its stub, and where it is found, without the runtime in between."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
native = pytest.importorskip("cpp_ext._ops", reason="the native ops are not built: pip install -e .")
IMAGE = np.zeros((4, 5, 3), np.uint8)


def test_the_stub_names_what_the_module_has() -> None:
    stub = (ROOT / "cpp_ext" / "_ops.pyi").read_text()
    for name in (name for name in vars(native) if not name.startswith("_")):
        assert f"def {name}(" in stub or f"{name}: " in stub or f"class {name}:" in stub


@pytest.mark.parametrize(
    ("image", "size", "interpolation", "window"),
    [
        (np.zeros((4, 5), np.uint8), (2, 2), "bicubic", (0, 0, 2, 2)),
        (IMAGE[:0], (2, 2), "bicubic", (0, 0, 2, 2)),
        (IMAGE, (0, 2), "bicubic", (0, 0, 1, 1)),
        (IMAGE, (2, 2), "nearest", (0, 0, 2, 2)),
        (IMAGE, (2, 2), "bicubic", (1, 1, 2, 1)),
        (IMAGE, (2, 2), "bicubic", (2**62, 0, 2**62, 1)),
    ],
)
def test_the_module_checks_for_itself(
    image: np.ndarray, size: tuple[int, int], interpolation: str, window: tuple[int, int, int, int]
) -> None:
    with pytest.raises(ValueError, match=r"must|takes"):
        native.resize(image, size, interpolation, window)


def test_other_types_are_not_converted_in_silence() -> None:
    with pytest.raises(TypeError):
        native.resize(IMAGE.astype(np.float32), (2, 2), "bicubic", (0, 0, 2, 2))


@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_an_editable_install_gives_the_native_ops_from_everywhere(place: str, tmp_path: Path) -> None:
    command = "import runtime.ops; print(runtime.ops.backend())"
    folder = ROOT if place == "checkout" else tmp_path
    found = subprocess.run([sys.executable, "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    if place == "elsewhere" and "No module named 'runtime'" in found.stderr:
        pytest.skip("contrastrt is not installed in this environment")
    assert found.stdout.strip() == "native", found.stderr

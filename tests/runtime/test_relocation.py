"""The folder under another name, beside a stranger's `runtime` and without torch, against the package in its place."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import runtime

HERE = Path(runtime.__file__).parent
HEAVY = ("torch", "onnxruntime", "cv2", "onnx", "scipy", "PIL", "lancedb", "pyarrow", "psycopg", "faiss", "ray")
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "train", "export", "onnx"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
"""


def run(code: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def copy(to: Path) -> None:
    shutil.copytree(HERE, to, ignore=shutil.ignore_patterns("__pycache__"))


def asked(artifact: Path, image: Path, name: str) -> str:
    """Code that prints what `name` answers."""
    return f"""
import json, {name}
from dataclasses import asdict
print(json.dumps(asdict({name}.load({str(artifact)!r}, threads=1).classify({str(image)!r}))))
"""


def test_importing_the_runtime_loads_nothing_heavy() -> None:
    code = f"import runtime, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(code, HERE.parent).strip() == "[]"


def test_importing_every_module_of_it_loads_no_engine_either() -> None:
    modules = [".".join(path.relative_to(HERE.parent).with_suffix("").parts) for path in HERE.rglob("*.py")]
    code = f"import sys, {', '.join(modules)}; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(code, HERE.parent).strip() == "[]"


def test_under_another_name_beside_a_strangers_runtime_it_answers_the_same(
    artifact: Path, tiny: SimpleNamespace, tmp_path: Path
) -> None:
    image = tmp_path / "photo.png"
    Image.fromarray(tiny.images()[1]).save(image)
    application = tmp_path / "application"
    copy(application / "edge_lib")
    (application / "runtime.py").write_text("raise SystemExit('the stranger was imported')\n")
    found = run(BLOCK + asked(artifact, image, "edge_lib"), application)
    here = run(asked(artifact, image, "runtime"), HERE.parent)
    assert json.loads(found) == json.loads(here)


def test_its_command_line_speaks_of_itself_by_its_new_name(artifact: Path, tmp_path: Path) -> None:
    copy(tmp_path / "edge_lib")
    code = BLOCK + f"import edge_lib.run; print(edge_lib.run.main([{str(artifact)!r}, '--check']))"
    assert run(code, tmp_path).splitlines()[-2:] == ["passed", "0"]
    told = subprocess.run(
        [sys.executable, "-m", "edge_lib.run", str(artifact)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert told.stderr.startswith("edge_lib.run: no image was given")


def test_a_session_never_loads_torch(artifact: Path, tiny: SimpleNamespace, tmp_path: Path) -> None:
    Image.fromarray(tiny.images()[1]).save(tmp_path / "photo.png")
    code = asked(artifact, tmp_path / "photo.png", "runtime") + "import sys; print('torch' in sys.modules, 'onnx' in sys.modules)"
    assert run(code, HERE.parent).splitlines()[-1] == "False False"


# the lone wheel

needs_hatchling = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("pip", "hatchling")),
    reason="building the wheel without isolation needs pip and hatchling: pip install hatchling",
)


@needs_hatchling
@pytest.mark.parametrize("place", ["checkout", "alone"])
def test_the_folder_builds_as_a_wheel_of_its_own(place: str, artifact: Path, tiny: SimpleNamespace, tmp_path: Path) -> None:
    folder, installed = HERE, tmp_path / "installed"
    if place == "alone":
        folder = tmp_path / "copied"
        copy(folder)
    command = ["wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path), str(folder)]
    done = subprocess.run([sys.executable, "-m", "pip", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(tmp_path / f"contrastrt_runtime-{runtime.__version__}-py3-none-any.whl") as content:
        content.extractall(installed)
    found = {path.relative_to(installed).as_posix() for path in (installed / "contrastrt_runtime").rglob("*.*")}
    ours = {path.relative_to(HERE).as_posix() for path in (*HERE.rglob("*.py"), HERE / "py.typed")}
    assert found == {f"contrastrt_runtime/{name}" for name in ours}

    image = tmp_path / "photo.png"
    Image.fromarray(tiny.images()[1]).save(image)
    path = {"PYTHONPATH": str(installed)}
    answer = json.loads(run(BLOCK + asked(artifact, image, "contrastrt_runtime"), tmp_path, **path))
    assert answer == json.loads(run(asked(artifact, image, "runtime"), HERE.parent))

    alone = BLOCK.replace('"torch"', '"cpp_ext", "torch"') + "import contrastrt_runtime.ops as o; print(o.backend())"
    assert run(alone, tmp_path, **path).strip() == "numpy"
    if compiled := importlib.util.find_spec("cpp_ext._ops"):
        assert compiled.origin is not None
        shutil.copy(compiled.origin, installed / "contrastrt_runtime")
        assert run(alone, tmp_path, **path).strip() == "native"

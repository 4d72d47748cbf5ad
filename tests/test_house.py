"""The house as it stands (files, commands, import contracts) against what README.md and pyproject.toml say of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import runtime
from train import registry

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("train", "export", "runtime", "cpp_ext", "benchmarks")
COMMANDS = (
    "train.run",
    "train.evaluate",
    "export.onnx",
    "export.bank",
    "export.trt",
    "export.triton",
    "export.sign",
    "runtime.run",
    "runtime.doctor",
    "runtime.stores",
    *(
        f"benchmarks.{name}"
        for name in (
            "demo",
            "latency",
            "footprint",
            "bidfc",
            "cdcl",
            "cmah",
            "comkd_cifar100",
            "tcdsnet",
            "upscaling",
            "descriptors",
            "hamming",
            "hashing_latency",
            "few_shot_latency",
            "points",
            "gpu_acceptance",
        )
    ),
)
# A folder of some machine; "/tmp" is on all of them.
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(home|root|Users|opt|work|mnt|srv|workspace)/\w|[A-Z]:\\\\?Users")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def ours() -> list[Path]:
    """The project's files: what git knows or would take up, else what is not ignored by name."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        found = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        aside = re.compile(r"^(\.git|\.venv|build|dist|runs)/|(^|/)(__pycache__|\.\w+_cache|\.hypothesis)/|\.(so|py[co])$")
        found = [path for path in ROOT.rglob("*") if not aside.search(path.relative_to(ROOT).as_posix())]
    return [path for path in found if path.is_file()]


def tree() -> set[str]:
    """The paths that the README's tree names."""
    found: set[str] = set()
    above: list[str] = []
    for line in README.split("## The tree")[1].splitlines():
        if match := re.match(r"( {4,})(\S+)", line):
            depth = (len(match[1]) - 4) // 2
            above = [*above[:depth], match[2].rstrip("/")]
            found.add("/".join(above))
    return found


def test_the_tree_names_all_that_stands_at_the_top() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in ours()} - {".gitignore"}
    assert {path for path in tree() if "/" not in path} == top


def test_what_the_tree_names_exists() -> None:
    assert [path for path in sorted(tree()) if not (ROOT / path).exists()] == []


def test_the_tree_has_a_line_for_every_source_file() -> None:
    sources = {
        str(path.relative_to(ROOT).as_posix())
        for path in ours()
        if path.relative_to(ROOT).parts[0] in PACKAGES and path.suffix in (".py", ".pyi", ".hpp", ".cpp")
    }
    assert sorted(name for name in sources - tree() if not name.endswith("__init__.py")) == []


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_explains_itself(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"python -m {module}" in done.stdout


def test_the_documents_name_no_other_commands_or_options() -> None:
    wrong = []
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for module, rest in re.findall(r"-m ((?:train|export|runtime|benchmarks)\.\w+)([^`#\n]*)", text):
            if module not in COMMANDS:
                wrong.append(f"{name}: python -m {module}")
                continue
            place = ROOT / module.replace(".", "/")
            homes = [place / "__main__.py" if place.is_dir() else place.with_suffix(".py")]
            homes += sorted((ROOT / "runtime/commands").glob("*.py")) if module == "runtime.run" else []
            homes += [ROOT / "benchmarks/options.py"] if module.startswith("benchmarks.") else []
            source = "".join(home.read_text(encoding="utf-8") for home in homes)
            options = re.findall(r"--[a-z][\w-]*", rest)
            wrong += [f"{name}: {module} {option}" for option in options if f'"{option}"' not in source]
    assert wrong == []


def test_the_fields_and_presets_that_the_readme_names_exist() -> None:
    known = set()
    for name in registry.names():
        entry = registry.entry(name)
        known |= set(entry.config.__dataclass_fields__) | {f"--preset {preset}" for preset in entry.presets}
    used = set(re.findall(r"--preset \w+", README)) | set(re.findall(r"\b([a-z]+(?:_[a-z]+)+)=", README))
    used -= {"set_classes", "batch_size", "top_k", "require_signature", "storage_options"}  # Python's, not the command line's
    assert sorted(used - known) == []


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", README.split("## The ten systems")[0])) <= targets


def test_the_import_contracts_are_kept() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(PYPROJECT['tool']['importlinter']['contracts'])} kept, 0 broken" in done.stdout


@pytest.mark.parametrize("name", registry.names())
def test_every_method_has_a_row_and_tests(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|.*\| there \|$", README, re.MULTILINE), f"{name} needs a row in the README's table"
    tests = ROOT / "tests" / "train" / "methods"
    assert (tests / f"test_{name}.py").is_file() or list((tests / name).glob("test_*.py")), f"{name} needs tests below {tests}"


def test_only_methods_that_are_there_are_called_so() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|.*\| there \|$", README, re.MULTILINE)) == list(registry.names())


def test_no_file_names_a_folder_of_some_machine() -> None:
    found = []
    for path in ours():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    assert found == []


def test_the_version_has_one_home() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["scikit-build"]["metadata"]["version"]["input"] == "runtime/__init__.py"
    modules = [path for path in ours() if path.suffix == ".py"]
    homes = [path for path in modules if re.search(r"^__version__ = ", path.read_text(encoding="utf-8"), re.MULTILINE)]
    assert homes == [ROOT / "runtime" / "__init__.py"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", runtime.__version__)


def test_the_readme_has_every_extra_and_warns_of_the_pairs() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", README.split("## Extras")[1].split("## ")[0], re.MULTILINE))
    assert set(rows) == set(extras)
    for one, other in (("cpu", "gpu"), ("gpu", "cpu"), ("headless", "opencv"), ("opencv", "headless")):
        assert f"never together with `{other}`" in rows[one]
        assert set(extras[one]).isdisjoint(extras[other])
    for name, packages in extras.items():
        assert name in ("cpu", "gpu") or not any("onnxruntime" in package for package in packages)

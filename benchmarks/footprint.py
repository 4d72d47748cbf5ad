"""python -m benchmarks.footprint [artifact/]: import time, memory, installed size and cold start, each in fresh processes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from .machine import describe

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "onnx", "onnxruntime", "cv2")
DEPENDENCIES = ("numpy", "onnxruntime", "opencv-python-headless")

EXAMPLES = """examples:
  python -m benchmarks.footprint                 import time and sizes
  python -m benchmarks.footprint artifact/       memory and cold start with this artifact as well
"""

# Each prints one JSON object. The clock is the system's, so that the start of the interpreter counts in a cold start.
IMPORT = """
import json, sys, time
start = time.perf_counter()
import {module}
spent = time.perf_counter() - start
loaded = [name for name in {heavy!r} if name in sys.modules]
import resource
print(json.dumps({{"ms": spent * 1e3, "loaded": loaded, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}}))
"""
ANSWER = """
import json, resource, sys, time
import numpy
import runtime
imported = time.time()
with numpy.load({golden!r}, allow_pickle=False) as golden:
    image = golden["image_0"]
task = runtime.load({artifact!r}, threads=1)
loaded = time.time()
task.classify(image)
answered = time.time()
start = float(sys.argv[1])
found = {{"import": imported - start, "load": loaded - imported, "answer": answered - loaded, "total": answered - start}}
found = {{f"{{name}}_ms": seconds * 1e3 for name, seconds in found.items()}}
found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
found["torch"] = "torch" in sys.modules
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Import:
    """Medians over fresh processes: milliseconds of the import, peak memory in MiB, and heavy modules that it loaded."""

    module: str
    milliseconds: float
    peak_mib: float
    loaded: tuple[str, ...]


@dataclass(frozen=True)
class ColdStart:
    """Medians over fresh processes, from the start of the interpreter to the first answer; peak memory in MiB."""

    import_ms: float
    load_ms: float
    answer_ms: float
    total_ms: float
    peak_mib: float


def imports(modules: Sequence[str], rounds: int) -> tuple[Import, ...]:
    """Import each module in `rounds` fresh processes, in turn; the first round warms the disk and is not counted."""
    seen: dict[str, list[dict[str, object]]] = {module: [] for module in modules}
    for _ in range(rounds + 1):
        for module in modules:
            seen[module].append(_fresh(IMPORT.format(module=module, heavy=HEAVY)))
    return tuple(
        Import(
            module,
            _median([row["ms"] for row in rows[1:]]),
            _median([row["peak"] for row in rows[1:]]),
            tuple(rows[-1]["loaded"]),  # type: ignore[arg-type]
        )
        for module, rows in seen.items()
    )


def cold_start(artifact: Path, rounds: int) -> ColdStart:
    """Start an interpreter, load the artifact, answer one image."""
    code = ANSWER.format(artifact=str(artifact.resolve()), golden=str((artifact / "golden.npz").resolve()))
    rows = [_fresh(code) for _ in range(rounds + 1)][1:]
    assert not any(row["torch"] for row in rows), "the runtime loaded torch"
    return ColdStart(*(_median([row[key] for row in rows]) for key in ("import_ms", "load_ms", "answer_ms", "total_ms", "peak")))


def installed() -> dict[str, float]:
    """MiB on disk of the runtime's own files and of what it needs, where that is installed."""
    found = {"runtime": _size(ROOT / "runtime"), "cpp_ext": _size(ROOT / "cpp_ext")}
    for name in DEPENDENCIES:
        try:
            files = metadata.distribution(name).files or ()
        except metadata.PackageNotFoundError:
            continue
        found[name] = sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file()) / 2**20
    return found


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts) / 2**20


def _fresh(code: str) -> dict[str, object]:
    """Run code in a new interpreter on one thread and read the JSON that it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, repr(time.time())], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise ValueError(f"the measured process failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _median(values: Sequence[object]) -> float:
    return float(np.median(np.array(values, dtype=np.float64)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if the runtime's import loads what it must not."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.footprint",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", type=Path, nargs="?", help="folder that `python -m export.onnx` wrote")
    parser.add_argument("--rounds", type=int, default=20, help="fresh processes of each kind (default: 20)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the numbers as JSON")
    options = parser.parse_args(arguments)
    try:
        if options.rounds < 1:
            raise ValueError(f"--rounds {options.rounds} was given; expected 1 or more.")
        if options.artifact is not None and not (options.artifact / "golden.npz").is_file():
            raise FileNotFoundError(f"{options.artifact} is not an artifact: it has no golden.npz.")
        machine = describe()
        numpy_import, runtime_import = imports(("numpy", "runtime"), options.rounds)
        cold = None if options.artifact is None else cold_start(options.artifact, options.rounds)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sizes, added = installed(), runtime_import.milliseconds - numpy_import.milliseconds
    print(f"{machine}\nmedians of {options.rounds} fresh processes, one thread\n")
    for row in (numpy_import, runtime_import):
        print(f"import {row.module:<10} {row.milliseconds:>7.1f} ms   peak memory {row.peak_mib:>6.1f} MiB")
    print(f"runtime adds      {added:>7.1f} ms   and loads of {', '.join(HEAVY)}: {', '.join(runtime_import.loaded) or 'none'}")
    print("on disk: " + ", ".join(f"{name} {size:.2f} MiB" for name, size in sizes.items()))
    if cold is not None:
        print(
            f"cold start {cold.total_ms:.0f} ms = interpreter and import {cold.import_ms:.0f} + load {cold.load_ms:.0f} "
            f"+ first answer {cold.answer_ms:.1f}; peak memory {cold.peak_mib:.0f} MiB"
        )
    if options.json:
        found = {
            "machine": machine.to_dict(),
            "rounds": options.rounds,
            "imports": [asdict(numpy_import), asdict(runtime_import)],
            "added_ms": added,
            "installed_mib": sizes,
            "cold_start": None if cold is None else asdict(cold),
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 1 if set(runtime_import.loaded) & {"torch", "onnx", "onnxruntime"} else 0


if __name__ == "__main__":
    sys.exit(main())

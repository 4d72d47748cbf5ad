"""What a measurement ran on: without it a time means nothing."""

from __future__ import annotations

import dataclasses
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "faiss-cpu",
    "usearch",
    "fpsample",
    "scipy",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx",
    "pycuda",
    "cuda-python",
    "torch",
)
INSTRUCTIONS = (
    "avx2",
    "avx512f",
    "avx512_vpopcntdq",
    "avx512_vnni",
    "avx_vnni",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
)  # that speed hangs on


@dataclass(frozen=True)
class Machine:
    """A processor, its system and the versions of what runs on it; `load` is the number of running tasks at the start."""

    processor: str
    cores: int
    usable_cores: int
    instructions: tuple[str, ...]
    memory_gib: float
    load: float
    system: str
    python: str
    versions: dict[str, str]
    gpus: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        instructions = ", ".join(self.instructions) or "instructions unknown"
        gpus = "".join(f"\n{name}" for name in self.gpus)
        return (
            f"{self.processor}, {self.usable_cores} of {self.cores} cores ({instructions}), "
            f"{self.memory_gib:.0f} GiB, load {self.load:.1f}\n{self.system}, Python {self.python}, {versions}{gpus}"
        )


def describe() -> Machine:
    """Read it from the system; nothing heavy is imported."""
    facts = _processor(Path("/proc/cpuinfo"))
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    return Machine(
        processor=facts.get("model name") or platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        instructions=tuple(name for name in INSTRUCTIONS if name in flags),
        memory_gib=_memory(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: version for name in PACKAGES if (version := _version(name))},
        gpus=_gpus(),
    )


def native_compiler() -> str:
    """What compiled the native ops."""
    from runtime.ops.backend import native

    compiled = native()
    return "not built" if compiled is None else str(compiled.COMPILER)


def _gpus() -> tuple[str, ...]:
    from runtime.cuda import Unavailable, driver

    try:
        found = driver()
    except Unavailable:
        return ()
    return tuple(f"{item.name} ({item.capability}), {item.memory / 2**30:.0f} GiB, CUDA {found.cuda}" for item in found.devices)


def _processor(path: Path) -> dict[str, str]:
    """The first processor's entry of /proc/cpuinfo; empty elsewhere than on Linux."""
    if not path.is_file():
        return {}
    entry = path.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in entry.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return 0.0


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

"""What this machine can run and why not: Python, packages, driver, SDKs; and an artifact's engines and proof, on every session."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from .artifact import Artifact, read
from .choice import source_sha256
from .cuda import Unavailable, driver, open_memory
from .session import PREFER, Options
from .trt_session import SDKS, misfit, sdk_module

_PACKAGE = __package__ or "runtime"  # whatever name this folder was copied under

OK, ABSENT, BROKEN = "ok", "absent", "BROKEN"

EXAMPLES = """\
examples:
  python -m runtime.doctor                        what is installed, and what of it works
  python -m runtime.doctor artifact/              also which engines fit this device, and the artifact's proof on each session
  python -m runtime.doctor artifact/ --json       the same for machines: one JSON object

exit status: 0 the artifact runs here and its proof holds (without an artifact: something here runs ONNX); 1 it does not; 2 a mistake
in what was given
"""


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it is "ok", "absent" or "BROKEN", and what there is, or what to do."""

    part: str
    state: str
    says: str


@dataclass(frozen=True)
class Diagnosis:
    """All findings; `runs`: an artifact, or without one any ONNX file, runs here and what was proven holds."""

    findings: tuple[Finding, ...]
    runs: bool


def diagnose(path: Path | None = None) -> Diagnosis:
    """Look at the machine, and at an artifact's engines and proof on it.

    Raises:
        FileNotFoundError, ValueError: the artifact is missing or damaged.
    """
    artifact = None if path is None else read(path)
    engine = _onnxruntime()
    found = [_python(), _numpy(), engine, *_cuda(), *(_sdk(name) for name in SDKS), _opencv(), _ops()]
    if artifact is None or path is None:
        return Diagnosis(tuple(found), engine.state == OK)
    found += _engines(artifact)
    proofs = list(_proofs(path))
    return Diagnosis(
        (*found, *proofs), any(proof.state == OK for proof in proofs) and all(proof.state != BROKEN for proof in proofs)
    )


# packages


def _python() -> Finding:
    return Finding("python", OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}")


def _numpy() -> Finding:
    import numpy as np

    return Finding("numpy", OK, np.__version__)


def installed(prefix: str, module: str) -> dict[str, str]:
    """Distributions whose name begins so and that write the module's folder -> version: more than one overwrite each other."""
    found = {}
    for item in metadata.distributions():
        name = (item.metadata["Name"] or "").lower()
        if name.startswith(prefix) and any(file.parts[:2] == (module, "__init__.py") for file in item.files or ()):
            found[name] = item.version
    return found


def _one_of(part: str, prefix: str, module: str, attribute: str, extras: str) -> Finding | Any:
    """The module, imported and whole; or the finding that it is absent or broken."""
    packages = installed(prefix, module)
    named = ", ".join(f"{name} {version}" for name, version in packages.items())
    again = f"pip uninstall -y {' '.join(packages)}, then pip install one: {extras}"
    try:
        found = importlib.import_module(module)
    except Exception as error:  # half a package fails in any way
        if packages:
            return Finding(part, BROKEN, f"{named} is installed and cannot be imported ({error}); {again}")
        return Finding(part, ABSENT, f"not installed; pip install {extras}")
    if not hasattr(found, attribute):
        return Finding(part, BROKEN, f"{named or module} has lost its files: {module}.{attribute} is missing; {again}")
    if len(packages) > 1:
        return Finding(part, BROKEN, f"{named} overwrite each other, and {found.__version__} answers; {again}")
    return found


def _onnxruntime() -> Finding:
    found = _one_of("onnxruntime", "onnxruntime", "onnxruntime", "InferenceSession", "'contrastrt[cpu]' or 'contrastrt[gpu]'")
    if isinstance(found, Finding):
        return found
    return Finding("onnxruntime", OK, f"{found.__version__} with {', '.join(found.get_available_providers())}")


def _opencv() -> Finding:
    found = _one_of("opencv", "opencv", "cv2", "imdecode", "'contrastrt[headless]' or 'contrastrt[opencv]'")
    return found if isinstance(found, Finding) else Finding("opencv", OK, found.__version__)


def _ops() -> Finding:
    from . import ops

    if ops.backend() != "native":
        return Finding("native ops", ABSENT, "not built: the NumPy twins answer, with the same results, more slowly")
    return Finding("native ops", OK, f"Hamming search by {', '.join(ops.hamming_kernels())}")


# NVIDIA


def _cuda() -> Iterator[Finding]:
    try:
        found = driver()
    except Unavailable as error:
        yield Finding("cuda", ABSENT, str(error))
        return
    yield Finding("cuda", OK, f"driver for CUDA {found.cuda}")
    for at, device in enumerate(found.devices):
        yield Finding(f"device {at}", OK, f"{device.name}, {device.capability}, {device.memory / 2**30:.0f} GiB")
    try:
        memory = open_memory()
    except Unavailable as error:
        yield Finding("cuda memory", ABSENT, str(error))
    else:
        graphs = "with CUDA graphs" if memory.captures else "without CUDA graphs: pip install cuda-python beside it"
        yield Finding("cuda memory", OK, f"by {memory.library}, {graphs}")


def _sdk(name: str) -> Finding:
    try:
        return Finding(name, OK, str(sdk_module(name).__version__))
    except Unavailable as error:
        return Finding(name, ABSENT, str(error))


# the artifact


def _engines(artifact: Artifact) -> Iterator[Finding]:
    for engine in artifact.engines:
        part = f"engine {engine.file}"
        try:
            capability, version = driver().devices[0].capability, str(sdk_module(engine.sdk).__version__)
        except Unavailable as error:
            yield Finding(part, ABSENT, f"for {', '.join(engine.targets)} by {engine.sdk} {engine.sdk_version}; {error}")
            continue
        # Trusted here: nothing is opened, and what a signature would allow is worth knowing.
        reason = misfit(engine, source_sha256(artifact, engine), capability, version, trusted=True)
        yield Finding(part, ABSENT if reason else OK, reason or f"fits {capability} and {engine.sdk} {version}")


def _proofs(path: Path) -> Iterator[Finding]:
    """The artifact's golden check on each kind of session; what a session does not take at all is absent, not broken."""
    from .proof import prove

    for name in PREFER:
        part = f"proof on {name}"
        try:
            proof = prove(path, Options((name,)))
        except Exception as error:  # an accelerator's failure in the middle of a run is a finding too
            yield Finding(part, ABSENT if isinstance(error, ImportError) else BROKEN, f"{type(error).__name__}: {error}")
            continue
        wrong = [f"{item.file} {item.output}" for item in proof.agreements if not item.passed]
        left = "".join(f"; not run: {file} ({reason})" for file, reason in proof.left)
        if not proof.agreements:
            yield Finding(part, ABSENT, proof.left[0][1])
        elif wrong or not proof.prepared:
            prepared = "" if proof.prepared else "".join(f", {share}" for share in proof.preparation())
            yield Finding(part, BROKEN, f"not the exporter's numbers: {', '.join(wrong) or 'preprocessing'}{prepared}{left}")
        else:
            yield Finding(part, OK, f"{len(proof.agreements)} outputs of {len(proof.reports)} files within tolerance{left}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Look, print; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {_PACKAGE}.doctor",
        description=__doc__,
        epilog=EXAMPLES.replace("runtime.doctor", f"{_PACKAGE}.doctor"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", type=Path, nargs="?", help="the folder that `python -m export.onnx` wrote")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    given = parser.parse_args(arguments)
    try:
        found = diagnose(given.artifact)
    except (ValueError, OSError) as error:
        print(f"{_PACKAGE}.doctor: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(asdict(found), ensure_ascii=False))
    else:
        width = max(len(item.part) for item in found.findings)
        print("\n".join(f"{item.part:<{width}}  {item.state:<6}  {item.says}" for item in found.findings))
        subject = "ONNX files run here" if given.artifact is None else f"{given.artifact} runs here, and its proof holds"
        print(subject if found.runs else f"NOT: {subject}")
    return 0 if found.runs else 1


if __name__ == "__main__":
    sys.exit(main())

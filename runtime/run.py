"""Ask an artifact from the command line: labels of images, as text or JSON."""

from __future__ import annotations

import argparse
import glob
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

_PACKAGE = __package__ or "runtime"  # whatever name this folder was copied under

EXAMPLES = """\
examples:
  python -m runtime.run artifact/ photo.jpg                 the five likeliest classes
  python -m runtime.run artifact/ photos/ --top-k 1         every image below a folder
  python -m runtime.run artifact/ 'photos/*.jpg' --json     one JSON object a line
  python -m runtime.run artifact/ photo.jpg --bank new.npz  other classes, from `python -m export.bank`
  python -m runtime.run artifact/ photos/ --embed out.npz   features instead of labels: arrays `path` and `embedding`
  python -m runtime.run artifact/ photos/ --prefer cuda     on CUDA or not at all; --verbose says what runs where
  python -m runtime.run artifact/ --check                   run the artifact's own proof on this device

exit status: 0 done; 1 an image could not be used (the others were), or the proof failed; 2 a mistake in what was given
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, answer, print; returns the exit status."""
    parser = _parser()
    given = parser.parse_intermixed_args(arguments)
    from . import load

    try:
        if given.check:
            return _check(given)
        if not given.inputs:
            raise ValueError("no image was given; give files, folders or patterns, or --check")
        task = load(
            given.artifact,
            prefer=_prefer(given),
            threads=given.threads,
            precision=given.precision or "fp32",
            strict=given.strict,
            require_signature=given.require_signature,
        )
        if not hasattr(task, "classify"):
            raise ValueError(f"this command does not know what to ask of a {type(task).__name__}")
        if given.bank:
            task.set_classes(given.bank)
        paths = list(_paths(given.inputs))
        status = _embed(task, paths, given) if given.embed else _classify(task, paths, given)
        if given.verbose:
            _tell(task.reports, as_json=given.json)
        return status
    except (ValueError, OSError, RuntimeError) as error:  # the last from a device that fails
        return _fail(error)
    except ModuleNotFoundError as error:
        return _fail(error.msg)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_PACKAGE}.run",
        description=__doc__,
        epilog=EXAMPLES.replace("runtime.run", f"{_PACKAGE}.run"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", type=Path, help="the folder that `python -m export.onnx` wrote")
    parser.add_argument("inputs", nargs="*", help="image files, folders (all images below), or patterns")
    parser.add_argument("--top-k", type=int, default=5, help="classes an image (default 5)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, an image each; errors too")
    parser.add_argument("--bank", type=Path, help="class bank to answer from, instead of the artifact's classes")
    parser.add_argument("--embed", type=Path, metavar="OUT.npz", help="write features instead of printing labels")
    parser.add_argument("--batch-size", type=int, default=8, help="images in one inference (default 8)")
    parser.add_argument("--threads", type=int, help="of one inference (default: one for each core)")
    parser.add_argument("--prefer", metavar="NAMES", help="what to run on, in order (default: tensorrt,cuda,cpu); nothing else")
    parser.add_argument("--strict", action="store_true", help="refuse an accelerator that leaves single nodes to the CPU")
    parser.add_argument("--precision", help="a variant that was exported: fp32, fp16, int8 (default fp32; with --check all)")
    parser.add_argument("--require-signature", type=Path, metavar="KEY.pem", help="refuse what this public key did not sign")
    parser.add_argument("--verbose", action="store_true", help="also say what each graph runs on, and why not on something else")
    parser.add_argument("--check", action="store_true", help="run the artifact's golden inputs on this device and compare")
    return parser


def _prefer(given: argparse.Namespace) -> tuple[str, ...]:
    from .session import PREFER

    return PREFER if given.prefer is None else tuple(name.strip() for name in given.prefer.split(",") if name.strip())


def _tell(reports: Iterable[Any], *, as_json: bool) -> None:
    """Beside the answers: a last JSON line, or lines on standard error."""
    if as_json:
        print(json.dumps({"sessions": [asdict(report) for report in reports]}, ensure_ascii=False))
    else:
        print("\n".join(map(str, reports)), file=sys.stderr)


def _paths(inputs: Iterable[str]) -> Iterator[Path]:
    """Files in order; a folder or a pattern without any image is an error."""
    from .prepare import SUFFIXES

    for text in inputs:
        path = Path(text)
        if path.is_dir():
            found = sorted(item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES and item.is_file())
            if not found:
                raise ValueError(f"there is no image below the folder {path}; expected {', '.join(SUFFIXES)}")
            yield from found
        elif any(mark in text for mark in "*?[") and not path.exists():
            matches = sorted(item for item in map(Path, glob.glob(text, recursive=True)) if item.is_file())
            if not matches:
                raise ValueError(f"no file matches {text}")
            yield from matches
        else:
            yield path


def _each(task: Any, paths: Sequence[Path], size: int, answer: str, **options: Any) -> Iterator[tuple[Path, Any]]:
    """Path and answer, or path and the error: one bad image does not lose the others of its batch."""
    from .prepare import decode

    if size < 1:
        raise ValueError(f"--batch-size {size} was given; expected 1 or more")
    with _Progress(len(paths)) as progress:
        for start in range(0, len(paths), size):
            part, images, errors = paths[start : start + size], [], {}
            for path in part:
                try:
                    images.append(decode(path))
                except (ValueError, OSError) as error:
                    errors[path] = error
            answers = iter(getattr(task, answer)(images, batch_size=size, **options))
            for path in part:
                yield path, errors[path] if path in errors else next(answers)
            progress.advance(len(part))


def _classify(task: Any, paths: Sequence[Path], given: argparse.Namespace) -> int:
    status = 0
    for path, answer in _each(task, paths, given.batch_size, "classify", top_k=given.top_k):
        if isinstance(answer, Exception):
            status = 1
            _report_error(path, answer, as_json=given.json)
        elif given.json:
            print(json.dumps({"path": str(path), "guesses": [asdict(guess) for guess in answer.guesses]}, ensure_ascii=False))
        else:
            print(f"{path}: " + ", ".join(f"{guess.label} {guess.probability:.1%}" for guess in answer.guesses))
    return status


def _embed(task: Any, paths: Sequence[Path], given: argparse.Namespace) -> int:
    import numpy as np

    status, kept, features = 0, [], []
    for path, answer in _each(task, paths, given.batch_size, "embed"):
        if isinstance(answer, Exception):
            status = 1
            _report_error(path, answer, as_json=given.json)
        else:
            kept.append(str(path))
            features.append(answer)
    dim = task.artifact.options["embedding_dim"]
    temporary = given.embed.with_name(f".{given.embed.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, path=np.array(kept), embedding=np.array(features, np.float32).reshape(-1, dim))
        temporary.replace(given.embed)
    finally:
        temporary.unlink(missing_ok=True)
    print(
        json.dumps({"embedded": len(kept), "file": str(given.embed)})
        if given.json
        else f"{len(kept)} images embedded in {given.embed}"
    )
    return status


def _check(given: argparse.Namespace) -> int:
    from .proof import prove
    from .session import Options

    if given.require_signature:
        from .signature import verify

        verify(given.artifact, given.require_signature)
    options = Options(_prefer(given), given.threads, given.strict, trusted=given.require_signature is not None)
    proof = prove(given.artifact, options, [given.precision] if given.precision else None)
    if given.json:
        print(json.dumps({**asdict(proof), "passed": proof.passed}))
        return 0 if proof.passed else 1
    for item in proof.agreements:
        verdict = "passed" if item.passed else "FAILED"
        print(
            f"{item.file:<28} {item.output:<14} cosine {item.cosine:.7f}  "
            f"max error {item.max_abs:.2e} of {item.limit_abs:.2e}  {verdict}"
        )
    for name, reason in proof.left:
        print(f"{name:<28} NOT RUN: {reason}")
    if given.verbose:
        _tell(proof.reports, as_json=False)
    if proof.pixels is not None:
        print(f"preprocessing ({proof.ops} ops): {proof.pixels:.2%} of golden pixels equal")
    wrong = "FAILED: this device does not give the exporter's numbers"
    unproven = proof.left and all(item.passed for item in proof.agreements) and proof.pixels in (None, 1.0)
    print("passed" if proof.passed else "NOT PROVEN: not every file was run" if unproven else wrong)
    return 0 if proof.passed else 1


class _Progress:
    """A bar on standard error, where that is a terminal and there is something to wait for."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._shown = total > 1 and sys.stderr.isatty() and sys.stdout.isatty() is False

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print(file=sys.stderr)

    def advance(self, count: int) -> None:
        self._done += count
        if self._shown:
            filled = 30 * self._done // self._total
            print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {self._done}/{self._total}", end="", file=sys.stderr, flush=True)


def _report_error(path: Path, error: Exception, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"path": str(path), "error": str(error)}, ensure_ascii=False))
    else:
        print(f"{path}: {error}", file=sys.stderr)


def _fail(error: object) -> int:
    print(f"{_PACKAGE}.run: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

"""Ask an artifact from the command line: labels of images, larger images, what is alike, new classes, or radar targets, as its task has it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
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
  python -m runtime.run artifact/ small.png -o large.png --compare both.png   an artifact of super-resolution: a larger image
  python -m runtime.run artifact/ photos/ -o larger/ --outscale 3             a folder, to another size
  python -m runtime.run artifact/ film.mp4 -o larger.mp4                      a video, without its sound
  python -m runtime.run artifact/ index models/ photos/ -o parts.hidx         of hashing: codes of images and clouds, to search
  python -m runtime.run artifact/ query photo.jpg --index parts.hidx -k 5 --sheet hits.png   the nearest of them, and a picture
  python -m runtime.run artifact/ enroll mug mugs/*.jpg --classes shop.fsc    of new classes: a class from a few photos
  python -m runtime.run artifact/ classify photo.jpg --classes shop.fsc --heat why.png    which class, and where it was seen
  python -m runtime.run artifact/ list --classes shop.fsc                     also add and forget
  python -m runtime.run artifact/ chips/ HB03787.015 -o seen.csv              of radar chips: what each shows, or that it is unknown
  python -m runtime.run artifact/ --check                   run the artifact's own proof on this device

exit status: 0 done; 1 a file could not be used (the others were), or the proof failed; 2 a mistake in what was given
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, answer, print; returns the exit status."""
    parser = _parser()
    given = parser.parse_intermixed_args(arguments)
    from . import commands, load

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
        status = int(commands.of(task.artifact.task, given).answer(task, given))
        if given.verbose:
            _tell(task.reports, as_json=given.json)
        return status
    except (ValueError, OSError, MemoryError, RuntimeError) as error:  # the last from a device that fails
        return _fail(error)
    except ModuleNotFoundError as error:
        return _fail(error.msg)


def _parser() -> argparse.ArgumentParser:
    from . import commands

    parser = argparse.ArgumentParser(
        prog=f"python -m {_PACKAGE}.run",
        description=__doc__,
        epilog=EXAMPLES.replace("runtime.run", f"{_PACKAGE}.run"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", type=Path, help="the folder that `python -m export.onnx` wrote")
    parser.add_argument(
        "inputs",
        nargs="*",
        help="files, folders (all below that fit), or patterns; after a word: hashing's index, query; enroll, add, classify, list, forget",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line, a file each; errors too")
    parser.add_argument("--threads", type=int, help="of one inference (default: one for each core)")
    parser.add_argument("--prefer", metavar="NAMES", help="what to run on, in order (default: tensorrt,cuda,cpu); nothing else")
    parser.add_argument("--strict", action="store_true", help="refuse an accelerator that leaves single nodes to the CPU")
    parser.add_argument("--precision", help="a variant that was exported: fp32, fp16, int8 (default fp32; with --check all)")
    parser.add_argument("--require-signature", type=Path, metavar="KEY.pem", help="refuse what this public key did not sign")
    parser.add_argument("--verbose", action="store_true", help="also say what each graph runs on, and why not on something else")
    parser.add_argument("--check", action="store_true", help="run the artifact's golden inputs on this device and compare")
    commands.add_options(parser)
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
    if proof.preparation():
        print(f"preprocessing ({proof.ops} ops): {', '.join(proof.preparation())}")
    wrong = "FAILED: this device does not give the exporter's numbers"
    unproven = proof.left and all(item.passed for item in proof.agreements) and proof.prepared
    print("passed" if proof.passed else "NOT PROVEN: not every file was run" if unproven else wrong)
    return 0 if proof.passed else 1


def _fail(error: object) -> int:
    print(f"{_PACKAGE}.run: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

"""Labels or features of images on the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..prepare import decode
from ..whole import writing
from .inputs import each, paths, report_error

TITLE = "classification (zero_shot)"
SHARED = ("batch_size", "top_k")


def add_options(parser: Any) -> None:
    """To a parser or a group of one."""
    parser.add_argument("--bank", type=Path, help="class bank to answer from, instead of the artifact's classes")
    parser.add_argument("--embed", type=Path, metavar="OUT.npz", help="write features instead of printing labels")


def answer(task: Any, given: argparse.Namespace) -> int:
    """Classify or embed everything; returns the exit status: 1 where an image could not be used and the others were."""
    if given.bank:
        task.set_classes(given.bank)
    found = list(paths(given.inputs))
    return _embed(task, found, given) if given.embed else _classify(task, found, given)


def _classify(task: Any, files: Sequence[Path], given: argparse.Namespace) -> int:
    status = 0
    ask = partial(task.classify, top_k=given.top_k, batch_size=given.batch_size)
    for path, found in each(files, given.batch_size, decode, ask):
        if isinstance(found, Exception):
            status = 1
            report_error(path, found, as_json=given.json)
        elif given.json:
            print(json.dumps({"path": str(path), "guesses": [asdict(guess) for guess in found.guesses]}, ensure_ascii=False))
        else:
            print(f"{path}: " + ", ".join(f"{guess.label} {guess.probability:.1%}" for guess in found.guesses))
    return status


def _embed(task: Any, files: Sequence[Path], given: argparse.Namespace) -> int:
    status, kept, features = 0, [], []
    for path, found in each(files, given.batch_size, decode, partial(task.embed, batch_size=given.batch_size)):
        if isinstance(found, Exception):
            status = 1
            report_error(path, found, as_json=given.json)
        else:
            kept.append(str(path))
            features.append(found)
    dim = task.artifact.options["embedding_dim"]
    with writing(given.embed) as file:
        np.savez(file, path=np.array(kept), embedding=np.array(features, np.float32).reshape(-1, dim))
    print(
        json.dumps({"embedded": len(kept), "file": str(given.embed)})
        if given.json
        else f"{len(kept)} images embedded in {given.embed}"
    )
    return status

"""Classes from a few photos on the command line: `enroll`, `add`, `classify`, `list` and `forget`, on a file of classes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import heat
from ..class_file import SUFFIX
from ..pictures import write
from ..prepare import decode
from .inputs import paths, picture_places, prepared, report_error

if TYPE_CHECKING:
    from ..tasks.few_shot_classifier import FewShotClassifier, Recognition

TITLE = "classes from a few photos (few_shot_classifier)"
SHARED = ("batch_size", "top_k")


def add_options(parser: Any) -> None:
    """To a parser or a group of one."""
    parser.add_argument("--classes", type=Path, metavar=f"FILE{SUFFIX}", help="the enrolled classes; `enroll` makes the file")
    parser.add_argument(
        "--heat", type=Path, metavar="OUT.png", help="classify: also draw where the answer comes from; a folder for several"
    )


def answer(task: FewShotClassifier, given: argparse.Namespace) -> int:
    """Do what the first word says; returns the exit status: 1 where an image could not be used and others were."""
    verb, inputs = given.inputs[0], given.inputs[1:]
    if verb not in _VERBS:
        raise ValueError(f"{verb!r} was given as the first word; of this artifact ask {_ASKED}")
    if given.classes is None:
        raise ValueError(f"nothing was said about where the classes are; give --classes FILE{SUFFIX}")
    if given.heat is not None and verb != "classify":
        raise ValueError(f"--heat does not go with `{verb}`; --help says what does")
    if given.batch_size < 1:
        raise ValueError(f"--batch-size {given.batch_size} was given; expected 1 or more")
    least, most, work = _VERBS[verb]
    if not least <= len(inputs) <= (len(inputs) if most is None else most):
        raise ValueError(f"`{' '.join(given.inputs)}` was given; of this artifact ask {_ASKED}")
    if given.classes.exists() or verb != "enroll":
        task.load_classes(given.classes)
    elif not given.classes.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {given.classes.parent} to write {given.classes.name} to")
    return work(task, inputs, given)


def _enroll(task: FewShotClassifier, inputs: Sequence[str], given: argparse.Namespace) -> int:
    """A new class, or with `add` further photos of one."""
    name, files, verb = inputs[0], list(dict.fromkeys(paths(inputs[1:]))), given.inputs[0]
    if verb == "enroll" and name in task.classes:
        raise ValueError(
            f"class {name!r} is in {given.classes} already; `add` gives it further photos, `forget` removes it, and another "
            "class needs another name"
        )
    if verb == "add" and name not in task.classes:
        raise ValueError(f"{task.support.unknown(name)}; `enroll` makes a new one")
    task.check_room(name, len(files))
    photos: list[NDArray[np.uint8]] = []
    failed = 0
    for part in prepared(files, given.batch_size, task.prepare):
        for path, photo in part:
            if isinstance(photo, Exception):
                failed += 1
                report_error(path, photo, as_json=given.json)
            else:
                photos.append(photo)
    if not photos:
        raise ValueError(f"none of the {failed} photos of class {name!r} could be used; {given.classes} was not written")
    size = min(given.batch_size, task.artifact.axes["batch"].max)
    getattr(task, verb)(name, photos, batch_size=size)
    task.save(given.classes)
    if given.json:
        line = {"label": name, "images": task.classes[name], "failed": failed, "classes": len(task.classes)}
        print(json.dumps({**line, "file": str(given.classes)}, ensure_ascii=False))
    else:
        skipped = f"; {failed} could not be used" if failed else ""
        print(f"{name}: {_photos(task.classes[name])}, {_classes(len(task.classes))} in {given.classes}{skipped}")
    return 1 if failed else 0


def _classify(task: FewShotClassifier, inputs: Sequence[str], given: argparse.Namespace) -> int:
    files = list(dict.fromkeys(paths(inputs)))
    if given.top_k < 1:
        raise ValueError(f"--top-k {given.top_k} was given; expected 1 or more")
    if not task.classes:
        raise ValueError(f"{given.classes} holds no class; enroll one first")
    places = picture_places("--heat", files, given.heat)
    status = 0
    for part in prepared(files, given.batch_size, task.prepare):
        good = [photo for _, photo in part if not isinstance(photo, Exception)]
        size = min(given.batch_size, task.artifact.axes["batch"].max)
        found = iter(task.classify(good, explain=given.heat is not None, batch_size=size))
        for path, photo in part:
            if isinstance(photo, Exception):
                status = 1
                report_error(path, photo, as_json=given.json)
                continue
            recognition = next(found)
            place = places.get(path)
            if place is not None:
                _draw(task, path, recognition, place)
            _say(path, recognition, place, given)
    return status


def _list(task: FewShotClassifier, _: Sequence[str], given: argparse.Namespace) -> int:
    for name, images in task.classes.items():
        print(json.dumps({"label": name, "images": images}, ensure_ascii=False) if given.json else f"{name}: {_photos(images)}")
    return 0


def _forget(task: FewShotClassifier, inputs: Sequence[str], given: argparse.Namespace) -> int:
    task.forget(inputs[0])
    task.save(given.classes)
    left = len(task.classes)
    if given.json:
        print(json.dumps({"forgotten": inputs[0], "classes": left, "file": str(given.classes)}, ensure_ascii=False))
    else:
        print(f"{inputs[0]} is forgotten, {_classes(left)} in {given.classes}")
    return 0


_Work = Callable[["FewShotClassifier", Sequence[str], argparse.Namespace], int]
_VERBS: dict[str, tuple[int, int | None, _Work]] = {  # verb -> least and most words after it, and what does it
    "enroll": (2, None, _enroll),
    "add": (2, None, _enroll),
    "classify": (1, None, _classify),
    "list": (0, 0, _list),
    "forget": (1, 1, _forget),
}
_ASKED = "`enroll NAME PHOTOS...`, `add NAME PHOTOS...`, `classify IMAGES...`, `list` or `forget NAME`"


def _draw(task: FewShotClassifier, path: Path, recognition: Recognition, place: Path) -> None:
    why = recognition.explanation
    assert why is not None
    place.parent.mkdir(parents=True, exist_ok=True)
    write(place, heat.overlay(heat.visible(decode(path), task.geometry), why.heat, why.selected))


def _say(path: Path, found: Recognition, place: Path | None, given: argparse.Namespace) -> None:
    best = list(found.scores.items())[: given.top_k]
    if given.json:
        line: dict[str, Any] = {"path": str(path), "label": found.label, "score": round(found.score, 6)}
        line["margin"] = None if found.margin is None else round(found.margin, 6)
        line["scores"] = [{"label": name, "score": round(score, 6)} for name, score in best]
        print(json.dumps(line if place is None else {**line, "heat": str(place)}, ensure_ascii=False))
        return
    drawn = "" if place is None else f"  ({place})"
    print(f"{path}: " + ", ".join(f"{name} {score:.3f}" for name, score in best) + drawn)


def _photos(count: int) -> str:
    return f"{count} photo" + ("s" if count > 1 else "")


def _classes(count: int) -> str:
    return f"{count} class" + ("" if count == 1 else "es")

"""One file per kind of answer."""

from __future__ import annotations

import importlib
from typing import Any

_KINDS = {
    "zero_shot": "ZeroShotClassifier",
    "super_resolver": "SuperResolver",
    "cross_modal_hasher": "CrossModalHasher",
    "few_shot_classifier": "FewShotClassifier",
    "recognizer": "Recognizer",
}


def kind(task: str) -> Any:
    """The class that answers for a task; ValueError lists the known ones."""
    if task not in _KINDS:
        raise ValueError(f"the artifact is for task {task!r}; this version knows {', '.join(_KINDS)}: install a newer contrastrt")
    return getattr(importlib.import_module(f".{task}", __package__), _KINDS[task])

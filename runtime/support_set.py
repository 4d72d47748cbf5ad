"""Classes by the local descriptors of a few photos: enrolled, added to, forgotten."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .support_selection import Before, Chosen, Class, Rule, choose, unit_rows

_AT_ONCE = 16  # images that are normalised at a time, in float64
_ROUNDING = 1e-6  # what a unit row may be off by: it stays as it is, so that files and sets give each other the same bits


def check_name(name: str) -> None:
    """ValueError where it is no name of a class: one line of visible text."""
    if not name.strip() or not name.isprintable():
        raise ValueError(f"{name!r} was given as a class's name; expected one line of text")


def taken(name: str) -> str:
    """The sentence for a name that is there already."""
    return f"class {name!r} is enrolled already; add further images to it, or forget it first"


class SupportSet:
    """Classes that come and go, and what is kept of each. Calls may come from several threads.

    Args:
        shape: (locations, d) of an image's descriptors.
    """

    def __init__(self, shape: tuple[int, int], rule: Rule) -> None:
        self.shape, self.rule = shape, rule
        self._classes: dict[str, Class] = {}  # never changed, only replaced
        self._chosen: Chosen | None = None
        self._before: Before = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._classes)

    def __contains__(self, name: str) -> bool:
        return name in self._classes

    @property
    def images(self) -> dict[str, int]:
        """Name -> number of images, in the order in which the classes were enrolled."""
        return {name: len(found.descriptors) for name, found in self._classes.items()}

    @property
    def nbytes(self) -> int:
        """Of what is held: the descriptors, their sums and, once something was compared, what is kept."""
        chosen = self._chosen
        held = sum(found.descriptors.nbytes + found.sums.nbytes for found in self._classes.values())
        return held + (0 if chosen is None else sum(group.rows.nbytes for group in chosen.groups))

    def descriptors(self) -> dict[str, NDArray[np.float32]]:
        """Name -> unit descriptors (images, locations, d)."""
        return {name: found.descriptors for name, found in self._classes.items()}

    def enroll(self, name: str, descriptors: NDArray[np.float32]) -> None:
        """A new class from descriptors (images, locations, d); ValueError where the name is taken or they are not as they should be."""
        check_name(name)
        new = self._class(name, descriptors)
        with self._lock:
            if name in self._classes:
                raise ValueError(taken(name))
            self._replace({**self._classes, name: new})

    def add(self, name: str, descriptors: NDArray[np.float32]) -> None:
        """Further images of a class; ValueError where there is none of that name."""
        more = self._class(name, descriptors)
        with self._lock:
            if name not in self._classes:
                raise ValueError(self.unknown(name))
            old = self._classes[name]
            both = Class(np.concatenate([old.descriptors, more.descriptors]), np.concatenate([old.sums, more.sums]))
            self._replace({**self._classes, name: both})

    def forget(self, name: str) -> None:
        """Drop a class; ValueError where there is none of that name."""
        with self._lock:
            if name not in self._classes:
                raise ValueError(self.unknown(name))
            self._replace({other: found for other, found in self._classes.items() if other != name})

    def fill(self, classes: Mapping[str, NDArray[np.float32]]) -> None:
        """Hold these classes and no others."""
        for name in classes:
            check_name(name)
        new = {name: self._class(name, descriptors) for name, descriptors in classes.items()}
        with self._lock:
            self._replace(new)

    def chosen(self) -> Chosen:
        """What is kept of the classes as they are; made when it is first asked for after a change. ValueError where there is no class."""
        with self._lock:
            if not self._classes:
                raise ValueError("no class is enrolled, so there is nothing to tell apart; enroll one first")
            if self._chosen is None:
                self._chosen, self._before = choose(self._classes, self.rule, self._before)
            return self._chosen

    def unknown(self, name: str) -> str:
        """The sentence for a name that is not there."""
        shown = ", ".join(list(self._classes)[:10]) + (", ..." if len(self) > 10 else "")
        return f"no class {name!r} is enrolled; " + (f"there are {shown}" if len(self) else "there is none")

    def _replace(self, classes: dict[str, Class]) -> None:
        self._classes, self._chosen = classes, None

    def _class(self, name: str, descriptors: NDArray[np.float32]) -> Class:
        expected = f"expected float32 (images, {self.shape[0]}, {self.shape[1]})"
        if descriptors.ndim != 3 or descriptors.shape[1:] != self.shape or descriptors.dtype != np.float32:
            raise ValueError(f"descriptors of shape {descriptors.shape} and type {descriptors.dtype} were given; {expected}")
        if not len(descriptors):
            raise ValueError(f"class {name!r} was given no image; give at least one")
        found = Class(np.empty_like(descriptors), np.empty((len(descriptors), self.shape[1])))
        for start in range(0, len(descriptors), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            exact = unit_rows(descriptors[part])
            near = np.abs(descriptors[part] - exact).max(-1, keepdims=True) < _ROUNDING
            found.descriptors[part] = np.where(near, descriptors[part], exact)
            found.sums[part] = found.descriptors[part].sum(1, dtype=np.float64)
        return found

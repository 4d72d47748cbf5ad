"""Parametric CAD-like families: every mesh is a function of its family's name and a number, nothing is stored.

The families vary in proportions, in the number and the kind of their parts, and then in a stretch, a taper and a bend. Some
look like others at their edges (a stool with a low rest and a chair, a plain desk and a table, a bottle and a vase, a bolt
with a washer and a flange), so that not every query has an easy answer.
"""

from __future__ import annotations

import numpy as np

from . import cad_household, cad_machines, draws
from .cad_parts import Chance, Mesh, join

_BUILDERS = {**cad_household.FAMILIES, **cad_machines.FAMILIES}
FAMILIES = tuple(sorted(_BUILDERS))
UNSEEN = ("bench", "goblet", "helicopter", "laptop", "nut", "teapot", "tee", "wrench")  # held back from training by the readers
_PART = 8  # first part of the keys here


def build(family: str, seed: int) -> Mesh:
    """One instance, y up, about a metre large.

    Args:
        family: one of FAMILIES.
        seed: which instance.
    """
    if family not in _BUILDERS:
        raise ValueError(f"There is no family {family!r}. Known: {', '.join(FAMILIES)}.")
    chance = Chance(np.uint64(draws.key(_PART, *family.encode(), seed)))
    mesh = join(_BUILDERS[family](chance))
    return _deformed(mesh, Chance(np.uint64(draws.key(_PART + 1, *family.encode(), seed))))


def _deformed(mesh: Mesh, chance: Chance) -> Mesh:
    """Stretched along each axis, and sometimes tapered upwards or bent to a side."""
    stretch = np.exp([chance.between(-0.2, 0.2) for _ in range(3)])
    vertices = mesh.vertices * stretch.astype(np.float32)
    low, high = vertices.min(0), vertices.max(0)
    up = (vertices[:, 1] - low[1]) / (high[1] - low[1])  # (v,), 0 at the foot
    if chance.happens(0.3):
        vertices[:, ::2] *= (1 + chance.between(-0.2, 0.2) * (up - 0.5))[:, None]
    if chance.happens(0.2):
        vertices[:, 0] += chance.between(-0.12, 0.12) * (high - low).max() * up**2
    return Mesh(vertices.astype(np.float32), mesh.faces)

"""Optimization profiles from an artifact's axes: the sizes that an engine is built for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runtime.artifact import Axis, Graph

from .engine import Shape

Profile = dict[str, tuple[int, int, int]]  # axis -> smallest, usual and largest size

# An engine's kernels must hold over its profile's whole range, and its memory is that of the largest sizes. Where an axis
# reaches this many times its usual size, requests of usual size would pay for those that are rare: they get a profile of their own.
WIDE = 8


def default(graph: Graph, axes: Mapping[str, Axis]) -> tuple[Profile, ...]:
    """The artifact's own range; where an axis is wide, before it a profile in which wide axes end at their usual size."""
    used = {name: axes[name] for name in axes_of(graph)}
    whole = {name: (axis.min, axis.opt, axis.max) for name, axis in used.items()}
    usual = {name: (axis.min, axis.opt, axis.opt if wide(axis) else axis.max) for name, axis in used.items()}
    return (whole,) if usual == whole else (usual, whole)


def wide(axis: Axis) -> bool:
    """Its largest size is at least WIDE times the usual one."""
    return axis.max >= WIDE * axis.opt


def axes_of(graph: Graph) -> tuple[str, ...]:
    """The axes of a graph's inputs, in the order of its ports."""
    return tuple(dict.fromkeys(size for port in graph.inputs for size in port.shape if isinstance(size, str)))


def parse(text: str, axes: Mapping[str, Axis]) -> Profile:
    """Read `batch=1:8:64,classes=100`: smallest, usual and largest size of each axis, or one size for all three.

    Raises:
        ValueError: an axis is unknown, or a size lies outside of what the artifact allows.
    """
    found: Profile = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, given = part.partition("=")
        if name not in axes:
            raise ValueError(f"--profile {text!r} names the axis {name!r}; the artifact has {', '.join(axes) or 'none'}.")
        axis = axes[name]
        try:
            sizes = tuple(int(size) for size in given.split(":"))
        except ValueError:
            sizes = ()
        sizes = sizes * 3 if len(sizes) == 1 else sizes
        if len(sizes) != 3:
            raise ValueError(f"--profile {text!r} was given; expected sizes as in {name}={axis.min}:{axis.opt}:{axis.max}.")
        low, usual, high = sizes
        if not axis.min <= low <= usual <= high <= axis.max or any(size % axis.multiple for size in sizes):
            steps = f" in multiples of {axis.multiple}" if axis.multiple > 1 else ""
            raise ValueError(
                f"--profile {text!r} asks for {name}={low}:{usual}:{high}; the artifact was verified from {axis.min} to {axis.max}"
                f"{steps}, smallest first: --profile {name}={axis.min}:{axis.opt}:{axis.max}, or export again with other axes."
            )
        found[name] = (low, usual, high)
    if not found:
        raise ValueError(f"--profile {text!r} names no axis; expected one or more of {', '.join(axes) or 'none'}.")
    return found


def chosen(graph: Graph, axes: Mapping[str, Axis], given: Sequence[Profile]) -> tuple[Profile, ...]:
    """The profiles asked for, as far as the graph has their axes, the rest as in the artifact; without any the default."""
    if not given:
        return default(graph, axes)
    whole = {name: (axes[name].min, axes[name].opt, axes[name].max) for name in axes_of(graph)}
    found = [{name: profile.get(name, sizes) for name, sizes in whole.items()} for profile in given]
    return tuple(profile for at, profile in enumerate(found) if profile not in found[:at])


def shapes(graph: Graph, profile: Profile) -> dict[str, tuple[Shape, Shape, Shape]]:
    """A profile as the builder takes it: input -> smallest, usual and largest shape."""

    def shape(sizes: Sequence[int | str], which: int) -> Shape:
        return tuple(size if isinstance(size, int) else profile[size][which] for size in sizes)

    return {port.name: (shape(port.shape, 0), shape(port.shape, 1), shape(port.shape, 2)) for port in graph.inputs}

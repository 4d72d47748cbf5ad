"""Weights of an image encoder from a local file, with a report of what matched: nothing is left random without a word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from .weights import open_weights, state_of

HEADS = ("fc.", "head.", "projector.")  # what stands beside an encoder's own weights in published files
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Match:
    """How the names of a weight file went together with a network's.

    Args:
        loaded: names of the network that were taken, all of them.
        left_out: names of the file that the network has no place for: classifiers, other branches.
    """

    loaded: tuple[str, ...]
    left_out: tuple[str, ...]


def load_encoder(net: nn.Module, path: Path) -> Match:
    """Load a weight file (.pth, .pt, .safetensors) into a network of the same names; no code in it is run.

    The names may stand behind a prefix, as in MoCo's files (module.encoder_q.); where several branches fit, encoder_q is taken.

    Raises:
        ValueError: a weight of the network is missing in the file or has another shape there, or the file holds one beside them
            that is no classifier's. The network is then as it was.
    """
    state, seen = state_of(open_weights(path)[0])
    own = {name: value for name, value in net.state_dict().items() if not name.endswith(COUNTER)}
    first = next(iter(own))
    prefixes = [name.removesuffix(first) for name in state if name == first or name.endswith(f".{first}")]
    if not prefixes:
        raise ValueError(
            f"{path} holds no {first}, and begins with {', '.join(seen) or 'no weight'}; give an encoder of torchvision's names"
        )
    prefix = min(prefixes, key=lambda prefix: ("encoder_q" not in prefix, len(prefix)))
    theirs = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    missing = [name for name in own if name not in theirs]
    other = [
        f"{name} {tuple(theirs[name].shape)}, here {tuple(value.shape)}"
        for name, value in own.items()
        if name in theirs and theirs[name].shape != value.shape
    ]
    strange = [name for name in theirs if name not in own and not name.endswith(COUNTER) and not name.startswith(HEADS)]
    if not prefix:  # beside an encoder without prefix anything may stand; its own stages may not
        strange = [name for name in strange if name.startswith(("conv", "bn", "layer"))]
    if missing or other or strange:
        found = len(own) - len(missing) - len(other)
        reasons = _some("missing", missing) + _some("of another shape", other) + _some("without a place here", strange)
        raise ValueError(
            f"{path} does not fit: {found} of {len(own)} weights match{reasons}. Give the weights of this architecture"
        )
    net.load_state_dict({**net.state_dict(), **{name: theirs[name] for name in own}})
    taken = {prefix + name for name in own}
    return Match(tuple(own), tuple(name for name in state if name not in taken and not name.endswith(COUNTER)))


def _some(what: str, names: list[str]) -> str:
    return f"; {what}: {', '.join(names[:3])}{' and more' if len(names) > 3 else ''}" if names else ""

"""Which parts of an ONNX graph an engine's parser does not take, and at which node its builder crashes."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .engine import Job, Node, Refused, Shape, build, parse

MOST = 32  # nodes that are listed: the parser stops at each, and every one takes a process


@dataclass(frozen=True)
class Region:
    """Consecutive nodes that are not taken, between those that feed it and those that read from it."""

    nodes: tuple[Node, ...]
    after: tuple[str, ...]
    before: tuple[str, ...]

    def __str__(self) -> str:
        first, last = self.nodes[0].index, self.nodes[-1].index
        place = f"node {first}" if first == last else f"nodes {first} to {last}"
        after, before = ", ".join(self.after) or "the inputs", ", ".join(self.before) or "the outputs"
        reasons = "".join(f"\n    {node.name!r} ({node.operator}): {node.reason}" for node in self.nodes)
        return f"{place}, after {after}, before {before}:{reasons}"


@dataclass(frozen=True)
class Explained:
    """What a parser takes of a file. `rest` says why nodes after the last region could not be looked at, where that is so."""

    file: str
    count: int
    regions: tuple[Region, ...]
    rest: str = ""

    def __str__(self) -> str:
        if not self.regions and not self.rest:
            return f"{self.file}: all {self.count} nodes are taken"
        refused = sum(len(region.nodes) for region in self.regions)
        lines = [f"{self.file}: {refused} of {self.count} nodes are not taken", *(f"  {region}" for region in self.regions)]
        return "\n".join([*lines, f"  {self.rest}"] if self.rest else lines)


def explain(path: Path, module: str) -> Explained:
    """Find every node that the parser refuses: after each it looks at what follows, given the node's outputs as inputs.

    Raises:
        OSError: the file cannot be read.
    """
    model = _typed(path)
    nodes, start, rest = list(model.graph.node), 0, ""
    found: list[Node] = []
    with tempfile.TemporaryDirectory(prefix="explain-") as folder:
        part = path
        while start < len(nodes):
            if len(found) == MOST:
                rest = f"nodes from {start} on were not looked at: {MOST} are listed"
                break
            try:
                if start:
                    part = Path(folder) / "part.onnx"
                    part.write_bytes(cut(model, start, len(nodes)).SerializeToString())
                refused = parse(Job(module, part))
            except (Refused, ValueError) as error:
                rest = f"nodes from {start} on could not be looked at: {error}"
                break
            if not refused:
                break
            at = refused[0].index
            if not 0 <= at < len(nodes) - start:
                rest = f"nodes from {start} on could not be looked at: {refused[0].reason}"
                break
            node = nodes[start + at]
            found.append(Node(start + at, node.name, node.op_type, refused[0].reason))
            start += at + 1
    return Explained(path.name, len(nodes), _regions(nodes, found), rest)


def narrow(job: Job, say: Callable[[str], None]) -> Node | None:
    """The node with which the builder begins to crash on the graph's first nodes, by bisection; None where it does not.

    Each step builds the first half of what is left, in a process of its own.
    """
    model = _typed(job.onnx)
    nodes = list(model.graph.node)
    with tempfile.TemporaryDirectory(prefix="narrow-") as folder:
        part = Path(folder) / "part.onnx"

        def crashes(count: int) -> str:
            prefix = cut(model, 0, count)
            part.write_bytes(prefix.SerializeToString())
            names = {value.name for value in prefix.graph.input}
            try:
                build(
                    dataclasses.replace(job, onnx=part, profiles=_only(job.profiles, names), timing_cache=None),
                    Path(folder) / "plan",
                )
            except Refused as refusal:
                return str(refusal) if refusal.crashed else ""
            return ""

        fine, bad, reason = 0, len(nodes), crashes(len(nodes))
        while reason and bad - fine > 1:
            middle = (fine + bad) // 2
            say(f"{job.onnx.name}: looking for the node it crashes at, {fine} to {bad}")
            if found := crashes(middle):
                bad, reason = middle, found
            else:
                fine = middle
    return Node(bad - 1, nodes[bad - 1].name, nodes[bad - 1].op_type, reason) if reason else None


def cut(model: Any, start: int, stop: int) -> Any:
    """The nodes from `start` up to `stop` as a model; what they take from before are its inputs, what others take its outputs.

    Raises:
        ValueError: the type of an input is not known.
    """
    import onnx

    nodes = list(model.graph.node)
    inside, before, after = nodes[start:stop], nodes[:start], nodes[stop:]
    types = {value.name: value for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    made = {name for node in inside for name in node.output if name}
    used = {name for node in inside for name in node.input if name}
    earlier = {name for node in before for name in node.output if name}
    given = [value.name for value in model.graph.input]
    later = {name for node in after for name in node.input} | {value.name for value in model.graph.output}
    inputs = [name for name in [*given, *sorted(earlier)] if name in used]
    if unknown := [name for name in inputs if name not in types]:
        raise ValueError(f"the type of {', '.join(unknown)} could not be inferred")
    outputs = [name for node in inside for name in node.output if name in later or (name in made and name not in used)]
    part = onnx.ModelProto()
    part.CopyFrom(model)
    for kept in (part.graph.node, part.graph.input, part.graph.output, part.graph.value_info, part.graph.initializer):
        del kept[:]
    part.graph.node.extend(inside)
    part.graph.input.extend(types[name] for name in inputs)
    part.graph.output.extend(types[name] for name in dict.fromkeys(outputs) if name in types)
    part.graph.initializer.extend(weights[name] for name in weights if name in used)
    return part


def _typed(path: Path) -> Any:
    """The model with the type of every value, as far as it can be inferred."""
    import onnx

    return onnx.shape_inference.infer_shapes(onnx.load(str(path)), data_prop=True)


def _only(
    profiles: Sequence[Mapping[str, tuple[Shape, Shape, Shape]]], names: set[str]
) -> tuple[dict[str, tuple[Shape, Shape, Shape]], ...]:
    return tuple({name: sizes for name, sizes in profile.items() if name in names} for profile in profiles)


def _regions(nodes: Sequence[Any], refused: Sequence[Node]) -> tuple[Region, ...]:
    groups: list[list[Node]] = []
    for node in refused:
        if groups and groups[-1][-1].index == node.index - 1:
            groups[-1].append(node)
        else:
            groups.append([node])
    found = []
    for group in groups:
        places = {node.index for node in group}
        taken = {name for place in places for name in nodes[place].input if name}
        made = {name for place in places for name in nodes[place].output if name}
        after = tuple(node.name for at, node in enumerate(nodes) if at not in places and taken & set(node.output))
        before = tuple(node.name for at, node in enumerate(nodes) if at not in places and made & set(node.input))
        found.append(Region(tuple(group), after, before))
    return tuple(found)

"""Cast a graph's matrix products to half precision and leave in fp32 what overflows or loses the answer there."""

from __future__ import annotations

from typing import Any

import numpy as np

HALF_MAX = float(np.finfo(np.float16).max)
# The heavy operators, and those that only move or add their results: a cast around each of them would cost more than it saves.
HEAVY = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
ACTIVATIONS = frozenset({"Relu", "Gelu", "Sigmoid", "Tanh"})
MOVES = frozenset({"Transpose", "Reshape", "Flatten", "Slice", "Split", "Concat", "Squeeze", "Unsqueeze"})
POOLS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool"})
HALVED = HEAVY | ACTIVATIONS | MOVES | POOLS | {"Add", "Mul"}
INDIFFERENT = frozenset({"Shape", "Size"})  # they read any type
L2_NORMS = frozenset({"ReduceL2", "LpNormalization"})


def protected(graph: Any) -> set[str]:
    """Names of the nodes that keep fp32 by their place: what comes before the first matrix product, and all from an L2 norm on.

    Before: the scaling of bytes to pixels. After: cosines, logit scales and bank, where 1e-3 of error decides between classes.
    """
    assert len({node.name for node in graph.node}) == len(graph.node), "node names must be unique"
    fed: set[str] = set()  # values behind a matrix product
    normed: set[str] = set()  # values behind an L2 norm
    found = set()
    for node in graph.node:
        inputs = set(node.input)
        if node.op_type in L2_NORMS or inputs & normed:
            normed.update(node.output)
            found.add(node.name)
        elif node.op_type in HEAVY or inputs & fed:
            fed.update(node.output)
        else:
            found.add(node.name)
    return found


def halve(model: Any, *, products: bool = False) -> Any:
    """Rewrite a fp32 model in place and return it; inputs and outputs keep their types.

    Args:
        products: halve every matrix product, those behind the L2 norm too, for GPUs that have no fp32 ones.

    Raises:
        ValueError: the graph has branches or loops, or a weight beyond what half precision can hold.
    """
    import onnx

    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    types.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    floats = {name for name, kind in types.items() if kind == onnx.TensorProto.FLOAT}
    kept = protected(model.graph)
    if products:
        kept -= {node.name for node in model.graph.node if node.op_type in HEAVY}
    _Rewriter(model.graph, floats, kept).run()
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    return model


class _Rewriter:
    """Walks the nodes once. `halved` holds the values that are now half, `cast` the other-precision copies made so far."""

    def __init__(self, graph: Any, floats: set[str], kept: set[str]) -> None:
        self.graph = graph
        self.floats = floats
        self.kept = kept
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {value.name for value in graph.output}
        self.halved: set[str] = set()
        self.cast: dict[str, str] = {}
        self.nodes: list[Any] = []

    def run(self) -> None:
        for node in list(self.graph.node):
            if any(attribute.HasField("g") for attribute in node.attribute):
                raise ValueError(f"fp16 is not offered for graphs with branches or loops (node {node.name!r}); leave it out.")
            half = node.op_type in HALVED and node.name not in self.kept and any(name in self.floats for name in node.output)
            for at, name in enumerate(node.input):
                if half and name in self.floats and name not in self.halved:
                    node.input[at] = self._half(name)
                elif not half and name in self.halved and node.op_type not in INDIFFERENT:
                    node.input[at] = self._full(name)
            self.nodes.append(node)
            if half:
                self._outputs(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        weights = [tensor for tensor in self.weights.values() if tensor.name in used | self.outputs]
        del self.graph.initializer[:]
        self.graph.initializer.extend(weights)
        del self.graph.value_info[:]

    def _outputs(self, node: Any) -> None:
        """A graph's output keeps its name and type: the half value behind it gets a name of its own."""
        for at, name in enumerate(node.output):
            if name in self.outputs:
                node.output[at] = f"{name}.half"
                self._add_cast(node.output[at], name, "FLOAT")
                self.cast[name] = node.output[at]
                self.cast[node.output[at]] = name
                self.halved.add(node.output[at])
            else:
                self.halved.add(name)

    def _half(self, name: str) -> str:
        if name not in self.cast:
            self.cast[name] = f"{name}.half"
            if name in self.weights:
                self._half_weight(name)
            else:
                self._add_cast(name, self.cast[name], "FLOAT16")
        return self.cast[name]

    def _half_weight(self, name: str) -> None:
        import onnx

        values = onnx.numpy_helper.to_array(self.weights[name])
        largest = float(np.abs(values).max(initial=0.0))
        if largest > HALF_MAX:
            raise ValueError(f"The weight {name!r} reaches {largest:g}, and half precision ends at {HALF_MAX:g}; leave fp16 out.")
        self.weights[self.cast[name]] = onnx.numpy_helper.from_array(values.astype(np.float16), self.cast[name])

    def _full(self, name: str) -> str:
        if name not in self.cast:
            self.cast[name] = f"{name}.full"
            self._add_cast(name, self.cast[name], "FLOAT")
        return self.cast[name]

    def _add_cast(self, source: str, target: str, kind: str) -> None:
        import onnx

        to = getattr(onnx.TensorProto, kind)
        self.nodes.append(onnx.helper.make_node("Cast", [source], [target], name=f"cast:{target}", to=to))

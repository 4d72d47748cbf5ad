"""Every registered method is compared with what train.contract says a method is, on its smoke run with the embedded data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from runtime.artifact import Axis, Graph, Port
from train import checkpoint, loop, registry
from train.contract import Entry, Exportable, Method

SCALARS = (str, int, float, bool, type(None))


@pytest.fixture(scope="module", params=registry.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def entry(name: str) -> Entry:
    return registry.entry(name)


@pytest.fixture(scope="module")
def trained(name: str, entry: Entry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.pt of a run as `python -m train.run NAME --smoke` makes it."""
    return loop.fit(name, entry.smoke, None, tmp_path_factory.mktemp(name), loop.Setting(accelerator="cpu"))


@pytest.fixture(scope="module")
def method(trained: Path) -> Method:
    return checkpoint.restore(trained)


@pytest.fixture(scope="module")
def exportable(method: Method) -> Exportable:
    return method.exportable()


# the configuration


def is_plain_field(value: object) -> bool:
    return isinstance(value, SCALARS) or (isinstance(value, tuple) and all(isinstance(part, SCALARS) for part in value))


def test_the_config_is_a_flat_frozen_dataclass_with_plain_defaults(entry: Entry) -> None:
    config = entry.config()
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    assert [field for field, value in fields.items() if not is_plain_field(value)] == []
    assert isinstance(fields["seed"], int)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1


def test_smoke_and_presets_are_values_of_the_config(entry: Entry) -> None:
    assert all(type(config) is entry.config for config in (entry.smoke, *entry.presets.values()))


# the run


def test_the_run_ends_in_a_model_that_says_what_it_is(name: str, entry: Entry, trained: Path) -> None:
    saved = checkpoint.load(trained)
    assert saved.method == name and saved.config == dataclasses.asdict(entry.smoke)
    assert saved.metrics and all(math.isfinite(value) for value in saved.metrics.values())
    assert {split for split, _, _ in (metric.partition("/") for metric in saved.metrics)} == {"val", "test"}
    assert not saved.optimizer and not saved.best
    assert (trained.parent / "metrics.csv").is_file() and not (trained.parent / "checkpoint.pt").exists()


def is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return type(value) is dict and all(isinstance(key, str) and is_plain(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return isinstance(value, (*SCALARS, Tensor))


def test_facts_are_plain(method: Method) -> None:
    assert [key for key, value in method.facts.items() if not is_plain(value)] == []


def test_stages_have_names_of_their_own_and_train_the_methods_parameters(method: Method) -> None:
    stages = list(method.stages(None))
    assert stages and len({stage.name for stage in stages}) == len(stages)
    own = {id(parameter) for parameter in method.parameters()}
    for stage in stages:
        assert stage.steps >= 1 and stage.schedule(0) > 0
        trained = [id(parameter) for group in stage.optimizer.param_groups for parameter in group["params"]]
        assert trained and len(set(trained)) == len(trained) and set(trained) <= own


def test_the_batch_of_a_step_does_not_depend_on_where_the_run_began(entry: Entry, method: Method) -> None:
    for stage in entry.method(method.config, method.facts).stages(None):
        if stage.begin:
            stage.begin()
        whole, later = stage.batches(0), stage.batches(2)
        for _ in range(2):
            next(whole)
        one, other = next(whole), next(later)
        assert list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


# export


def run(exportable: Exportable, graph: Graph, rows: int) -> tuple[dict[str, np.ndarray], list[Tensor]]:
    """A graph's inputs, cut to some rows of the batch, and its outputs."""
    inputs = {}
    for port in graph.inputs:
        sample = exportable.samples[graph.name][port.name]
        inputs[port.name] = sample[:rows] if port.shape[0] == "batch" else sample
    with torch.inference_mode():
        outputs = exportable.modules[graph.name](*(torch.from_numpy(inputs[port.name]) for port in graph.inputs))
    return inputs, outputs


def sizes(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The size of every named axis; an axis that two inputs share must have one."""
    found: dict[str, int] = {}
    for port in graph.inputs:
        array = inputs[port.name]
        assert str(array.dtype) == port.dtype and array.ndim == len(port.shape), port
        for asked, size in zip(port.shape, array.shape, strict=True):
            if isinstance(asked, str):
                assert found.setdefault(asked, size) == size, port
            else:
                assert asked == size, port
    return found


def expected_shape(port: Port, found: Mapping[str, int]) -> tuple[int, ...]:
    """("batch", "4*height") -> sizes"""
    shape = []
    for asked in port.shape:
        factor, _, axis = asked.rpartition("*") if isinstance(asked, str) else ("", "", "")
        shape.append(found[axis] * int(factor or 1) if axis else int(asked))
    return tuple(shape)


@pytest.mark.parametrize("rows", [1, 3])
def test_modules_take_and_give_what_their_ports_say(exportable: Exportable, rows: int) -> None:
    for graph in exportable.artifact.graphs:
        inputs, outputs = run(exportable, graph, rows)
        found = sizes(graph, inputs)
        assert found["batch"] == rows and isinstance(outputs, tuple) and len(outputs) == len(graph.outputs)
        for port, output in zip(graph.outputs, outputs, strict=True):
            assert tuple(output.shape) == expected_shape(port, found), f"{graph.name}: {port.name}"
            assert str(output.dtype).removeprefix("torch.") == port.dtype and bool(output.isfinite().all())


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(exportable: Exportable) -> None:
    for graph in exportable.artifact.graphs:
        (_, many), (_, one) = run(exportable, graph, 3), run(exportable, graph, 1)
        for several, single in zip(many, one, strict=True):
            torch.testing.assert_close(several[:1], single, rtol=1e-4, atol=1e-4)


def names(graph: Graph) -> Iterator[str]:
    yield from (port.name for port in (*graph.inputs, *graph.outputs))


def test_names_are_unique_and_every_axis_is_described(exportable: Exportable) -> None:
    artifact = exportable.artifact
    graphs = [graph.name for graph in artifact.graphs]
    assert len(set(graphs)) == len(graphs) and set(exportable.modules) == set(exportable.samples) == set(graphs)
    used = set()
    for graph in artifact.graphs:
        assert len(set(names(graph))) == len(list(names(graph)))
        assert set(exportable.samples[graph.name]) == {port.name for port in graph.inputs}
        assert not exportable.modules[graph.name].training
        used |= {axis for port in graph.inputs for axis in port.shape if isinstance(axis, str)}
    assert used == set(artifact.axes)
    for axis in artifact.axes.values():
        assert isinstance(axis, Axis) and 1 <= axis.min <= axis.opt <= axis.max
        assert axis.min % axis.multiple == 0 == axis.opt % axis.multiple


def test_samples_come_with_their_images(exportable: Exportable) -> None:
    for image in exportable.images:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    for graph in exportable.artifact.graphs:
        for port in graph.inputs:
            if port.shape[0] == "batch":
                count = len(exportable.samples[graph.name][port.name])
                assert count >= 3 and (not exportable.images or count == len(exportable.images))


# the checkpoint


def test_saved_and_restored_it_gives_the_same_answers(
    trained: Path, method: Method, exportable: Exportable, tmp_path: Path
) -> None:
    saved = checkpoint.load(trained)
    checkpoint.save(dataclasses.replace(saved, model=method.state_dict()), tmp_path / "model.pt")
    again = checkpoint.restore(tmp_path / "model.pt").exportable()
    assert again.artifact == exportable.artifact and again.files == exportable.files
    for graph in exportable.artifact.graphs:
        for one, other in zip(run(exportable, graph, 3)[1], run(again, graph, 3)[1], strict=True):
            assert torch.equal(one, other)


def test_a_checkpoint_without_one_of_its_weights_is_refused(trained: Path, tmp_path: Path) -> None:
    saved = checkpoint.load(trained)
    saved.model.pop(next(iter(saved.model)))
    checkpoint.save(saved, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="does not hold the weights that its configuration describes"):
        checkpoint.restore(tmp_path / "model.pt")

"""What the tasks share: an artifact's graphs in one precision, each with a session that is opened on first use."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..artifact import Artifact, check_inputs, graph_file
from ..choice import open_session
from ..session import Options, Report, Session, finite


class Task:
    """An artifact's sessions. Calls may come from several threads."""

    def __init__(self, folder: Path, artifact: Artifact, options: Options, precision: str) -> None:
        self.folder, self.artifact = folder, artifact
        self._options, self._precision = options, precision
        self._graphs = {graph.name: graph for graph in artifact.graphs}
        self._sessions: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()

    def _check_precision(self, graphs: Iterable[str]) -> None:
        """ValueError where one of these graphs was not exported in this precision."""
        for graph in graphs:
            if graph_file(graph, self._precision) not in self.artifact.files:
                raise ValueError(
                    f"{self.folder} has no {self._precision} variant of graph {graph!r}; "
                    f"export with --precision {self._precision}, or load another of: {', '.join(sorted(self.artifact.files))}"
                )

    @property
    def providers(self) -> dict[str, tuple[str, ...]]:
        """Graph -> the providers its session really got, for the graphs in use."""
        return {name: session.providers for (name, _), session in list(self._sessions.items())}

    @property
    def reports(self) -> tuple[Report, ...]:
        """What the graphs in use run on, and why not on something else."""
        return tuple(session.report for session in list(self._sessions.values()))

    def _size(self, batch_size: int | None) -> int:
        """Rows of one inference: what was asked for, or the artifact's usual number. ValueError beyond what it takes."""
        axis = self.artifact.axes["batch"]
        size = axis.opt if batch_size is None else batch_size
        if not 1 <= size <= axis.max:
            raise ValueError(f"batch_size={size} was given; this artifact takes 1 to {axis.max}")
        return size

    def _outputs(self, graph: str, names: list[str], inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """These outputs of a graph, by name; ValueError where inputs do not fit its ports, or an output is not finite."""
        check_inputs(self._graphs[graph], inputs, self.artifact.axes)
        return {name: finite(name, value) for name, value in zip(names, self.session(graph).run(names, inputs), strict=True)}

    def session(self, graph: str, precision: str | None = None) -> Session:
        """The session of a graph, opened if it is not yet."""
        name = (graph, precision or self._precision)
        found = self._sessions.get(name)
        if found is None:
            with self._lock:
                if name not in self._sessions:
                    self._sessions[name] = open_session(self.folder, self.artifact, *name, self._options)
                found = self._sessions[name]
        return found

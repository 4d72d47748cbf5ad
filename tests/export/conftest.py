"""A small real method for the export tests: a one-layer vision transformer with two graphs, exported once a session."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.onnx import Report, export
from runtime.artifact import Artifact, Axis, Graph, Port
from train.contract import Exportable

SIZE, WIDTH, DIM, CLASSES = 32, 32, 16, 5


class Tower(nn.Module):
    """Bytes -> unit rows, with every operator that the precision policies treat apart."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.position = nn.Parameter(torch.randn(1, 16, WIDTH) * 0.1)
        self.before = nn.LayerNorm(WIDTH)
        self.mixed = nn.Linear(WIDTH, 3 * WIDTH)
        self.after = nn.LayerNorm(WIDTH)
        self.wide = nn.Linear(WIDTH, 4 * WIDTH)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH)
        self.project = nn.Linear(WIDTH, DIM)

    def forward(self, image: Tensor) -> Tensor:
        pixels = (image.float() / 255 - 0.45) / 0.27  # (n, 3, h, w)
        tokens = self.patches(pixels).flatten(2).transpose(1, 2) + self.position  # (n, 16, width)
        query, key, value = (part.unsqueeze(1) for part in self.mixed(self.before(tokens)).chunk(3, dim=2))
        tokens = tokens + F.scaled_dot_product_attention(query, key, value).squeeze(1)
        tokens = tokens + self.narrow(F.gelu(self.wide(self.after(tokens))))
        return F.normalize(self.project(tokens.mean(1)), dim=1)  # (n, d)


class Embedding(nn.Module):
    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.tower(image),)


class Open(nn.Module):
    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower = tower
        self.scale = nn.Parameter(torch.tensor(math.log(20.0)))

    def forward(self, image: Tensor, class_vectors: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.scale.exp() * self.tower(image) @ class_vectors.T
        return logits, logits.softmax(1)


IMAGE = Port("image", "uint8", ("batch", 3, SIZE, SIZE))
GRAPHS = (
    Graph(
        "open",
        (IMAGE, Port("class_vectors", "float32", ("classes", DIM))),
        (Port("logits", "float32", ("batch", "classes")), Port("probabilities", "float32", ("batch", "classes"))),
    ),
    Graph("embedding", (IMAGE,), (Port("embedding", "float32", ("batch", DIM)),)),
)


def make_exportable() -> Exportable:
    """Sixteen smooth pictures of distinct colours, five random class vectors."""
    torch.manual_seed(0)
    tower = Tower().eval()
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (16, 4, 4, 3), dtype=np.uint8)
    images = np.repeat(np.repeat(coarse, SIZE // 4, axis=1), SIZE // 4, axis=2)  # (16, h, w, 3)
    batch = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    vectors = F.normalize(torch.randn(CLASSES, DIM), dim=1).numpy()
    options = {
        "classes": ["ant", "bee", "cat", "dog", "emu"],
        "geometry": {"size": [SIZE, SIZE], "mode": "crop", "interpolation": "bicubic"},
        "embedding_dim": DIM,
    }
    axes = {"batch": Axis(1, 1, 9), "classes": Axis(1, CLASSES, 12)}
    return Exportable(
        artifact=Artifact("tiny", "zero_shot", GRAPHS, axes, options),
        modules={"open": Open(tower), "embedding": Embedding(tower)},
        samples={"open": {"image": batch, "class_vectors": vectors}, "embedding": {"image": batch}},
        images=tuple(images),
        files={"notes.txt": b"as trained"},
    )


@dataclasses.dataclass(frozen=True)
class Exported:
    exportable: Exportable
    report: Report
    progress: tuple[str, ...]
    seconds: float


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    exportable = make_exportable()
    said: list[str] = []
    start = time.perf_counter()
    out: Path = tmp_path_factory.mktemp("export") / "artifact"
    report = export(
        exportable,
        out,
        graphs=["open"],
        precisions=("fp16", "fp16-products", "int8", "int8-dynamic", "int8-trt"),
        metrics={"val/top1": 0.5},
        say=said.append,
    )
    return Exported(exportable, report, tuple(said), time.perf_counter() - start)


@pytest.fixture
def artifact(exported: Exported, tmp_path: Path) -> Path:
    """A copy of the exported artifact, to change."""
    folder = tmp_path / "artifact"
    shutil.copytree(exported.report.path, folder)
    return folder


@pytest.fixture
def rtx() -> str:
    """The module of TensorRT-RTX, which builds engines without a GPU; a test that asks for it is skipped where it is not there."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("tensorrt_rtx is not installed: pip install 'contrastrt[rtx]'")
    return "tensorrt_rtx"

"""A tiny zero_shot artifact, built without torch by the script of the golden files; and NVIDIA's libraries in host memory."""

import importlib.util
import runpy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import runtime.cuda
from runtime.artifact import Engine, read, sha256, write


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """build(folder, names), bank(classes, seed), images(), expected(graph, prepared, vectors) and the constants."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "golden" / "make_zero_shot.py")))


@pytest.fixture(scope="session")
def resolving() -> SimpleNamespace:
    """The script of the golden super_resolver artifact: build(folder, **options), estimated(image), generated(image, code, map)."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "golden" / "make_super_resolver.py")))


@pytest.fixture
def resolver(resolving: SimpleNamespace, tmp_path: Path) -> Path:
    """A super_resolver artifact whose formula is local."""
    resolving.build(tmp_path / "resolver")
    return tmp_path / "resolver"


@pytest.fixture(scope="session")
def hashing() -> SimpleNamespace:
    """The script of the cross_modal_hasher artifact: build(folder, **options), images(), point_clouds(), expected_*()."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "golden" / "make_cross_modal_hasher.py")))


@pytest.fixture
def hasher(hashing: SimpleNamespace, tmp_path: Path) -> Path:
    """A cross_modal_hasher artifact for codes of 8 and 16 bits, one product in each graph."""
    hashing.build(tmp_path / "hasher")
    return tmp_path / "hasher"


@pytest.fixture(scope="session")
def enrolling() -> SimpleNamespace:
    """The script of the few_shot_classifier artifact: build(folder, **options), images(count, seed), expected(images)."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "golden" / "make_few_shot_classifier.py")))


@pytest.fixture
def enroller(enrolling: SimpleNamespace, tmp_path: Path) -> Path:
    """A few_shot_classifier artifact of one convolution, with a matcher."""
    enrolling.build(tmp_path / "enroller")
    return tmp_path / "enroller"


@pytest.fixture(scope="session")
def targeting() -> SimpleNamespace:
    """The script of the recognizer artifact: build(folder, **options), chips(count, side, seed), expected(prepared)."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "golden" / "make_recognizer.py")))


@pytest.fixture
def target_artifact(targeting: SimpleNamespace, tmp_path: Path) -> Path:
    """A recognizer artifact of three classes, for 8-bit chips of 8 pixels."""
    targeting.build(tmp_path / "recognizer")
    return tmp_path / "recognizer"


@pytest.fixture(scope="session")
def raw_chip() -> Callable[..., bytes]:
    """raw_chip(magnitude, **fields): a raw MSTAR file as the release lays it out; a field of None is left out of the header."""

    def write_chip(magnitude: np.ndarray, phase: np.ndarray | None = None, **fields: object) -> bytes:
        known = {"PhoenixHeaderLength": "00000", "PhoenixSigSize": 0, "native_header_length": 0, "Filename": "HB0.015"}
        known |= {"NumberOfColumns": magnitude.shape[1], "NumberOfRows": magnitude.shape[0], **fields}
        lines = [f"{key}= {value}" for key, value in known.items() if value is not None]
        text = "\n".join(["", "[PhoenixHeaderVer01.04]", *lines, "[EndofPhoenixHeader]", ""])
        if "PhoenixHeaderLength" not in fields:
            text = text.replace("PhoenixHeaderLength= 00000", f"PhoenixHeaderLength= {len(text):05}")
        blocks = np.stack([magnitude, np.zeros_like(magnitude) if phase is None else phase]).astype(">f4")
        return text.encode() + blocks.tobytes()

    return write_chip


@pytest.fixture
def artifact(tiny: SimpleNamespace, tmp_path: Path) -> Path:
    """All three graphs."""
    tiny.build(tmp_path / "artifact")
    return tmp_path / "artifact"


@pytest.fixture
def seal() -> Callable[[Path], None]:
    """Renew the checksums after a test has changed a file."""

    def renew(folder: Path) -> None:
        write(read(folder, check=False), folder)

    return renew


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """fake_nvidia.py."""
    spec = importlib.util.spec_from_file_location("fake_nvidia", Path(__file__).with_name("fake_nvidia.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Nvidia:
    """A machine with a device, cuda-python and both SDKs, whose engines compute the tiny artifact's formula."""

    def __init__(self, fake: ModuleType, tiny: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake, self.cuda, self.tiny = fake, fake.Runtime(), tiny
        self.offset = 0.0  # what an engine's answers are wrong by
        self.sdks = {name: fake.sdk(name, version, self.cuda, self.answer) for name, version in self.versions.items()}
        fake.install(monkeypatch, self.cuda, *self.sdks.values())
        self.device(monkeypatch)

    versions = {"tensorrt": "11.4.0.106", "tensorrt_rtx": "1.7.1.116"}  # noqa: RUF012

    def device(self, monkeypatch: pytest.MonkeyPatch, *capabilities: tuple[int, int], status: int = 0) -> None:
        library = self.fake.Driver(capabilities or ((8, 6),), status)
        monkeypatch.setattr(runtime.cuda, "_driver_library", lambda: library)

    def answer(self, graph: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        vectors = inputs.get("class_vectors", self.tiny.bank().vectors)
        return {
            name: value + np.float32(self.offset) for name, value in self.tiny.expected(graph, inputs["image"], vectors).items()
        }

    def add(
        self,
        folder: Path,
        graph: str = "closed",
        sdk: str = "tensorrt_rtx",
        *,
        plan: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Engine:
        """Write an engine of a graph into the artifact, as export.trt would."""
        found = read(folder, check=False)
        described = next(item for item in found.graphs if item.name == graph)
        name = changes.pop("file", f"{graph}.{sdk}.engine")
        profiles = changes.pop("profiles", ({"batch": (1, 2, 8), "classes": (1, 5, 6)},))
        shapes = [
            {
                port.name: [[sizes[axis][at] if isinstance(axis, str) else axis for axis in port.shape] for at in range(3)]
                for port in described.inputs
            }
            for sizes in profiles
        ]
        (folder / name).write_bytes(self.fake.plan(described, shapes, **(plan or {})))
        entry = {
            "precision": "fp32",
            "sdk_version": self.versions[sdk],
            "targets": ("sm86",),
            "onnx_sha256": sha256(folder / f"{graph}.onnx"),
        }
        engine = Engine(name, graph, sdk=sdk, profiles=profiles, size=1, seconds=0.5, **{**entry, **changes})
        write(type(found)(**{**vars(found), "engines": (*found.engines, engine)}), folder)
        return engine


@pytest.fixture
def nvidia(fake: ModuleType, tiny: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Nvidia:
    """NVIDIA's driver, CUDA runtime and SDKs, faked in host memory: no GPU is needed, and none is proven by it."""
    return Nvidia(fake, tiny, monkeypatch)

"""The reader of torch files against torch.load, and against files made to do harm."""

from __future__ import annotations

import io
import os
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from train.teachers.unpickle import Inert, module_tensors, read


def archive(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None, *, compress: bool = False) -> Path:
    """A torch file with this data.pkl."""
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("archive/data.pkl", pickled)
        for key, content in (storages or {}).items():
            file.writestr(f"archive/data/{key}", content)
    return path


class Persistent(pickle.Pickler):
    """Writes tensors' storages as torch.save does."""

    def persistent_id(self, value: Any) -> Any:
        return value if isinstance(value, tuple) and value and value[0] == "storage" else None


def tensor_pickle(size: tuple[int, ...], stride: tuple[int, ...], *, offset: int = 0, count: int = 4, key: str = "0") -> bytes:
    """A data.pkl that holds one tensor over the storage `key` of `count` floats."""

    class Written:
        def __reduce__(self) -> Any:
            storage = ("storage", torch.FloatStorage, key, "cpu", count)
            return torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, False, OrderedDict())

    buffer = io.BytesIO()
    Persistent(buffer, 2).dump({"w": Written()})
    return buffer.getvalue()


class Schedule:
    """An object of a class that the reader does not know."""

    def __init__(self) -> None:
        self.last_epoch = 20


def test_reads_what_torch_load_reads(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    content = {
        "state_dict": model.state_dict(),
        "half": torch.randn(3, 2).half(),
        "bfloat16": torch.randn(5).bfloat16(),
        "view": torch.arange(12.0).view(3, 4).T[1:],
        "bytes": torch.arange(7, dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
        "parameter": model[0].weight,
        "plain": [1, -2, 3.5, "text", None, True, (1, (2, 3)), {"a": {1: "b"}}, 1 << 70],
    }
    torch.save(content, tmp_path / "file.pt")
    expected = torch.load(tmp_path / "file.pt", weights_only=True)
    found = read(tmp_path / "file.pt")
    assert isinstance(found, dict) and found.keys() == expected.keys()
    assert found["plain"] == expected["plain"]
    for name in set(content) - {"plain", "state_dict"}:
        assert found[name].dtype == expected[name].dtype and torch.equal(found[name], expected[name]), name
    assert found["state_dict"].keys() == expected["state_dict"].keys()
    assert all(torch.equal(value, expected["state_dict"][name]) for name, value in found["state_dict"].items())


def test_objects_of_unknown_classes_become_records_of_what_they_are(tmp_path: Path) -> None:
    torch.save({"scheduler": Schedule(), "value": np.float64(1.5), "w": torch.ones(2)}, tmp_path / "file.pt")
    found = read(tmp_path / "file.pt")
    assert isinstance(found, dict)
    assert isinstance(found["scheduler"], Inert) and found["scheduler"].name.endswith(".Schedule")
    assert found["scheduler"].fields == {"last_epoch": 20}
    assert isinstance(found["value"], Inert)
    assert torch.equal(found["w"], torch.ones(2))


@pytest.mark.parametrize("how", ["trace", "script"])
def test_reads_a_torchscript_archive_without_torchscript(tmp_path: Path, how: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())).eval().half()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; OpenAI's files are written in it
        script = torch.jit.trace(model, torch.zeros(1, 3, 2, 2).half()) if how == "trace" else torch.jit.script(model)
        script.save(tmp_path / "file.pt")
    found = read(tmp_path / "file.pt")
    assert isinstance(found, Inert) and found.name.startswith("__torch__.")
    tensors, expected = module_tensors(found), model.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], value) for name, value in expected.items())


class Reduced:
    """A pickle that calls `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.written = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.written


def hostile(mark: Path) -> dict[str, bytes]:
    """Programs that leave a file at `mark` in Python's own machine."""
    command = f"touch {mark}".encode()
    shell, line = b"cposix\nsystem\n", b"X" + struct.pack("<I", len(command)) + command
    inert = b"ctrain.teachers.unpickle\nInert\n"
    evaluated = f"open({str(mark)!r}, 'w')".encode()
    source = b"X" + struct.pack("<I", len(evaluated)) + evaluated
    return {
        "reduce": pickle.dumps(Reduced(os.system, f"touch {mark}"), 2),
        "newest protocol": pickle.dumps({"w": Reduced(os.system, f"touch {mark}")}, 5),
        "eval": pickle.dumps(Reduced(eval, f"open({str(mark)!r}, 'w')"), 4),
        "inst": b"(" + line + b"iposix\nsystem\n.",
        "obj": b"(" + shell + line + b"o.",
        "newobj": b"\x80\x02" + shell + line + b"\x85\x81.",
        "newobj_ex": b"\x80\x04" + shell + line + b"\x85}\x92.",
        "setstate is system, then build": b"\x80\x02"
        + inert
        + b")\x81}X\x0c\x00\x00\x00__setstate__"
        + shell
        + b"sb"
        + line
        + b"b.",
        "append is system": b"\x80\x02" + inert + b")\x81}X\x06\x00\x00\x00append" + shell + b"sb" + line + b"a.",
        "call a call": b"\x80\x02cbuiltins\ngetattr\ncbuiltins\n__import__\nX\x05\x00\x00\x00posix\x85R"
        b"X\x06\x00\x00\x00system\x86R" + line + b"\x85R.",
        "dotted name": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93" + source + b"\x85R.",
        "rebuild hook": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(" + shell + b"N" + line + b"\x85NtR.",
        "rebuild type hides itself": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n("
        b"ctorch._tensor\n_rebuild_from_type_v2\nN)NtR.",
        "persistent id": b"\x80\x02(X\x07\x00\x00\x00storage" + shell + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ.",
    }


def test_the_hostile_files_would_harm_python_itself(tmp_path: Path) -> None:
    mark = tmp_path / "harm"
    pickle.loads(hostile(mark)["reduce"])
    assert mark.exists()
    mark.unlink()
    pickle.loads(hostile(mark)["call a call"])
    assert mark.exists()


@pytest.mark.parametrize("name", list(hostile(Path("x"))))
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "harm"
    path = archive(tmp_path / "file.pt", hostile(mark)[name])
    try:
        read(path)
    except ValueError as error:
        assert str(path) in str(error)
    assert not mark.exists()


def test_a_file_that_torch_itself_writes_with_a_payload_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "harm"
    torch.save({"state_dict": {"w": torch.ones(2)}, "x": Reduced(os.system, f"touch {mark}")}, tmp_path / "file.pt")
    found = read(tmp_path / "file.pt")
    assert isinstance(found, dict) and isinstance(found["x"], Inert)
    assert not mark.exists()


def test_an_honest_tensor_by_hand_is_read(tmp_path: Path) -> None:
    values = np.arange(4, dtype="<f4")
    found = read(archive(tmp_path / "file.pt", tensor_pickle((2, 2), (1, 2)), {"0": values.tobytes()}))
    assert isinstance(found, dict)
    assert found["w"].tolist() == [[0.0, 2.0], [1.0, 3.0]]


@pytest.mark.parametrize(
    ("pickled", "storages", "words"),
    [
        (tensor_pickle((5,), (1,)), {"0": bytes(16)}, "beyond its storage"),
        (tensor_pickle((2,), (3,), offset=1), {"0": bytes(16)}, "beyond its storage"),
        (tensor_pickle((2,), (1,), offset=3), {"0": bytes(16)}, "beyond its storage"),
        (tensor_pickle((1 << 40,), (0,)), {"0": bytes(16)}, "beyond its storage"),
        (tensor_pickle((2,), (-1,)), {"0": bytes(16)}, "impossible shape"),
        (tensor_pickle((-2,), (1,)), {"0": bytes(16)}, "impossible shape"),
        (tensor_pickle((2, 2), (1,)), {"0": bytes(16)}, "impossible shape"),
        (tensor_pickle((4,), (1,), count=1 << 40), {"0": bytes(16)}, "16 bytes, expected 1099511627776"),
        (tensor_pickle((4,), (1,)), {"0": bytes(12)}, "12 bytes, expected 4"),
        (tensor_pickle((4,), (1,), key="9"), {"0": bytes(16)}, "archive/data/9 is missing"),
        (tensor_pickle((4,), (1,), key="../data.pkl"), {}, "is missing"),
        (b"\x80\x02}q\x00", {}, "not a readable torch file"),
        (b"\x80\x02.", {}, "not a readable torch file"),
        (b"\x80\x02]K\x01u.", {}, "not a readable torch file"),
        (b"\x80\x02h\x07.", {}, "not a readable torch file"),
        (b"\x80\x02\x82\x01.", {}, "EXT1"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x0fabc.", {}, "not a readable torch file"),
        (b"\xff\xfe\xfd", {}, "not a readable torch file"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    tmp_path: Path, pickled: bytes, storages: dict[str, bytes], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        read(archive(tmp_path / "file.pt", pickled, storages))


def test_a_huge_memo_number_costs_nothing(tmp_path: Path) -> None:
    assert read(archive(tmp_path / "file.pt", b"\x80\x02Nr\xff\xff\xff\xff.")) is None


def test_a_record_that_unpacks_to_more_than_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="compressed, which torch never does"):
        read(archive(tmp_path / "file.pt", tensor_pickle((4,), (1,)) + bytes(10 << 20), {"0": bytes(16)}, compress=True))


def test_tensors_that_share_a_storage_cannot_multiply_without_end(tmp_path: Path) -> None:
    body = tensor_pickle((4096,), (1,), count=4096)
    start, end = body.index(b"ctorch._utils"), body.rindex(b"s.")
    with pytest.raises(ValueError, match="far more numbers"):
        read(archive(tmp_path / "file.pt", b"\x80\x02](" + body[start:end] * 20 + b"e.", {"0": bytes(4 * 4096)}))


def test_every_truncation_is_refused_by_a_sentence(tmp_path: Path) -> None:
    torch.save({"state_dict": nn.Linear(3, 4).state_dict()}, tmp_path / "file.pt")
    whole = (tmp_path / "file.pt").read_bytes()
    for length in range(0, len(whole) - 1, 97):
        (tmp_path / "part.pt").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"part\.pt is"):
            read(tmp_path / "part.pt")


def test_flipped_bytes_never_do_worse_than_a_sentence(tmp_path: Path) -> None:
    torch.save({"state_dict": nn.Linear(3, 4).state_dict(), "note": "text"}, tmp_path / "file.pt")
    whole = (tmp_path / "file.pt").read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        (tmp_path / "part.pt").write_bytes(damaged)
        try:
            read(tmp_path / "part.pt")
        except ValueError:
            refused += 1
    assert refused > len(whole) // 7 // 3


def test_a_file_from_before_torch_1_6_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"before 1\.6.*torch\.save\(torch\.load"):
        read(tmp_path / "old.pth")


def test_a_file_of_another_byte_order_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02N.")
        file.writestr("archive/byteorder", "big")
    with pytest.raises(ValueError, match="big-endian"):
        read(tmp_path / "file.pt")


def test_a_zip_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"0 records named data\.pkl"):
        read(tmp_path / "file.zip")

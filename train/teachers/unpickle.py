"""Read what torch.save and TorchScript write, without running anything in it.

A pickle is a program. Python's machine calls what the program names; this one has no way to call: it lists the program's
instructions (pickletools), keeps plain values, builds tensors itself, and turns every other object into an `Inert` record.
"""

from __future__ import annotations

import dataclasses
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

_PICKLE_LIMIT = 64 << 20  # bytes; CLIP's are below 5 MB
_DEPTH_LIMIT = 64  # of modules within modules

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclasses.dataclass(eq=False, slots=True)
class Inert:
    """An object that the file describes and nobody makes.

    Args:
        name: module and name of what the file would have called.
        called: whether it is what a call would have returned, else the callable itself.
        fields: attributes and items that the file gives it.
    """

    name: str
    called: bool = False
    fields: dict[object, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class _Storage:
    key: str
    dtype: torch.dtype
    count: int


_MARK = object()


def read(path: Path) -> object:
    """Read a torch zip file: plain values, dicts, lists, tuples, tensors, and `Inert` for all else.

    Raises:
        ValueError: it is no such file, is truncated, or contradicts itself.
    """
    with path.open("rb") as file:
        head = file.read(8)
    if head[:4] != b"PK\x03\x04":
        raise ValueError(_not_a_zip(path, head))
    try:
        with zipfile.ZipFile(path) as archive:
            return _Archive(archive, path).content()
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is truncated or damaged ({error}); fetch it again") from error
    except (LookupError, TypeError, ValueError, EOFError, OverflowError, RuntimeError, OSError, struct.error) as error:
        raise ValueError(f"{path} is not a readable torch file: {error}") from error


def _not_a_zip(path: Path, head: bytes) -> str:
    if not head:
        return f"{path} is empty; fetch it again"
    if head[:1] == b"\x80":
        return (
            f"{path} is in the format of torch before 1.6 (a bare pickle); only torch's zip format is read here. "
            "If you trust where it comes from, convert it once: "
            f"python -c \"import torch; torch.save(torch.load('{path.name}', map_location='cpu', weights_only=False), 'new.pt')\""
        )
    return f"{path} is no torch file (it begins with {head!r}); expected a zip archive written by torch.save or torch.jit.save"


class _Archive:
    """The zip's records and the tensors over them; no record is read beyond the file's own size in all."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive = archive
        self._records = {info.filename: info for info in archive.infolist()}
        roots = [name[: -len("data.pkl")] for name in self._records if name.endswith("data.pkl") and name.count("/") <= 1]
        if len(roots) != 1:
            raise ValueError(f"it holds {len(roots)} records named data.pkl, expected one")
        self._root = roots[0]
        self._left = path.stat().st_size  # bytes that may still be read
        self._elements = 2 * self._left  # numbers that tensors may still have; shared storages are counted each time
        self._read: dict[str, Tensor] = {}

    def content(self) -> object:
        order = self._root + "byteorder"
        if order in self._records and self._bytes(order) != b"little":
            raise ValueError("it was written on a big-endian machine; save it again on a little-endian one")
        if self._records[self._root + "data.pkl"].file_size > _PICKLE_LIMIT:
            raise ValueError(f"its data.pkl is larger than {_PICKLE_LIMIT >> 20} MiB")
        return _run(bytes(self._bytes(self._root + "data.pkl")), self._storage, self._call)

    def _bytes(self, name: str) -> bytearray:
        info = self._records.get(name)
        if info is None:
            raise ValueError(f"the record {name} is missing")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ValueError(f"the record {name} is compressed, which torch never does")
        self._left -= info.file_size
        if self._left < 0:
            raise ValueError("its records claim more bytes than the file has")
        return bytearray(self._archive.read(info))

    def _storage(self, identity: object) -> object:
        """A persistent id: ("storage", type, key, device, elements)."""
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            raise ValueError("it refers to something other than a tensor's storage")
        _, kind, key, _, count = identity
        name = kind.name.rpartition(".")[2] if isinstance(kind, Inert) else ""
        if name not in _STORAGES or not isinstance(key, str) or not _is_count(count):
            return Inert(f"storage {name}", called=True)
        return _Storage(key, _STORAGES[name], count)

    def _flat(self, storage: _Storage) -> Tensor:
        """(count,)"""
        flat = self._read.get(storage.key)
        if flat is None:
            data = self._bytes(f"{self._root}data/{storage.key}")
            if len(data) != storage.count * storage.dtype.itemsize:
                raise ValueError(f"the storage {storage.key} has {len(data)} bytes, expected {storage.count} of {storage.dtype}")
            flat = torch.frombuffer(data, dtype=storage.dtype) if data else torch.empty(0, dtype=storage.dtype)
            self._read[storage.key] = flat
        if flat.dtype != storage.dtype or len(flat) != storage.count:
            raise ValueError(f"the storage {storage.key} is described in two ways")
        return flat

    def _call(self, name: str, arguments: tuple[object, ...]) -> object:
        """The few calls that are honoured, each done here; anything else stays a description."""
        match name, arguments:
            case "collections.OrderedDict" | "builtins.dict", ():
                return {}
            case "collections.OrderedDict", (list() as pairs,):
                return {
                    pair[0]: pair[1] for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2 and _is_key(pair[0])
                }
            case "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor", (
                _Storage() as storage,
                offset,
                size,
                stride,
                *_,
            ):
                return self._tensor(storage, offset, size, stride)
            case "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", (Tensor() as value, *_):
                return value
            case "torch._tensor._rebuild_from_type_v2", (Inert(name=maker, called=False), _, tuple() as inner, _):
                if maker != name:
                    return self._call(maker, inner)
        return Inert(name, called=True)

    def _tensor(self, storage: _Storage, offset: object, size: object, stride: object) -> Tensor:
        sizes, strides = _counts(size), _counts(stride)
        if sizes is None or strides is None or len(sizes) != len(strides) or len(sizes) > 8 or not _is_count(offset):
            raise ValueError("a tensor has an impossible shape")
        assert isinstance(offset, int)
        elements = math.prod(sizes)
        last = offset + sum((length - 1) * step for length, step in zip(sizes, strides, strict=True)) if elements else 0
        if elements > storage.count or last >= max(storage.count, 1):
            raise ValueError(f"a tensor of shape {sizes} reaches beyond its storage of {storage.count} elements")
        self._elements -= elements
        if self._elements < 0:
            raise ValueError("its tensors claim far more numbers than the file has bytes")
        return self._flat(storage).as_strided(sizes, strides, offset if elements else 0)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def _counts(values: object) -> tuple[int, ...] | None:
    if isinstance(values, tuple | list) and all(_is_count(value) for value in values):
        return tuple(values)
    return None


def _is_key(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bytes)


def _run(data: bytes, storage: Callable[[object], object], call: Callable[[str, tuple[object, ...]], object]) -> object:
    """Follow a pickle's instructions on a stack of values."""
    machine = _Machine(storage, call)
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "STOP":
            return machine.pop()
        machine.step(opcode.name, argument)
    raise ValueError("its data.pkl has no end")


class _Machine:
    """A pickle's stack and memo."""

    def __init__(self, storage: Callable[[object], object], call: Callable[[str, tuple[object, ...]], object]) -> None:
        self._stack: list[object] = []
        self._memo: dict[object, object] = {}
        self._storage, self._call_by_name = storage, call

    def pop(self) -> object:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("its data.pkl takes a value where there is none")
        return value

    def _above_mark(self) -> list[object]:
        values = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def step(self, name: str, argument: object) -> None:
        """One instruction."""
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in ("PROTO", "FRAME"):
            pass
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[argument] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self._stack.append(self._memo[argument])
        elif name in ("POP", "POP_MARK", "DUP"):
            self._move(name)
        elif name in ("LIST", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "DICT", "FROZENSET"):
            self._stack.append(self._collect(name))
        elif name in ("APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS"):
            self._extend(name)
        elif name in ("BINPERSID", "PERSID"):
            self._stack.append(self._storage(self.pop() if name == "BINPERSID" else argument))
        else:
            self._object(name, argument)

    def _move(self, name: str) -> None:
        if name == "DUP":
            self._stack.append(self._stack[-1])
        elif name == "POP":
            self._stack.pop()
        else:
            self._above_mark()

    def _collect(self, name: str) -> object:
        if name[-1].isdigit():
            values = [self.pop() for _ in range(int(name[-1]))][::-1]
        else:
            values = self._above_mark()
        if name == "DICT":
            return {key: value for key, value in _pairs(values) if _is_key(key)}
        return tuple(values) if name.startswith("TUPLE") else values  # a frozen set stays a list: hashing could run for ever

    def _extend(self, name: str) -> None:
        count = {"APPEND": 1, "SETITEM": 2}.get(name)
        values = self._above_mark() if count is None else [self.pop() for _ in range(count)][::-1]
        owner = self._stack[-1]
        if name.startswith("SETITEM"):
            items = owner.fields if isinstance(owner, Inert) else owner
            if not isinstance(items, dict):
                raise ValueError(f"its data.pkl sets items of a {type(owner).__name__}")
            items.update({key: value for key, value in _pairs(values) if _is_key(key)})
        elif isinstance(owner, list):
            owner.extend(values)
        elif not isinstance(owner, Inert):
            raise ValueError(f"its data.pkl appends to a {type(owner).__name__}")

    def _object(self, name: str, argument: object) -> None:
        """Whatever would import, call or fill an object."""
        if name == "GLOBAL":
            self._stack.append(Inert(str(argument).replace(" ", ".", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = self.pop(), self.pop()
            self._stack.append(
                Inert(f"{module if isinstance(module, str) else '?'}.{attribute if isinstance(attribute, str) else '?'}")
            )
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX"):
            if name == "NEWOBJ_EX":
                self.pop()
            arguments, maker = self.pop(), self.pop()
            self._stack.append(self._made(maker, arguments))
        elif name == "INST":
            self._above_mark()
            self._stack.append(Inert(str(argument).replace(" ", ".", 1), called=True))
        elif name == "OBJ":
            maker, *arguments = self._above_mark()
            self._stack.append(self._made(maker, tuple(arguments)))
        elif name == "BUILD":
            self._fill(self.pop(), self._stack[-1])
        else:
            raise ValueError(f"its data.pkl uses the instruction {name}, which torch never writes")

    def _made(self, maker: object, arguments: object) -> object:
        if isinstance(maker, Inert) and not maker.called and isinstance(arguments, tuple):
            return self._call_by_name(maker.name, arguments)
        return Inert("?", called=True)

    @staticmethod
    def _fill(state: object, owner: object) -> None:
        """Attributes are noted on inert objects and lost on all others (a state dict's _metadata)."""
        if isinstance(owner, Inert):
            for part in state if isinstance(state, tuple) else (state,):
                if isinstance(part, dict):
                    owner.fields.update(part)


def _pairs(values: list[object]) -> Iterator[tuple[object, object]]:
    if len(values) % 2:
        raise ValueError("its data.pkl has a key without a value")
    return zip(values[::2], values[1::2], strict=True)


_CONSTANTS: dict[str, Callable[[], object]] = {
    "MARK": lambda: _MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}
_LITERALS = frozenset(
    (
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    )
)


def module_tensors(module: Inert) -> dict[str, Tensor]:
    """The state dict of a TorchScript archive's tree of modules: "visual.conv1.weight" -> tensor."""
    found: dict[str, Tensor] = {}
    waiting: list[tuple[str, Inert, int]] = [("", module, 0)]
    seen = {id(module)}
    while waiting:
        prefix, parent, depth = waiting.pop()
        for name, value in parent.fields.items():
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
            elif isinstance(value, Inert) and id(value) not in seen and depth < _DEPTH_LIMIT:
                seen.add(id(value))
                waiting.append((f"{prefix}{name}.", value, depth + 1))
    return found

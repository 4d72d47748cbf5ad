"""Fuzz the readers of index files and of enrolled classes: whatever the bytes, they are read in full or refused by a ValueError.

    python tests/fuzz/fuzz_index_file.py --seconds 600

With atheris (pip install atheris) inputs are guided by coverage; without it they are drawn at random. What is found lies in
`crash-...` in the working folder; `--replay FILE` runs it again. An input's first byte says which reader takes the rest, and which
checksums are set right first, since nothing else would get past them.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType

import numpy as np

FAISS, HEADER_RIGHT, CONTENT_RIGHT, CLASSES = 1, 2, 4, 8
INDEX_HEADER, CLASSES_HEADER = 112, 136  # bytes; ARCHITECTURE.md has the tables


def seeds() -> list[bytes]:
    """Whole files of all kinds, small."""
    from runtime import class_file
    from runtime.index import HammingIndex

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for bits, ids in ((8, None), (64, None), (72, [5, 3, 9])):
            index = HammingIndex(bits)
            index.add(np.arange(3 * bits // 8, dtype=np.uint8).reshape(3, -1), ids)
            path = Path(folder) / "seed.index"
            index.save(path)
            found += [bytes([kind]) + path.read_bytes() for kind in (0, HEADER_RIGHT, HEADER_RIGHT | CONTENT_RIGHT)]
            found.append(bytes([FAISS]) + index.to_faiss())
        for names in ((), ("mug",), ("mug", "größe")):
            path = Path(folder) / "seed.fsc"
            rows = {name: np.full((at + 1, 3, 2), at, np.float32) for at, name in enumerate(names)}
            class_file.write(path, rows, (3, 2), "ab" * 32)
            right = (0, HEADER_RIGHT, HEADER_RIGHT | CONTENT_RIGHT)
            found += [bytes([CLASSES | kind]) + path.read_bytes() for kind in right]
    return found


def with_right_checksums(data: bytes, kind: int) -> bytes:
    """The header's last two fields, each SHA-256."""
    size = CLASSES_HEADER if kind & CLASSES else INDEX_HEADER
    content, header = size - 64, size - 32
    if len(data) < size:
        return data
    if kind & CONTENT_RIGHT:
        data = data[:content] + hashlib.sha256(data[size:]).digest() + data[header:]
    if kind & HEADER_RIGHT:
        data = data[:header] + hashlib.sha256(data[:header]).digest() + data[size:]
    return data


def one(data: bytes, path: Path) -> None:
    """Read the input every way there is; an exception other than ValueError, and a wrong answer, is a finding."""
    from runtime.index import HammingIndex

    if not data:
        return
    kind, data = data[0], data[1:]
    if kind & FAISS:
        with contextlib.suppress(ValueError):
            use(HammingIndex.from_faiss(data), path)
        return
    data = with_right_checksums(data, kind)
    path.write_bytes(data)
    if kind & CLASSES:
        with contextlib.suppress(ValueError):
            enrolled(path)
        return
    with contextlib.suppress(ValueError):
        use(HammingIndex.load(path, mmap=True), path)
    with contextlib.suppress(ValueError):
        HammingIndex.verify(path)
    with contextlib.suppress(ValueError):
        index = HammingIndex.load(path)
        HammingIndex.verify(path)
        use(index, path)


def enrolled(path: Path) -> None:
    """Classes that were read come back from a file as they were."""
    from runtime import class_file

    header, found = class_file.header(path), class_file.read(path)
    again = path.with_name("again.fsc")
    class_file.write(again, found.classes, (header.locations, header.d), found.maker)
    other = class_file.read(again)
    assert list(other.classes) == list(found.classes) and other.maker == found.maker
    assert all(np.array_equal(other.classes[name], rows) for name, rows in found.classes.items())


def use(index: object, path: Path) -> None:
    """What was read is searched, and comes back from a file as it was."""
    from runtime.index import HammingIndex

    assert isinstance(index, HammingIndex)
    query = np.zeros((1, index.bits // 8), np.uint8)
    hits = index.search(query, 3, threads=1)
    assert hits.ids.shape == (1, min(3, len(index)))
    assert (np.diff(hits.distances) >= 0).all()
    held = [(ids.tolist(), codes.tobytes()) for ids, codes in index]
    again = path.with_name("again.index")
    index.save(again)
    with contextlib.suppress(ValueError):  # a mapped file's ids are not checked until it is loaded or verified
        assert [(ids.tolist(), codes.tobytes()) for ids, codes in HammingIndex.load(again)] == held


def mutated(generator: random.Random, parts: Sequence[bytes]) -> bytes:
    """A seed with a few bytes changed, cut out, repeated or taken from another."""
    data = bytearray(generator.choice(parts))
    for _ in range(generator.choice((1, 1, 2, 4, 8))):
        # The header is where structure is: half of the changes go there.
        place = generator.randrange(min(len(data), 120) if generator.random() < 0.5 else len(data)) if data else 0
        match generator.randrange(5):
            case 0 if data:
                data[place] = generator.choice((0, 1, 127, 128, 255, generator.randrange(256)))
            case 1:
                del data[place : place + generator.choice((1, 4, 8, len(data)))]
            case 2:
                data[place:place] = data[place : place + generator.choice((1, 8, 64))]
            case 3:
                other = generator.choice(parts)
                data[place : place + 16] = other[place : place + 16]
            case 4:
                data[place : place + 8] = generator.choice((0, 1, 2**31, 2**32, 2**63, 2**64 - 1)).to_bytes(8, "little")
    return bytes(data)


def unguided(seconds: float, path: Path) -> int:
    """Random inputs; returns how many."""
    generator, parts, count, end = random.Random(0), seeds(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutated(generator, parts)
        try:
            one(data, path)
        except Exception:
            crash = Path(f"crash-{hashlib.sha256(data).hexdigest()[:12]}")
            crash.write_bytes(data)
            print(f"found by input {count}: {crash}", file=sys.stderr)
            raise
        count += 1
    return count


def guided(seconds: float, path: Path, corpus: Path) -> None:
    """Ends the process."""
    import atheris

    from runtime import class_file, index_exchange, index_file

    # Function by function: the editable install's own importer keeps atheris.instrument_imports from seeing them.
    for module in (class_file, index_file, index_exchange):
        for name, item in list(vars(module).items()):
            if isinstance(item, FunctionType) and item.__module__ == module.__name__:
                setattr(module, name, atheris.instrument_func(item))
    target = atheris.instrument_func(one)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", "-max_len=8192", str(corpus)], lambda data: target(data, path))
    atheris.Fuzz()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="(default: 600)")
    parser.add_argument("--unguided", action="store_true", help="random inputs, also where atheris is installed")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input that was found")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path, corpus = Path(folder) / "fuzzed.index", Path(folder) / "corpus"
        corpus.mkdir()
        if options.replay:
            one(options.replay.read_bytes(), path)
            return 0
        if not options.unguided:
            try:
                guided(options.seconds, path, corpus)
            except ImportError:
                print("atheris is not installed (pip install atheris): inputs are drawn at random", file=sys.stderr)
        print(f"{unguided(options.seconds, path)} inputs, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())

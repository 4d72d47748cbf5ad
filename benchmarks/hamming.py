"""python -m benchmarks.hamming: exact top-k of binary codes beside FAISS, usearch and NumPy, and beside the speed of reading."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.timing import Timing, in_blocks
from runtime import ops
from runtime.index import HammingIndex

from .machine import describe, native_compiler

EXAMPLES = """examples:
  python -m benchmarks.hamming                                    1M codes; pip install 'contrastrt[bench]' for the peers
  python -m benchmarks.hamming --codes 10M --bits 512 --queries 1 --threads 1,2 --into hamming.json
  python -m benchmarks.hamming --codes 100k --bits 64 --approximate
"""
OURS, FLAT, COUNTING, READ = "contrastrt", "faiss flat", "faiss flat, counting", "read"
TABLES, AUTO = "mih", "auto"  # methods of a search
APPROXIMATE = ("faiss hnsw", "faiss ivf", "faiss multihash")
SLOW = 4_000_000  # pairs of query and code up to which usearch and NumPy are timed as well
CLUSTER = 1000  # codes around a centre, on average
PACKAGES = {"faiss": "faiss-cpu", "usearch": "usearch"}
Calls = dict[str, Callable[[], object]]
Setting = tuple[Any, str, int]


@dataclass(frozen=True)
class Cell:
    """One size: `read` is what reading the codes alone takes; `recall` is of those that are not exact; `chosen` by "auto"."""

    codes: int
    bits: int
    queries: int
    threads: int
    chosen: str
    timings: dict[str, Timing]
    recall: dict[str, float]


class Peers:
    """FAISS and usearch, where they are installed, over the same codes."""

    def __init__(self, codes: NDArray[np.uint8], *, approximate: bool) -> None:
        self.faiss, self.usearch = _imported("faiss"), _imported("usearch.index")
        self.codes, bits = codes, 8 * codes.shape[1]
        self.indexes: dict[str, Any] = {}
        if self.faiss is None:
            return
        self.indexes[FLAT] = self.faiss.IndexBinaryFlat(bits)
        if approximate:
            self.indexes |= _approximate(self.faiss, codes, bits)
        for index in self.indexes.values():
            index.add(codes)

    def calls(self, queries: NDArray[np.uint8], k: int, threads: int) -> Calls:
        found: Calls = {}
        if self.faiss is not None:
            self.faiss.omp_set_num_threads(threads)
            for name, index, setting in self._settings():
                found[name] = _with_setting(index, setting, queries, k)
        if len(self.codes) * len(queries) <= SLOW:
            found["numpy"] = _bind(ops.hamming_topk_numpy, self.codes, queries, k)
            if self.usearch is not None:
                found["usearch"] = self._usearch(queries, k, threads)
        return found

    def _settings(self) -> Iterator[tuple[str, Any, Setting]]:
        """A name, an index, and the attribute that is set before a search."""
        for name, index in self.indexes.items():
            match name:
                case "faiss flat":
                    yield FLAT, index, (index, "use_heap", True)
                    yield COUNTING, index, (index, "use_heap", False)
                case "faiss hnsw":
                    yield from ((f"{name} ef {ef}", index, (index.hnsw, "efSearch", ef)) for ef in (16, 128))
                case "faiss ivf":
                    yield from ((f"{name} nprobe {probes}", index, (index, "nprobe", probes)) for probes in (4, 64))
                case _:
                    yield from ((f"{name} nflip {flips}", index, (index, "nflip", flips)) for flips in (0, 2))

    def _usearch(self, queries: NDArray[np.uint8], k: int, threads: int) -> Callable[[], object]:
        usearch, codes = self.usearch, self.codes
        assert usearch is not None
        return lambda: usearch.search(codes, queries, k, usearch.MetricKind.Hamming, exact=True, threads=threads)


def _with_setting(index: Any, setting: Setting, queries: NDArray[np.uint8], k: int) -> Callable[[], object]:
    def call() -> object:
        setattr(*setting)
        return index.search(queries, k)

    return call


def _approximate(faiss: Any, codes: NDArray[np.uint8], bits: int) -> dict[str, Any]:
    """Indexes that may miss neighbours, built (slowly) and trained on the codes."""
    lists = max(16, int(len(codes) ** 0.5))
    quantizer = faiss.IndexBinaryFlat(bits)
    inverted = faiss.IndexBinaryIVF(quantizer, bits, lists)
    inverted.kept = quantizer  # FAISS holds a bare pointer to it
    inverted.train(codes[: 50 * lists])
    hashed = faiss.IndexBinaryMultiHash(bits, 4, min(16, bits // 4))
    return {"faiss hnsw": faiss.IndexBinaryHNSW(bits, 16), "faiss ivf": inverted, "faiss multihash": hashed}


def measure(
    count: int,
    bits: int,
    batches: Sequence[int],
    threads: Sequence[int],
    *,
    k: int,
    seconds: float,
    approximate: bool,
    kernels: bool,
    tables: bool,
    clustered: bool,
    read: Callable[[NDArray[np.uint8], int], object] | None,
) -> list[Cell]:
    """All cells of one set of codes; `seconds` bounds, about, the time spent in each."""
    generator = np.random.default_rng(0)
    centres = generator.integers(0, 256, (max(1, count // CLUSTER), bits // 8), np.uint8) if clustered else None
    codes = _draw(generator, count, bits, centres)
    peers = Peers(codes, approximate=approximate)
    cells = []
    index = HammingIndex(bits)
    index.add(codes)
    if tables:
        index.build_tables()
    for batch in batches:
        queries = _draw(generator, batch, bits, centres)
        for number in threads:
            calls: Calls = {OURS: _searching(index, queries, k, number, "scan"), **peers.calls(queries, k, number)}
            if kernels:
                for kernel in ops.hamming_kernels()[1:]:
                    calls[kernel] = _with_kernel(codes, queries, k, number, kernel)
            chosen = ""
            if tables:
                calls |= {name: _searching(index, queries, k, number, name) for name in (TABLES, AUTO)}
                chosen = index.search(queries, k, threads=number).method
            recall = _check(calls)
            if read is not None:
                calls[READ] = _bind(read, codes, number)
            print(f"{count:,} codes of {bits} bits, {batch} queries, {number} threads", file=sys.stderr)
            cells.append(
                Cell(
                    count,
                    bits,
                    batch,
                    number,
                    chosen,
                    in_blocks(calls, seconds=seconds, spinning=[name for name in calls if name.startswith("faiss")]),
                    recall,
                )
            )
    return cells


def _draw(generator: np.random.Generator, count: int, bits: int, centres: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Uniform codes, or centres with each bit flipped in one of 16 cases: (count, bits / 8)."""
    drawn = generator.integers(0, 256, (count, bits // 8), np.uint8)
    if centres is None:
        return drawn
    for _ in range(3):  # a bit is 1 in one of 16 cases
        drawn &= generator.integers(0, 256, drawn.shape, np.uint8)
    return centres[generator.integers(0, len(centres), count)] ^ drawn


def _searching(index: HammingIndex, queries: NDArray[np.uint8], k: int, threads: int, method: str) -> Callable[[], object]:
    return lambda: index.search(queries, k, method=method, threads=threads)


def _with_kernel(codes: NDArray[np.uint8], queries: NDArray[np.uint8], k: int, threads: int, kernel: str) -> Callable[[], object]:
    return lambda: ops.hamming_topk(codes, queries, k, threads=threads, kernel=kernel)


def _check(calls: Calls) -> dict[str, float]:
    """Exact ones must give the distances that FAISS's flat index gives; of the others the recall."""
    exact = _distances(calls[OURS]())
    recall = {}
    for name, call in calls.items():
        distances = _distances(call()).reshape(exact.shape)
        if name.startswith(APPROXIMATE):  # FAISS fills up with the largest distance
            recall[name] = float(np.mean(distances <= exact[:, -1:]))
        elif not (distances == exact).all():
            raise RuntimeError(f"{name} gives other distances than {OURS}")
    return recall


def _distances(found: Any) -> NDArray[np.int64]:
    """Of a search by us or usearch, whose results have the attribute, or by FAISS and the ops, where they come first."""
    return np.asarray(found.distances if hasattr(found, "distances") else found[0]).astype(np.int64)


def _bind(call: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: call(*arguments)


def _imported(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _reader() -> Callable[[NDArray[np.uint8], int], object] | None:
    """Only the native one: what NumPy takes to read bounds nothing."""
    return (lambda codes, threads: ops.hamming_read(codes, threads=threads)) if ops.backend() == "native" else None


def table(cells: Sequence[Cell]) -> str:
    """Markdown: medians in ms, with p10 and p90 of ours; how many times faster than FAISS flat; reading over ours."""
    names = [name for name in dict.fromkeys(name for cell in cells for name in cell.timings) if name not in (OURS, READ)]
    head = ["codes", "bits", "queries", "threads", OURS, "p10", "p90", *names, READ, "faiss flat / ours", "read / ours"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for cell in cells:
        ours = cell.timings[OURS]
        row = [
            f"{cell.codes:,}",
            str(cell.bits),
            str(cell.queries),
            str(cell.threads),
            *map(_ms, (ours.median, ours.p10, ours.p90)),
        ]
        for name in names:
            shown = _ms(cell.timings[name].median) if name in cell.timings else "-"
            note = f" (recall {cell.recall[name]:.3f})" if name in cell.recall else f" ({cell.chosen})" if name == AUTO else ""
            row.append(shown + note)
        row.append(_ms(cell.timings[READ].median) if READ in cell.timings else "-")
        row += [f"{cell.timings[n].median / ours.median:.2f}" if n in cell.timings else "-" for n in (FLAT, READ)]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        counts, widths, batches, threads = (
            _numbers(f"--{name}", getattr(options, name)) for name in ("codes", "bits", "queries", "threads")
        )
        if options.seconds <= 0 or options.k < 1:
            raise ValueError(f"--seconds {options.seconds} and -k {options.k} must be above 0.")
        machine = describe()
        for name in ("faiss", "usearch"):
            if _imported(name) is None:
                print(f"{name} is left out: it is not installed; pip install {PACKAGES[name]}", file=sys.stderr)
        cells: list[Cell] = []
        for count in counts:
            for bits in widths:
                cells += measure(
                    count,
                    bits,
                    batches,
                    threads,
                    k=options.k,
                    seconds=options.seconds,
                    approximate=options.approximate,
                    kernels=options.kernels,
                    tables=options.tables,
                    clustered=options.clustered,
                    read=_reader(),
                )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    compiler = native_compiler()
    drawn = "clustered" if options.clustered else "uniform random"
    text = (
        f"{machine}\nnative ops: {compiler}; kernel {ops.hamming_kernels()[0]}; top-{options.k} of {drawn} codes (synthetic); "
        f"medians in ms\ntwo passes, in each at least 2 calls after one to warm up\n\n{table(cells)}"
    )
    print(text)
    if options.into:
        found: Mapping[str, Any] = {
            "machine": machine.to_dict(),
            "compiler": compiler,
            "kernel": ops.hamming_kernels()[0],
            "k": options.k,
            "clustered": options.clustered,
            "cells": [asdict(cell) for cell in cells],
        }
        options.into.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        options.into.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    return 0


def _numbers(name: str, given: str) -> tuple[int, ...]:
    try:
        scales = {"k": 1000, "M": 1_000_000}
        found = tuple(int(part.rstrip("kM")) * scales.get(part[-1:], 1) for part in given.split(","))
    except ValueError as error:
        raise ValueError(f"{name} {given!r} was given; expected numbers separated by commas, such as 500k,1M.") from error
    if min(found) < 1:
        raise ValueError(f"{name} {given!r} was given; every number must be 1 or more.")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hamming",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--codes", default="1M", help="how many, separated by commas (default: 1M)")
    parser.add_argument("--bits", default="64,128,256,512", help="of a code (default: 64,128,256,512)")
    parser.add_argument("--queries", default="1,16,256", help="of a batch (default: 1,16,256)")
    parser.add_argument("--threads", default="1,2", help="of all but NumPy, which has one (default: 1,2)")
    parser.add_argument("-k", type=int, default=10, help="neighbours (default: 10)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="about how long a cell may take, at least 4 calls of each (default: 1)"
    )
    parser.add_argument("--approximate", action="store_true", help="also FAISS's HNSW, IVF and MultiHash with their recall")
    parser.add_argument("--kernels", action="store_true", help="also the other kernels of this processor")
    parser.add_argument(
        "--tables",
        action="store_true",
        help="also multi-index hashing without its fall-back to the scan, and what `search` chooses",
    )
    parser.add_argument(
        "--clustered", action="store_true", help=f"codes around centres, {CLUSTER} each, instead of uniform random ones"
    )
    parser.add_argument("--into", type=Path, metavar="FILE", help="keep the numbers in this JSON file, and the table beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main())

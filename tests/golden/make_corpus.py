"""python tests/golden/make_corpus.py FOLDER: write a golden corpus and FAISS shards of this version.

corpus_v1/ was made by it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runtime.corpus import encode_corpus
from runtime.stores import faiss_shards

ITEMS = [f"part {place} \N{SNOWMAN}.ply" for place in range(20)]


def codes(items: Sequence[str]) -> np.ndarray:
    """Of three bytes each; two items have none."""
    places = [int(item.split()[1]) for item in items]
    if {3, 17} & set(places):
        raise ValueError("it has no points")
    return np.array([[place, place * place % 256, 255 - place] for place in places], np.uint8)


def main(folder: Path) -> None:
    corpus = encode_corpus(ITEMS, codes, folder / "corpus", bits=24, maker="golden", shard_size=8)
    faiss_shards.write(corpus.rows(), folder / "shards", shard_size=7)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""python tests/golden/make_hamming_index.py FOLDER: write the golden indexes of this version, and FAISS's of the same codes.

hamming_index_v1/ was made by it, with faiss-cpu 1.15.1.
"""

import sys
from pathlib import Path

import numpy as np

from runtime.index import HammingIndex


def main(folder: Path) -> None:
    import faiss

    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 256, (37, 5), np.uint8)
    ids = generator.permutation(1000)[:37] * 10**15
    numbered, named = HammingIndex(40), HammingIndex(40)
    numbered.add(codes)
    named.add(codes, ids)
    numbered.save(folder / "numbered.index")
    named.save(folder / "named.index")
    flat, mapped = faiss.IndexBinaryFlat(40), faiss.IndexBinaryIDMap(faiss.IndexBinaryFlat(40))
    flat.add(codes)
    order = np.argsort(ids)
    mapped.add_with_ids(codes[order], ids[order])
    faiss.write_index_binary(flat, str(folder / "numbered.faiss"))
    faiss.write_index_binary(mapped, str(folder / "named.faiss"))
    np.savez(folder / "content.npz", codes=codes, ids=ids)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""python tests/golden/make_class_file.py FOLDER: write a golden file of enrolled classes of this version, and what is in it.

class_file_v1/ was made by it.
"""

import sys
from pathlib import Path

import numpy as np

from runtime import class_file

MAKER = "00ff" * 16
NAMES = {"mug": 2, "größe 形": 1, "cup": 3}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    classes = {name: generator.normal(size=(images, 4, 3)).astype(np.float32) for name, images in NAMES.items()}
    class_file.write(folder / "classes.fsc", classes, (4, 3), MAKER)
    np.savez(folder / "content.npz", **{f"class_{at}": rows for at, rows in enumerate(classes.values())})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

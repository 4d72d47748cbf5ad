"""Things in the layouts that users have: pictures beside clouds, meshes and clouds in class folders, HDF5 files of clouds.

- CrossPoint's ShapeNetRender: `ShapeNet/<synset>/<id>.ply` beside `ShapeNetRendering/<synset>/<id>/rendering/*.png`
  (https://github.com/MohamedAfham/CrossPoint). The pictures are the data's own.
- ModelNet40: `<class>/train/*.off` and `<class>/test/*.off`. Its z axis is up.
- modelnet40_ply_hdf5_2048: `ply_data_train*.h5` and `ply_data_test*.h5` with `data` (n, points, 3) and `label` (n, 1), the names in
  `shape_names.txt`.
- Any class folders of meshes and clouds, also below `train/` and `test/`.

Where pictures do not come with the data, meshes are rendered, and clouds as small discs. Clouds keep the axes of their files, as
the runtime reads them; which axis is up matters to the pictures only.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime import clouds
from runtime.prepare import Geometry, UnreadableImage, decode, fit

from . import draws
from .cad_parts import Mesh
from .files import Files, open_files
from .rendering import HELD_OUT, TRAIN, picture, random_view, splats
from .shapes3d import TEST_SEED, Shapes, ShapeSets, Source
from .split import hold_out

TEST_FRACTION = 0.2  # of data without parts of its own
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_VIEW = 14  # first part of the keys here

# The categories that are distributed with pictures (Choy et al. 2016, 3D-R2N2); another synset is called by its number.
SYNSETS = {
    "02691156": "airplane", "02828884": "bench", "02933112": "cabinet", "02958343": "car", "03001627": "chair", "03211117": "display",
    "03636649": "lamp", "03691459": "loudspeaker", "04090263": "rifle", "04256520": "sofa", "04379243": "table",
    "04401088": "telephone", "04530566": "watercraft",
}  # fmt: skip
_CLOUD = re.compile(r"^(?P<root>(?:.*/)?)ShapeNet/(?P<synset>[^/]+)/(?P<id>[^/]+)\.ply$")
_RENDER = re.compile(r"^(?P<root>(?:.*/)?)ShapeNetRendering/(?P<synset>[^/]+)/(?P<id>[^/]+)/rendering/[^/]+\.png$")


@dataclass(frozen=True)
class Item:
    """A thing as listed: its unique name, class, and part ("" where the data has none)."""

    name: str
    family: str
    part: str = ""


@dataclass(frozen=True)
class Wanted:
    """What the clouds and pictures are to be, as in shapes3d.open_shapes."""

    seed: int
    size: int
    points: int
    views: int
    held_out: float
    unseen: tuple[str, ...]


def _key(name: str, view: int) -> np.uint64:
    """Of a picture: it depends on the thing's own name, so that adding a file changes no other."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.uint64(draws.key(_VIEW, int.from_bytes(digest, "little"), view))


@dataclass(frozen=True, eq=False)
class Solids:
    """A source of things whose pictures are rendered.

    Args:
        names: of each row.
        points: of a cloud.
        read_cloud: row -> float32 (m, 3), before it is resampled.
        read_mesh: row -> what is rendered, y up.
        conditions: of the pictures.
    """

    names: tuple[str, ...]
    points: int
    size: int
    read_cloud: Callable[[int], NDArray[np.float32]]
    read_mesh: Callable[[int], Mesh]
    conditions: str = TRAIN

    def cloud(self, row: int) -> NDArray[np.float32]:
        return clouds.normalise(clouds.resample(self.read_cloud(row), self.points))

    def image(self, row: int, view: int) -> NDArray[np.uint8]:
        return picture(_solid(self.read_mesh, row), random_view(_key(self.names[row], view), self.conditions), self.size)

    def name(self, row: int) -> str:
        return self.names[row]


@functools.lru_cache(maxsize=8)  # several views are rendered of a mesh, one after the other
def _solid(read: Callable[[int], Mesh], row: int) -> Mesh:
    return read(row)


@dataclass(frozen=True, eq=False)
class Pictured:
    """A source of things whose pictures come with the data, in one file each.

    Args:
        names: of the clouds' files.
        pictures: of each row, at least one; of more than `views` evenly many are taken, fewer are repeated.
    """

    files: Files
    names: tuple[str, ...]
    pictures: tuple[tuple[str, ...], ...]
    points: int
    size: int
    views: int

    def cloud(self, row: int) -> NDArray[np.float32]:
        return clouds.normalise(clouds.resample(_cloud(self.files, self.names[row], self.points), self.points))

    def image(self, row: int, view: int) -> NDArray[np.uint8]:
        found = self.pictures[row]
        name = found[view * len(found) // self.views if len(found) >= self.views else view % len(found)]
        try:
            return fit(decode(self.files.read(name)), Geometry((self.size, self.size)))
        except UnreadableImage as error:
            raise UnreadableImage(f"{self.files.where(name)} cannot be read: {error}. Repair or remove the file.") from error

    def name(self, row: int) -> str:
        return self.names[row]


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _cloud(files: Files, name: str, points: int) -> NDArray[np.float32]:
    try:
        return clouds.read_cloud(files.read(name), points, suffix=_suffix(name))
    except clouds.UnreadableCloud as error:
        raise clouds.UnreadableCloud(f"{files.where(name)} cannot be read: {error}. Repair or remove the file.") from error


def _mesh(files: Files, name: str, points: int, up: str) -> Mesh:
    """The file's triangles about the middle of their box, its longest side 1, or discs at its points; y up."""
    faces = np.zeros((0, 3), np.int64)
    if _suffix(name) in clouds.MESHES:
        try:
            vertices, faces = clouds.read_mesh(files.read(name), _suffix(name))
        except clouds.UnreadableCloud as error:
            raise clouds.UnreadableCloud(f"{files.where(name)} cannot be read: {error}. Repair or remove the file.") from error
    extent = float(np.ptp(vertices, axis=0).max()) if len(faces) else 0.0
    if extent > 0:
        middle = vertices.min(0) / 2 + vertices.max(0) / 2
        mesh = Mesh(((vertices - middle) / extent).astype(np.float32), faces.astype(np.int32))
    else:
        mesh = splats(clouds.resample(_cloud(files, name, points), points))
    return _upright(mesh, up)


def _upright(mesh: Mesh, up: str) -> Mesh:
    return mesh.turned(0, -90) if up == "z" else mesh


def open_files_of_shapes(path: Path, wanted: Wanted, up: str) -> ShapeSets:
    """Recognise the layout at `path`, a folder or a zip, and open it.

    Args:
        up: the axis that is up in the files, "y" or "z"; "" is z for ModelNet40's layout of .off files and y otherwise.

    Raises:
        FileNotFoundError: there is no such folder or zip.
        ValueError: it holds none of the layouts, or too few things.
    """
    files = open_files(path)
    if any(_RENDER.match(name) for name in files.names):
        return _open_rendered(path.stem, files, wanted)
    if any(name.lower().endswith((".h5", ".hdf5")) for name in files.names):
        return _open_hdf5(path.stem, files, wanted, up or "y")
    return _open_folders(path.stem, _unwrapped(files), wanted, up)


def _unwrapped(files: Files) -> Files:
    """Step into a lone outer folder, as zips have one; one that holds shapes, or train/ and test/ of shapes, is a class."""
    while True:
        places = [name.split("/")[:-1] for name in files.names if _suffix(name) in clouds.SUFFIXES]
        tops = {place[0] for place in places if place}
        if len(tops) != 1 or min(map(len, places)) < 2:
            return files
        if any(len(place) == 2 for place in places) and {place[1].lower() for place in places} <= set(PARTS):
            return files
        files = files.under(tops.pop())


def _open_rendered(name: str, files: Files, wanted: Wanted) -> ShapeSets:
    pictures: dict[tuple[str, ...], list[str]] = {}
    for file in files.names:
        if match := _RENDER.match(file):
            pictures.setdefault(match.group("root", "synset", "id"), []).append(file)
    items, found, bare = [], [], 0
    for file in files.names:
        if match := _CLOUD.match(file):
            mine = pictures.get(match.group("root", "synset", "id"))
            if mine is None:
                bare += 1
                continue
            items.append(Item(file, SYNSETS.get(match["synset"], match["synset"])))
            found.append(tuple(mine))
    if not items:
        raise ValueError(f"{files.root} has ShapeNetRendering/<synset>/<id>/rendering/*.png, but no ShapeNet/<synset>/<id>.ply to "
                         "one of them. Put the folder ShapeNet beside ShapeNetRendering.")  # fmt: skip
    notes = (f"{bare} clouds without pictures are left out.",) if bare else ()
    names = tuple(item.name for item in items)
    source = Pictured(files, names, tuple(found), wanted.points, wanted.size, wanted.views)
    return _sets(name, items, wanted, source, None, notes)


def _open_hdf5(name: str, files: Files, wanted: Wanted, up: str) -> ShapeSets:
    try:
        import h5py
    except ImportError as error:
        raise ModuleNotFoundError(
            f"h5py is needed to read {files.root} and cannot be imported ({error}): pip install 'contrastrt[points]'", name="h5py"
        ) from error
    listed = next((file for file in files.names if file.endswith("shape_names.txt")), None)
    known = files.read(listed).decode().split() if listed else []
    items: list[Item] = []
    held: list[NDArray[np.float32]] = []
    for file in (file for file in files.names if file.lower().endswith((".h5", ".hdf5"))):
        part = next((word for word in ("train", "val", "test") if word in Path(file).name.lower()), None)
        if part is None:
            raise ValueError(
                f"{files.where(file)} does not say by its name whether it is train or test, as ply_data_train0.h5 does."
            )
        try:
            with h5py.File(io.BytesIO(files.read(file)), "r") as opened:
                data, labels = np.asarray(opened["data"][:]), np.asarray(opened["label"][:]).reshape(-1)
        except (OSError, KeyError) as error:
            raise ValueError(f"{files.where(file)} is damaged or has no `data` and `label`: {error}") from error
        if data.ndim != 3 or data.shape[2] != 3 or len(data) != len(labels) or labels.dtype.kind not in "iu":
            raise ValueError(f"{files.where(file)} holds data {data.shape} and label {labels.shape} of {labels.dtype}; expected "
                             "(n, points, 3) and n whole numbers.")  # fmt: skip
        held.append(data.astype(np.float32))
        for row, label in enumerate(labels.tolist()):
            items.append(Item(f"{Path(file).name}/{row}", known[label] if 0 <= label < len(known) else f"class {label}", part))
    starts = np.cumsum([0, *map(len, held)])

    def cloud(row: int) -> NDArray[np.float32]:
        file = int(np.searchsorted(starts, row, "right")) - 1
        try:
            return clouds.read_cloud(held[file][row - starts[file]], wanted.points)
        except clouds.UnreadableCloud as error:
            raise clouds.UnreadableCloud(f"{files.root}, {items[row].name}: {error}") from error

    source = Solids(
        tuple(item.name for item in items), wanted.points, wanted.size, cloud, lambda row: _upright(splats(cloud(row)), up)
    )
    notes = ("pictures are rendered here, of discs at the points.",)
    return _sets(name, items, wanted, source, dataclasses.replace(source, conditions=HELD_OUT), notes)


def _open_folders(name: str, files: Files, wanted: Wanted, up: str) -> ShapeSets:
    names = [file for file in files.names if _suffix(file) in clouds.SUFFIXES]
    if not names:
        raise ValueError(
            f"There is no mesh or cloud among the {len(files.names)} files of {files.root}. Expected class folders of "
            f"{', '.join(clouds.SUFFIXES)}; ShapeNet/ beside ShapeNetRendering/; or ply_data_train*.h5 and ply_data_test*.h5."
        )
    level = next((level for level in (0, 1) if _is_part(names, level)), None)
    items, stray = [], 0
    for file in names:
        words = file.split("/")[:-1]
        part = PARTS[words.pop(level).lower()] if level is not None else ""
        if words:
            items.append(Item(file, words[0], part))
        else:
            stray += 1
    if not items:
        raise ValueError(
            f"The {len(names)} meshes and clouds of {files.root} are in no class folders. Put those of each class into one."
        )
    modelnet = level == 1 and all(_suffix(item.name) == ".off" for item in items)
    up = up or ("z" if modelnet else "y")
    chosen = tuple(item.name for item in items)
    source = Solids(
        chosen, wanted.points, wanted.size,
        lambda row: _cloud(files, chosen[row], wanted.points),
        lambda row: _mesh(files, chosen[row], wanted.points, up),
    )  # fmt: skip
    notes = [f"pictures are rendered here, with {up} up."]
    if stray:
        notes.append(f"{stray} files outside the class folders are left out.")
    return _sets(name, items, wanted, source, dataclasses.replace(source, conditions=HELD_OUT), tuple(notes))


def _is_part(names: Sequence[str], level: int) -> bool:
    """Whether the folders at this depth are train and test, and a class stands above or below them."""
    words = [name.split("/")[:-1] for name in names]
    if any(len(each) < 2 for each in words):
        return False
    found = {PARTS.get(each[level].lower()) for each in words}
    return None not in found and {"train", "test"} <= found


def _sets(
    name: str, items: Sequence[Item], wanted: Wanted, source: Source, conditions: Source | None, notes: tuple[str, ...]
) -> ShapeSets:
    """Part the things: by the parts they come in, else by their names."""
    present = sorted({item.family for item in items})
    absent = sorted(set(wanted.unseen) - set(present))
    if absent:
        raise ValueError(f"There is no class {absent[0]!r} to hold back. {name} has {', '.join(present)}.")
    families = (*(family for family in present if family not in wanted.unseen), *sorted(set(wanted.unseen)))
    names = [item.name for item in items]
    labels = np.array([families.index(item.family) for item in items], np.int64)
    known = len(families) - len(set(wanted.unseen))
    rows = {
        part: np.array([i for i, item in enumerate(items) if item.part == part], np.int64)
        for part in ("", "train", "val", "test")
    }
    rows = {part: own[labels[own] < known] for part, own in rows.items()}

    def parted(own: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        kept, held = hold_out([names[row] for row in own], labels[own], fraction, seed)
        return own[kept], own[held]

    if len(rows[""]):
        rows["train"], rows["test"] = parted(rows[""], TEST_FRACTION, TEST_SEED)
        notes += (f"the data has no parts of its own: {len(rows['test'])} things are test, by their names.",)
    if not len(rows["val"]):
        rows["train"], rows["val"] = parted(rows["train"], wanted.held_out, wanted.seed + 1)
        notes += (f"val is {len(rows['val'])} things held out of train (seed {wanted.seed}).",)
    for part in ("train", "test"):
        if not len(rows[part]):
            raise ValueError(f"{name} has no things for {part}: {len(items)} were found. Expected several of each class.")

    def shapes(own: NDArray[np.int64], source: Source) -> Shapes:
        return Shapes(labels[own], families, source, own, wanted.points, wanted.size, wanted.views)

    return ShapeSets(
        name,
        shapes(rows["train"], source),
        shapes(rows["val"], source),
        shapes(rows["test"], source),
        shapes(rows["test"], conditions) if conditions is not None else None,
        shapes(np.flatnonzero(labels >= known), source) if wanted.unseen else None,
        notes,
    )

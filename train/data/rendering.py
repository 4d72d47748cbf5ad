"""A small software renderer: triangles through a pinhole camera with a depth buffer, Lambert's shading and 2 x 2 samples a pixel.

Two distributions of views stand beside it: the one that is trained on, and another of held-out conditions, whose elevations,
light, colours and backgrounds the first never has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtime import ops

from . import draws
from .cad_parts import Mesh

Colour: TypeAlias = tuple[float, float, float]  # RGB, 0 to 255
Between: TypeAlias = Callable[[float, float], float]  # the next number between two
SAMPLES = 2  # along each side of a pixel
CREASE = 35.0  # degrees between a face and the mean of its neighbours above which an edge stays sharp
TRAIN, HELD_OUT = CONDITIONS = "train", "held_out"
_PART = 10  # first part of the keys here


@dataclass(frozen=True)
class Camera:
    """Where the picture is taken from; it looks at the middle of the mesh, whose half diagonal is the unit of length.

    Args:
        azimuth: degrees about the y axis; 0 looks at the front, from +z.
        elevation: degrees above the horizon.
        distance: from the middle, > 1.05.
        field: degrees from the picture's lower to its upper edge.
        roll: degrees that the camera is turned about its own axis.
    """

    azimuth: float
    elevation: float
    distance: float = 3.0
    field: float = 40.0
    roll: float = 0.0


@dataclass(frozen=True)
class Light:
    """A distant lamp and an even light from all sides.

    Args:
        direction: from the mesh to the lamp in the camera's axes (x right, y up, z to the camera), of any length.
        ambient: brightness of what the lamp does not reach, 0 to 1.
    """

    direction: tuple[float, float, float]
    ambient: float


@dataclass(frozen=True)
class Backdrop:
    """What is behind the mesh: two colours from top to bottom, and a pattern over them.

    Args:
        texture: the pattern's contrast, 0 to 1; 0 has none.
        key: of the pattern.
    """

    top: Colour
    bottom: Colour
    texture: float = 0.0
    key: int = 0


@dataclass(frozen=True)
class View:
    """All that a picture depends on beside its mesh."""

    camera: Camera
    light: Light
    colour: Colour
    background: Backdrop
    smooth: bool


def random_view(key: np.uint64, conditions: str = TRAIN) -> View:
    """A view drawn from a key.

    TRAIN: any azimuth, elevation -10 to 50 degrees, light from above and before, greyish colours, backgrounds without a pattern.
    HELD_OUT: elevation -25 to -15 or 55 to 75 degrees, a roll, strong light from one side with little ambient, saturated
    colours, patterned backgrounds.
    """
    if conditions not in CONDITIONS:
        raise ValueError(f"There are no conditions {conditions!r}. Known: {', '.join(CONDITIONS)}.")
    keys = np.asarray([draws.key(_PART, CONDITIONS.index(conditions), key)])
    number = iter(draws.uniforms(keys, 24)[0].tolist()).__next__

    def between(low: float, high: float) -> float:
        return low + (high - low) * number()

    return _usual(between) if conditions == TRAIN else _unusual(between, int(key))


def _usual(between: Between) -> View:
    camera = Camera(between(0, 360), between(-10, 50), between(2.7, 3.6), between(36, 44))
    light = Light((between(-1, 1), between(0.2, 1.2), between(0.4, 1.2)), between(0.25, 0.5))
    colour = _greyish(between(90, 235), between(-35, 35), between(-35, 35))
    tone, warm, shade = between(20, 235), between(-15, 15), between(-40, 25)
    background = Backdrop(_greyish(tone, warm, -warm), _greyish(tone + shade, warm, -warm))
    return View(camera, light, colour, background, between(0, 1) < 0.6)


def _unusual(between: Between, key: int) -> View:
    elevation = between(-10, 20)
    elevation = elevation + 55 if elevation > 0 else elevation - 15
    camera = Camera(between(0, 360), elevation, between(2.6, 3.9), between(35, 46), between(-15, 15))
    side = 1.0 if between(0, 1) < 0.5 else -1.0
    light = Light((side * between(0.9, 1.3), between(-0.3, 0.5), between(0.05, 0.4)), between(0.1, 0.22))
    colour = _vivid(between(0, 1), 90, 250)
    top, bottom = (_greyish(between(40, 215), between(-70, 70), between(-70, 70)) for _ in range(2))
    return View(camera, light, colour, Backdrop(top, bottom, between(0.25, 0.6), key), between(0, 1) < 0.6)


def _greyish(grey: float, red: float, blue: float) -> Colour:
    red, green, blue = (min(255.0, max(0.0, value)) for value in (grey + red, grey, grey + blue))
    return red, green, blue


def _vivid(hue: float, dark: float, bright: float) -> Colour:
    """A saturated colour; hue 0 to 1 goes once around."""
    red, green, blue = (min(1.0, max(0.0, abs((hue * 6 + shift) % 6 - 3) - 1)) for shift in (0, 4, 2))
    return dark + (bright - dark) * red, dark + (bright - dark) * green, dark + (bright - dark) * blue


def backdrop(background: Backdrop, size: int) -> NDArray[np.float32]:
    """(size, size, 3), 0 to 255."""
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    image = np.asarray(background.top, np.float32) * (1 - ramp) + np.asarray(background.bottom, np.float32) * ramp
    image = np.repeat(image, size, axis=1)  # (size, size, 3)
    if background.texture:
        import cv2

        for cells, contrast in ((3, 70), (7, 70), (17, 70), (size, 60)):  # blots of three sizes, and noise
            keys = np.asarray([draws.key(_PART, cells, background.key)])
            blots = draws.uniforms(keys, cells * cells * 3).reshape(cells, cells, 3).astype(np.float32) - np.float32(0.5)
            image = image + background.texture * contrast * cv2.resize(blots, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255, dtype=np.float32)


def splats(points: NDArray[np.float32]) -> Mesh:
    """A cloud as a mesh: at each point a square along the surface there, as wide as its neighbours are apart.

    The surface's direction at a point is across the plane through its 8 nearest points.

    Args:
        points: (n, 3), n at least 1.
    """
    near = ops.nearest_points(points[None], points[None], min(9, max(len(points), 1)))[0]  # (n, 9), itself among them
    away = points[near] - points[:, None]  # (n, 9, 3)
    spread = away - away.mean(1, keepdims=True)
    _, axes = np.linalg.eigh(
        np.einsum("nki,nkj->nij", spread, spread).astype(np.float64)
    )  # columns, the flattest direction first
    reach = np.sqrt((away**2).sum(-1))[:, min(4, near.shape[1] - 1)]  # (n,)
    extent = float(np.ptp(points, axis=0).max()) or 1.0
    half = np.clip(reach, 0.25 * np.median(reach), 2 * np.median(reach)) * 0.75 + 1e-3 * extent
    u, v = (axes[:, :, axis] * half[:, None] for axis in (1, 2))
    corners = np.stack([points - u - v, points + u - v, points + u + v, points - u + v], 1)  # (n, 4, 3)
    first = 4 * np.arange(len(points))[:, None]
    faces = np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])])
    return Mesh(corners.reshape(-1, 3).astype(np.float32), faces.astype(np.int32))


def picture(mesh: Mesh, view: View, size: int) -> NDArray[np.uint8]:
    """`render` with all of a view, uint8 (size, size, 3) RGB."""
    return render(
        mesh, view.camera, size=size, light=view.light, colour=view.colour, background=view.background, smooth=view.smooth
    )


def render(
    mesh: Mesh, camera: Camera, *, size: int, light: Light, colour: Colour, background: Backdrop, smooth: bool = True
) -> NDArray[np.uint8]:
    """Take a picture of a mesh.

    The mesh is brought to its bounding box's middle and half diagonal 1 first. Faces are seen from both sides.

    Args:
        smooth: shade over edges blunter than CREASE; otherwise face by face.

    Returns:
        uint8 (size, size, 3) RGB.
    """
    fine = size * SAMPLES
    seen, nearness, x, y = _projected(mesh, camera, fine)
    corners = np.stack([x, y, nearness], -1)[mesh.faces]  # (f, 3, 3)
    pixel, face = _visible(corners, fine)
    image = backdrop(background, size).repeat(SAMPLES, 0).repeat(SAMPLES, 1).reshape(-1, 3)  # (fine * fine, 3)
    image[pixel] = _shaded(seen, mesh.faces, corners, pixel, face, fine, light, smooth)[:, None] * np.asarray(colour, np.float32)
    samples = image.reshape(fine, fine, 3)
    total = sum(samples[i::SAMPLES, k::SAMPLES] for i in range(SAMPLES) for k in range(SAMPLES))  # (size, size, 3)
    return np.clip(total / SAMPLES**2 + 0.5, 0, 255).astype(np.uint8)


def _axes(camera: Camera) -> NDArray[np.float32]:
    """The camera's right, up and backward directions, (3, 3) in rows."""
    turn, lift, roll = (math.radians(angle) for angle in (camera.azimuth, camera.elevation, camera.roll))
    back = np.array([math.cos(lift) * math.sin(turn), math.sin(lift), math.cos(lift) * math.cos(turn)])
    right = np.array([math.cos(turn), 0.0, -math.sin(turn)])
    up = np.cross(back, right)
    right, up = math.cos(roll) * right + math.sin(roll) * up, math.cos(roll) * up - math.sin(roll) * right
    return np.stack([right, up, back]).astype(np.float32)


def _projected(
    mesh: Mesh, camera: Camera, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Where the vertices are: in the camera's axes (v, 3), their 1 / depth, and their place x and y in pixels, (v,) each."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    half = float(np.linalg.norm((high - low).astype(np.float64))) / 2
    if not (half > 0 and math.isfinite(half)):
        raise ValueError("A mesh without extent cannot be rendered: its vertices are all equal, or some are not finite.")
    if camera.distance <= 1.05:
        raise ValueError(f"The camera is {camera.distance} away and would be within the mesh; expected more than 1.05.")
    seen = ((mesh.vertices - (low + high) / 2) / half).astype(np.float32) @ _axes(camera).T  # (v, 3)
    nearness = 1 / (np.float32(camera.distance) - seen[:, 2])
    scale = np.float32(side / 2 / math.tan(math.radians(camera.field / 2)))
    middle = np.float32(side / 2)
    return seen, nearness, middle + scale * seen[:, 0] * nearness, middle - scale * seen[:, 1] * nearness


def _spread(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each i repeated counts[i] times, and beside it 0, 1, ... counts[i] - 1."""
    owner = np.repeat(np.arange(len(counts)), counts)
    start = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) - start[owner]


def _visible(corners: NDArray[np.float32], side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which face is seen at which pixel.

    Each face is cut into rows, each row into pixels whose middle it covers; 1 / depth is linear in the picture, and the
    greatest of a pixel wins.

    Args:
        corners: (f, 3, 3): x and y in pixels, 1 / depth.

    Returns:
        Pixels (row * side + column) that are covered, ascending, and the face at each.
    """
    order = np.argsort(corners[:, :, 1], axis=1)
    top, middle, bottom = np.take_along_axis(corners, order[:, :, None], axis=1).transpose(1, 0, 2)  # (f, 3) each
    first, last = (np.clip(np.ceil(edge[:, 1] - 0.5), 0, side).astype(np.int64) for edge in (top, bottom))
    face, row = _spread(last - first)  # (r,)
    row += first[face]
    height = row.astype(np.float32) + np.float32(0.5)

    def crossing(begin: NDArray[np.float32], end: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where the edge from begin to end crosses each row."""
        rise = np.maximum(end[:, 1] - begin[:, 1], 1e-6)
        part = np.clip((height - begin[face, 1]) / rise[face], 0, 1)
        return begin[face, 0] + part * (end[:, 0] - begin[:, 0])[face]

    far = crossing(top, bottom)
    near = np.where(height < middle[face, 1], crossing(top, middle), crossing(middle, bottom))
    begin, end = (
        np.clip(np.ceil(edge - np.float32(0.5)), 0, side).astype(np.int64)
        for edge in (np.minimum(far, near), np.maximum(far, near))
    )
    run, column = _spread(end - begin)  # (p,)
    column += begin[run]
    owner = face[run]  # (p,)
    along, down = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]  # (f, 3)
    area = along[:, 0] * down[:, 1] - along[:, 1] * down[:, 0]
    area = np.where(np.abs(area) < 1e-6, np.float32(np.inf), area)
    slope_x = (along[:, 2] * down[:, 1] - down[:, 2] * along[:, 1]) / area
    slope_y = (down[:, 2] * along[:, 0] - along[:, 2] * down[:, 0]) / area
    start = corners[:, 0]
    left = (
        start[:, 2][face] + slope_y[face] * (height - start[:, 1][face]) - slope_x[face] * (start[:, 0][face] - np.float32(0.5))
    )  # (r,)
    depth = left[run] + slope_x[owner] * column.astype(np.float32)
    depth = np.clip(depth, corners[:, :, 2].min(1)[owner], corners[:, :, 2].max(1)[owner])  # a sliver's slope is not exact
    pixel = row[run] * side + column
    nearest = np.zeros(side * side, np.float32)
    np.maximum.at(nearest, pixel, depth)
    wins = depth == nearest[pixel]
    shown = np.full(side * side, -1, np.int64)
    shown[pixel[wins]] = owner[wins]
    covered = np.flatnonzero(shown >= 0)
    return covered, shown[covered]


def _shaded(
    seen: NDArray[np.float32], faces: NDArray[np.int32], corners: NDArray[np.float32], pixel: NDArray[np.int64],
    face: NDArray[np.int64], side: int, light: Light, smooth: bool,
) -> NDArray[np.float32]:  # fmt: skip
    """Brightness at each covered pixel, 0 to 1, (p,)."""
    points = seen[faces]  # (f, 3, 3)
    flat = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])  # (f, 3), twice the area long
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = flat / np.maximum(length, 1e-12)
    if smooth:
        total = np.zeros_like(seen)
        for corner in range(3):
            for axis in range(3):
                total[:, axis] += np.bincount(faces[:, corner], flat[:, axis], len(seen)).astype(np.float32)
        total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
        at_corner = total[faces]  # (f, 3, 3)
        blunt = (at_corner * unit[:, None]).sum(-1, keepdims=True) > math.cos(math.radians(CREASE))
        at_corner = np.where(blunt, at_corner, unit[:, None])
        place = np.stack([pixel % side + 0.5, pixel // side + 0.5], -1).astype(np.float32)  # (p, 2)
        flat_corner = corners[face]  # (p, 3, 3)
        away = flat_corner[:, :, :2] - place[:, None]  # (p, 3, 2)
        after, before = away[:, (1, 2, 0)], away[:, (2, 0, 1)]
        weight = np.abs(after[:, :, 0] * before[:, :, 1] - after[:, :, 1] * before[:, :, 0]) * flat_corner[:, :, 2]  # (p, 3)
        normal = np.einsum("pk,pkd->pd", weight, at_corner[face])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    else:
        normal = unit[face]
    # A face turned away shows its other side. Which side is seen is a matter of the picture: the sign of its area there.
    along, down = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    away_from = along[:, 0] * down[:, 1] - along[:, 1] * down[:, 0] > 0
    lamp = np.asarray(light.direction, np.float32) / np.float32(np.linalg.norm(light.direction))
    lit = normal @ lamp
    lit = np.where(away_from[face], -lit, lit)
    return (light.ambient + (1 - light.ambient) * np.maximum(lit, 0)).astype(np.float32)

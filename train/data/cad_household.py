"""Parametric families of the household: furniture, lamps and vessels; sizes in metres or nearly so, y up, fronts towards +z."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .cad_parts import Chance, Mesh, ball, box, join, lathe, oval, plate, rod, smooth, tube, vessel


def _legs(c: Chance, width: float, depth: float, height: float, thick: float) -> list[Mesh]:
    """Four legs under the corners of a slab, or one foot under its middle."""
    x, z = width / 2 - thick, depth / 2 - thick
    splay = c.pick(1.0, 1.0, c.between(0.8, 1.3))
    kind = c.whole(0, 9)
    if kind == 0:  # a column with a foot
        foot = c.between(0.3, 0.45) * min(width, depth)
        return [rod((0, 0, 0), (0, height, 0), thick), lathe([(foot, 0), (foot, thick / 2), (thick, thick * 1.5)])]
    if kind == 1:  # a column with a star of arms
        count = c.whole(3, 5)
        arm = rod((0, height * 0.25, 0), (0, thick / 2, min(x, z)), thick * 0.7)
        return [rod((0, height * 0.2, 0), (0, height, 0), thick), *(arm.turned(1, 360 * i / count) for i in range(count))]
    parts = []
    for i, k in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        if kind < 6:
            parts.append(box((thick, height, thick), (i * x, height / 2, k * z)))
        else:
            parts.append(rod((i * x * splay, 0, k * z * splay), (i * x, height, k * z), thick * 0.4, thick * 0.6))
    if c.happens(0.3):  # rails between them
        low = c.between(0.15, 0.5) * height
        parts += [box((thick / 2, thick / 2, 2 * z), (i * x, low, 0)) for i in (-1, 1)]
        parts.append(box((2 * x, thick / 2, thick / 2), (0, low, 0)))
    return parts


def _back(c: Chance, width: float, height: float, base: float, z: float, thick: float) -> list[Mesh]:
    """A chair's back: a panel, slats, bars or a frame."""
    kind = c.whole(0, 3)
    x = width / 2 - thick / 2
    posts = [box((thick, height, thick), (i * x, height / 2, 0)) for i in (-1, 1)]
    if kind == 0:
        parts = [box((width, height, thick), (0, height / 2, 0), c.between(0.75, 1.05))]
    elif kind == 1:
        count = c.whole(2, 5)
        parts = [*posts, box((width, thick * 2, thick), (0, height - thick, 0))]
        parts += [
            box((thick * 0.8, height, thick * 0.5), ((i + 1) / (count + 1) * 2 * x - x, height / 2, 0)) for i in range(count)
        ]
    elif kind == 2:
        count = c.whole(1, 3)
        parts = [
            *posts,
            *(
                box((width, height / (count * 2.2), thick * 0.6), (0, height * (i + 0.8) / (count + 0.3), 0))
                for i in range(count)
            ),
        ]
    else:
        parts = [*posts, box((width - thick, height * 0.5, thick * 0.6), (0, height * 0.72, 0))]
    return [join(parts).turned(0, -c.between(0, 16)).moved((0, base, z))]


def _seat(c: Chance, width: float, depth: float, height: float, thick: float) -> Mesh:
    if c.happens(0.35):
        return lathe([(1, 0), (1.04, 0.5), (0.97, 1)]).scaled((width / 2, thick, depth / 2)).moved((0, height, 0))
    return box((width, thick, depth), (0, height + thick / 2, 0), c.between(0.9, 1.05))


def chair(c: Chance) -> list[Mesh]:
    width, depth, height = c.between(0.38, 0.6), c.between(0.38, 0.55), c.between(0.36, 0.52)
    thick = c.between(0.025, 0.06)
    parts = [*_legs(c, width, depth, height, thick), _seat(c, width, depth, height, c.between(0.03, 0.1))]
    parts += _back(c, width * c.between(0.8, 1), c.between(0.22, 0.65), height, -depth / 2 + thick / 2, thick)
    if c.happens(0.3):
        rest = height + c.between(0.18, 0.25)
        for i in (-1, 1):
            parts.append(box((thick, thick, depth * 0.8), (i * width / 2, rest, 0)))
            parts.append(box((thick, rest - height, thick), (i * width / 2, (rest + height) / 2, depth * 0.3)))
    return parts


def stool(c: Chance) -> list[Mesh]:
    width, height, thick = c.between(0.28, 0.45), c.between(0.4, 0.85), c.between(0.025, 0.05)
    depth = width * c.between(0.8, 1.1)
    parts = [*_legs(c, width, depth, height, thick), _seat(c, width, depth, height, c.between(0.03, 0.1))]
    if c.happens(0.25):  # a low rest, as a small chair has
        parts += _back(c, width * 0.9, c.between(0.1, 0.24), height, -depth / 2 + thick, thick)
    return parts


def bench(c: Chance) -> list[Mesh]:
    width, depth, height, thick = c.between(1, 1.9), c.between(0.3, 0.5), c.between(0.35, 0.5), c.between(0.04, 0.08)
    slats = c.whole(2, 5)
    parts = [box((width, thick * 0.7, depth / slats * 0.8), (0, height, depth * ((i + 0.5) / slats - 0.5))) for i in range(slats)]
    for x in (-0.4 * width, 0.4 * width):
        parts.append(box((thick, height, depth * 0.9), (x, height / 2, 0), c.pick(1.0, 0.7)))
    if c.happens(0.6):
        parts += _back(c, width, c.between(0.25, 0.45), height, -depth / 2, thick * 0.7)
    return parts


def table(c: Chance) -> list[Mesh]:
    width, depth = c.between(0.6, 1.8), c.between(0.5, 0.95)
    height, thick, top = c.between(0.35, 0.8), c.between(0.04, 0.09), c.between(0.02, 0.07)
    parts = _legs(c, width, depth, height, thick)
    if c.happens(0.35):
        parts.append(lathe([(1, 0), (1, 1)], 32).scaled((width / 2, top, depth / 2)).moved((0, height, 0)))
    else:
        parts.append(box((width, top, depth), (0, height + top / 2, 0)))
    if c.happens(0.3):  # a shelf
        parts.append(box((width * 0.8, top, depth * 0.8), (0, height * c.between(0.2, 0.5), 0)))
    return parts


def desk(c: Chance) -> list[Mesh]:
    width, depth = c.between(1, 1.8), c.between(0.5, 0.85)
    height, thick, top = c.between(0.66, 0.8), c.between(0.04, 0.08), c.between(0.02, 0.06)
    parts = [box((width, top, depth), (0, height + top / 2, 0))]
    sides = c.pick((-1,), (1,), (-1, 1), ())
    for side in (-1, 1):
        if side in sides:  # drawers
            wide, low = width * c.between(0.22, 0.32), height * c.pick(0.0, 0.0, 0.5)
            x, count = side * (width - wide) / 2, c.whole(2, 4)
            parts.append(box((wide, height - low, depth * 0.94), (x, (height + low) / 2, 0)))
            each = (height - low) / count
            for i in range(count):
                parts.append(box((wide * 0.86, each * 0.8, 0.03), (x, low + each * (i + 0.5), depth * 0.48)))
                parts.append(box((wide * 0.3, 0.02, 0.03), (x, low + each * (i + 0.6), depth * 0.51)))
        if side not in sides or c.happens(0.3):
            for z in (-1, 1):
                parts.append(box((thick, height, thick), (side * (width / 2 - thick), height / 2, z * (depth / 2 - thick))))
    if c.happens(0.6):  # a panel towards the knees
        tall = height * c.between(0.3, 0.8)
        parts.append(box((width * 0.95, tall, 0.02), (0, height - tall / 2, -depth * 0.4)))
    if c.happens(0.25):
        parts.append(box((width, 0.25, depth * 0.25), (0, height + 0.15, -depth * 0.35)))
    return parts


def sofa(c: Chance) -> list[Mesh]:
    seats, depth, base = c.whole(1, 3), c.between(0.7, 0.95), c.between(0.2, 0.32)
    arm, rise, thick = c.between(0.1, 0.25), c.between(0.05, 0.28), c.between(0.15, 0.28)
    inner = seats * c.between(0.52, 0.72)
    width, foot = inner + 2 * arm, c.between(0.02, 0.15)
    parts = [box((width, base, depth), (0, foot + base / 2, 0))]
    for i in range(seats):
        x = inner * ((i + 0.5) / seats - 0.5)
        parts.append(box((inner / seats * 0.97, 0.14, depth - thick), (x, foot + base + 0.06, thick / 2), 0.95))
    back = c.between(0.35, 0.55)
    parts.append(box((width, back, thick), (0, foot + base + back / 2, (thick - depth) / 2), c.between(0.8, 1)))
    round_arm = c.happens(0.4)
    for i in (-1, 1):
        x, y = i * (width - arm) / 2, foot + base + rise
        parts.append(box((arm, rise, depth), (x, foot + base + rise / 2, 0)))
        if round_arm:
            parts.append(rod((x, y, -depth / 2), (x, y, depth / 2), arm * 0.6))
        for k in (-1, 1):
            parts.append(box((0.06, foot, 0.06), (i * (width / 2 - 0.06), foot / 2, k * (depth / 2 - 0.06))))
    return parts


def bed(c: Chance) -> list[Mesh]:
    width, long, base = c.between(0.8, 1.9), c.between(1.8, 2.2), c.between(0.15, 0.4)
    thick, mattress = c.between(0.05, 0.12), c.between(0.12, 0.28)
    parts = [box((width, 0.1, long), (0, base, 0)), box((width * 0.97, mattress, long * 0.98), (0, base + mattress / 2, 0), 0.98)]
    head, foot = c.between(0.25, 0.8), c.pick(0.0, c.between(0.1, 0.5))
    for z, rise in ((-1, head), (1, foot)):
        tall = base + mattress + rise
        parts += [
            box((thick, tall if rise else base, thick), (i * width / 2, (tall if rise else base) / 2, z * long / 2))
            for i in (-1, 1)
        ]
        if rise and c.happens(0.7):
            parts.append(box((width, tall - base, thick * 0.6), (0, (tall + base) / 2, z * long / 2)))
        elif rise:
            parts += [
                box((thick / 2, tall - base, thick / 2), (width * x, (tall + base) / 2, z * long / 2))
                for x in (-0.3, -0.1, 0.1, 0.3)
            ]
            parts.append(box((width, thick, thick), (0, tall, z * long / 2)))
    pillows = 2 if width > 1.3 else 1
    for i in range(pillows):
        x = width * ((i + 0.5) / pillows - 0.5)
        parts.append(ball((width / pillows * 0.38, 0.09, 0.2), (x, base + mattress + 0.06, -long * 0.38)))
    return parts


def bookcase(c: Chance) -> list[Mesh]:
    width, height, depth, thick = c.between(0.5, 1.5), c.between(0.8, 2.1), c.between(0.22, 0.42), c.between(0.02, 0.05)
    shelves, columns = c.whole(2, 6), c.whole(1, 3)
    parts = [box((thick, height, depth), ((i / columns - 0.5) * width, height / 2, 0)) for i in range(columns + 1)]
    parts += [box((width, thick, depth), (0, thick / 2 + i / shelves * (height - thick), 0)) for i in range(shelves + 1)]
    if c.happens(0.7):
        parts.append(box((width, height, 0.015), (0, height / 2, -depth / 2)))
    for i in range(shelves):
        for k in range(columns):
            if c.happens(0.35):  # books
                tall, wide = height / shelves * c.between(0.5, 0.85), width / columns * c.between(0.3, 0.85)
                x = ((k + 0.5) / columns - 0.5) * width
                parts.append(box((wide, tall, depth * 0.7), (x, i / shelves * height + tall / 2 + thick / 2, 0)))
    return parts


def _shade(c: Chance, radius: float, height: float) -> Mesh:
    top = radius * c.between(0.35, 1)
    if c.happens(0.25):
        curve = smooth([(radius, 0), (radius * 0.9, height * 0.5), (top * 0.5, height)], 8)
    else:
        curve = np.array([(radius, 0), (top, height)])
    return lathe(np.concatenate([curve, curve[::-1] - np.array([radius * 0.06, 0])]), 20)


def lamp(c: Chance) -> list[Mesh]:
    height, foot = c.between(0.25, 0.6), c.between(0.07, 0.16)
    shade, tall = c.between(0.12, 0.28), c.between(0.12, 0.32)
    if c.happens(0.4):
        belly = c.between(0.5, 1.6) * foot
        curve = smooth([(foot, 0), (belly, height * c.between(0.25, 0.5)), (foot * 0.3, height * 0.85), (0.015, height)], 16)
        stand = [lathe(np.maximum(curve, [0.012, 0]))]
    else:
        stand = [lathe([(foot, 0), (foot, 0.02), (foot * 0.3, 0.05)]), rod((0, 0, 0), (0, height, 0), c.between(0.01, 0.03))]
    return [
        *stand,
        _shade(c, shade, tall).moved((0, height - tall * 0.2, 0)),
        ball((0.04, 0.05, 0.04), (0, height + 0.05, 0), 10),
    ]


def floor_lamp(c: Chance) -> list[Mesh]:
    height, foot, thick = c.between(1.1, 1.8), c.between(0.12, 0.22), c.between(0.012, 0.03)
    shade, tall = c.between(0.14, 0.3), c.between(0.15, 0.35)
    if c.happens(0.35):
        parts = [rod((0, height * 0.6, 0), (0, 0, foot * 2), thick).turned(1, 120 * i) for i in range(3)]
    else:
        parts = [lathe([(foot, 0), (foot, 0.03), (thick, 0.05)])]
    if c.happens(0.3):  # an arm that reaches out
        reach = c.between(0.3, 0.8)
        path = smooth([(0, 0, 0), (0, height * 0.7, 0), (reach * 0.4, height, 0), (reach, height * 0.92, 0)], 20)
        return [*parts, tube(path, thick), _shade(c, shade * 0.8, tall * 0.7).moved((reach, height * 0.92 - tall * 0.6, 0))]
    return [*parts, rod((0, 0, 0), (0, height, 0), thick), _shade(c, shade, tall).moved((0, height - tall * 0.5, 0))]


def _belly(c: Chance, neck: float) -> NDArray[np.float64]:
    """The outside of a bottle or a vase of height 1, by its foot, belly, shoulder and neck."""
    foot, wide = c.between(0.1, 0.22), c.between(0.13, 0.32)
    at, shoulder = c.between(0.2, 0.55), c.between(0.6, 0.82)
    return smooth(
        [
            (foot, 0),
            (wide, at),
            (max(neck, wide * c.between(0.4, 0.95)), shoulder),
            (neck, shoulder + 0.1),
            (neck * c.between(0.9, 1.3), 1),
        ],
        28,
    )


def bottle(c: Chance) -> list[Mesh]:
    neck = c.between(0.035, 0.09)
    if c.happens(0.3):
        outline = _belly(c, neck)
    else:
        wide, shoulder = c.between(0.12, 0.22), c.between(0.5, 0.75)
        top = smooth([(wide, shoulder), (wide * 0.75, shoulder + 0.08), (neck, shoulder + c.between(0.14, 0.2)), (neck, 1)], 14)
        outline = np.concatenate([[(wide * 0.9, 0), (wide, 0.03)], top])
    body = lathe(outline, c.pick(24, 24, 24, 6, 4)).scaled((1, 1, c.pick(1.0, 1.0, 0.6)))
    parts = [body]
    if c.happens(0.6):
        parts.append(lathe([(neck * 1.25, 0.93), (neck * 1.25, 1.03)]))
    return parts


def vase(c: Chance) -> list[Mesh]:
    neck = c.between(0.06, 0.2)
    outline = _belly(c, neck)
    outline[-3:, 0] *= np.linspace(1, c.between(1, 1.7), 3)  # a lip
    parts = [lathe(vessel(outline, 0.02, 0.03), c.pick(24, 24, 8))]
    if c.happens(0.25):
        for i in (-1, 1):
            path = smooth([(neck, 0.9, 0), (neck + 0.18, 0.88, 0), (neck + 0.2, 0.65, 0), (0.14, 0.5, 0)], 14)
            parts.append(tube(path * np.array([i, 1, 1]), 0.02, 8))
    return parts


def mug(c: Chance) -> list[Mesh]:
    radius, height = c.between(0.32, 0.5), c.between(0.6, 1.3)
    foot = radius * c.between(0.7, 1.05)
    outline = smooth([(foot, 0), (radius * c.between(0.9, 1.15), height * 0.5), (radius, height)], 10)
    parts = [lathe(vessel(outline, 0.05, 0.06))]
    reach, tall = c.between(0.2, 0.4), c.between(0.25, 0.4) * height
    x = radius * 0.92
    path = smooth(
        [
            (x, height * 0.5 - tall, 0),
            (x + reach, height * 0.5 - tall * 0.6, 0),
            (x + reach, height * 0.5 + tall * 0.6, 0),
            (x, height * 0.5 + tall, 0),
        ],
        16,
    )
    return [*parts, tube(path, c.between(0.04, 0.07), 8)]


def bowl(c: Chance) -> list[Mesh]:
    radius, height, foot = 0.5, c.between(0.15, 0.5), c.between(0.15, 0.3)
    bulge = c.between(0.55, 1)
    outline = smooth([(foot, 0), (foot + (radius - foot) * bulge, height * 0.45), (radius, height)], 14)
    parts = [lathe(vessel(outline, 0.025, 0.03), c.pick(28, 28, 8))]
    if c.happens(0.4):
        parts.append(lathe([(foot, -0.06), (foot * 0.85, 0.03)]))
    return parts


def goblet(c: Chance) -> list[Mesh]:
    radius, foot, stem, cup = c.between(0.18, 0.36), c.between(0.16, 0.28), c.between(0.25, 0.6), c.between(0.3, 0.55)
    outline = smooth([(0.03, stem), (radius, stem + cup * c.between(0.3, 0.6)), (radius * c.between(0.7, 1.15), stem + cup)], 16)
    thick = c.between(0.015, 0.04)
    return [
        lathe([(foot, 0), (foot, 0.015), (thick, 0.06), (thick, stem)]),
        lathe(vessel(np.maximum(outline, [0.03, 0]), 0.015, 0.03)),
    ]


def teapot(c: Chance) -> list[Mesh]:
    wide, height, at = c.between(0.4, 0.6), c.between(0.45, 0.8), c.between(0.35, 0.6)
    outline = smooth([(wide * 0.6, 0), (wide, height * at), (wide * 0.45, height)], 16)
    spout = smooth(
        [(wide * 0.8, height * 0.35, 0), (wide + 0.15, height * 0.5, 0), (wide + 0.32, height * c.between(0.85, 1.1), 0)], 12
    )
    handle = smooth(
        [
            (-wide * 0.7, height * 0.8, 0),
            (-wide - 0.3, height * 0.75, 0),
            (-wide - 0.22, height * 0.3, 0),
            (-wide * 0.9, height * 0.25, 0),
        ],
        16,
    )
    if c.happens(0.3):
        handle = smooth(
            [
                (-wide * 0.6, height * 0.8, 0),
                (-wide * 0.5, height * 1.4, 0),
                (wide * 0.5, height * 1.4, 0),
                (wide * 0.6, height * 0.8, 0),
            ],
            16,
        )
    lid = lathe([(wide * 0.46, height * 0.98), (wide * 0.2, height * 1.08), (0.03, height * 1.1)])
    knob = ball((0.06, 0.06, 0.06), (0, height * 1.14, 0), 10)
    return [lathe(outline), tube(spout, np.linspace(0.11, 0.05, 12)), tube(handle, 0.04, 8), lid, knob]


def umbrella(c: Chance) -> list[Mesh]:
    radius, rise, height = c.between(0.45, 0.7), c.between(0.15, 0.4), c.between(0.8, 1.3)
    curve = smooth([(radius, height - rise), (radius * 0.65, height - rise * 0.3), (0.01, height)], 10)
    canopy = lathe(np.concatenate([curve, curve[::-1] - np.array([0, 0.02])]), c.whole(6, 10))
    hook = c.between(0.06, 0.12)
    end = (
        [(0, 0, 0), (0, -hook * 0.8, 0), (hook, -hook * 1.4, 0), (hook * 2, -hook * 0.8, 0)]
        if c.happens(0.7)
        else [(0, 0, 0), (0, -0.1, 0)]
    )
    return [canopy, rod((0, 0, 0), (0, height + 0.06, 0), 0.015), tube(smooth(end, 12), 0.022, 8)]


def ladder(c: Chance) -> list[Mesh]:
    width, height, rungs, thick = c.between(0.3, 0.6), c.between(1.4, 2.6), c.whole(4, 9), c.between(0.03, 0.06)
    narrow = c.between(0.65, 1)

    def side() -> Mesh:
        posts = [rod((i * width / 2, 0, 0), (i * width / 2 * narrow, height, 0), thick * 0.7, segments=4) for i in (-1, 1)]
        steps = []
        for k in range(rungs):
            part = (k + 0.7) / (rungs + 0.4)
            wide = width * (1 + (narrow - 1) * part)
            steps.append(box((wide, thick * 0.5, thick * 1.6), (0, part * height, 0)))
        return join([*posts, *steps])

    if c.happens(0.5):  # a pair that leans together
        lean = c.between(8, 16)
        back = (
            side()
            if c.happens(0.5)
            else join([rod((i * width / 2, 0, 0), (i * width / 2 * narrow, height, 0), thick * 0.6) for i in (-1, 1)])
        )
        return [side().moved((0, -height, 0)).turned(0, -lean), back.moved((0, -height, 0)).turned(0, lean)]
    return [side().turned(0, -c.between(0, 25))]


def monitor(c: Chance) -> list[Mesh]:
    width = c.between(0.45, 0.9)
    height, thick, lift = width * c.between(0.45, 0.8), c.between(0.02, 0.09), c.between(0.08, 0.3)
    rim = c.between(0.01, 0.04)
    parts = [
        box((width, height, thick), (0, 0, 0)),
        box((width - 2 * rim, height - 2 * rim, 0.01), (0, 0, thick / 2 + 0.004)),
        box((width * 0.6, height * 0.6, thick), (0, 0, -thick * 0.7)),
    ]
    screen = join(parts).turned(0, -c.between(0, 12)).moved((0, lift + height / 2, 0))
    neck = box((c.between(0.04, 0.14), lift + height * 0.3, 0.03), (0, (lift + height * 0.3) / 2, -thick))
    foot = c.between(0.2, 0.45)
    if c.happens(0.5):
        stand = lathe([(foot / 2, 0), (foot / 2, 0.015), (foot * 0.4, 0.025)]).scaled((1, 1, 0.7))
    else:
        stand = box((foot, 0.02, foot * 0.6), (0, 0.01, 0))
    return [screen, neck, stand]


def laptop(c: Chance) -> list[Mesh]:
    width = c.between(0.3, 0.42)
    depth, thick = width * c.between(0.62, 0.75), c.between(0.012, 0.035)
    parts = [box((width, thick, depth), (0, thick / 2, 0)), box((width * 0.3, 0.004, depth * 0.25), (0, thick, depth * 0.3))]
    for row in range(4):
        parts += [
            box((width * 0.075, 0.006, depth * 0.08), (width * (k / 10 - 0.45) * 0.95, thick, depth * (0.1 - 0.11 * row)))
            for k in range(10)
        ]
    lid = join(
        [
            box((width, depth, thick * 0.6), (0, depth / 2, 0)),
            box((width * 0.93, depth * 0.88, 0.004), (0, depth / 2, thick * 0.3)),
        ]
    )
    return [*parts, lid.turned(0, -c.between(-5, 50)).moved((0, thick, -depth / 2))]


def guitar(c: Chance) -> list[Mesh]:
    lower, waist, upper = c.between(0.17, 0.22), c.between(0.09, 0.14), c.between(0.12, 0.17)
    body, thick, neck = c.between(0.42, 0.52), c.between(0.04, 0.11), c.between(0.3, 0.45)
    right = smooth([(0.02, 0), (lower, body * 0.25), (waist, body * 0.6), (upper, body * 0.82), (0.03, body)], 24)
    outline = np.concatenate([right, right[::-1] * np.array([-1, 1])])
    parts = [plate(outline, thick).moved((0, 0, 0))]
    parts.append(box((0.045, neck + 0.12, 0.025), (0, body + neck / 2 - 0.06, thick / 2), 0.85))
    parts.append(box((0.07, 0.14, 0.02), (0, body + neck + 0.06, thick / 2 - 0.01), c.between(0.8, 1.3)))
    parts.append(plate(oval(0.045, 0.045), 0.01).moved((0, body * 0.62, thick / 2)))
    parts.append(box((0.12, 0.02, 0.02), (0, body * 0.25, thick / 2)))
    for i in range(3):
        parts += [box((0.03, 0.012, 0.012), (k * 0.045, body + neck + 0.02 + 0.035 * i, thick / 2 - 0.01)) for k in (-1, 1)]
    return parts


FAMILIES = {
    family.__name__: family
    for family in (
        bed, bench, bookcase, bottle, bowl, chair, desk, floor_lamp, goblet, guitar, ladder, lamp, laptop, monitor, mug, sofa,
        stool, table, teapot, umbrella, vase,
    )
}  # fmt: skip

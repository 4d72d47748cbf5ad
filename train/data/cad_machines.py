"""Parametric families of the road, the air and the workshop: vehicles, tools and machine parts, y up, fronts towards +z."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .cad_parts import Chance, Mesh, ball, box, join, lathe, oval, plate, rod, skin, smooth, tube


def _wing(span: float, chord: float, tip: float, sweep: float, thick: float) -> Mesh:
    """A wing to the right: its root's middle at the origin, chord along z, the tip `tip` of it and `sweep` behind."""
    root = np.array([(0, -1, -1), (0, 1, -1), (0, 1, 1), (0, -1, 1)]) * np.array([0, thick / 2, chord / 2])
    return skin(np.stack([root, root * np.array([1, 0.4, tip]) + np.array([span, 0, -sweep])]), closed=False)


def _pair(part: Mesh) -> Mesh:
    """A part and its mirror image."""
    return join([part, part.scaled((-1, 1, 1))])


def _wheel(radius: float, width: float, x: float, z: float) -> Mesh:
    turned = lathe([(radius * 0.9, -width / 2), (radius, -width / 4), (radius, width / 4), (radius * 0.9, width / 2)], 18)
    hub = lathe([(radius * 0.5, -width * 0.6), (radius * 0.45, width * 0.6)], 12)
    return join([turned, hub]).turned(2, 90).moved((x, radius, z))


def _fuselage(c: Chance, long: float, radius: float) -> Mesh:
    nose, tail = c.between(0.1, 0.22), c.between(0.3, 0.5)
    curve = smooth(
        [(0.12, 0.5), (0.75, 0.5 - nose * 0.45), (1, 0.5 - nose), (1, tail - 0.5), (0.6, tail * 0.45 - 0.5), (0.15, -0.5)], 24
    )
    return lathe(curve[::-1] * np.array([radius, long]), 18).turned(0, 90)


def aircraft(c: Chance) -> list[Mesh]:
    radius = c.between(0.045, 0.09)
    span, chord, tip = c.between(0.35, 0.65), c.between(0.14, 0.28), c.between(0.25, 0.95)
    sweep, height, at = c.pick(0.0, c.between(0.05, 0.35)), radius * c.pick(-0.6, 0.0, 0.9), c.between(-0.06, 0.14)
    parts = [
        _fuselage(c, 1.0, radius),
        _pair(_wing(span, chord, tip, sweep, 0.025).turned(2, c.between(-2, 6)).moved((0, height, at))),
    ]
    tail, fin = c.between(0.14, 0.24), c.between(0.13, 0.24)
    high = c.happens(0.25)
    parts.append(_pair(_wing(tail, 0.11, 0.6, sweep * 0.3, 0.015).moved((0, fin if high else 0.02, -0.43))))
    parts.append(_wing(fin, 0.15, 0.55, 0.08, 0.018).turned(2, 90).moved((0, 0, -0.42)))
    engines = c.whole(0, 3)
    if engines == 0:  # a propeller in the nose
        parts += [
            box((0.34, 0.025, 0.01), (0, 0, 0.51)).turned(2, c.between(0, 180)),
            ball((0.025, 0.025, 0.04), (0, 0, 0.5), 10),
        ]
    elif engines == 1:  # at the tail
        parts.append(_pair(rod((radius * 1.6, 0.03, -0.34), (radius * 1.6, 0.03, -0.18), 0.032, 0.04)))
    else:  # under the wings
        for i in range(engines - 1):
            x = span * (0.3 + 0.3 * i)
            z = at + chord * 0.25 - sweep * x / span
            parts.append(_pair(rod((x, height - 0.04, z - 0.07), (x, height - 0.04, z + 0.09), 0.026, 0.036)))
    return parts


def helicopter(c: Chance) -> list[Mesh]:
    radius, boom = c.between(0.12, 0.18), c.between(0.4, 0.65)
    blade, mast = c.between(0.4, 0.65), c.between(0.05, 0.12)
    parts = [ball((radius, radius * c.between(0.9, 1.15), radius * c.between(1.2, 1.9)))]
    parts.append(rod((0, radius * 0.3, -0.1), (0, radius * 0.5, -boom - 0.1), 0.06, 0.025))
    parts.append(rod((0, radius * 0.7, 0), (0, radius + mast, 0), 0.018))
    count = c.whole(2, 4)
    rotor = [
        box((blade, 0.01, 0.05), (blade / 2, radius + mast, 0)).turned(1, 360 * i / count + c.between(0, 1)) for i in range(count)
    ]
    parts += [rotor_blade.turned(1, 17) for rotor_blade in rotor]
    parts.append(_wing(c.between(0.12, 0.2), 0.1, 0.6, 0.05, 0.015).turned(2, 90).moved((0, radius * 0.4, -boom - 0.06)))
    parts += [
        box((0.01, 0.24, 0.02), (0.04, radius * 0.6, -boom - 0.1)).turned(2, 0),
        box((0.01, 0.02, 0.24), (0.04, radius * 0.6, -boom - 0.1)),
    ]
    if c.happens(0.7):  # skids
        for x in (-radius, radius):
            parts.append(rod((x, -radius * 1.5, -0.2), (x, -radius * 1.5, 0.22), 0.012))
            parts += [rod((x, -radius * 1.5, z), (x * 0.5, -radius * 0.7, z), 0.01) for z in (-0.1, 0.1)]
    return parts


def rocket(c: Chance) -> list[Mesh]:
    radius, body, nose = c.between(0.07, 0.16), c.between(0.55, 1.1), c.between(0.18, 0.4)
    step = c.pick(1.0, c.between(0.6, 0.85))
    curve = smooth([(radius * step, body), (radius * step * 0.75, body + nose * 0.5), (0.005, body + nose)], 10)
    parts = [lathe(np.concatenate([[(radius, 0), (radius, body * 0.55), (radius * step, body * 0.6)], curve]))]
    parts.append(lathe([(radius * 0.75, -0.1), (radius * 0.4, 0.01)]))
    count, reach, tall = c.whole(3, 5), c.between(0.08, 0.22), c.between(0.15, 0.4)
    fin = (
        _wing(reach, tall, c.between(0.3, 0.8), tall * c.between(0.2, 0.5), 0.02)
        .turned(0, -90)
        .moved((radius * 0.9, tall / 2, 0))
    )
    parts += [fin.turned(1, 360 * i / count) for i in range(count)]
    if c.happens(0.35):  # boosters
        thin, tall = radius * c.between(0.4, 0.65), body * c.between(0.4, 0.7)
        booster = lathe([(thin, 0), (thin, tall), (thin * 0.6, tall + thin), (0.005, tall + 2.2 * thin)], 14).moved(
            (radius + thin, 0, 0)
        )
        parts += [booster.turned(1, 360 * i / 4 + 40) for i in range(4)]
    return parts


def boat(c: Chance) -> list[Mesh]:
    long, wide, deep = 1.0, c.between(0.14, 0.26), c.between(0.1, 0.2)
    z = np.linspace(-0.5, 0.5, 14)
    beam = wide * np.clip(1 - (np.maximum(z, -0.1) + 0.1) ** 2 / 0.37, 0.02, 1) * c.between(0.9, 1)
    low = deep * (1 - 0.5 * np.clip(z, 0, 1) ** 2)
    keel = c.between(0.1, 0.7)
    section = np.array([(1, 1), (0.85, 0.4), (keel, 0), (-keel, 0), (-0.85, 0.4), (-1, 1)])[::-1]  # (6, 2), anticlockwise from +z
    sheer = 1 + c.between(0, 0.5) * np.clip(z, 0, 1) * 2
    across, up = beam[:, None] * section[:, 0], (section[:, 1] * sheer[:, None] - 1) * low[:, None]
    rings = np.stack([across, up, np.broadcast_to(z[:, None] * long, across.shape)], -1)  # (14, 6, 3)
    parts = [skin(rings, closed=False)]
    kind = c.whole(0, 2)
    if kind == 0:  # sails
        mast, at = c.between(0.7, 1.2), c.between(0, 0.15)
        parts.append(rod((0, 0, at), (0, mast, at), 0.012))
        back, front = c.between(0.3, 0.5), c.between(0.2, 0.35)
        for corners in (((0, 0.08), (back, 0.08), (0.01, mast * 0.95)), ((-0.02, 0.1), (-0.02, mast * 0.8), (-front, 0.06))):
            sail = plate(corners, 0.008)
            parts.append(sail.turned(1, 90 + c.between(-15, 15)).moved((0, 0, at)))
    elif kind == 1:  # a cabin
        tall, room = c.between(0.08, 0.18), c.between(0.2, 0.4)
        parts.append(box((wide * 1.2, tall, room), (0, tall / 2, -0.1), 0.85))
        parts.append(box((wide * 0.8, tall * 0.7, room * 0.5), (0, tall * 1.3, -0.05), 0.8))
        if c.happens(0.6):
            parts.append(rod((0, tall, -0.15), (0, tall + c.between(0.15, 0.3), -0.17), 0.035, segments=12))
    else:  # containers or a deck house at the stern
        tall = c.between(0.12, 0.25)
        parts.append(box((wide * 1.5, tall, 0.12), (0, tall / 2, -0.38)))
        for i in range(c.whole(2, 4)):
            parts.append(box((wide * 1.4, c.between(0.05, 0.16), 0.13), (0, 0.04, -0.2 + i * 0.15)))
    return parts


def _body(profile: list[tuple[float, float]], width: float, middle: tuple[float, float]) -> Mesh:
    """A side view (z, y) pulled to a width; every point of it is seen from the middle."""
    outline = np.array(profile) - np.array(middle)
    return plate(outline, width).turned(1, -90).moved((0, middle[1], middle[0]))


def car(c: Chance) -> list[Mesh]:
    wide, wheel = c.between(0.36, 0.46), c.between(0.075, 0.11)
    low, waist, roof = wheel * c.between(0.6, 0.95), c.between(0.19, 0.27), c.between(0.3, 0.42)
    bonnet, windscreen, rear, back = (
        c.between(0.22, 0.42),
        c.between(0.08, 0.2),
        c.between(-0.42, -0.12),
        c.pick(-0.5, c.between(-0.5, -0.3)),
    )
    front = waist * c.between(0.7, 0.98)
    body = [(-0.5, low), (0.5, low), (0.5, front), (bonnet, waist), (back, waist * 1.02), (-0.5, waist * 0.95)]
    parts = [_body(body, wide, (0.0, (low + waist) / 2))]
    cabin = [(max(back, -0.49), waist), (bonnet, waist), (bonnet - windscreen, roof), (max(rear, back + 0.03), roof)]
    parts.append(_body(cabin, wide * c.between(0.8, 0.95), ((bonnet + back) / 2, (waist + roof) / 2)))
    for z in (c.between(0.26, 0.34), -c.between(0.26, 0.34)):
        parts.append(_pair(_wheel(wheel, 0.07, wide / 2 - 0.015, z)))
    if c.happens(0.25):
        parts.append(box((wide * 0.9, 0.015, 0.08), (0, waist + 0.08, -0.46)))
        parts += [box((0.02, 0.08, 0.03), (x * wide * 0.35, waist + 0.04, -0.46)) for x in (-1, 1)]
    return parts


def truck(c: Chance) -> list[Mesh]:
    wide, wheel = c.between(0.22, 0.3), c.between(0.05, 0.075)
    cab, tall, floor = c.between(0.14, 0.24), c.between(0.2, 0.34), wheel * 1.5
    parts = [
        box((wide, tall, cab), (0, floor + tall / 2, 0.5 - cab / 2), c.between(0.85, 1)),
        box((wide * 0.7, 0.04, 1), (0, floor, 0)),
    ]
    if c.happens(0.4):  # a bonnet
        parts.append(box((wide * 0.8, tall * 0.5, 0.13), (0, floor + tall * 0.25, 0.55)))
    bed, z = 0.96 - cab, -0.5 + (0.96 - cab) / 2
    kind = c.whole(0, 2)
    if kind == 0:
        box_tall = c.between(0.22, 0.4)
        parts.append(box((wide * c.between(1, 1.12), box_tall, bed), (0, floor + 0.03 + box_tall / 2, z)))
    elif kind == 1:  # a tank
        radius = c.between(0.1, 0.14)
        parts.append(
            rod((0, floor + radius, z - bed / 2), (0, floor + radius, z + bed / 2), radius, segments=20).scaled(
                (wide / 2 / radius, 1, 1)
            )
        )
    else:  # an open bed
        side = c.between(0.06, 0.14)
        parts += [box((0.015, side, bed), (x * wide / 2, floor + side / 2, z)) for x in (-1, 1)]
        parts += [box((wide, side, 0.015), (0, floor + side / 2, z + k * bed / 2)) for k in (-1, 1)]
    axles = c.pick((0.38, -0.35), (0.38, -0.25, -0.4), (0.38, -0.1, -0.3, -0.42))
    return [*parts, *(_pair(_wheel(wheel, 0.06, wide / 2 - 0.02, axle)) for axle in axles)]


def hammer(c: Chance) -> list[Mesh]:
    long, thick, head = c.between(0.7, 1.1), c.between(0.025, 0.045), c.between(0.16, 0.28)
    face = c.between(0.04, 0.08)
    parts = [rod((0, 0, 0), (0, long, 0), thick * 1.3, thick).scaled((1, 1, c.between(0.7, 1)))]
    parts += [box((face * 1.5, face * 1.6, face * 1.6), (0, long, 0)), rod((0, long, 0), (head, long, 0), face, face * 1.05, 14)]
    kind = c.whole(0, 2)
    if kind == 0:
        parts.append(rod((0, long, 0), (-head, long, 0), face, face, 14))
    elif kind == 1:  # a wedge
        parts.append(_wing(head, face * 2, 0.9, 0, face * 2).scaled((-1, 1, 1)).moved((0, long, 0)))
    else:  # claws
        for k in (-1, 1):
            path = smooth([(0, long, 0), (-head * 0.5, long, k * face * 0.5), (-head, long - head * 0.4, k * face * 0.6)], 10)
            parts.append(tube(path, np.linspace(face * 0.7, 0.012, 10), 8))
    return parts


def wrench(c: Chance) -> list[Mesh]:
    long, wide, thick, jaw = c.between(0.7, 1.1), c.between(0.06, 0.1), c.between(0.02, 0.05), c.between(0.1, 0.15)
    angle = np.radians(np.linspace(-255, 75, 20))
    arc = np.stack([np.cos(angle), np.sin(angle)], -1)
    fork = np.concatenate([arc, arc[::-1] * 0.55])
    half = len(arc)
    quads = np.stack([np.concatenate([fork, np.full((2 * half, 1), z)], 1) for z in (-0.5, 0.5)])
    rings = np.stack([quads[0, :half], quads[1, :half], quads[1, : half - 1 : -1], quads[0, : half - 1 : -1]], 1)  # (20, 4, 3)
    turned = c.between(-15, 15)
    head = skin(rings[:, ::-1], closed=False).scaled((jaw, jaw, thick * 1.4)).turned(2, turned)
    parts = [head.moved((0, long, 0)), box((wide, long - jaw, thick), (0, long / 2, 0), c.between(0.8, 1.1))]
    if c.happens(0.5):
        parts.append(plate(oval(jaw, jaw, 18), thick * 1.4, oval(jaw * 0.55, jaw * 0.55, 18)))
    else:
        parts.append(head.turned(2, 180 + turned).scaled((0.85, 0.85, 1)))
    return parts


def bolt(c: Chance) -> list[Mesh]:
    radius, long = 0.12, c.between(0.35, 1.1)
    head, tall = c.between(0.19, 0.27), c.between(0.08, 0.2)
    kind = c.whole(0, 2)
    if kind == 0:
        parts = [lathe([(head, 0), (head, tall)], 6)]
    elif kind == 1:
        parts = [lathe([(head * 0.9, 0), (head * 0.9, tall)]), lathe([(0.08, tall - 0.01), (0.08, tall + 0.01)], 6)]
    else:
        parts = [lathe(smooth([(head, 0), (head * 0.8, tall * 0.7), (0.01, tall)], 8))]
    threads = c.whole(5, 12)
    part = c.between(0.4, 1)
    rings = [(radius * 0.85, -long), (radius, -long + 0.03)]
    for i in range(threads):
        y = -long + 0.03 + (long * part - 0.03) * i / threads
        rings += [(radius, y), (radius * 0.82, y + long * part / threads * 0.5)]
    rings += [(radius, -long * (1 - part)), (radius, 0.01)]
    parts.append(lathe(rings, 16))
    if c.happens(0.3):
        parts.append(lathe([(head * 1.35, -0.03), (head * 1.35, 0)]))
    return [join(parts).turned(0, c.pick(0.0, 180.0))]


def nut(c: Chance) -> list[Mesh]:
    sides, tall, hole = c.pick(6, 6, 6, 4, 8), c.between(0.2, 0.5), c.between(0.4, 0.62)
    count = sides * 4
    angle = 2 * math.pi * (np.arange(count) + 0.5) / count
    flat = math.cos(math.pi / sides) / np.cos((angle + math.pi / sides) % (2 * math.pi / sides) - math.pi / sides)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    parts = [plate(circle * flat[:, None] * 0.5, tall, circle * hole * 0.5)]
    if c.happens(0.4):  # a collar
        collar = c.between(0.55, 0.72)
        parts.append(plate(circle * collar, tall * 0.2, circle * hole * 0.5).moved((0, 0, -tall / 2)))
    return [join(parts).turned(0, -90)]


def gear(c: Chance) -> list[Mesh]:
    teeth, tooth, thick = c.whole(8, 24), c.between(0.08, 0.2), c.between(0.08, 0.35)
    hole, slope = c.between(0.12, 0.3), c.between(0.1, 0.3)
    turn = 2 * math.pi / teeth
    place = np.array([-0.5 + slope * 0.6, -slope * 0.5 - 0.02, slope * 0.5 + 0.02, 0.5 - slope * 0.6]) * 0.9
    angle = (np.arange(teeth)[:, None] + place).ravel() * turn
    radius = np.tile([1 - tooth, 1, 1, 1 - tooth], teeth) * 0.5
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    parts = [plate(circle * radius[:, None], thick, circle * hole * 0.5)]
    if c.happens(0.5):  # a hub
        parts.append(plate(circle * (hole + 0.12) * 0.5, thick * c.between(1.4, 2.4), circle * hole * 0.5))
    return [join(parts).turned(0, c.pick(0.0, -90.0))]


def bracket(c: Chance) -> list[Mesh]:
    wide, first, second, thick = c.between(0.25, 0.8), c.between(0.4, 0.9), c.between(0.4, 0.9), c.between(0.04, 0.1)
    parts = [box((wide, thick, second), (0, thick / 2, second / 2)), box((wide, first, thick), (0, first / 2, thick / 2))]
    ribs = c.whole(0, 2)
    for i in range(ribs):
        x = wide * ((i + 0.5) / ribs - 0.5) * 1.1
        size = min(first, second) * c.between(0.5, 0.9)
        corners = [(thick / 2, thick / 2), (size, thick / 2), (thick / 2, size)]
        parts.append(plate(corners, thick * 0.7).turned(1, -90).moved((x, 0, 0)))
    heads = c.whole(1, 2)
    for i in range(heads):  # screws through both plates
        x = wide * ((i + 0.5) / heads - 0.5)
        parts.append(rod((x, thick, second * 0.75), (x, thick * 1.6, second * 0.75), 0.05, segments=6))
        parts.append(rod((x, first * 0.75, thick), (x, first * 0.75, thick * 1.6), 0.05, segments=6))
    return parts


def _pipe(path: NDArray[np.float64], radius: float, collar: float) -> list[Mesh]:
    """A pipe with a collar at each end; its bore is a short recess."""
    parts = [tube(path, radius, 18)]
    for end, inner in ((path[0], path[1]), (path[-1], path[-2])):
        out = (end - inner) / np.linalg.norm(end - inner)
        line = np.stack([end - out * radius * 0.5, end, end, end - out * radius * 0.4])
        parts.append(tube(np.stack([line[0], line[1]]), radius * collar, 18))
        parts.append(tube(np.stack([line[1], line[1] + out * 0.01]), radius * 0.7, 18))
    return parts


def elbow(c: Chance) -> list[Mesh]:
    radius, bend, sweep = c.between(0.1, 0.2), c.between(0.25, 0.5), math.radians(c.pick(90.0, 90.0, 45.0, 180.0))
    lead = c.between(0.02, 0.35)
    angle = np.linspace(0, sweep, 16)
    arc = np.stack([bend - bend * np.cos(angle), bend * np.sin(angle), 0 * angle], -1)
    along = np.array([math.sin(sweep), math.cos(sweep), 0])
    path = np.concatenate([[(0, -lead, 0)], arc, [arc[-1] + along * lead]])
    return [join(_pipe(path, radius, c.between(1.02, 1.4))).turned(1, c.pick(0.0, 90.0))]


def tee(c: Chance) -> list[Mesh]:
    radius, long, branch = c.between(0.1, 0.18), c.between(0.35, 0.55), c.between(0.3, 0.55)
    collar = c.between(1.02, 1.4)
    run = _pipe(np.array([(-long, 0, 0), (0, 0, 0), (long, 0, 0)], np.float64), radius, collar)
    side = _pipe(np.array([(0, 0, 0), (0, branch / 2, 0), (0, branch, 0)], np.float64), radius * c.pick(1.0, 0.7), collar)
    return [join([*run, *side]).turned(2, c.pick(0.0, 90.0))]


def flange(c: Chance) -> list[Mesh]:
    thick, hub, bore, rise = c.between(0.06, 0.16), c.between(0.2, 0.3), c.between(0.08, 0.18), c.between(0.05, 0.5)
    holes, size = c.whole(4, 8), c.between(0.03, 0.05)
    edge = oval(0.5, 0.5, 28)
    parts = [plate(edge, thick, edge * 2 * bore).moved((0, 0, thick / 2))]
    parts.append(plate(edge * 2 * hub, rise, edge * 2 * bore).moved((0, 0, thick + rise / 2)))
    for i in range(holes):  # studs
        at = 2 * math.pi * i / holes
        x, y = 0.39 * math.cos(at), 0.39 * math.sin(at)
        parts.append(rod((x, y, -0.02), (x, y, thick * c.pick(1.4, 1.4) + 0.02), size, segments=6))
    return [join(parts).turned(0, c.pick(-90.0, -90.0, 0.0))]


def spring(c: Chance) -> list[Mesh]:
    turns, radius, height, wire = c.whole(4, 10), c.between(0.15, 0.35), c.between(0.5, 1.2), c.between(0.02, 0.05)
    wire = min(wire, height / turns * 0.35)
    t = np.linspace(0, 1, turns * 14)
    narrow = 1 - c.pick(0.0, 0.0, c.between(0.3, 0.6)) * t
    angle = 2 * math.pi * turns * t
    path = np.stack([radius * narrow * np.cos(angle), height * t, radius * narrow * np.sin(angle)], -1)
    return [tube(path, wire, 6)]


FAMILIES = {
    family.__name__: family
    for family in (
        aircraft, boat, bolt, bracket, car, elbow, flange, gear, hammer, helicopter, nut, rocket, spring, tee, truck, wrench,
    )
}  # fmt: skip

"""The furnished corner: floor, two walls, window, and what stands, lies and hangs there."""

import math
import random
from typing import Any

from mathutils import Matrix

from .shapes import Solid

LEFT = -1.65  # x of the wall with the window
BACK = 1.65  # y of the wall behind the figure
HEIGHT = 3.0
WINDOW_Y = (0.05, 1.05)
WINDOW_Z = (0.98, 2.28)


def build(collection: Any) -> None:
    """Everything but the figure, the camera and the lights."""
    floor(collection)
    walls(collection)
    window(collection)
    table(collection, location=(-1.22, 0.5, 0.0))
    lamp(collection, location=(-1.36, 0.93, 0.76))
    still_life(collection, location=(-1.2, 0.28, 0.76))
    chair(collection, location=(0.78, 0.42, 0.0), turn=math.radians(152))
    shelf(collection, location=(0.2, BACK - 0.165, 0.0))
    plant(collection, location=(-0.88, 1.28, 0.0))
    picture(collection, location=(-0.07, BACK, 2.02))
    rug(collection, location=(0.0, 0.12, 0.0))


def floor(collection: Any) -> None:
    """Boards of three oaks, laid with their joints apart."""
    chance = random.Random(3)
    boards = Solid("Floor")
    boards.box("Walnut", (0.9, -0.9, -0.045), (5.2, 5.2, 0.03), bevel=0)
    width, y = 0.16, -3.5
    while y < BACK:
        x = LEFT - chance.uniform(0.0, 1.4)
        while x < 3.5:
            length = chance.choice((1.2, 1.5, 1.8))
            start, end = max(x, LEFT), min(x + length, 3.5)
            if end - start > 0.02:
                look = chance.choice(("Oak Light", "Oak", "Oak", "Oak Dark"))
                boards.box(
                    look,
                    ((start + end) / 2, y + width / 2, -0.015),
                    (end - start - 0.003, width - 0.003, 0.03),
                    bevel=0.003,
                )
            x += length
        y += width
    boards.finish(collection)


def walls(collection: Any) -> None:
    """The wall behind, the wall with the opening, their skirting and rail."""
    thick = 0.16
    back = Solid("Wall Back")
    back.box("Plaster Green", (0.9, BACK + thick / 2, HEIGHT / 2), (5.5, thick, HEIGHT), bevel=0)
    back.box("White Paint", (0.9, BACK - 0.011, 0.07), (5.1, 0.022, 0.14), bevel=0.006)
    back.box("White Paint", (0.9, BACK - 0.014, 2.62), (5.1, 0.028, 0.05), bevel=0.01)
    back.finish(collection)
    left = Solid("Window Wall")
    x = LEFT - thick / 2
    near, far = -3.5, BACK
    (y0, y1), (z0, z1) = WINDOW_Y, WINDOW_Z
    left.box("Plaster", (x, (near + y0) / 2, HEIGHT / 2), (thick, y0 - near, HEIGHT), bevel=0)
    left.box("Plaster", (x, (y1 + far) / 2, HEIGHT / 2), (thick, far - y1, HEIGHT), bevel=0)
    left.box("Plaster", (x, (y0 + y1) / 2, z0 / 2), (thick, y1 - y0, z0), bevel=0)
    left.box("Plaster", (x, (y0 + y1) / 2, (z1 + HEIGHT) / 2), (thick, y1 - y0, HEIGHT - z1), bevel=0)
    left.box("White Paint", (LEFT + 0.011, (near + far) / 2, 0.07), (0.022, far - near, 0.14), bevel=0.006)
    left.box("White Paint", (LEFT + 0.014, (near + far) / 2, 2.62), (0.028, far - near, 0.05), bevel=0.01)
    left.finish(collection)


def window(collection: Any) -> None:
    """Casing, sill and glazing bars; the panes are open air, so that light and background come through."""
    (y0, y1), (z0, z1) = WINDOW_Y, WINDOW_Z
    y, z, x = (y0 + y1) / 2, (z0 + z1) / 2, LEFT - 0.05
    frame = Solid("Window")
    for side in (y0 - 0.035, y1 + 0.035):
        frame.box("White Paint", (LEFT + 0.012, side, z), (0.03, 0.08, z1 - z0 + 0.16), bevel=0.006)
    frame.box("White Paint", (LEFT + 0.014, y, z1 + 0.045), (0.034, y1 - y0 + 0.18, 0.1), bevel=0.006)
    frame.box("White Paint", (LEFT + 0.05, y, z0 - 0.015), (0.2, y1 - y0 + 0.2, 0.035), bevel=0.01)
    for side in (y0 + 0.022, y, y1 - 0.022):
        frame.box("White Paint", (x, side, z), (0.045, 0.044, z1 - z0), bevel=0.006)
    for level in (z0 + 0.025, z0 + 0.62 * (z1 - z0), z1 - 0.025):
        frame.box("White Paint", (x, y, level), (0.045, y1 - y0, 0.044), bevel=0.006)
    frame.finish(collection)


def table(collection: Any, *, location: Any) -> None:
    """A narrow writing table with a drawer and tapered legs."""
    top = 0.76
    made = Solid("Table")
    made.box("Walnut", (0, 0, top - 0.015), (0.62, 1.16, 0.03), bevel=0.008)
    made.box("Walnut", (0, 0, top - 0.075), (0.5, 1.02, 0.09), bevel=0.004)
    made.box("Oak Dark", (0.247, 0, top - 0.075), (0.016, 0.42, 0.07), bevel=0.005)
    made.rod("Brass", (0.25, 0, top - 0.075), (0.282, 0, top - 0.075), 0.012, 0.016)
    for sx in (-1, 1):
        for sy in (-1, 1):
            made.rod("Walnut", (sx * 0.225, sy * 0.485, top - 0.06), (sx * 0.255, sy * 0.515, 0.0), 0.03, 0.016)
    made.finish(collection, location=location)


def lamp(collection: Any, *, location: Any) -> None:
    """A turned brass foot and a linen shade."""
    made = Solid("Lamp")
    foot = [(0, 0.085), (0.012, 0.085), (0.02, 0.07), (0.035, 0.022), (0.06, 0.016), (0.1, 0.03), (0.15, 0.045)]
    made.turned("Brass", (0, 0, 0), [*foot, (0.2, 0.03), (0.235, 0.012), (0.33, 0.009)])
    shade = [(0.27, 0.165), (0.275, 0.17), (0.475, 0.105), (0.48, 0.1)]
    made.turned("Linen Shade", (0, 0, 0), shade, sides=40)
    made.finish(collection, location=location).visible_shadow = False  # linen lets the bulb's light through


def still_life(collection: Any, *, location: Any) -> None:
    """Two books, a mug and a pear on the table."""
    x, y, z = location
    pile = Solid("Table Books")
    _lying_book(pile, "Book Teal", (0, 0, 0.0), (0.16, 0.23, 0.032), 0.25)
    _lying_book(pile, "Book Red", (0.005, -0.01, 0.032), (0.14, 0.2, 0.026), -0.2)
    pile.finish(collection, location=(x - 0.02, y - 0.12, z))
    mug = Solid("Mug")
    mug.turned(
        "Ceramic White",
        (0, 0, 0),
        [(0, 0.03), (0.004, 0.037), (0.05, 0.04), (0.092, 0.041), (0.095, 0.039), (0.09, 0.036), (0.02, 0.034)],
    )
    ring = [
        ((0.06 * math.cos(t) * 0.5 + 0.04, 0, 0.05 + 0.028 * math.sin(t)), (0, 0.006, 0), _spoke(t, 0.006))
        for t in [math.pi * (i / 8 - 0.5) for i in range(9)]
    ]
    mug.loft("Ceramic White", ring, sides=10)
    mug.finish(collection, location=(x + 0.1, y + 0.17, z), turn=-0.9)


def _spoke(angle: float, radius: float) -> tuple[float, float, float]:
    return (radius * math.cos(angle), 0.0, radius * math.sin(angle))


def _lying_book(made: Solid, look: str, at: Any, size: Any, turn: float) -> None:
    x, y, z = at
    wide, long, thick = size
    rotation = Matrix.Rotation(turn, 3, "Z")
    made.box("Paper", (x, y, z + thick / 2), (wide - 0.01, long - 0.012, thick - 0.008), bevel=0.001, turn=rotation)
    for level in (0.003, thick - 0.003):
        made.box(look, (x, y, z + level), (wide, long, 0.005), bevel=0.0015, turn=rotation)
    spine = rotation @ Matrix.Translation((-wide / 2, 0, 0)).to_translation()
    made.box(look, (x + spine.x, y + spine.y, z + thick / 2), (0.006, long, thick), bevel=0.002, turn=rotation)


def chair(collection: Any, *, location: Any, turn: float) -> None:
    """A bentwood chair: dished seat, splayed legs, three slats between leaning posts. It looks along +y."""
    made = Solid("Chair")
    seat = 0.455
    made.box("Beech", (0, 0, seat), (0.43, 0.42, 0.032), bevel=0.014)
    made.box("Wool Blue", (0, 0.005, seat + 0.026), (0.37, 0.36, 0.03), bevel=0.014)
    for sx in (-1, 1):
        made.rod("Beech", (sx * 0.17, 0.165, seat), (sx * 0.205, 0.205, 0), 0.019, 0.013)
        made.rod("Beech", (sx * 0.175, -0.18, seat + 0.01), (sx * 0.2, -0.235, 0), 0.02, 0.013)
        made.rod("Beech", (sx * 0.175, -0.18, seat - 0.01), (sx * 0.19, -0.285, 0.93), 0.019, 0.013)
        made.rod("Beech", (sx * 0.19, 0.188, 0.2), (sx * 0.19, -0.213, 0.2), 0.009)
    made.rod("Beech", (-0.19, -0.01, 0.2), (0.19, -0.01, 0.2), 0.009)
    for level, height in ((0.64, 0.045), (0.76, 0.045), (0.885, 0.075)):
        _slat(made, level, height)
    made.finish(collection, location=location, turn=turn)


def _slat(made: Solid, level: float, height: float) -> None:
    """A back rest's slat, bowed to the rear."""
    lean = -0.18 - 0.105 * (level - 0.445) / 0.485
    rings = []
    for i in range(13):
        t = i / 6 - 1
        bow = -0.035 * (1 - t * t)
        rings.append(((t * 0.186, lean + bow, level), (0, 0.009, 0), (0, 0, height / 2)))
    made.loft("Beech", rings, sides=12)


def shelf(collection: Any, *, location: Any) -> None:
    """A bookcase and its books; the x of `location` is its left side."""
    x, y, z = location
    wide, deep, high, board = 1.0, 0.3, 1.42, 0.026
    case = Solid("Bookcase")
    for side in (board / 2, wide - board / 2):
        case.box("Walnut", (side, 0, high / 2), (board, deep, high), bevel=0.004)
    levels = (0.09, 0.5, 0.88, 1.21, high - board / 2)
    for level in levels:
        case.box("Walnut", (wide / 2, 0, level), (wide - 2 * board + 0.004, deep - 0.01, board), bevel=0.003)
    case.box("Walnut", (wide / 2, 0, high + 0.008), (wide + 0.04, deep + 0.03, board), bevel=0.006)
    case.box("Walnut", (wide / 2, deep / 2 - 0.006, high / 2), (wide - board, 0.01, high - 0.03), bevel=0)
    case.box("Walnut", (wide / 2, -deep / 2 + 0.03, 0.04), (wide - board, 0.02, 0.08), bevel=0.003)
    case.finish(collection, location=location)
    chance = random.Random(11)
    books = Solid("Books")
    for level, room in zip(levels[:3], (0.36, 0.32, 0.27), strict=True):
        _row_of_books(books, chance, level + board / 2, wide - 2 * board, room, board)
    books.finish(collection, location=location)
    vase = Solid("Vase")
    shape = [(0, 0.05), (0.01, 0.058), (0.07, 0.085), (0.13, 0.09), (0.18, 0.065), (0.215, 0.034), (0.25, 0.032)]
    vase.turned("Ceramic Blue", (0, 0, 0), [*shape, (0.275, 0.045), (0.278, 0.042), (0.26, 0.03)])
    vase.finish(collection, location=(x + 0.32, y, z + high + 0.021))
    box = Solid("Keepsake Box")
    box.box("Terracotta", (0, 0, 0.05), (0.24, 0.17, 0.1), bevel=0.01)
    box.box("Book Ochre", (0, 0, 0.115), (0.25, 0.18, 0.03), bevel=0.008)
    box.rod("Brass", (0, 0, 0.13), (0, 0, 0.15), 0.01, 0.014)
    box.finish(collection, location=(x + 0.66, y - 0.01, z + high + 0.021), turn=0.2)


def _row_of_books(made: Solid, chance: random.Random, z: float, wide: float, room: float, start: float) -> None:
    looks = ("Book Red", "Book Ochre", "Book Teal", "Book Navy", "Book Cream", "Book Plum")
    x, last = start + 0.012, ""
    while x < start + wide - 0.09:
        thick, high = chance.uniform(0.022, 0.05), room * chance.uniform(0.68, 0.92)
        deep = chance.uniform(0.17, 0.22)
        look = chance.choice([name for name in looks if name != last])
        last = look
        if chance.random() < 0.1 and x > start + 0.1:
            tilt = math.radians(9)
            x += high * math.sin(tilt) * 0.55
        else:
            tilt = 0.0
        turn = Matrix.Rotation(tilt, 3, "Y").inverted()
        lift = thick * math.sin(tilt) / 2
        y = -0.13 + deep / 2 + chance.uniform(0.0, 0.02)
        centre = (x + thick / 2, y, z + high / 2 + lift)
        made.box(look, centre, (thick, deep, high), bevel=0.004, turn=turn)
        band = turn @ Matrix.Translation((0, 0, high * 0.3)).to_translation()
        made.box(
            "Book Cream" if look != "Book Cream" else "Book Plum",
            (centre[0] + band.x, y - 0.001, centre[2] + band.z),
            (thick + 0.0012, deep, 0.012),
            bevel=0,
            turn=turn,
        )
        x += thick + 0.0025 + high * math.sin(tilt) * 0.55
        if chance.random() < 0.06:
            x += 0.07


def plant(collection: Any, *, location: Any) -> None:
    """A potted plant whose leaves rise, bend and hang."""
    chance = random.Random(5)
    x, y, z = location
    pot = Solid("Plant Pot")
    pot.turned(
        "Terracotta",
        (0, 0, 0),
        [
            (0, 0.12),
            (0.01, 0.13),
            (0.27, 0.175),
            (0.275, 0.19),
            (0.325, 0.195),
            (0.33, 0.185),
            (0.3, 0.17),
            (0.28, 0.17),
        ],
        sides=40,
    )
    pot.turned("Earth", (0, 0, 0.275), [(0, 0.168), (0.02, 0.16), (0.03, 0.1)], sides=24)
    pot.finish(collection, location=location)
    leaves = Solid("Plant Leaves")
    golden = math.pi * (3 - math.sqrt(5))
    for i in range(26):
        heading = i * golden + chance.uniform(-0.2, 0.2)
        tier = i / 25
        foot = (0.05 * math.cos(heading), 0.05 * math.sin(heading), 0.0)
        out, up = 0.1 + 0.1 * (1 - tier), 0.12 + 0.62 * tier
        tip = (foot[0] + out * math.cos(heading), foot[1] + out * math.sin(heading), up)
        leaves.rod("Stem", foot, tip, 0.007, 0.004)
        length = chance.uniform(0.34, 0.46) * (1.05 - 0.3 * tier)
        leaves.leaf("Leaf", tip, heading, length, 0.15 * (1.1 - 0.3 * tier), rise=chance.uniform(0.1, 0.26))
    leaves.finish(collection, location=(x, y, z + 0.3))


def picture(collection: Any, *, location: Any) -> None:
    """A framed landscape in four flat colours, hung against the wall behind."""
    wide, high, bar = 0.62, 0.78, 0.045
    made = Solid("Framed Picture")
    for sx in (-1, 1):
        made.box("Brass", (sx * (wide - bar) / 2, -0.018, 0), (bar, 0.036, high), bevel=0.01)
        made.box("Brass", (0, -0.018, sx * (high - bar) / 2), (wide, 0.036, bar), bevel=0.01)
    made.box("Paper", (0, -0.007, 0), (wide - 0.04, 0.01, high - 0.04), bevel=0)
    inner_w, inner_h = wide - 0.22, high - 0.24
    made.box("Canvas Sky", (0, -0.013, 0), (inner_w, 0.004, inner_h), bevel=0)
    made.rod("Canvas Sun", (0.07, -0.0145, 0.07), (0.07, -0.0165, 0.07), 0.065)
    made.box("Canvas Hill", (0, -0.0165, -0.06), (inner_w, 0.003, 0.16), bevel=0)
    made.box("Canvas Field", (0, -0.0185, -0.2), (inner_w, 0.003, inner_h - 0.4), bevel=0)
    made.finish(collection, location=location)


def rug(collection: Any, *, location: Any) -> None:
    """A round rug of three rings."""
    made = Solid("Rug")
    for look, radius, high in (
        ("Wool Red", 0.98, 0.010),
        ("Wool Cream", 0.86, 0.0115),
        ("Wool Red", 0.80, 0.013),
        ("Wool Blue", 0.42, 0.0145),
        ("Wool Cream", 0.37, 0.016),
    ):
        made.turned(look, (0, 0, 0), [(0, radius), (high * 0.6, radius), (high, radius - 0.006)], sides=96)
    made.finish(collection, location=location)


RUG_M = 0.016  # how far the rug lifts the figure's feet

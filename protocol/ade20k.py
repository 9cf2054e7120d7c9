"""ADE20K's classes: the names and colours that segmentation ControlNets were trained on. Pure data and look-ups.

Names and their order are those of the scene parsing benchmark's list of 150 (objectInfo150.csv in
CSAILVision/sceneparsing; BSD-3-Clause), the words after a colon its synonyms, with some left out that mean
something else to Blender's users (a plane is no aeroplane) and some everyday words added. Colours are
mmsegmentation's palette, as controlnet-aux and ControlNet v1.1 use it; classes 6 and 48 share one.
"""

import re
from collections.abc import Sequence

_CLASSES = """
787878 wall
b47878 building: edifice
06e6e6 sky
503232 floor: flooring
04c803 tree
787850 ceiling
8c8c8c road: route, street
cc05ff bed
e6e6e6 windowpane: window
04fa07 grass: lawn
e005ff cabinet: cupboard
ebff07 sidewalk: pavement
96053d person: individual, human, man, woman, people, character
787846 earth: ground
08ff33 door: double door
ff0652 table
8fff8c mountain: mount
ccff04 plant: flora, plant life, bush, shrub
ff3307 curtain: drape, drapery
cc4603 chair
0066c8 car: auto, automobile, motorcar
3de6fa water
ff0633 painting: picture
0b66ff sofa: couch, lounge
ff0747 shelf
ff09e0 house
0907e6 sea: ocean
dcdcdc mirror
ff095c rug: carpet, carpeting
7009ff field
08ffd6 armchair
07ffe0 seat
ffb806 fence: fencing
0aff47 desk
ff290a rock: stone, boulder
07ffff wardrobe: closet
e0ff08 lamp
6608ff bathtub: bathing tub, bath tub
ff3d06 railing: rail
ffc207 cushion
ff7a08 base: pedestal, stand
00ff14 box
ff0829 column: pillar
ff0599 signboard: sign
0633ff chest of drawers: chest, bureau, dresser
eb0cff counter
a09614 sand
00a3ff sink
8c8c8c skyscraper
fa0a0f fireplace: hearth, open fireplace
14ff00 refrigerator: icebox, fridge
1fff00 grandstand: covered stand
ff1f00 path
ffe000 stairs: steps
99ff00 runway
0000ff case: display case, showcase, vitrine
ff4700 pool table: billiard table, snooker table
00ebff pillow
00adff screen door
1f00ff stairway: staircase
0bc8c8 river
ff5200 bridge
00fff5 bookcase: bookshelf
003dff blind
00ff70 coffee table: cocktail table
00ff85 toilet: commode
ff0000 flower
ffa300 book
ff6600 hill
c2ff00 bench
008fff countertop
33ff00 stove: kitchen stove, kitchen range, cooking stove
0052ff palm: palm tree
00ff29 kitchen island
00ffad computer
0a00ff swivel chair: office chair
adff00 boat
00ff99 bar
ff5c00 arcade machine
ff00ff hovel: hut, hutch, shack, shanty
ff00f5 bus: autobus, motorbus, motorcoach, omnibus
ff0066 towel
ffad00 light: light source
ff0014 truck: motortruck, lorry
ffb8b8 tower
001fff chandelier: pendant
00ff3d awning: sunshade, sunblind
0047ff streetlight: street lamp, street light
ff00cc booth: cubicle, stall, kiosk
00ffc2 television: television receiver, television set, tv, tv set, telly
00ff52 airplane: aeroplane, aircraft
000aff dirt track
0070ff apparel: wearing apparel, dress, clothes, clothing
3300ff pole
00c2ff land: soil
007aff bannister: banister, balustrade, balusters, handrail
00ffa3 escalator: moving staircase, moving stairway
ff9900 ottoman: pouf, pouffe, hassock
00ff0a bottle
ff7000 buffet: sideboard
8fff00 poster: placard
5200ff stage
a3ff00 van
ffeb00 ship
08b8aa fountain
8500ff conveyer belt: conveyor belt, conveyer, conveyor
00ff5c canopy
b800ff washer: washing machine, automatic washer
ff001f plaything: toy
00b8ff swimming pool: swimming bath, natatorium
00d6ff stool
ff0070 barrel: cask
5cff00 basket: handbasket
00e0ff waterfall: falls
70e0ff tent
46b8a0 bag
a300ff minibike: motorbike, motorcycle
9900ff cradle
47ff00 oven
ff00a3 ball
ffcc00 food
ff008f step: stair
00ffeb tank: storage tank
85ff00 trade name: brand name, brand
ff00eb microwave: microwave oven
f500ff pot: flowerpot
ff007a animal: beast, creature, fauna
fff500 bicycle: bike
0abed4 lake
d6ff00 dishwasher: dish washer, dishwashing machine
00ccff screen: silver screen, projection screen
1400ff blanket: cover
ffff00 sculpture: statue
0099ff hood: exhaust hood
0029ff sconce
00ffcc vase
2900ff traffic light: traffic signal, stoplight
29ff00 tray
ad00ff ashcan: trash can, garbage can, wastebin, ash bin, dustbin, trash barrel, trash bin
00f5ff fan
4700ff pier: wharf, dock
7a00ff crt screen
00ffb8 plate
005cff monitor: monitoring device
b8ff00 bulletin board: notice board
0085ff shower
ffd600 radiator
19c2c2 glass: drinking glass
66ff00 clock
5c00ff flag
"""
_ROWS = [line.split(" ", 1) for line in _CLASSES.strip().splitlines()]
_WORDINGS: tuple[tuple[str, ...], ...] = tuple(
    (name, *synonyms.split(", ")) if synonyms else (name,)
    for name, _, synonyms in (words.partition(": ") for _, words in _ROWS)
)

NAMES: tuple[str, ...] = tuple(wordings[0] for wordings in _WORDINGS)
"""The 150 names, by class; none twice."""

PALETTE: tuple[tuple[int, int, int], ...] = tuple(
    (int(colour[0:2], 16), int(colour[2:4], 16), int(colour[4:6], 16)) for colour, _ in _ROWS
)
"""The colour of each class, RGB."""

_INDEX = {name: index for index, name in enumerate(NAMES)}
_BY_WORDS: dict[tuple[str, ...], int] = {}
for _class, _wordings in reversed(list(enumerate(_WORDINGS))):
    for _wording in _wordings:
        _BY_WORDS[tuple(_wording.split())] = _class
_LONGEST = max(len(words) for words in _BY_WORDS)
# camelCase and letters beside digits part words, as spaces, dots and underscores do.
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def class_of(name: str) -> int | None:
    """The class of exactly this name; None for any other word."""
    return _INDEX.get(name)


def classes(words: str) -> tuple[int, ...]:
    """The classes that a search finds: every word begins a word of the class's name or of a synonym.

    Those whose name begins with the search come first; otherwise in the classes' own order. All of them for no words.
    """
    wanted = words.lower().split()
    found = [index for index, wordings in enumerate(_WORDINGS) if any(_begins(wording, wanted) for wording in wordings)]
    start = " ".join(wanted)
    return tuple(sorted(found, key=lambda index: (NAMES[index] != start, not NAMES[index].startswith(start))))


def guess(name: str) -> int | None:
    """The class that an object's name speaks of, by whole words in the singular or plural; None for none.

    The longest wording wins ("office chair" over "chair"), and among equals the last, for English puts the thing
    itself there ("table lamp").
    """
    tokens = [token.lower() for token in _TOKEN.findall(name)]
    for length in range(min(_LONGEST, len(tokens)), 0, -1):
        for start in range(len(tokens) - length, -1, -1):
            *first, last = tokens[start : start + length]
            for ending in _singulars(last):
                found = _BY_WORDS.get((*first, ending))
                if found is not None:
                    return found
    return None


def _begins(wording: str, wanted: Sequence[str]) -> bool:
    return all(any(word.startswith(start) for word in wording.split()) for start in wanted)


def _singulars(word: str) -> tuple[str, ...]:
    """The word, and what it may be the plural of."""
    return (word, *(word[: -len(end)] + instead for end, instead in _PLURALS if word.endswith(end)))


_PLURALS = (("s", ""), ("es", ""), ("ves", "f"), ("ies", "y"))

"""The lines that were found last: several kinds of control draw the same ones, and a wider stroke finds no others."""

import dataclasses
import threading
from collections import OrderedDict

from ....protocol.arrays import Float32Array, Int32Array, UInt8Array
from ....protocol.options import LineOptions
from ....protocol.sources import LinesPass
from .edges import find_lines

_KEPT = 4
_DRAWING = frozenset(
    ("width_px", "shortest_px", "levels")
)  # options that are about drawing lines, not about finding them


class FoundLines:
    """What `edges.find_lines` found, by the pass and the options that it was found with."""

    def __init__(self) -> None:
        self.searches = 0
        """How often lines were really looked for."""
        self._kept: OrderedDict[tuple[object, ...], UInt8Array] = OrderedDict()
        self._finding = threading.Lock()  # a picture and a look at maps may need lines at the same time

    def find(
        self,
        source: LinesPass,
        metres: Float32Array,
        normal_camera: Float32Array,
        objects: Int32Array,
        materials: Int32Array,
        options: LineOptions,
    ) -> UInt8Array:
        """The kinds of the lines of `source`, whose arrays are the next four: (height, width), read-only."""
        chosen = tuple(
            getattr(options, field.name) for field in dataclasses.fields(options) if field.name not in _DRAWING
        )
        key = (source, *chosen)  # references are addresses of what they refer to
        with self._finding:
            if key not in self._kept:
                self._kept[key] = find_lines(metres, normal_camera, objects, materials, source.camera, options)
                self._kept[key].setflags(write=False)
                self.searches += 1
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]

"""The picture while it is painted: an image datablock in the open Image Editor, gone when the job ends."""

from typing import Any

import bpy

from ..protocol.arrays import UInt8Array
from ..protocol.geometry import Extent
from . import images

_NAME = "Underpaint Preview"


class LiveImage:
    """Owns the preview's datablock, which exists only while there is an Image Editor to show it.

    Datablocks are looked up by name each time: an undo in the middle of the job replaces them all.
    """

    def __init__(self, extent: Extent) -> None:
        self._extent = extent
        self._name = ""
        self._before = ""  # what the Image Editor showed, to be shown again

    def show(self, picture: UInt8Array, context: Any) -> None:
        """Show a picture of the frame's size."""
        image = bpy.data.images.get(self._name) if self._name else None
        if image is None:
            space = images.editor(context)
            if space is None:
                return
            image = bpy.data.images.new(_NAME, self._extent.width, self._extent.height, alpha=False)
            self._name = image.name
            self._before = space.image.name if space.image is not None else ""
            space.image = image
        images.write(image, picture)

    def close(self, context: Any, result: Any = None) -> None:
        """Remove the preview; the editors that show it show `result`, or what they showed before."""
        image = bpy.data.images.get(self._name) if self._name else None
        if image is None:
            return
        after = result or (bpy.data.images.get(self._before) if self._before else None)
        for window in context.window_manager.windows:
            for area in window.screen.areas:
                if area.type == "IMAGE_EDITOR" and area.spaces.active.image == image:
                    area.spaces.active.image = after
        bpy.data.images.remove(image)
        self._name = ""

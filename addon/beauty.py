"""The scene as Cycles renders it with the user's own samples and lights, for controls made from a picture.

It is rendered before the geometry, while the evaluated scene still has the user's settings: on the main thread as a
render of its own, in F12 by the engine that then renders the geometry. There the depsgraph must outlive the first of
the two, and Cycles frees it but for persistent data, which only the user can switch on: Blender crashes where it is set
in the Render's own settings.
"""

from typing import Any

import cycles.engine as cycles_engine
import numpy as np

from ..protocol.arrays import UInt8Array
from ..protocol.errors import BeautyNeedsPersistentData, BeautyNeedsWholeFrame, JobCancelled, NothingRendered
from ..protocol.request import ControlKind
from . import colour, kinds, passes

_SHOWN = {
    "use_auto_tile": False,  # tiles are put together only when the frame is finished, which it is not
    "tile_size": 8192,
    "time_limit": 0.0,
}


def wanted(scene: Any) -> bool:
    """Whether a scene's settings ask for it, for panels, which are drawn too often to read them whole."""
    group = scene.underpaint
    rows = (item for item in group.controls if item.enabled and item.image is None)
    return group.start.source == "RENDER" or any(ControlKind[item.kind] in kinds.PICTURES for item in rows)


def prepare(depsgraph: Any) -> None:
    """Before Cycles is reset for the beauty."""
    scene = depsgraph.scene_eval
    for name, value in _SHOWN.items():
        setattr(scene.cycles, name, value)
    passes.silence(scene, depsgraph.view_layer_eval)


def check_both(engine: Any) -> None:
    """Whether this Render can make the beauty and then the geometry.

    Raises BeautyNeedsWholeFrame or BeautyNeedsPersistentData.
    """
    settings = engine.path_resolve("render")
    if settings.use_border:
        raise BeautyNeedsWholeFrame()
    if not settings.use_persistent_data:
        raise BeautyNeedsPersistentData()


def render(engine: Any, depsgraph: Any) -> UInt8Array:
    """Let Cycles render what it was reset with: (height, width, 3) sRGB as the Standard view shows it, over black.

    Raises JobCancelled, or NothingRendered where Cycles gave up.
    """
    layer, transparent = depsgraph.view_layer.name, depsgraph.scene_eval.render.film_transparent
    cycles_engine.render(engine, depsgraph)
    if engine.test_break():
        raise JobCancelled()
    combined = passes.read(engine, layer)[passes.COMBINED.name][::-1]
    if not transparent and not combined.any():  # even a black picture has alpha
        raise NothingRendered()
    return colour.standard(np.ascontiguousarray(combined[..., :3]))

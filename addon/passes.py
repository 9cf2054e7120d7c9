"""Ground-truth passes out of Cycles: what is rendered, how, and in which buffers it lies.

Everything that Cycles is told here is told to *evaluated* copies (or to the Render's own settings), so
the user's scene stays as it is. Nothing here makes or removes a datablock: it runs in the render thread.
"""

from dataclasses import dataclass
from typing import Any

import bpy
import cycles.engine as cycles_engine
import numpy as np

from ..protocol.arrays import Float32Array
from ..protocol.geometry import Extent
from ..protocol.request import ControlKind
from . import full_frame, volumes
from .kinds import KINDS

BACKGROUND_M = 1e10  # what Cycles writes where nothing is hit


@dataclass(frozen=True, kw_only=True)
class Wants:
    """What a capture holds beside depth, normals and positions; each costs time."""

    ids: bool = False  # objects and materials
    uv: bool = False
    motion: bool = False  # the scene is evaluated at the frame before and the frame after, too
    beauty: bool = False  # a second render, with the user's own samples and lights


NOTHING_MORE = Wants()


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A render pass as `RenderEngine.register_pass` takes it."""

    name: str
    channels: int
    ids: str
    kind: str


COMBINED = Pass(name="Combined", channels=4, ids="RGBA", kind="COLOR")
DEPTH = Pass(name="Depth", channels=1, ids="Z", kind="VALUE")
NORMAL = Pass(name="Normal", channels=3, ids="XYZ", kind="VECTOR")
POSITION = Pass(name="Position", channels=3, ids="XYZ", kind="VECTOR")
GEOMETRY = (COMBINED, DEPTH, NORMAL, POSITION)
_LONG_NAMES = bpy.app.version >= (5, 0)
OBJECTS = Pass(name="CryptoObject00", channels=4, ids="rgba", kind="COLOR")
MATERIALS = Pass(name="CryptoMaterial00", channels=4, ids="rgba", kind="COLOR")
OBJECT_INDEX = Pass(name="Object Index" if _LONG_NAMES else "IndexOB", channels=1, ids="X", kind="VALUE")
MATERIAL_INDEX = Pass(name="Material Index" if _LONG_NAMES else "IndexMA", channels=1, ids="X", kind="VALUE")
UV = Pass(name="UV", channels=3, ids="UVA", kind="VECTOR")
MOTION = Pass(name="Vector", channels=4, ids="XYZW", kind="VECTOR")
CONTROL_PASSES = {
    ControlKind[kind]: Pass(name=f"Control {label}", channels=4, ids="RGBA", kind="COLOR") for kind, label, *_ in KINDS
}
# what else of the user's choice one sample gives exactly; light passes would be noise
_EXTRA_PASSES = {"Mist", "UV", "Vector", "IndexOB", "IndexMA", "Object Index", "Material Index"}

# One sample through each pixel's centre, on the CPU (it takes a fraction of a second and leaves the
# graphics memory to the models). Names that a Blender version lacks are passed over.
_CYCLES = {
    "device": "CPU",
    "samples": 1,
    "use_layer_samples": "IGNORE",
    "use_adaptive_sampling": False,
    "use_denoising": False,
    "time_limit": 0.0,
    "sample_offset": 0,
    "use_sample_subset": False,
    # A ray that meets a surface of less than the alpha threshold goes on by chance, and else its depth is that
    # surface's: noise. Without scrambling all pixels share their chances, and with this seed they are near a half for
    # many surfaces in a row: where alpha is under a half, the transparent closure is drawn in whatever order it comes.
    "sampling_pattern": "TABULATED_SOBOL",
    "scrambling_distance": 0.0,
    "auto_scrambling_distance": False,
    "seed": 3,
    "use_animated_seed": False,
    "transparent_max_bounces": 128,  # a tree's leaves are many cards
    "min_transparent_bounces": 128,  # of Russian roulette
    "pixel_filter_type": "BOX",
    "filter_width": 0.01,
    "use_guiding": False,
    "use_auto_tile": False,
    "tile_size": 8192,  # 5.0 tiles whatever use_auto_tile says
    "film_exposure": 1.0,
    "use_light_tree": False,  # building it takes a third of the time of a scene with many lamps
    "max_bounces": 0,  # light doesn't matter to geometry; transparency has a limit of its own
}
_RENDER = {"use_motion_blur": False, "use_persistent_data": False}


def control_passes(scene: Any) -> list[Pass]:
    """The passes of the control maps that a scene's settings make, in the order of its list."""
    from .properties import effective_kinds  # its registration needs Blender's property system

    return [CONTROL_PASSES[kind] for kind in effective_kinds(scene.underpaint)]


def refresh(scene: Any) -> None:
    """Tell Blender that other controls take part: the list of passes and the compositor's sockets follow."""
    if scene.render.engine == "UNDERPAINT":
        for layer in scene.view_layers:
            layer.update_render_passes()


def register(engine: Any, scene: Any, layer: Any) -> None:
    """Declare the passes of a view layer, for the result and for the compositor's sockets."""
    for item in (*GEOMETRY, *control_passes(scene)):
        engine.register_pass(scene, layer, item.name, item.channels, item.ids, item.kind)
    for name, ids, kind in cycles_engine.list_render_passes(scene, layer):
        if name in _EXTRA_PASSES or name.startswith("Crypto"):
            engine.register_pass(scene, layer, name, len(ids), ids, kind)


def add(engine: Any, layer: str, wants: Wants) -> None:
    """Make room in the Render's result for the wanted passes that the user has not switched on.

    So they cost nobody a socket in the compositor who only switched a control on.
    """
    have = {item.name for item in _layer(engine, layer).passes}
    for item in wanted(wants):
        if item.name not in have:
            engine.add_pass(item.name, item.channels, item.ids, layer=layer)


def wanted(wants: Wants) -> tuple[Pass, ...]:
    """The passes that are rendered for some wishes, beside those of GEOMETRY."""
    ids = (OBJECTS, MATERIALS, OBJECT_INDEX, MATERIAL_INDEX) if wants.ids else ()
    return (*ids, *((UV,) if wants.uv else ()), *((MOTION,) if wants.motion else ()))


class Neutral:
    """A view layer whose evaluated copies are set for the passes alone.

    Every setting of the user's that would blur or shift the passes is taken back, and the wanted passes are
    switched on. `undo` is for a depsgraph that is rendered again with the user's settings.
    """

    def __init__(self, depsgraph: Any, wants: Wants) -> None:
        self._before: list[tuple[Any, str, Any]] = []
        scene, layer = depsgraph.scene_eval, depsgraph.view_layer_eval
        known = scene.cycles.bl_rna.properties
        self._set(scene.cycles, {name: value for name, value in _CYCLES.items() if name in known})
        self._set(scene.render, _RENDER)
        self._set(scene.camera.data.dof, {"use_dof": False})
        for thing in depsgraph.objects:
            if thing.type == "LIGHT":  # geometry is seen without; lit, a room with four lamps takes a quarter longer
                self._set(thing.data, {"energy": 0.0})
        for owner, name, value in [*volumes.settings(depsgraph)]:
            self._set(owner, {name: value})
        self._set(layer, {**_LAYER, **dict.fromkeys(_flags(wants), True)})
        if wants.ids and not (layer.use_pass_cryptomatte_object or layer.use_pass_cryptomatte_material):
            self._set(layer, {"pass_cryptomatte_depth": 2})  # one pass of two ranks
        self._set(layer, dict.fromkeys(_CRYPTOMATTE, True) if wants.ids else {})
        self._set(layer.cycles, {"use_denoising": False, "denoising_store_passes": False})
        silence(scene, layer)

    def _set(self, owner: Any, values: dict[str, Any]) -> None:
        for name, value in values.items():
            self._before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

    def undo(self) -> None:
        """Give the evaluated copies the user's settings again."""
        for owner, name, value in reversed(self._before):
            setattr(owner, name, value)
        self._before.clear()


_LAYER = {
    "samples": 0,
    "pass_alpha_threshold": 0.5,
    "use_pass_z": True,
    "use_pass_normal": True,
    "use_pass_position": True,
}
_CRYPTOMATTE = ("use_pass_cryptomatte_object", "use_pass_cryptomatte_material")


def _flags(wants: Wants) -> list[str]:
    names = ["use_pass_object_index", "use_pass_material_index"] if wants.ids else []
    return names + ["use_pass_uv"] * wants.uv + ["use_pass_vector"] * wants.motion


def silence(scene: Any, layer: Any) -> None:
    """Keep Cycles from complaining of our passes, which it doesn't know; on the evaluated copies."""
    known = {aov.name for aov in layer.aovs}
    for item in control_passes(scene):
        if item.name not in known:
            layer.aovs.add().name = item.name


@dataclass(frozen=True, kw_only=True)
class Region:
    """The part of the frame that the render result holds, in pixels from the bottom left."""

    x: int
    y: int
    width: int
    height: int

    def crop(self, array: Float32Array) -> Float32Array:
        """The region's part of an array whose row 0 is at the bottom."""
        return array[self.y : self.y + self.height, self.x : self.x + self.width]


@dataclass(frozen=True, kw_only=True)
class RawPasses:
    """What Cycles rendered: every pass of one view layer by name, row 0 at the bottom."""

    frame: dict[str, Float32Array]  # (height, width, channels) of the whole frame
    region: Region

    def result(self) -> dict[str, Float32Array]:
        """The part of each pass that Blender's render result takes."""
        return {name: self.region.crop(array) for name, array in self.frame.items()}


def prepare_region(engine: Any, depsgraph: Any) -> bool:
    """Before Cycles is reset: with a render region on, have it see and keep the whole frame; whether it is on.

    Where it is, `leave_region` must follow before the engine's `render` ends.
    """
    settings = engine.path_resolve("render")  # the Render's own copy of the settings, not the scene's
    if not settings.use_border:
        return False
    settings.use_border = False
    depsgraph.scene_eval.cycles.use_auto_tile = True
    depsgraph.scene_eval.cycles.tile_size = full_frame.TILE_PX
    return True


def leave_region(engine: Any) -> None:
    """Give the Render its region back: Blender puts the result into the frame by it."""
    engine.path_resolve("render").use_border = True


def render(engine: Any, depsgraph: Any, extent: Extent, *, has_region: bool) -> RawPasses:
    """Let Cycles render the view layer that it was reset with; `has_region` is what `prepare_region` said.

    In background mode the depsgraph is gone afterwards: Cycles frees it to save memory.
    """
    layer = depsgraph.view_layer.name
    if not has_region:
        cycles_engine.render(engine, depsgraph)
        frame = read(engine, layer)
        return RawPasses(frame=frame, region=Region(x=0, y=0, width=extent.width, height=extent.height))

    with full_frame.TileFiles(extent) as tiles:
        cycles_engine.render(engine, depsgraph)
        frame = tiles.read()
    frame[DEPTH.name][frame[DEPTH.name] == 0] = 1e10  # the file holds what Cycles accumulated
    settings, result = engine.path_resolve("render"), engine.get_result()
    region = Region(
        x=int(np.float32(settings.border_min_x) * np.float32(extent.width)),
        y=int(np.float32(settings.border_min_y) * np.float32(extent.height)),
        width=result.resolution_x,
        height=result.resolution_y,
    )
    return RawPasses(frame=frame, region=region)


def write(engine: Any, layer: str, passes: dict[str, Float32Array]) -> None:
    """Show passes, (height, width, channels) with row 0 at the bottom, as the layer's result.

    All of a layer's passes must be given each time: what is not written in this bracket becomes zero.
    """
    height, width = passes[COMBINED.name].shape[:2]
    result = engine.begin_result(0, 0, width, height, layer=layer)
    for render_pass in result.layers[0].passes:
        if render_pass.name in passes:
            render_pass.rect.foreach_set(np.ascontiguousarray(passes[render_pass.name]).ravel())
    engine.end_result(result)


def _layer(engine: Any, layer: str) -> Any:
    return next(entry for entry in engine.get_result().layers if entry.name == layer)


def read(engine: Any, layer: str) -> dict[str, Float32Array]:
    """Every pass of a view layer by name, (height, width, channels) with row 0 at the bottom."""
    result = engine.get_result()
    width, height = result.resolution_x, result.resolution_y
    frame: dict[str, Float32Array] = {}
    for render_pass in _layer(engine, layer).passes:
        pixels = np.empty(width * height * render_pass.channels, np.float32)
        render_pass.rect.foreach_get(pixels)
        frame[render_pass.name] = pixels.reshape(height, width, render_pass.channels)
    return frame

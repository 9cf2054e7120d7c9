"""The render engine: Cycles sees the geometry, the backend paints, Blender shows, saves and cancels.

Blender calls `update` and `render` for each view layer of each frame, in a thread of its own when there
is a window. So nothing here makes or removes a datablock, and `render` may block on the socket.
"""

import time
import traceback
from dataclasses import replace
from typing import Any

import bpy
import cycles.engine as cycles_engine
import numpy as np

from ..protocol import client
from ..protocol.arrays import Float32Array, UInt8Array
from ..protocol.client import Connection, logs
from ..protocol.client.logs import Program
from ..protocol.errors import JobCancelled, UnderpaintError
from ..protocol.events import Event, PreviewReady, Progress
from ..protocol.geometry import Extent
from ..protocol.jobs import Phase, Timing
from ..protocol.request import ControlKind
from . import beauty, colour, identity, main_thread, passes, plans, records
from . import camera as cameras
from . import capture as captures
from .generation import Outcome, Settings, generate
from .identity import Identities
from .job_state import state
from .live_preview import enlarged
from .passes import COMBINED, CONTROL_PASSES, NORMAL, NOTHING_MORE, Neutral, RawPasses, Wants
from .words import PHASES, left_out

last_timings: tuple[Timing, ...] = ()
"""Of the newest picture this engine made, write-back included; for reports and the panel."""


class UnderpaintRenderEngine(bpy.types.RenderEngine):
    bl_idname = "UNDERPAINT"
    bl_label = "Underpaint"
    bl_use_preview = False  # material previews would start a job each
    bl_use_eevee_viewport = True  # Material Preview and Rendered shading in the viewport
    bl_use_shading_nodes_custom = False
    bl_use_custom_freestyle = True  # else Freestyle asks EEVEE for its strokes, which needs a screen

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.session = None  # where Cycles' functions keep theirs
        self._error: Exception | None = None
        self._extent: Extent | None = None
        self._has_region = False
        self._neutral: Neutral | None = None  # what is set for the passes
        self._data: Any = None  # what Cycles was reset with
        self._wants = NOTHING_MORE
        self._settings: Settings | None = None  # of the frame that is painted
        self._identities: Identities | None = None  # of this view layer, when ids are wanted
        self._layers_seen: set[str] = set()  # of this frame; with persistent data one engine renders many frames
        self._outcome: Outcome | None = None  # of this frame's first view layer
        self._failed = False  # the first view layer of this frame
        self._strokes = False  # this is Freestyle's own scene, whose strokes Blender draws over the picture

    def __del__(self) -> None:
        try:
            cycles_engine.free(self)
        except ReferenceError:  # the RNA is gone before the Python object
            return

    def update_render_passes(self, scene: Any, layer: Any) -> None:
        passes.register(self, scene, layer)

    def update(self, data: Any, depsgraph: Any) -> None:
        """Prepare one view layer. Everything that is set is set on evaluated copies."""
        layer = depsgraph.view_layer.name
        if layer in self._layers_seen:  # the next frame
            self._layers_seen.clear()
            self._outcome, self._failed = None, False
        self._error, self._has_region = None, False
        self._strokes = bpy.data.scenes.get(depsgraph.scene.name) != depsgraph.scene
        try:
            if not self._strokes:
                self._extent = cameras.check(depsgraph.scene_eval)
                self._wants = self._wished(depsgraph)
                if self._wants.beauty:
                    if depsgraph.scene.name not in captures.orders:
                        beauty.check_both(self)
                    beauty.prepare(depsgraph)
                else:
                    self._prepare(depsgraph)
        except Exception as error:
            self._error = error
            return
        self._data = data
        self._reset(depsgraph)

    def render(self, depsgraph: Any) -> None:
        """Render one view layer: its passes, and the frame's picture over them."""
        if self._strokes:
            cycles_engine.render(self, depsgraph)
            return
        layer = depsgraph.view_layer.name
        order = captures.orders.get(depsgraph.scene.name)
        first = not self._layers_seen
        self._layers_seen.add(layer)
        try:
            if self._failed:  # and said so, at the frame's first view layer
                return
            if self._error is not None:
                error, self._error = self._error, None  # its traceback holds this engine
                raise error
            if order is not None and order.wants.beauty:
                order.beauty = beauty.render(self, depsgraph)
            elif order is not None:
                order.result = self._deliver(depsgraph, order)
            elif first:
                self._paint(depsgraph, layer)
            else:  # the picture is the frame's; every view layer shows it over its own passes
                extent, transparent = self._extent, depsgraph.scene_eval.render.film_transparent
                raw = passes.render(self, depsgraph, extent, has_region=self._has_region)
                passes.write(self, layer, _with_outcome(raw, self._outcome, transparent=transparent))
        except JobCancelled:
            self._failed = True
            self._tell("Cancelled")
        except Exception as error:
            self._failed = True
            if order is not None:
                order.error = error
            self._say(error)
        finally:
            if self._has_region:
                passes.leave_region(self)

    # ------------------------------------------------------------------------------------------ parts

    def _wished(self, depsgraph: Any) -> Wants:
        """What this view layer's capture is to hold."""
        order = captures.orders.get(depsgraph.scene.name)
        if order is not None:
            wants, people = order.wants, order.people
        elif self._layers_seen:  # the picture is made with the first view layer
            return NOTHING_MORE
        else:
            settings = Settings.from_scene(depsgraph.scene_eval, depsgraph.view_layer)
            self._settings = replace(settings, pictures=1)  # a frame is one picture
            wants, people = self._settings.wants(), self._settings.people
        if people is captures.People.LEFT_OUT or wants.ids:
            return wants
        # ids say whether a joint is behind its own skin or behind something else
        return replace(wants, ids=any(thing.type == "ARMATURE" for thing in depsgraph.objects))

    def _reset(self, depsgraph: Any) -> None:
        """Give Cycles the evaluated scene to render next."""
        if self.session and self._wants.beauty:  # with persistent data it would keep the lamps of the render before
            cycles_engine.free(self)
            self.session = None
        if not self.session:
            cycles_engine.create(self, self._data)
        cycles_engine.reset(self, self._data, depsgraph)

    def _prepare(self, depsgraph: Any) -> None:
        """Set the evaluated scene up for the geometry."""
        self._neutral = passes.Neutral(depsgraph, self._wants)
        passes.add(self, depsgraph.view_layer.name, self._wants)
        self._identities = identity.number(depsgraph) if self._wants.ids else None
        self._has_region = passes.prepare_region(self, depsgraph)

    def _deliver(self, depsgraph: Any, order: "captures.Order") -> "captures.Capture":
        if order.read is not None:
            order.read(depsgraph)
        return self._see(depsgraph, order.people)[1]

    def _see(self, depsgraph: Any, people: captures.People) -> tuple[RawPasses, "captures.Capture"]:
        """The view layer's passes, as Blender keeps them and as physical quantities."""
        extent = self._extent
        assert extent is not None
        began = time.perf_counter()
        if self._wants.motion:
            cameras.check_motion(self, depsgraph)
        # whatever is needed of the depsgraph must be taken now: in background mode Cycles frees it
        camera = cameras.protocol_camera(depsgraph.scene_eval, depsgraph)
        observed = captures.observe(depsgraph, people)
        picture = None
        if self._wants.beauty:
            picture = beauty.render(self, depsgraph)
            self._prepare(depsgraph)
            self._reset(depsgraph)
        raw = passes.render(self, depsgraph, extent, has_region=self._has_region)
        if self._wants.beauty:  # with persistent data these are the copies of the next frame, too
            self._neutral.undo()
        if self._stopped():
            raise JobCancelled()
        capture_ms = (time.perf_counter() - began) * 1e3
        return raw, captures.convert(
            raw, camera, observed, self._identities, extent=extent, beauty=picture, capture_ms=capture_ms
        )

    def _paint(self, depsgraph: Any, layer: str) -> None:
        global last_timings
        self._progress(Phase.CAPTURE)
        scene = depsgraph.scene_eval
        settings = self._settings
        assert settings is not None
        transparent = scene.render.film_transparent
        plan_key = plans.key(scene)
        exact = colour.shows_exactly(scene)
        raw, capture = self._see(depsgraph, settings.people)
        shown = raw.result()
        shown[COMBINED.name] = _clay(shown[NORMAL.name])  # Cycles' one sample would pass for a bad picture
        passes.write(self, layer, shown)

        def on_event(event: Event) -> None:
            if isinstance(event, Progress):
                self._progress(event.phase, event)
            elif isinstance(event, PreviewReady) and settings.use_preview:
                preview = connection.preview(event.job_id)
                if preview is not None:
                    shown[COMBINED.name] = raw.region.crop(_combined(enlarged(preview, capture.extent)))
                    passes.write(self, layer, shown)

        self._progress(Phase.QUEUE)
        connection: Connection = client.ensure_running()
        try:
            outcome = generate(connection, settings, capture, on_event=on_event, cancelled=self._stopped)
        finally:
            connection.close()
        self._progress(Phase.WRITE_BACK)
        began = time.perf_counter()
        passes.write(self, layer, _with_outcome(raw, outcome, transparent=transparent))
        records.stamp(self.get_result(), outcome)
        self._outcome = outcome
        last_timings = (*outcome.timings, Timing(phase=Phase.WRITE_BACK, ms=(time.perf_counter() - began) * 1e3))
        if settings.keep_image and not self.is_animation:
            timings = last_timings
            packed = records.packed(outcome)  # here, as the main thread has the interface to draw
            main_thread.post(lambda: _keep(outcome, timings, packed))
        main_thread.post(lambda: _remember(capture.left_out, outcome, plan_key))
        self._done(settings, outcome, capture.left_out, exact=exact)

    def _done(self, settings: Settings, outcome: Outcome, strangers: tuple[str, ...], *, exact: bool) -> None:
        self.update_progress(1.0)
        note = ""
        if settings.takes(ControlKind.OPENPOSE) and ControlKind.OPENPOSE not in outcome.maps:
            note = " without a pose control, as the camera sees no character"
        if strangers:  # no report: an animation would make one each frame
            note += f" | {left_out(strangers)}"
        note += "".join(f" | {said}" for said in outcome.notes)
        self._tell(f"Painted{note}")
        if not self.is_animation:
            for said in outcome.notes:
                self.report({"WARNING"}, said)
        if not exact:
            self.report(
                {"WARNING"},
                "The view transform changes the picture's colours. For the picture as it was painted, press "
                '"Use Standard View" in the Underpaint panel, or take the image in the Image Editor',
            )

    def _progress(self, phase: Phase, progress: Progress | None = None) -> None:
        words = PHASES[phase]
        if progress is not None:
            self.update_progress(progress.fraction)
            if phase is Phase.STEP and progress.steps:
                words = f"{words}: step {progress.step}/{progress.steps}"
            if progress.note:
                words = f"{words} | {progress.note}"
        self._tell(words)

    def _stopped(self) -> bool:
        return self.test_break()

    def _tell(self, words: str) -> None:
        self.update_stats("", words)

    def _say(self, error: Exception) -> None:
        """Tell the user; Blender stops an animation at a reported error and writes no file."""
        if isinstance(error, UnderpaintError):
            message = str(error)
        else:
            message = (
                f"Underpaint hit an unexpected error, {type(error).__name__}: {error}. The console has the details"
            )
            # By lines, as print_exception looks for names like an unknown one in objects that Blender may have freed
            traceback.print_tb(error.__traceback__)
        self._tell(message)
        self.report({"ERROR"}, message)
        logs.logger(Program.BLENDER).error("%s", message, extra={"event": "render"})


def _keep(outcome: Outcome, timings: tuple[Timing, ...], packed: tuple[bytes, ...]) -> None:
    from . import images

    images.keep(outcome, timings=timings, packed=packed)


def _remember(strangers: tuple[str, ...], outcome: Outcome, plan_key: tuple[object, ...]) -> None:
    state.left_out, state.plan, state.plan_key, state.notes = strangers, outcome.plan, plan_key, outcome.notes


def _with_outcome(raw: RawPasses, outcome: Outcome | None, *, transparent: bool) -> dict[str, Float32Array]:
    """A view layer's passes with the picture and the control maps in them, cut to the render region."""
    shown = raw.result()
    if outcome is None:
        return shown
    combined = _combined(outcome.picture)
    if transparent:  # Film > Transparent: the subject without its background, premultiplied as Blender keeps it
        combined *= (raw.frame[passes.DEPTH.name] < passes.BACKGROUND_M).astype(np.float32)
    shown[COMBINED.name] = raw.region.crop(combined)
    for kind, item in CONTROL_PASSES.items():
        if kind in outcome.maps:
            shown[item.name] = raw.region.crop(_combined(outcome.maps[kind]))
    return shown


def _combined(picture: UInt8Array | Float32Array) -> Float32Array:
    """A picture as a pass holds it: scene linear, opaque, row 0 at the bottom; what is below black is black."""
    if picture.dtype != np.uint8:
        picture = np.rint(np.clip(picture, 0.0, 1.0) * 255).astype(np.uint8)
    height, width, _ = picture.shape
    result = np.ones((height, width, 4), np.float32)
    result[..., :3] = colour.scene_linear(picture[::-1])
    return result


def _clay(normal_world: Float32Array) -> Float32Array:
    """Something to see until the first preview: the geometry in plain grey, lit from above."""
    grey = np.where(normal_world.any(axis=-1), 0.12 + 0.1 * normal_world[..., 2], 0.02)
    result = np.ones((*grey.shape, 4), np.float32)
    result[..., :3] = grey[..., None]
    return result


def register() -> None:
    bpy.utils.register_class(UnderpaintRenderEngine)


def unregister() -> None:
    bpy.utils.unregister_class(UnderpaintRenderEngine)

"""The inspector: the maps of a scene's controls, made anew whenever their settings change, without rendering.

One look is kept at a time: a capture, the maps made of it, and what has happened to the scene since. All of it is
for the main thread; only a `MapsJob` runs beside it.
"""

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..protocol import client
from ..protocol.errors import JobCancelled, SceneError, UnderpaintError
from . import backend_state, control_maps, map_images, scene_changes
from . import capture as captures
from .capture import People, Wants, capture
from .control_maps import ControlMap, Sent
from .generation import OF_PAINTING, Settings
from .maps_job import MapsJob
from .scene_changes import View

DEBOUNCE_S = 0.08  # a slider that is drawn along sends no request for each of its steps
_TURN_S = 0.03
_IDLE_S = 0.25
_EXIT_WAIT_S = 2.0


@dataclass(kw_only=True)
class Look:
    """What is being looked at."""

    scene: str  # its name: undo replaces datablocks
    view: View
    sent: Sent
    wants: Wants
    people: People
    settings: Settings | None = None  # that `maps` were made with
    maps: tuple[ControlMap, ...] = ()
    seen: set[str] | None = None  # the objects that the camera sees, once somebody has asked
    stale: str = ""  # why the capture is no longer what the scene looks like; "" while it is


@dataclass(kw_only=True)
class State:
    """What panels show."""

    look: Look | None = None
    job: MapsJob | None = None
    error: str = ""
    armature: str = ""  # the object whose bones are not known, where that is the error
    live: bool = False  # changed settings are followed by themselves
    touched_at: float | None = None  # when a setting changed that no request has taken up yet
    clicked_at: float = 0.0
    shown_ms: float = 0.0  # from the click, or the change, to the maps on the screen
    expected: dict[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    """What got another class since the last update, and where it was then."""
    quiet: bool = False  # what changes now is our own doing

    @property
    def status(self) -> str:
        """What is being done; "" for nothing."""
        return "" if self.job is None else self.job.status or "Making the control maps"


state = State()

# ------------------------------------------------------------------------------------------ for operators and scripts


def look(scene: Any, view_layer: Any) -> Settings:
    """Render the passes of a scene for its controls' maps, which `begin` or `finish` make.

    Blocks for the time of the render. Raises what `capture` and `Settings.from_scene` do, and leaves the last
    look as it was then.
    """
    cancel()
    state.clicked_at = time.perf_counter()
    settings = Settings.from_scene(scene, without=OF_PAINTING)
    with _quietly(view_layer):
        seen = capture(scene, view_layer, people=settings.people, wants=settings.wants())
    view = scene_changes.view(scene, view_layer.name, lit=settings.wants().beauty)
    assert view is not None  # else the capture had been refused
    state.look = Look(scene=scene.name, view=view, sent=Sent(seen), wants=settings.wants(), people=settings.people)
    state.error, state.armature, state.touched_at = "", "", None
    return settings


def begin(settings: Settings) -> None:
    """Have the maps of the look made beside the interface; `turn` shows them."""
    assert state.look is not None
    cancel()
    state.error, state.touched_at = "", None
    state.job = MapsJob(settings, state.look.sent)
    state.job.start()


def finish(settings: Settings) -> tuple[ControlMap, ...]:
    """Make the maps of the look and show them; blocks. Raises what `control_maps.make` does."""
    assert state.look is not None
    cancel()  # what is being made beside has older settings, and would be shown over these
    with client.ensure_running() as connection:
        maps = control_maps.make(connection, settings, state.look.sent)
    _take(settings, maps)
    return maps


def follow(scene: Any) -> tuple[ControlMap, ...]:
    """Make the maps of the look anew with the scene's settings of now, for scripts; blocks, renders nothing."""
    settings = Settings.from_scene(scene, without=OF_PAINTING)
    _check_reach(settings)
    state.clicked_at = time.perf_counter()
    return finish(settings)


def is_true_of(scene: Any, view_layer: Any) -> bool:
    """Whether the look's capture is what the scene looks like, and holds what its controls need now."""
    current = state.look
    if current is None or (current.scene, current.view.layer) != (scene.name, view_layer.name):
        return False
    return (
        not current.stale
        and scene_changes.view(scene, view_layer.name, lit=current.wants.beauty) == current.view
        and _reaches(Settings.from_scene(scene, without=OF_PAINTING))
    )


def seen_things(scene: Any) -> set[str] | None:
    """What the camera sees, by `name_full`; None where that is not known."""
    current = state.look
    if current is None or current.stale or current.scene != scene.name or current.sent.capture.object_ids is None:
        return None
    if current.seen is None:
        seen = current.sent.capture
        numbers = np.unique(seen.object_ids)
        current.seen = {seen.object_names[number - 1] for number in numbers.tolist() if number}
    return current.seen


def cancel() -> None:
    """Stop making maps; those that are shown stay."""
    if state.job is not None:
        state.job.cancel()
        state.job = None


def close() -> None:
    """Stop following changes, and free the capture."""
    cancel()
    state.look, state.live, state.touched_at, state.error = None, False, None, ""
    state.expected.clear()


def show_active() -> None:
    """Bring the active control's map into the Image Editor, where one shows maps already."""
    name = active_name()
    if name and not bpy.app.background and map_images.is_shown():
        map_images.show(name, bpy.context)


def active_name() -> str:
    """The name of the active control's map; of the first, where the scene has no list of its own; "" for none."""
    if state.look is None or not state.look.maps:
        return ""
    scene = bpy.data.scenes.get(state.look.scene)
    if scene is None or not len(scene.underpaint.controls):
        return state.look.maps[0].name
    rows = scene.underpaint.controls
    active = scene.underpaint.active_control
    if not active < len(rows) or not rows[active].enabled:
        return ""
    before = sum(row.enabled for row in list(rows)[:active])
    return state.look.maps[before].name if before < len(state.look.maps) else ""


# ------------------------------------------------------------------------------------------ for property callbacks


def touch() -> None:
    """A setting has changed that maps may depend on."""
    if state.look is not None and state.live:
        state.touched_at = time.perf_counter()


def expect_change(thing: Any) -> None:
    """Blender is going to tell of a change of this datablock, which was one of ours and not of its geometry."""
    if state.look is not None:
        state.expected.setdefault(scene_changes.key(thing), scene_changes.place(thing))


# ------------------------------------------------------------------------------------------ in the course of time


def turn() -> None:
    """Take up what has happened: an ended job, changed settings, another frame."""
    if state.job is not None and state.job.ended:
        job, state.job = state.job, None
        if job.error is not None:
            state.error = "" if isinstance(job.error, JobCancelled) else _sentence(job.error)
        else:
            _take(job.settings, job.maps)
        backend_state.redraw()
    current = state.look
    if current is None:
        return
    scene = bpy.data.scenes.get(current.scene)
    if scene is None:
        close()
        return
    if not current.stale and _view_of(scene, current) != current.view:
        _make_stale("The frame, the camera or the render's settings have changed")
    if state.touched_at is not None and time.perf_counter() - state.touched_at > DEBOUNCE_S:
        clicked, state.touched_at = state.touched_at, None
        _follow_beside(scene, clicked)


def _follow_beside(scene: Any, changed_at: float) -> None:
    assert state.look is not None
    try:
        settings = Settings.from_scene(scene, without=OF_PAINTING)
        _check_reach(settings)
    except UnderpaintError as error:
        state.error = str(error)
        backend_state.redraw()
        return
    newest = state.look.settings if state.job is None else state.job.settings
    if newest is not None and _same_maps(settings, newest):
        state.error = ""
        return
    state.clicked_at = changed_at
    begin(settings)


def _check_reach(settings: Settings) -> None:
    """Raise where a control needs something of the scene that the capture doesn't hold."""
    if not _reaches(settings):
        raise SceneError(reason="A control needs more of the scene than was rendered: preview the maps again.")


def _reaches(settings: Settings) -> bool:
    assert state.look is not None
    have, wanted = state.look.wants, settings.wants()
    if (wanted.ids and not have.ids) or (wanted.beauty and not have.beauty):
        return False
    # Where people were only wished for, a rig that the code doesn't know was passed over.
    return settings.people in (People.LEFT_OUT, state.look.people) or state.look.people is People.REQUIRED


def _same_maps(one: Settings, other: Settings) -> bool:
    """Whether two settings lead to the same maps, as far as can be told without comparing images."""
    if any(control.image is not None or control.mask is not None for control in (*one.controls, *other.controls)):
        return False
    return (one.controls, one.checkpoint, one.classes) == (other.controls, other.checkpoint, other.classes)


def _take(settings: Settings, maps: tuple[ControlMap, ...]) -> None:
    assert state.look is not None
    map_images.keep_only({item.name for item in maps})
    for item in maps:
        map_images.put(item)
    state.look.settings, state.look.maps = settings, maps
    state.shown_ms = control_maps.since(state.clicked_at)
    map_images.redraw()


def _sentence(error: Exception) -> str:
    if isinstance(error, UnderpaintError):
        return str(error)
    return f"Unexpected error, {type(error).__name__}: {error}. The console has the details"


def _view_of(scene: Any, current: Look) -> View | None:
    """What would be captured now, but for the objects, whose comings and goings Blender tells of."""
    return scene_changes.view(scene, current.view.layer, lit=current.wants.beauty, things=current.view.things)


def _make_stale(why: str) -> None:
    assert state.look is not None
    state.look.stale = why
    backend_state.redraw()


@contextmanager
def _unnoticed() -> Iterator[None]:
    """Take no notice of what any capture changes: it makes a scene and takes it away again."""
    _hear_all()  # of the user's
    before, state.quiet = state.quiet, True
    try:
        yield
        _hear_all()
    finally:
        state.quiet = before


def _hear_all() -> None:
    """Have Blender tell now what it would tell with the next update."""
    scene = None if state.look is None or state.look.stale else bpy.data.scenes.get(state.look.scene)
    layer = None if scene is None else scene.view_layers.get(state.look.view.layer)
    if layer is not None:
        layer.update()


@contextmanager
def _quietly(view_layer: Any) -> Iterator[None]:
    """Take no notice of what this capture changes, which is looked at when it is over."""
    state.quiet = True
    try:
        yield
        view_layer.update()  # have it told now
    finally:
        state.quiet = False


# ------------------------------------------------------------------------------------------ Blender's own


@persistent
def _after_update(scene: Any, depsgraph: Any) -> None:
    current = state.look
    if current is None or current.stale or state.quiet or scene.name != current.scene:
        return
    things = [update.id.original for update in depsgraph.updates]
    rebuilt = any(isinstance(thing, bpy.types.Scene) for thing in things)
    seen = scene_changes.Seen(view=current.view, lit=current.wants.beauty, rebuilt=rebuilt)
    ours = {thing for thing in things if state.expected.get(scene_changes.key(thing)) == scene_changes.place(thing)}
    state.expected.clear()
    reasons = (
        scene_changes.change(update, seen, ours) or scene_changes.renamed(update, scene, seen)
        for update in depsgraph.updates
    )
    why = next(filter(None, reasons), "")
    if why:
        _make_stale(why)


@persistent
def _after_undo(*_: Any) -> None:
    if state.look is not None and state.live:
        state.look.settings = None  # undo may have taken the images away with it
        touch()


@persistent
def _before_load(*_: Any) -> None:
    close()


@persistent
def _after_load(*_: Any) -> None:
    map_images.drop_blank()


def _timer() -> float:
    try:
        turn()
    except Exception as error:  # Blender drops a timer that raises
        traceback.print_exception(error)
    return _TURN_S if state.look is not None or state.job is not None else _IDLE_S


_HANDLERS = (
    ("depsgraph_update_post", _after_update),
    ("undo_post", _after_undo),
    ("redo_post", _after_undo),
    ("load_pre", _before_load),
    ("load_post", _after_load),
)


def register() -> None:
    captures.around.append(_unnoticed)
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)
    if not bpy.app.background:
        bpy.app.timers.register(_timer, first_interval=_TURN_S, persistent=True)


def unregister() -> None:
    job = state.job
    close()
    if job is not None:
        job.join(_EXIT_WAIT_S)
    if bpy.app.timers.is_registered(_timer):
        bpy.app.timers.unregister(_timer)
    if _unnoticed in captures.around:
        captures.around.remove(_unnoticed)
    for name, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if handler in handlers:
            handlers.remove(handler)

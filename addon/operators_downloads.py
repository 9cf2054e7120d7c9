"""Models from the hub: the recommended ones to choose from, and the download with its progress and its end."""

from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from ..protocol import client
from ..protocol.errors import JobCancelled, UnderpaintError
from ..protocol.models import Catalogue, CatalogueEntry
from ..protocol.request import DownloadRequest
from . import backend_state, model_list
from .download_job import DownloadJob
from .registration import of_classes

_TICK_S = 0.1
_EXIT_WAIT_S = 2.0

running: list[DownloadJob] = []
"""At most one; kept so that panels show it, and switching the add-on off ends it."""
failure = ""
"""Why the last download did not end well; "" otherwise."""

_catalogue: Catalogue | None = None
_items: list[tuple[str, str, str]] = []  # kept, as Blender keeps no reference to an enum's texts


def items(_operator: Any, _context: Any) -> list[tuple[str, str, str]]:
    """The recommended models, as an enum has them; by their places in the catalogue."""
    return _items


def _load() -> None:
    global _catalogue, _items
    with client.ensure_running() as connection:
        _catalogue = connection.catalogue()
    _items = [(str(place), _label(entry), _tip(entry)) for place, entry in enumerate(_catalogue.entries)]


def _label(entry: CatalogueEntry) -> str:
    size = f", {entry.size_bytes / 1e9:.1f} GB" if entry.size_bytes else ""
    return f"{model_list.FAMILIES[entry.family]}: {entry.title}{size}"


def _tip(entry: CatalogueEntry) -> str:
    gated = "Its terms have to be accepted on the hub first." if entry.gated else ""
    licence = f"Licence: {entry.licence}." if entry.licence else ""
    return " ".join(filter(None, (entry.note, entry.convention, licence, gated))) or entry.title


class UNDERPAINT_OT_pick_download(bpy.types.Operator):
    """Choose one of the recommended models, and fetch it from the hub"""

    bl_idname = "underpaint.pick_download"
    bl_label = "Download Model…"
    bl_property = "choice"

    choice: EnumProperty(name="Model", description="What to fetch", items=items, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return _may_download(cls)

    def invoke(self, context: Any, _event: Any) -> set[str]:
        try:
            _load()
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    def execute(self, _context: Any) -> set[str]:
        assert _catalogue is not None
        entry = _catalogue.entries[int(self.choice)]
        return bpy.ops.underpaint.download_model("INVOKE_DEFAULT", reference=entry.reference, file=entry.file)


class UNDERPAINT_OT_download_model(bpy.types.Operator):
    """Fetch a model from the hub by its name there"""

    bl_idname = "underpaint.download_model"
    bl_label = "Download"

    reference: StringProperty(name="Model", description='Its name on the hub, as "owner/name"', options={"SKIP_SAVE"})
    file: StringProperty(
        name="File", description="One file of it; empty takes what its kind of model needs", options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return _may_download(cls)

    def execute(self, _context: Any) -> set[str]:
        job = self._begin()
        job.join(None)
        return self._end(job)

    def invoke(self, context: Any, _event: Any) -> set[str]:
        self._job = self._begin()
        self._timer = context.window_manager.event_timer_add(_TICK_S, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        backend_state.redraw()
        if not self._job.ended:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return self._end(self._job)

    def cancel(self, context: Any) -> None:
        """Blender ends the operator: another file is loaded, or the window is closed."""
        self._job.cancel()
        context.window_manager.event_timer_remove(self._timer)
        running.remove(self._job)

    def _begin(self) -> DownloadJob:
        global failure
        failure = ""
        job = DownloadJob(DownloadRequest(reference=self.reference.strip(), file=self.file.strip()))
        running.append(job)
        job.start()
        return job

    def _end(self, job: DownloadJob) -> set[str]:
        global failure
        running.remove(job)
        backend_state.redraw()
        if isinstance(job.error, JobCancelled):
            self.report({"INFO"}, "The download was cancelled; what was fetched is kept")
            return {"CANCELLED"}
        if job.error is not None:
            failure = str(job.error)
            self.report({"ERROR"}, failure)
            return {"CANCELLED"}
        model_list.refresh()
        self.report({"INFO"}, f"{job.request.reference} is on this computer now")
        return {"FINISHED"}


class UNDERPAINT_OT_cancel_download(bpy.types.Operator):
    """Stop the download. What was fetched is kept, and another download goes on from there"""

    bl_idname = "underpaint.cancel_download"
    bl_label = "Cancel Download"

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return bool(running)

    def execute(self, _context: Any) -> set[str]:
        for job in running:
            job.cancel()
        return {"FINISHED"}


def _may_download(cls: Any) -> bool:
    if not bpy.app.online_access:
        cls.poll_message_set("Blender is set to stay offline: Preferences > System > Network > Allow Online Access")
        return False
    if running:
        cls.poll_message_set("Another model is being fetched")
        return False
    return True


_register_classes, _unregister_classes = of_classes(
    (
        UNDERPAINT_OT_pick_download,
        UNDERPAINT_OT_download_model,
        UNDERPAINT_OT_cancel_download,
    )
)


def register() -> None:
    _register_classes()


def unregister() -> None:
    for job in running:
        job.cancel()
    for job in running:
        job.join(_EXIT_WAIT_S)
    _unregister_classes()

"""LoRAs, embeddings and pictures as prompts: their lists, what models want, and the folders that are looked through."""

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..protocol import client
from ..protocol.client.model_folders import add_model_folder, remove_model_folder
from ..protocol.errors import UnderpaintError
from ..protocol.models import Advice, ModelEntry, ModelKind
from ..protocol.request import Scheduler, Sigmas
from . import model_list
from .registration import of_classes

_LISTS = (
    ("loras", "LoRA", "A small change of the checkpoint"),
    ("embeddings", "Embedding", "A textual inversion, called up by its word"),
    ("image_prompts", "Image Prompt", "A picture as a prompt"),
)
_ACTIVE = {"loras": "active_lora", "embeddings": "active_embedding", "image_prompts": "active_image_prompt"}
_FIELDS = {"loras": "lora", "embeddings": "embedding", "image_prompts": "adapter"}


def _list(name: str) -> Any:
    return EnumProperty(name="List", items=_LISTS, default=name, options={"HIDDEN"})


class UNDERPAINT_OT_extra_add(bpy.types.Operator):
    """Add a row to the list"""

    bl_idname = "underpaint.extra_add"
    bl_label = "Add"
    bl_options = {"REGISTER", "UNDO"}

    list: _list("loras")
    model: StringProperty(
        name="Model", description="The model's file or name; it may be chosen later", options={"SKIP_SAVE"}
    )

    def execute(self, context: Any) -> set[str]:
        group = context.scene.underpaint.extras
        rows = getattr(group, self.list)
        item = rows.add()
        setattr(item, _FIELDS[self.list], self.model)
        if self.list == "image_prompts" and not self.model and len(rows) > 1:  # one adapter serves several pictures
            item.adapter, item.image_encoder = rows[-2].adapter, rows[-2].image_encoder
        setattr(group, _ACTIVE[self.list], len(rows) - 1)
        entry = model_list.known(self.model, ModelKind.LORA) if self.list == "loras" else None
        if entry is not None and entry.advice is not None:
            self.report({"INFO"}, f"{entry.title}: set {follow(context.scene, entry.advice)}")
        return {"FINISHED"}


class _OnRow:
    @classmethod
    def description(cls, _context: Any, _properties: Any) -> str:
        return cls.__doc__ or ""

    def place(self, context: Any) -> int | None:
        """The active row's index; None where there is no row."""
        group = context.scene.underpaint.extras
        index = getattr(group, _ACTIVE[self.list])
        return index if 0 <= index < len(getattr(group, self.list)) else None


class UNDERPAINT_OT_extra_remove(_OnRow, bpy.types.Operator):
    """Remove the active row from the list"""

    bl_idname = "underpaint.extra_remove"
    bl_label = "Remove"
    bl_options = {"REGISTER", "UNDO"}

    list: _list("loras")

    def execute(self, context: Any) -> set[str]:
        group, index = context.scene.underpaint.extras, self.place(context)
        if index is None:
            return {"CANCELLED"}
        rows = getattr(group, self.list)
        rows.remove(index)
        setattr(group, _ACTIVE[self.list], max(0, min(index, len(rows) - 1)))
        return {"FINISHED"}


class UNDERPAINT_OT_use_advice(bpy.types.Operator):
    """Set the scheduler, steps and guidance that this model was trained for"""

    bl_idname = "underpaint.use_advice"
    bl_label = "Use Its Settings"
    bl_options = {"REGISTER", "UNDO"}

    model: StringProperty(name="Model", options={"SKIP_SAVE"})
    kind: EnumProperty(items=[(kind.name, kind.value, "") for kind in ModelKind], options={"SKIP_SAVE"})

    def execute(self, context: Any) -> set[str]:
        entry = model_list.known(self.model, ModelKind[self.kind])
        if entry is None or entry.advice is None:
            self.report({"ERROR"}, f'Nothing is known of what "{self.model}" was trained for')
            return {"CANCELLED"}
        self.report({"INFO"}, f"{entry.title}: set {follow(context.scene, entry.advice)}")
        return {"FINISHED"}


class UNDERPAINT_OT_refresh_models(bpy.types.Operator):
    """Look through the models folders again"""

    bl_idname = "underpaint.refresh_models"
    bl_label = "Refresh Models"

    def execute(self, _context: Any) -> set[str]:
        try:
            with client.ensure_running() as connection:
                connection.rescan_models()
                model_list.take(connection.models())
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        model_list.refresh()
        return {"FINISHED"}


class UNDERPAINT_OT_add_models_folder(bpy.types.Operator):
    """Look through another folder for models: one of ComfyUI's or A1111's, or any. Nothing is copied or changed"""

    bl_idname = "underpaint.add_models_folder"
    bl_label = "Add Models Folder"

    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: Any, _event: Any) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, _context: Any) -> set[str]:
        folder = bpy.path.abspath(self.directory).rstrip("/\\")
        try:
            add_model_folder(client.default_home().models, folder)
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        model_list.refresh()
        self.report({"INFO"}, f"{folder} is looked through for models now")
        return {"FINISHED"}


class UNDERPAINT_OT_remove_models_folder(bpy.types.Operator):
    """Look through this folder no more. Its files stay as they are"""

    bl_idname = "underpaint.remove_models_folder"
    bl_label = "Remove Models Folder"

    folder: StringProperty(name="Folder", options={"SKIP_SAVE"})

    def execute(self, _context: Any) -> set[str]:
        try:
            remove_model_folder(client.default_home().models, self.folder)
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        model_list.refresh()
        return {"FINISHED"}


class UNDERPAINT_OT_restore_picture(bpy.types.Operator):
    """Bring back the settings of a picture file: one of Underpaint's, or of a program that writes A1111's text"""

    bl_idname = "underpaint.restore_picture"
    bl_label = "Restore Settings from Picture"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.png", options={"HIDDEN"})

    def invoke(self, context: Any, _event: Any) -> set[str]:
        if self.filepath:  # dropped
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Any) -> set[str]:
        from . import records

        try:
            told = records.restore(bpy.path.abspath(self.filepath), context.scene)
        except UnderpaintError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for sentence in told:
            self.report({"WARNING"}, sentence)
        if not told:
            self.report({"INFO"}, "The picture's settings are back")
        return {"FINISHED"}


class UNDERPAINT_FH_picture(bpy.types.FileHandler):
    """A picture dropped onto the properties brings its settings back"""

    bl_idname = "UNDERPAINT_FH_picture"
    bl_label = "Underpaint Picture"
    bl_import_operator = "underpaint.restore_picture"
    bl_file_extensions = ".png"

    @classmethod
    def poll_drop(cls, context: Any) -> bool:
        return context.area is not None and context.area.type == "PROPERTIES"


def follow(scene: Any, advice: Advice) -> str:
    """Set what a model was trained for; what was set, in words."""
    settings, done = scene.underpaint, list[str]()
    if advice.scheduler in Scheduler._value2member_map_:
        settings.scheduler = Scheduler(advice.scheduler).name
        done.append(settings.bl_rna.properties["scheduler"].enum_items[settings.scheduler].name)
    if advice.sigmas in Sigmas._value2member_map_:
        settings.sigmas = Sigmas(advice.sigmas).name
    if advice.steps is not None:
        settings.steps = advice.steps
        done.append(f"{advice.steps} steps")
    if advice.guidance_scale is not None:
        settings.guidance_scale = advice.guidance_scale
        done.append(f"guidance {advice.guidance_scale:g}")
    if advice.clip_skip is not None:
        settings.extras.clip_skip = advice.clip_skip
        done.append(f"clip skip {advice.clip_skip}")
    return ", ".join(done) or "nothing, its settings are the usual ones"


def unfollowed(scene: Any, entry: ModelEntry) -> bool:
    """Whether a model was trained for other settings than the scene has."""
    advice, settings = entry.advice, scene.underpaint
    if advice is None:
        return False
    wanted = (
        (advice.scheduler, Scheduler[settings.scheduler].value),
        (advice.sigmas, Sigmas[settings.sigmas].value),
        (advice.steps, settings.steps),
        (advice.guidance_scale, round(settings.guidance_scale, 3)),
        (advice.clip_skip, settings.extras.clip_skip),
    )
    return any(asked is not None and asked != has for asked, has in wanted)


def advised(scene: Any) -> list[ModelEntry]:
    """The models of a scene that were trained for other settings than it has."""
    extras = scene.underpaint.extras
    named = [(scene.underpaint.checkpoint, ModelKind.CHECKPOINT)]
    named += [(item.lora, ModelKind.LORA) for item in extras.loras if item.enabled]
    entries = (model_list.known(reference, kind) for reference, kind in named if reference)
    return [entry for entry in entries if entry is not None and unfollowed(scene, entry)]


register, unregister = of_classes(
    (
        UNDERPAINT_OT_extra_add,
        UNDERPAINT_OT_extra_remove,
        UNDERPAINT_OT_use_advice,
        UNDERPAINT_OT_refresh_models,
        UNDERPAINT_OT_add_models_folder,
        UNDERPAINT_OT_remove_models_folder,
        UNDERPAINT_OT_restore_picture,
        UNDERPAINT_FH_picture,
    )
)

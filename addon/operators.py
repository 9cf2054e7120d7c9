"""The one-click remedies, and the small operators that belong to no list."""

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..protocol.checks import nearest_size
from . import camera as cameras
from . import images
from .registration import of_classes

_MODELS = (
    ("CHECKPOINT", "Checkpoint"),
    ("CONTROLNET", "ControlNet"),
    ("LORA", "LoRA"),
    ("EMBEDDING", "Embedding"),
    ("ADAPTER", "IP-Adapter"),
    ("IMAGE_ENCODER", "Image Encoder"),
    ("VAE", "VAE"),
    ("TILE_CONTROLNET", "Tile ControlNet"),
    ("SAFETY_CHECKER", "Safety Checker"),
)


def _place(settings: Any, target: str) -> tuple[Any, str]:
    """What a model belongs to, and the name of its field there; None where no row is active."""
    extras = settings.extras
    rows, index, field = {
        "CHECKPOINT": ((settings,), 0, "checkpoint"),
        "CONTROLNET": (settings.controls, settings.active_control, "controlnet"),
        "LORA": (extras.loras, extras.active_lora, "lora"),
        "EMBEDDING": (extras.embeddings, extras.active_embedding, "embedding"),
        "ADAPTER": (extras.image_prompts, extras.active_image_prompt, "adapter"),
        "IMAGE_ENCODER": (extras.image_prompts, extras.active_image_prompt, "image_encoder"),
        "VAE": ((extras,), 0, "vae"),
        "TILE_CONTROLNET": ((extras.second_pass,), 0, "tile_controlnet"),
        "SAFETY_CHECKER": ((extras,), 0, "safety_checker"),
    }[target]
    return (rows[index] if 0 <= index < len(rows) else None), field


class UNDERPAINT_OT_use_standard_view(bpy.types.Operator):
    """Show pictures with the colours they were painted in: Standard view transform, no look, exposure or curves"""

    bl_idname = "underpaint.use_standard_view"
    bl_label = "Use Standard View"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[str]:
        scene = context.scene
        scene.display_settings.display_device = "sRGB"
        view = scene.view_settings
        view.view_transform = "Standard"
        view.look = "None"
        view.exposure = 0.0
        view.gamma = 1.0
        view.use_curve_mapping = False
        if hasattr(view, "use_white_balance"):  # since 4.3
            view.use_white_balance = False
        return {"FINISHED"}


class UNDERPAINT_OT_round_size(bpy.types.Operator):
    """Set the resolution to the nearest size that the models accept, a multiple of 8 each way"""

    bl_idname = "underpaint.round_size"
    bl_label = "Round Size"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[str]:
        nearest = nearest_size(cameras.frame(context.scene))
        images.set_size(context.scene, nearest)
        self.report({"INFO"}, f"The picture is {nearest.width} x {nearest.height} now")
        return {"FINISHED"}


class UNDERPAINT_OT_use_persistent_data(bpy.types.Operator):
    """Let Cycles keep the scene between two renders, which F12 needs to paint from the rendered scene"""

    bl_idname = "underpaint.use_persistent_data"
    bl_label = "Use Persistent Data"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[str]:
        context.scene.render.use_persistent_data = True
        return {"FINISHED"}


class UNDERPAINT_OT_new_seed(bpy.types.Operator):
    """Take another seed, for another picture with the same settings"""

    bl_idname = "underpaint.new_seed"
    bl_label = "New Seed"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Any) -> set[str]:
        import random

        context.scene.underpaint.seed = random.SystemRandom().randrange(2**31)
        return {"FINISHED"}


class UNDERPAINT_OT_choose_model(bpy.types.Operator):
    """Choose the model's file on this computer, or its folder: open that and leave the file name empty"""

    bl_idname = "underpaint.choose_model"
    bl_label = "Choose Model"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    filepath: StringProperty(subtype="FILE_PATH", options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: StringProperty(default="*.safetensors", options={"HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})
    target: EnumProperty(items=[(target, label, "") for target, label in _MODELS], options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: Any, _event: Any) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Any) -> set[str]:
        # The backend is another program: it knows nothing of Blender's "//".
        chosen = bpy.path.abspath(self.filepath).rstrip("/\\")
        if not chosen:
            self.report({"ERROR"}, "No file or folder was chosen")
            return {"CANCELLED"}
        holder, field = _place(context.scene.underpaint, self.target)
        if holder is None:
            self.report({"ERROR"}, f"No row is active that could have the {dict(_MODELS)[self.target]}")
            return {"CANCELLED"}
        setattr(holder, field, chosen)
        return {"FINISHED"}


class UNDERPAINT_OT_open_preferences(bpy.types.Operator):
    """Open Underpaint's preferences, where the backend is installed and started"""

    bl_idname = "underpaint.open_preferences"
    bl_label = "Open Preferences"
    bl_options = {"INTERNAL"}

    def execute(self, _context: Any) -> set[str]:
        package = __package__.rpartition(".")[0]
        if package in bpy.context.preferences.addons:
            return bpy.ops.preferences.addon_show(module=package)
        self.report({"ERROR"}, "Underpaint has preferences only where it is installed as an extension")
        return {"CANCELLED"}


register, unregister = of_classes(
    (
        UNDERPAINT_OT_use_standard_view,
        UNDERPAINT_OT_round_size,
        UNDERPAINT_OT_use_persistent_data,
        UNDERPAINT_OT_new_seed,
        UNDERPAINT_OT_choose_model,
        UNDERPAINT_OT_open_preferences,
    )
)

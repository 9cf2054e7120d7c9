"""LoRAs, image prompts, the second pass, and what else is asked of a picture."""

from typing import Any

import bpy

from ...protocol.models import ModelEntry, ModelKind
from .. import extras, model_list, operators_downloads, operators_extras
from .text import paragraph


def loras(layout: Any, context: Any) -> None:
    """The list of LoRAs, and the active one's weights."""
    group = context.scene.underpaint.extras
    _rows(layout, group, "loras", "active_lora", "UNDERPAINT_UL_loras")
    item = _active(group.loras, group.active_lora)
    if item is None:
        return
    column = _column(layout, item.enabled)
    _model(column, item, "lora", "LORA", ModelKind.LORA)
    column.prop(item, "weight", slider=True)
    row = column.row(heading="Text Weight")
    row.prop(item, "use_text_weight", text="")
    value = row.row()
    value.active = item.use_text_weight
    value.prop(item, "text_weight", text="", slider=True)


def embeddings(layout: Any, context: Any) -> None:
    """Textual inversions from elsewhere than the models folders."""
    group = context.scene.underpaint.extras
    _rows(layout, group, "embeddings", "active_embedding", "UNDERPAINT_UL_embeddings")
    item = _active(group.embeddings, group.active_embedding)
    if item is None:
        note = layout.row()
        note.active = False
        note.label(text="Those in the models folders work by their names")
        return
    column = _column(layout, True)
    _model(column, item, "embedding", "EMBEDDING", ModelKind.EMBEDDING)
    column.prop(item, "token", placeholder="The file's own")


def image_prompts(layout: Any, context: Any) -> None:
    """Pictures as prompts."""
    group = context.scene.underpaint.extras
    _rows(layout, group, "image_prompts", "active_image_prompt", "UNDERPAINT_UL_image_prompts")
    item = _active(group.image_prompts, group.active_image_prompt)
    if item is None:
        return
    column = _column(layout, item.enabled)
    column.template_ID(item, "image", open="image.open", text="Image")
    _model(column, item, "adapter", "ADAPTER", ModelKind.IP_ADAPTER)
    column.prop(item, "scale", slider=True)
    part = column.column(align=True)
    part.prop(item, "start")
    part.prop(item, "end")
    row = column.row(align=True)
    row.prop(item, "image_encoder", text="Encoder", placeholder="Beside the adapter")
    row.operator("underpaint.choose_model", text="", icon="FILE_FOLDER").target = "IMAGE_ENCODER"
    problem = extras.problem_of(item)
    if problem and item.enabled:
        paragraph(layout.box(), context, problem, icon="ERROR")


def second_pass(layout: Any, context: Any) -> None:
    """What the second pass does; its switch stands in the panel's header."""
    item = context.scene.underpaint.extras.second_pass
    column = _column(layout, item.use)
    column.prop(item, "factor")
    column.prop(item, "strength", slider=True)
    column.prop(item, "steps")
    column.prop(item, "use_tiles")
    tiles = column.column(align=True)
    tiles.active = item.use_tiles
    tiles.prop(item, "tile_px")
    tiles.prop(item, "overlap_px")
    net = column.column()
    net.active = item.use_tiles
    row = net.row(align=True)
    row.prop(item, "tile_controlnet", text="Tile Net", placeholder="None")
    row.operator("underpaint.choose_model", text="", icon="FILE_FOLDER").target = "TILE_CONTROLNET"
    net.prop(item, "tile_scale", slider=True)


def more(layout: Any, context: Any) -> None:
    """Settings that are seldom touched."""
    group = context.scene.underpaint.extras
    column = _column(layout, True)
    row = column.row(align=True)
    row.prop(group, "vae", placeholder="The checkpoint's own")
    row.operator("underpaint.choose_model", text="", icon="FILE_FOLDER").target = "VAE"
    column.prop(group, "clip_skip")
    column.prop(group, "seamless")
    column.prop(group, "plain_prompt")
    row = column.row(align=True)
    row.prop(group, "safety_checker", text="Safety", placeholder="None")
    row.operator("underpaint.choose_model", text="", icon="FILE_FOLDER").target = "SAFETY_CHECKER"


def advice(layout: Any, context: Any) -> None:
    """What models of the scene were trained for, where the scene has it otherwise, with its one-click remedy."""
    for entry in operators_extras.advised(context.scene):
        box = layout.box()
        paragraph(box, context, f"{entry.title} was trained for {_wanted(entry)}.", icon="INFO")
        button = box.operator("underpaint.use_advice")
        button.model, button.kind = entry.reference, entry.kind.name


def folders(layout: Any, context: Any) -> None:
    """The folders that are looked through, for the preferences."""
    page = model_list.page()
    column = layout.column(align=True)
    for folder in page.folders:
        row = column.row()
        row.label(text=folder.path, icon="ERROR" if folder.problem else "FILE_FOLDER")
        if folder.origin not in ("underpaint", "hugging_face"):
            row.operator("underpaint.remove_models_folder", text="", icon="X").folder = folder.path
        if folder.problem:
            paragraph(column, context, folder.problem)
    row = layout.row(align=True)
    row.operator("underpaint.add_models_folder", icon="ADD")
    row.operator("underpaint.refresh_models", icon="FILE_REFRESH")
    download(layout, context)
    if model_list.problem():
        paragraph(layout.box(), context, model_list.problem(), icon="ERROR")
    elif page.models:
        working = sum(not entry.problem for entry in page.models)
        busy = ", still looking" if page.scanning else ""
        layout.label(text=f"{working} models that work, {len(page.models) - working} that don't{busy}")


def download(layout: Any, context: Any) -> None:
    """The button that offers models from the hub, or the progress of the one that is fetched."""
    for job in operators_downloads.running:
        row = layout.row(align=True)
        row.progress(factor=job.fraction, text="Cancelling" if job.cancelling else job.note or job.request.reference)
        row.operator("underpaint.cancel_download", text="", icon="CANCEL")
    if not operators_downloads.running:
        layout.operator("underpaint.pick_download", icon="IMPORT")
    if operators_downloads.failure:
        paragraph(layout.box(), context, operators_downloads.failure, icon="ERROR")


class UNDERPAINT_UL_loras(bpy.types.UIList):
    """The LoRAs"""

    def draw_item(
        self,
        _context: Any,
        layout: Any,
        _data: Any,
        item: Any,
        _icon: int,
        _active: Any,
        _property: str,
        _index: int = 0,
    ) -> None:
        name = _row(layout, item)
        name.label(text=_short(item.lora) or "Choose one below")
        weight = layout.row()
        weight.active, weight.ui_units_x = item.enabled, 4
        weight.prop(item, "weight", text="", slider=True)


class UNDERPAINT_UL_embeddings(bpy.types.UIList):
    """The embeddings"""

    def draw_item(
        self,
        _context: Any,
        layout: Any,
        _data: Any,
        item: Any,
        _icon: int,
        _active: Any,
        _property: str,
        _index: int = 0,
    ) -> None:
        layout.label(text=item.token or _short(item.embedding) or "Choose one below", icon="FONT_DATA")


class UNDERPAINT_UL_image_prompts(bpy.types.UIList):
    """The pictures that are prompts"""

    def draw_item(
        self,
        _context: Any,
        layout: Any,
        _data: Any,
        item: Any,
        _icon: int,
        _active: Any,
        _property: str,
        _index: int = 0,
    ) -> None:
        name = _row(layout, item)
        icon = 0 if item.image is None else layout.icon(item.image)
        name.label(text="Choose a picture" if item.image is None else item.image.name, icon_value=icon)
        scale = layout.row()
        scale.active, scale.ui_units_x = item.enabled, 4
        scale.prop(item, "scale", text="", slider=True)


def _row(layout: Any, item: Any) -> Any:
    row = layout.row(align=True)
    row.prop(item, "enabled", text="")
    name = row.row()
    name.active = item.enabled
    return name


def _rows(layout: Any, group: Any, name: str, active: str, kind: str) -> None:
    row = layout.row()
    row.template_list(kind, "", group, name, group, active, rows=3 if len(getattr(group, name)) else 2)
    side = row.column(align=True)
    side.operator("underpaint.extra_add", text="", icon="ADD").list = name
    side.operator("underpaint.extra_remove", text="", icon="REMOVE").list = name


def _active(rows: Any, index: int) -> Any:
    return rows[index] if 0 <= index < len(rows) else None


def _column(layout: Any, active: bool) -> Any:
    layout.use_property_split = True
    layout.use_property_decorate = False
    column = layout.column()
    column.active = active
    return column


def _model(layout: Any, item: Any, field: str, target: str, kind: ModelKind) -> None:
    """A model's field with its file chooser, and what is known of the model below."""
    row = layout.row(align=True)
    row.prop(item, field)
    row.operator("underpaint.choose_model", text="", icon="FILE_FOLDER").target = target
    entry = model_list.known(getattr(item, field), kind)
    if entry is None:
        return
    _note(layout, entry.problem or model_list.described(entry))
    if entry.words:
        _note(layout, f"Called up by: {', '.join(entry.words[:6])}")


def _note(layout: Any, text: str) -> None:
    """Quiet words below a field."""
    split = layout.split(factor=0.4)
    split.active = False
    split.label(text="")
    split.label(text=text)


def _wanted(entry: ModelEntry) -> str:
    advice = entry.advice
    assert advice is not None
    told = []
    if advice.steps is not None:
        told.append(f"{advice.steps} steps")
    if advice.guidance_scale is not None:
        told.append(f"guidance {advice.guidance_scale:g}")
    if advice.scheduler is not None:
        told.append(advice.scheduler.removesuffix("Scheduler"))
    if advice.clip_skip is not None:
        told.append(f"clip skip {advice.clip_skip}")
    return ", ".join(told)


def _short(reference: str) -> str:
    return reference.replace("\\", "/").rstrip("/").rpartition("/")[2].removesuffix(".safetensors")


LISTS = (UNDERPAINT_UL_loras, UNDERPAINT_UL_embeddings, UNDERPAINT_UL_image_prompts)

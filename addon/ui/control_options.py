"""What may be chosen about one control: what it is taken from, and how its map is made."""

from typing import Any

from ...protocol.options import (
    DepthOptions,
    DetectorOptions,
    LineOptions,
    NormalOptions,
    PictureOptions,
    PoseOptions,
    SegmentationOptions,
)
from ...protocol.request import ControlKind
from .. import controls, kinds, openpose_text, option_settings
from .text import paragraph


def source(layout: Any, context: Any, item: Any) -> None:
    """What the control is taken from: the scene, or an image."""
    kind = ControlKind[item.kind]
    column = layout.column()
    column.template_ID(item, "image", open="image.open", text="Image")
    if item.image is None:
        if kind is ControlKind.OPENPOSE:
            column.template_ID(item, "pose_text", open="underpaint.import_openpose", text="OpenPose")
        note = column.row()
        note.active = False
        if kind is ControlKind.OPENPOSE and item.pose_text is not None:
            told = openpose_text.described(item.pose_text, item.id_data)
            note.label(text=told, icon="ARMATURE_DATA")
        else:
            rendered = kind in kinds.PICTURES
            note.label(text="The scene is rendered for it" if rendered else "Taken from the scene", icon="SCENE_DATA")
    else:
        column.prop(item, "image_is", expand=True)
        if controls.options_of(item) is DetectorOptions:
            column.prop(item, "detector")
    if kind is ControlKind.INPAINT and not (item.image is not None and item.image_is == "MAP"):
        column.prop(item, "mask_from")
        if item.mask_from == "OBJECTS":
            column.prop(item, "mask_object")
            column.prop(item, "mask_collection")
        elif item.mask_from == "IMAGE":
            column.template_ID(item, "mask_image", open="image.open", text="Mask Image")
    problem = controls.problem_of(item)
    if problem:
        paragraph(layout.box(), context, problem, icon="ERROR")


def options(layout: Any, item: Any) -> None:
    """How the map is made, in a panel of its own that is closed at first."""
    chosen = controls.options_of(item)
    if chosen is None:
        return
    header, body = layout.panel("underpaint_map_options", default_closed=True)
    header.label(text="Control Map")
    if body is None:
        return
    body.use_property_split = True
    body.use_property_decorate = False
    group = getattr(item, option_settings.GROUPS[chosen])
    if chosen is DetectorOptions:
        _detection(body, item, group)
    elif chosen is PictureOptions:
        _picture(body, item, group)
    elif chosen is LineOptions:
        _lines(body, item, group)
    else:
        _DRAWN[chosen](body, group)


def _depth(layout: Any, group: Any) -> None:
    layout.prop(group, "encoding")
    column = layout.column(align=True)
    column.prop(group, "use_range")
    limits = column.column(align=True)
    limits.active = group.use_range
    limits.prop(group, "near_m")
    limits.prop(group, "far_m")
    buttons = layout.column(align=True)
    buttons.operator("underpaint.lock_depth_to_frame", icon="LOCKED")
    buttons.operator("underpaint.lock_depth_over_range", icon="PREVIEW_RANGE")
    outliers = layout.column()
    outliers.active = not group.use_range
    _switched(outliers, group, "outliers")
    _switched(layout, group, "floor")
    layout.prop(group, "invert")


def _normal(layout: Any, group: Any) -> None:
    layout.prop(group, "encoding")
    layout.prop(group, "swap_red_blue")
    if group.encoding == "MIDAS":
        _switched(layout, group, "background_threshold")


def _pose(layout: Any, group: Any) -> None:
    layout.prop(group, "hidden")
    column = layout.column(heading="Draw")
    column.prop(group, "hands")
    column.prop(group, "face")
    _switched(layout, group, "stick_px")
    _switched(layout, group, "joint_px")


def _lines(layout: Any, item: Any, group: Any) -> None:
    column = layout.column(heading="Draw")
    column.prop(group, "silhouettes")
    column.prop(group, "objects")
    column.prop(group, "materials")
    column.prop(group, "creases")
    angle = layout.column()
    angle.active = group.creases
    angle.prop(group, "crease_deg")
    if item.kind not in ("CANNY", "MLSD"):  # always one pixel wide
        _switched(layout, group, "width_px")
    _switched(layout, group, "shortest_px")
    if item.kind == "SOFTEDGE":
        _switched(layout, group, "levels")


def _segmentation(layout: Any, group: Any) -> None:
    layout.prop(group, "colours")
    layout.prop(group, "background")
    layout.prop(group, "seed")


def _picture(layout: Any, item: Any, group: Any) -> None:
    if item.kind in ("BLUR", "LOW_QUALITY"):
        _switched(layout, group, "blur_px")
    if item.kind in ("TILE", "LOW_QUALITY"):
        _switched(layout, group, "shrink")
    if item.kind == "INPAINT":
        layout.prop(group, "grow_px")
    if item.kind == "SHUFFLE":
        layout.prop(group, "seed")


def _detection(layout: Any, item: Any, group: Any) -> None:
    detector = controls.detector_of(item)
    _switched(layout, group, "resolution_px")
    for name in controls.DETECTOR_OPTIONS.get(detector, ()):
        if name == "thresholds":
            column = layout.column(align=True)
            column.prop(group, "use_thresholds")
            limits = column.column(align=True)
            limits.active = group.use_thresholds
            limits.prop(group, "low")
            limits.prop(group, "high")
        elif hasattr(group, f"use_{name}"):
            _switched(layout, group, name)
        else:
            layout.prop(group, name)


def _switched(layout: Any, group: Any, name: str) -> None:
    """A setting that is Auto until it is switched on, as Blender draws those."""
    switch = f"use_{name}"
    row = layout.row(align=True, heading=group.bl_rna.properties[name].name)
    row.prop(group, switch, text="")
    value = row.row(align=True)
    if getattr(group, switch):
        value.prop(group, name, text="")
    else:
        value.active = False
        value.label(text="Auto")


_DRAWN = {
    DepthOptions: _depth,
    NormalOptions: _normal,
    PoseOptions: _pose,
    SegmentationOptions: _segmentation,
}

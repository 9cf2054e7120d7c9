"""What properties call when they are set, asked or offered.

Nothing here may refer to bpy, or to a module that does, outside a function: Blender never lets go of a
property's callback, and bpy 4.2 crashes at exit while a callback's module holds on to it.
"""

from typing import Any


def is_usable_image(_self: Any, image: Any) -> bool:
    """Images with pixels of their own, which stay.

    The Render Result has none to read, a movie those of no certain frame, and the control maps that are being looked
    at are drawn anew all the time.
    """
    from . import map_images

    return image.source in {"FILE", "GENERATED", "TILED"} and map_images.is_lasting(image)


def search_ade20k(_self: Any, _context: Any, typed: str) -> list[str]:
    """ADE20K's classes that what was typed may mean."""
    from ..protocol import ade20k

    return [ade20k.NAMES[number] for number in ade20k.classes(typed)]


def detector_items(control: Any, _context: Any) -> list[tuple[str, str, str, int]]:
    """The detectors for a control's kind."""
    from ..protocol.request import ControlKind
    from .kinds import DETECTOR_ITEMS

    return DETECTOR_ITEMS[ControlKind[control.kind]]


def control_changed(_control: Any, _context: Any) -> None:
    """The maps that are being looked at may be other ones now."""
    from . import inspector

    inspector.touch()


def controls_changed(control: Any, context: Any) -> None:
    """Other controls take part, so the render result gets other passes."""
    from . import passes

    passes.refresh(control.id_data)
    control_changed(control, context)


def kind_changed(control: Any, context: Any) -> None:
    """Another kind has other detectors, and another name, unless the user has given it one."""
    from .kinds import KINDS, label_of

    if control.name in {label for _, label, *_ in KINDS}:
        control.name = label_of(control.kind)
    if not control.detector:  # one that the new kind doesn't have
        control.detector = "AUTO"
    controls_changed(control, context)


def active_control_changed(_settings: Any, _context: Any) -> None:
    """Show the map of the control that was clicked."""
    from . import inspector

    inspector.show_active()


def class_changed(thing: Any, _context: Any) -> None:
    """A thing got another class: another map of the same geometry."""
    from . import inspector

    inspector.expect_change(thing.id_data)
    inspector.touch()


def active_thing(state: Any) -> int:
    """The index of the list's active object in bpy.data.objects; -1 where there is none."""
    import bpy

    return bpy.data.objects.find(state.thing_name)


def set_active_thing(state: Any, index: int) -> None:
    """Remember an object by its name, as the order of bpy.data.objects changes with every new one."""
    import bpy

    if 0 <= index < len(bpy.data.objects):
        state.thing_name = bpy.data.objects[index].name


def keep_far(depth: Any, context: Any) -> None:
    """What is near can't be farther than what is far."""
    if depth.far_m <= depth.near_m:
        depth.far_m = depth.near_m * 1.01 + 1e-4
    control_changed(depth, context)


def keep_near(depth: Any, context: Any) -> None:
    """What is far can't be nearer than what is near."""
    if depth.near_m >= depth.far_m:
        depth.near_m = depth.far_m * 0.99 - 5e-5
    control_changed(depth, context)


def keep_shades(lines: Any, context: Any) -> None:
    """One shade of grey would be no line at all."""
    if lines.levels == 1:
        lines.levels = 2
    control_changed(lines, context)


def keep_end(control: Any, _context: Any) -> None:
    """A control can't stop before it starts."""
    if control.end < control.start:
        control.end = control.start


def keep_start(control: Any, _context: Any) -> None:
    """A control can't start after it stops."""
    if control.start > control.end:
        control.start = control.end


def active_result(state: Any) -> int:
    """The index of the history's active picture in bpy.data.images; -1 where there is none."""
    import bpy

    return bpy.data.images.find(state.result_name)


def set_active_result(state: Any, index: int) -> None:
    """Remember a picture by its name, as the order of bpy.data.images changes with every new one."""
    import bpy

    if 0 <= index < len(bpy.data.images):
        state.result_name = bpy.data.images[index].name


def show_active_result(state: Any, context: Any) -> None:
    """Bring the picture that was clicked in the history into an Image Editor."""
    import bpy

    from . import images

    image = bpy.data.images.get(state.result_name)
    if image is not None:
        images.show(image, context)


def mapping_changed(group: Any, _context: Any) -> None:
    """Let the depsgraph look at the armature again: a script that sets a property doesn't make it."""
    armature = group.id_data
    if armature.override_library is not None:
        # What an override says of a group is lost in 5.0 where the group is not there in the linked data; asking
        # for it makes it.
        len(armature.override_library.reference.underpaint.bones)
    armature.update_tag()


def search_checkpoints(_self: Any, _context: Any, typed: str) -> list[tuple[str, str]]:
    """The checkpoints on this computer that what was typed may mean."""
    return _models("CHECKPOINT", typed)


def search_controlnets(_self: Any, _context: Any, typed: str) -> list[tuple[str, str]]:
    """The ControlNets, likewise."""
    return _models("CONTROLNET", typed)


def search_loras(_self: Any, _context: Any, typed: str) -> list[tuple[str, str]]:
    """The LoRAs, likewise."""
    return _models("LORA", typed)


def search_embeddings(_self: Any, _context: Any, typed: str) -> list[tuple[str, str]]:
    """The textual inversions, likewise."""
    return _models("EMBEDDING", typed)


def search_adapters(_self: Any, _context: Any, typed: str) -> list[tuple[str, str]]:
    """The IP-Adapters, likewise."""
    return _models("IP_ADAPTER", typed)


def search_image_encoders(_self: Any, _context: Any, typed: str) -> list[tuple[str, str]]:
    """The image encoders, likewise."""
    return _models("IMAGE_ENCODER", typed)


def search_vaes(_self: Any, _context: Any, typed: str) -> list[tuple[str, str]]:
    """The VAEs, likewise."""
    return _models("VAE", typed)


def search_safety_checkers(_self: Any, _context: Any, typed: str) -> list[tuple[str, str]]:
    """The safety checkers, likewise."""
    return _models("SAFETY_CHECKER", typed)


def _models(kind: str, typed: str) -> list[tuple[str, str]]:
    """What a field takes, and what tells it from others; what can't be used is left out."""
    from ..protocol.models import ModelKind
    from . import model_list

    wanted = typed.casefold()
    return [
        (entry.reference, model_list.described(entry))
        for entry in model_list.offered(ModelKind[kind])
        if not entry.problem and wanted in f"{entry.reference} {entry.title}".casefold()
    ]

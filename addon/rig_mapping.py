"""What an armature keeps of the bones that a user maps to a person's points, and what is found without the user."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, IntProperty, PointerProperty, StringProperty

from . import callbacks
from .pose.humanoid import vrm
from .pose.mapping import is_nobody, of
from .pose.match import ANY, match
from .pose.points import GROUPS, POINTS, REQUIRED, SIDES
from .pose.tokens import by_tokens
from .registration import of_classes

_OVERRIDABLE = {"LIBRARY_OVERRIDABLE"}


def short(name: str) -> str:
    """A name that fits into a sidebar: "L Hand"."""
    side, _, rest = name.partition(" ")
    return f"{side[0].upper()} {rest.capitalize()}" if side.lower() in SIDES else name.capitalize()


class UNDERPAINT_PG_point(bpy.types.PropertyGroup):
    """A point of a person, and the bone that marks it"""

    name: StringProperty(name="Point", override=_OVERRIDABLE)
    bone: StringProperty(
        name="Bone",
        description="The bone whose head lies at this point. Empty takes the one that is found by its name",
        update=callbacks.mapping_changed,
        override=_OVERRIDABLE,
    )


class UNDERPAINT_PG_armature(bpy.types.PropertyGroup):
    """How Underpaint reads this armature"""

    bones: CollectionProperty(type=UNDERPAINT_PG_point, override={"LIBRARY_OVERRIDABLE", "USE_INSERTION"})
    not_a_person: BoolProperty(
        name="Not a Person",
        description="An animal, a machine or a prop: leave it out of the pose, and don't speak of it",
        update=callbacks.mapping_changed,
        override=_OVERRIDABLE,
    )
    active: IntProperty(name="Active Point", description="The point that is shown below", override=_OVERRIDABLE)
    group: EnumProperty(
        name="Points",
        description="The part of a person whose points are listed",
        items=[
            (name.upper().replace(" ", "_"), short(name), f"{name}: {len(points)} points", number)
            for number, (name, points) in enumerate(GROUPS.items())
        ],
        override=_OVERRIDABLE,
    )


# ------------------------------------------------------------------------------------ reading


def armature_of(context: Any) -> Any | None:
    """The armature's data that the editor is about: the Properties editor's, or the active object's."""
    pinned = getattr(context, "armature", None)
    if pinned is not None:
        return pinned
    active = context.object
    return active.data if active is not None and active.type == "ARMATURE" else None


def bones_of(armature: Any) -> Any:
    """The bones as they are now, also while they are edited."""
    return armature.edit_bones if armature.is_editmode else armature.bones


def guessed(armature: Any) -> Mapping[str, str]:
    """What is found without the user, by point, however little it is.

    A rig's table, the VRM add-on's humanoid, or else the words in the bones' names.
    """
    names = tuple(bones_of(armature).keys())
    found = match(names)
    if found is None or found.missing or found.rig is ANY:
        told = {point: bone for point, bone in vrm(armature).items() if bone in names}
        if all(point in told for point in REQUIRED):
            return told
    return _in_words(names) if found is None else found.bones


@functools.lru_cache(maxsize=8)  # the list asks for each of its rows
def _in_words(names: tuple[str, ...]) -> Mapping[str, str]:
    return by_tokens(names)


def shown_points(armature: Any) -> tuple[str, ...]:
    """The points of the group that is listed."""
    number = armature.underpaint.bl_rna.properties["group"].enum_items[armature.underpaint.group].value
    return tuple(GROUPS.values())[number]


def unsettled(names: Iterable[str]) -> list[str]:
    """Of armature objects that a pose had to leave out, those that still are what they were."""
    found: list[str] = []
    for name in names:
        thing = bpy.data.objects.get(name)
        if thing is None or thing.type != "ARMATURE" or is_nobody(thing.data):
            continue
        if not all(point in {**guessed(thing.data), **(of(thing.data) or {})} for point in REQUIRED):
            found.append(name)
    return found


# ------------------------------------------------------------------------------------ writing


def _entries(armature: Any) -> dict[str, Any]:
    """An entry for every point; those that are not there yet are made."""
    if armature.override_library is not None:
        # What an override says of a group is lost in 5.0 where the group is not there in the linked data; asking
        # for it makes it.
        len(armature.override_library.reference.underpaint.bones)
    group = armature.underpaint
    there = {item.name for item in group.bones}
    for point in POINTS:
        if point not in there:
            group.bones.add().name = point
    return {item.name: item for item in group.bones}


def put(armature: Any, chosen: Mapping[str, str]) -> None:
    entries = _entries(armature)
    for point, bone in chosen.items():
        entries[point].bone = bone


_register_classes, _unregister_classes = of_classes((UNDERPAINT_PG_point, UNDERPAINT_PG_armature))


def register() -> None:
    _register_classes()
    bpy.types.Armature.underpaint = PointerProperty(
        type=UNDERPAINT_PG_armature, name="Underpaint", override=_OVERRIDABLE
    )


def unregister() -> None:
    del bpy.types.Armature.underpaint
    _unregister_classes()

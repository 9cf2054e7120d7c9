"""Which of ADE20K's classes each thing in a scene has: what the user says, and where nothing is said, its name.

A material's class comes before its object's, that before the nearest collection's; then the names of the object, of
the material and of the collections are asked. Nothing here may refer to bpy at import: property callbacks come by.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..protocol.ade20k import class_of, guess
from ..protocol.arrays import Int32Array
from ..protocol.errors import InvalidRequest
from ..protocol.sources import Segment

WITHOUT_SURFACE = {"ARMATURE", "LATTICE", "EMPTY", "CAMERA", "LIGHT", "SPEAKER", "LIGHT_PROBE"}
"""The types of object that no pixel shows."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """The class of a thing."""

    ade20k: int | None  # None is without a class
    guessed: bool = False  # by a name; nobody has said it


@dataclass(frozen=True, kw_only=True)
class Classes:
    """What is known of a scene's things, by their `name_full`, as plain Python."""

    objects: Mapping[str, Label]  # by the object or its collections; guessed by the object's name alone
    materials: Mapping[str, Label]
    collections: Mapping[str, Label]  # by the object: what the names of its collections let guess

    def of(self, thing: str, material: str) -> Label:
        """The class of an object where it shows a material; "" is no material."""
        own = self.objects.get(thing, _NONE)
        painted = self.materials.get(material, _NONE)
        said = [label for label in (painted, own) if label.ade20k is not None and not label.guessed]
        guessed = [label for label in (own, painted, self.collections.get(thing, _NONE)) if label.ade20k is not None]
        return next(iter((*said, *guessed)), _NONE)


_NONE = Label(ade20k=None, guessed=True)


def classes(scene: Any) -> Classes:
    """The classes of everything that a scene could show. Raises InvalidRequest for one that doesn't exist."""
    import bpy

    collections = (scene.collection, *bpy.data.collections)
    parents = _parents(collections)
    holding: dict[Any, list[Any]] = {}  # `users_collection` goes through all collections for each object
    for collection in collections:
        for thing in collection.objects:
            holding.setdefault(thing, []).append(collection)
    objects: dict[str, Label] = {}
    around: dict[str, Label] = {}
    for thing in bpy.data.objects:
        own = _said(thing)
        levels = list(_levels(holding.get(thing, ()), parents))
        if own is None:
            own = next((found for level in levels for found in map(_said, level) if found is not None), None)
        objects[thing.name_full] = own or Label(ade20k=guess(thing.name), guessed=True)
        guesses = (guess(collection.name) for level in levels for collection in level)
        around[thing.name_full] = Label(ade20k=next((it for it in guesses if it is not None), None), guessed=True)
    return Classes(
        objects=objects,
        materials={
            material.name_full: _said(material) or Label(ade20k=guess(material.name), guessed=True)
            for material in bpy.data.materials
        },
        collections=around,
    )


def label_of(thing: Any) -> Label:
    """The class of an object, a material or a collection by itself; of one that doesn't exist, none."""
    import bpy

    said = class_of(thing.underpaint.ade20k)
    if said is not None:
        return Label(ade20k=said)
    own = guess(thing.name)
    if isinstance(thing, bpy.types.Material):
        return Label(ade20k=own, guessed=True)
    parents = _parents(bpy.data.collections)
    around = thing.users_collection if isinstance(thing, bpy.types.Object) else parents.get(thing, ())
    levels = [collection for level in _levels(around, parents) for collection in level]
    for collection in levels:
        said = class_of(collection.underpaint.ade20k)
        if said is not None:
            return Label(ade20k=said)
    guesses = (own, *(guess(collection.name) for collection in levels))
    return Label(ade20k=next((it for it in guesses if it is not None), None), guessed=True)


def in_view(scene: Any, view_layer: Any) -> set[str]:
    """The `name_full` of what could be seen in a render: with what collections' instances show.

    Where the maps of the scene are being looked at, what the camera really sees.
    """
    from . import inspector

    seen = inspector.seen_things(scene)
    if seen is not None:
        return seen
    pending = [thing for thing in view_layer.objects if not thing.hide_render]
    found: set[str] = set()
    entered: set[Any] = set()
    while pending:
        thing = pending.pop()
        if thing.type not in WITHOUT_SURFACE:
            found.add(thing.name_full)
        instanced = thing.instance_collection if thing.instance_type == "COLLECTION" else None
        if instanced is not None and instanced not in entered:
            entered.add(instanced)
            pending += [inner for inner in instanced.all_objects if not inner.hide_render]
    return found


def segments(
    object_ids: Int32Array,
    object_names: tuple[str, ...],
    material_ids: Int32Array,
    material_names: tuple[str, ...],
    known: Classes,
) -> tuple[Int32Array, tuple[Segment, ...]]:
    """Which segment each pixel shows, -1 for the background, and the segments.

    Each object is one, and one more for each other class that its materials give it. All that could be seen
    are listed, in the order of the names, so that a segment's number is the same in every frame.
    """
    width = len(material_names) + 1
    pairs = object_ids.astype(np.int64) * width + material_ids
    found, places = np.unique(pairs, return_inverse=True)
    listed = [Segment(name=name, ade20k=known.of(name, "").ade20k) for name in object_names]
    numbers: dict[tuple[int, int | None], int] = {}
    for number, segment in enumerate(listed):
        numbers[number, segment.ade20k] = number
    table = np.full(len(found), -1, np.int32)
    for place, pair in enumerate(found.tolist()):
        which, painted = divmod(pair, width)
        if which == 0:
            continue
        name = object_names[which - 1]
        label = known.of(name, material_names[painted - 1] if painted else "")
        key = which - 1, label.ade20k
        if key not in numbers:
            numbers[key] = len(listed)
            listed.append(Segment(name=f"{name} ({material_names[painted - 1]})", ade20k=label.ade20k))
        table[place] = numbers[key]
    return table[places].reshape(object_ids.shape), tuple(listed)


def _said(thing: Any) -> Label | None:
    """The class that the user has given a thing; None where none is given."""
    name = thing.underpaint.ade20k
    if not name:
        return None
    number = class_of(name)
    if number is None:
        kind = thing.bl_rna.name.lower()
        raise InvalidRequest(
            reason=f'the {kind} "{thing.name}" has the class "{name}", which is none of ADE20K\'s 150; choose another'
        )
    return Label(ade20k=number)


def _parents(collections: Iterable[Any]) -> dict[Any, list[Any]]:
    """The collections that each lies in."""
    found: dict[Any, list[Any]] = {}
    for collection in collections:
        for child in collection.children:
            found.setdefault(child, []).append(collection)
    return found


def _levels(collections: Iterable[Any], parents: Mapping[Any, list[Any]]) -> Iterator[list[Any]]:
    """An object's collections, then those around them, and so on."""
    level, seen = list(collections), set()
    while level:
        yield level
        seen.update(level)
        level = [outer for inner in level for outer in parents.get(inner, ()) if outer not in seen]

"""People in an evaluated depsgraph: which armatures are one, and where their joints are in the world.

Only reads, so it may run in the render thread; what it returns holds no reference to Blender's data.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from . import mapping, skin
from .face import Features, Points
from .humanoid import identify
from .match import unmapped
from .plan import Frame, Plan, Rest, plan, upright

_FARTHEST_M = 1e9  # what is farther away can't be seen; Blender keeps infinity as 3e38
_LIMBS = np.arange(2, 14)  # of the body's points, shoulders to ankles
_SAME = 0.3  # of the head bone, 6 cm for a grown man: nobody's limbs are all so near to somebody else's
_FEWEST_BONES = 12  # of a skinned armature that may be a person with names of its own: one for each limb's joint


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One person in the world, in metres. Left and right are the person's own."""

    name: str  # the armature object's
    objects: frozenset[str]  # full names of the objects that are the person: skin, clothes, hair, what it carries
    points: Points  # (130, 3), as `plan` counts them; NaN where the rig has no such point
    outward: Points  # (130, 3), unit: where the face's points look; NaN for body and hands
    head_m: float  # length of the head bone, or what it would be in Rigify's human: 0.2 for a grown man


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """An armature that may be a person, and whose bones don't say: nobody has mapped it or said that it is none."""

    name: str  # the armature object's
    objects: frozenset[str]  # full names of the objects that it deforms or carries


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Every person of one frame, in view or not."""

    figures: tuple[Figure, ...]
    strangers: tuple[Stranger, ...] = ()


def observe(depsgraph: Any, *, strict: bool = True) -> Observed:
    """The people of an evaluated scene, each instance of a collection for itself.

    A person is an armature with the bones of one, that deforms or carries a mesh which is rendered.
    Armatures on their own count where no such person is: they stand in for characters to come. (Next to
    a character they are what it was made with: a metarig, the source of a retargeting.)
    Raises UnmappedRig for a person some of whose joints are not found, and for a skinned armature with
    unknown names where there is nobody else; unless `strict` is off. Who is left out is among the strangers.
    An armature that the user has marked as not a person is neither.
    """
    cast = _Cast(depsgraph, strict=strict)
    bodies_first = sorted(cast.skinned, key=lambda item: _depth(item.armature))
    people = _one_in_a_place([figure for item in bodies_first if (figure := cast.figure(item))])
    if not people:
        people = [figure for item in cast.bare if (figure := cast.figure(item))]
    if strict and not people and cast.strangers:
        raise unmapped(next(iter(cast.strangers)), None)
    return Observed(figures=tuple(people), strangers=tuple(cast.strangers.values()))


def _depth(thing: Any) -> int:
    """How many objects carry one."""
    depth = 0
    while (thing := thing.parent) is not None:
        depth += 1
    return depth


def _one_in_a_place(figures: list[Figure]) -> list[Figure]:
    """The figures without those whose limbs lie in another's, which gets their objects.

    Such is a garment with an armature of its own, that has the body's bones and moves with them. The first of
    them is taken for the body.
    """
    kept: list[Figure] = []
    joints = np.empty((len(figures), len(_LIMBS), 3))
    for figure in figures:
        own = figure.points[_LIMBS]
        apart = np.linalg.norm(joints[: len(kept)] - own, axis=-1)
        with np.errstate(invalid="ignore"):  # a joint that a rig lacks, as wrists may be, is apart from none
            same = np.flatnonzero(~(apart > _SAME * figure.head_m).any(axis=1))
        if same.size:
            body = kept[same[0]]
            kept[same[0]] = replace(body, objects=body.objects | figure.objects)
        else:
            joints[len(kept)] = own
            kept.append(figure)
    return kept


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """An armature object, evaluated, at one place in the world."""

    armature: Any
    world: Points  # (4, 4)


@dataclass(kw_only=True)
class _Body:
    """What belongs to one armature, wherever it is instanced."""

    armature: Any  # evaluated
    meshes: dict[int, Any] = field(default_factory=dict)  # evaluated, as they stand where they are no instance
    objects: set[str] = field(default_factory=set)


class _Unplanned(Enum):
    """Why an armature has no plan."""

    NOBODY = "nobody"  # a horse, a door, or what the user says is no person
    STRANGER = "stranger"


class _Cast:
    """Who is in a depsgraph. Lives for one call, since it holds on to evaluated data."""

    def __init__(self, depsgraph: Any, *, strict: bool) -> None:
        self.skinned: list[_Placed] = []  # armatures with rendered meshes, each place once
        self.bare: list[_Placed] = []
        self.strangers: dict[str, Stranger] = {}  # by the armature object's name
        self._places: set[tuple[Any, ...]] = set()
        self._bodies: dict[int, _Body] = {}  # by the armature's address
        self._plans: dict[tuple[Any, ...], Plan | _Unplanned] = {}
        self._depsgraph = depsgraph
        self._strict = strict
        self._collect()

    def _collect(self) -> None:
        owners: dict[int, tuple[Any, ...]] = {}  # an object's armatures, by its address
        inverses: dict[int, Points] = {}
        for instance in self._depsgraph.object_instances:
            thing = instance.object  # valid until the next instance
            address = thing.original.as_pointer()
            armatures = owners.get(address)
            if armatures is None:
                armatures = owners[address] = self._enter(thing, address)
            if not armatures or not instance.show_self:  # of thousands of leaves, nothing more is asked
                continue
            if thing.type == "ARMATURE":
                self._add(self.bare, armatures[0], np.array(instance.matrix_world, np.float64))
                continue
            for armature in armatures:
                world = np.array(armature.matrix_world, np.float64)
                if instance.is_instance:
                    if address not in inverses:
                        inverses[address] = np.array(self._evaluated(thing).matrix_world.inverted_safe(), np.float64)
                    world = np.array(instance.matrix_world, np.float64) @ inverses[address] @ world
                self._add(self.skinned, armature, world)

    def _enter(self, thing: Any, address: int) -> tuple[Any, ...]:
        """Note what an object that is rendered belongs to; the armatures that it makes people of, evaluated."""
        kind = thing.type
        if thing.hide_render or kind in ("EMPTY", "LIGHT", "CAMERA"):
            return ()
        if kind == "ARMATURE":
            return (self._evaluated(thing),)
        armatures = tuple({a.original.as_pointer(): self._evaluated(a) for a in _behind(thing)}.values())
        for armature in armatures:
            body = self._bodies.setdefault(armature.original.as_pointer(), _Body(armature=armature))
            body.objects.add(thing.original.name_full)
            if kind == "MESH":
                body.meshes[address] = self._evaluated(thing)
        return armatures if kind == "MESH" else ()

    def _evaluated(self, thing: Any) -> Any:
        return thing.original.evaluated_get(self._depsgraph)

    def _add(self, placed: list[_Placed], armature: Any, world: Points) -> None:
        if not (np.abs(world) < _FARTHEST_M).all():  # nor if it is NaN
            return
        address = armature.original.as_pointer()
        # to the millimetre, and in two ways, since a number may lie between two of them
        keys = [(address, np.round(world * 1e3 + shift).astype(np.int64).tobytes()) for shift in (0.0, 0.5)]
        if self._places.isdisjoint((id(placed), *key) for key in keys):
            placed.append(_Placed(armature=armature, world=world))
        self._places.update((id(placed), *key) for key in keys)

    def figure(self, item: _Placed) -> Figure | None:
        """A person; None for an armature that is none, or is scaled to nothing. Raises UnmappedRig."""
        armature = item.armature
        rotation = item.world[:3, :3]
        size = np.cbrt(abs(np.linalg.det(rotation)))
        if size < 1e-9:
            return None
        planned = self._planned(armature)
        objects = self._body(armature).objects
        if planned is _Unplanned.STRANGER and self._carrier(armature) is None:
            self.strangers.setdefault(armature.name, Stranger(name=armature.name, objects=frozenset(objects)))
        if isinstance(planned, _Unplanned):
            return None
        points, outward = planned.posed(_matrices(armature.pose.bones, "matrix"), item.world)
        return Figure(
            name=armature.name,
            objects=frozenset(objects | self._carried.get(armature.original.as_pointer(), set())),
            points=points,
            outward=outward,
            head_m=float(planned.head * size),
        )

    def _body(self, armature: Any) -> _Body:
        return self._bodies.get(armature.original.as_pointer()) or _Body(armature=armature)

    def _planned(self, armature: Any) -> Plan | _Unplanned:
        body, names = self._body(armature), tuple(armature.pose.bones.keys())
        key = (
            armature.data.original.as_pointer(),
            names,
            *(m.original.data.as_pointer() for m in body.meshes.values()),
        )
        if key not in self._plans:
            self._plans[key] = self._plan(armature, names, body)
        return self._plans[key]

    def _carrier(self, armature: Any) -> Any | None:
        """The person who carries an armature: a bow, a rigged skirt. Persons are carried by nobody."""
        if not isinstance(self._planned(armature), _Unplanned):
            return None
        above = armature.parent
        while above is not None:
            if above.type == "ARMATURE" and isinstance(self._planned(self._evaluated(above)), Plan):
                return above
            above = above.parent
        return None

    @functools.cached_property
    def _carried(self) -> dict[int, set[str]]:
        """What belongs to the armatures that a person carries, by the address of the person's."""
        found: dict[int, set[str]] = {}
        for body in self._bodies.values():
            carrier = None if body.armature.parent is None else self._carrier(body.armature)
            if carrier is not None:
                found.setdefault(carrier.original.as_pointer(), set()).update(body.objects)
        return found

    def _plan(self, armature: Any, names: tuple[str, ...], body: _Body) -> Plan | _Unplanned:
        if mapping.is_nobody(armature.data.original):  # evaluated data isn't made anew when properties change
            return _Unplanned.NOBODY
        found = identify(armature)
        if found is None:
            may_be_one = len(names) >= _FEWEST_BONES and body.meshes
            return _Unplanned.STRANGER if may_be_one else _Unplanned.NOBODY
        rest = _rest(armature.data.bones, names)
        if not (found.chosen or upright(found, rest)):
            return _Unplanned.NOBODY
        if found.missing:
            if self._strict:
                raise unmapped(armature.name, found)
            return _Unplanned.STRANGER

        def look(frame: Frame) -> Features | None:
            return skin.features(armature, body.meshes.values(), frame)

        return plan(found, rest, look)


_DEFORMED_BY = {"ARMATURE": "object", "SURFACE_DEFORM": "target", "MESH_DEFORM": "object"}
_LONGEST_CHAIN = 8  # of clothes on clothes


def _behind(thing: Any, depth: int = 0) -> Iterator[Any]:
    """The armatures that an object belongs to: those that deform it or what it clings to, and those that carry it."""
    carried = thing
    while carried is not None:
        if carried.type == "ARMATURE":
            yield carried
            return
        deforming = [
            by
            for modifier in carried.modifiers
            if modifier.type in _DEFORMED_BY and modifier.show_render
            if (by := getattr(modifier, _DEFORMED_BY[modifier.type])) is not None
        ]
        if deforming:
            for by in deforming if depth < _LONGEST_CHAIN else ():
                yield from _behind(by, depth + 1)
            return
        carried = carried.parent


def _matrices(bones: Any, what: str) -> Points:
    """(bones, 4, 4), in the armature's space."""
    flat = np.empty(len(bones) * 16, np.float32)
    bones.foreach_get(what, flat)  # column by column
    return flat.reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)


def _rest(bones: Any, names: tuple[str, ...]) -> Rest:
    """The rest pose in the order of the pose's bones, which is another one."""
    at = {name: i for i, name in enumerate(bones.keys())}
    order = [at[name] for name in names]
    lengths = np.empty(len(bones), np.float32)
    bones.foreach_get("length", lengths)
    return Rest(
        names=names,
        matrices=_matrices(bones, "matrix_local")[order],
        lengths=lengths[order].astype(np.float64),
    )

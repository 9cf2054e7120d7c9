"""Heads for the pose tests, made by code. No mesh of a real head comes with Blender; Rigify has the bones of one."""

from typing import Any

import bpy
import numpy as np
from pose_rigs import RIGS, Names, build

_FACE_BONES = ("nose", "lip", "jaw", "chin", "ear", "brow", "lid", "forehead", "temple", "cheek")
# Rigify's human has a face of 1.3 times life size, jaw to hairline. A skull to go with it, after the means for
# grown people (Farkas 1994): 152 mm wide, 195 deep, crown 112 above the eyes.
_CENTRE = np.array((0.0, -0.03, 1.875))
_RADII = np.array((0.098, 0.127, 0.145))


def rigify_head(armature: Any, bone: str, *, prefix: str = "") -> Any:
    """A head whose skin goes through the ends of the face bones of Rigify's human; it hangs on one bone."""
    ends = {
        tuple(np.round(end, 5))
        for candidate in armature.data.bones
        if candidate.name.removeprefix(prefix).startswith(_FACE_BONES)
        for end in (candidate.head_local, candidate.tail_local)
    }
    return hang(*star(np.array(sorted(ends)), _CENTRE, _RADII), armature, bone)


def star(through: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """An ellipsoid, pulled in and out so that it goes through some points."""
    directions, faces = sphere(128, 96)

    def of_ellipsoid(unit: np.ndarray) -> np.ndarray:
        return 1 / np.linalg.norm(unit / radii, axis=1)

    spokes = through - centre
    length = np.linalg.norm(spokes, axis=1)
    spokes /= length[:, None]
    stretch = length / of_ellipsoid(spokes)
    angle = np.arccos(np.clip(directions @ spokes.T, -1, 1))
    weight = 1 / (angle**2 + 0.035**2) ** 2
    mixed = (weight @ stretch + 200.0) / (weight.sum(axis=1) + 200.0)  # far from all points it stays as it is
    return centre + directions * (mixed * of_ellipsoid(directions))[:, None], faces


def carved(*, ears: bool = True) -> tuple[np.ndarray, list[tuple[int, ...]], dict[str, np.ndarray]]:
    """Another head, in metres from between its ears, x left, y forward, z up; and where its face is.

    It is made of sums of simple shapes in life size (Farkas 1994) and has nothing of Rigify's.
    """
    directions, faces = sphere(160, 120)
    skull = directions * (0.076, 0.097, 0.105) + (0.0, 0.012, 0.028)
    x, y, z = skull.T
    front = np.clip(directions[:, 1], 0, 1)
    jaw = np.clip((-z + 0.01) / 0.09, 0, 1)
    y = y + 0.012 * front * jaw
    z = z - 0.032 * np.clip(directions[:, 1] + 0.35, 0, 1) * jaw
    truth = {"nose": (0.0, 0.125, -0.020), "eye": (0.0315, 0.094, 0.018), "ear": (0.070, 0.004, -0.004)}
    bridge = np.where(z > -0.020, (0.024 - z) / 0.044, 1 - (-0.020 - z) / 0.012).clip(0, 1)  # long above, short below
    y = y + front * np.exp(-((x / 0.013) ** 2)) * bridge * (0.125 - y).clip(0)
    if ears:
        rim = np.exp(-(((y + 0.012) / 0.011) ** 2) - ((z - 0.006) / 0.026) ** 2)
        x = x + np.sign(x) * 0.022 * rim * (np.abs(directions[:, 0]) > 0.5)
    skin = np.stack([x, y, z], axis=1)
    return skin, faces, {name: np.array(place) for name, place in truth.items()}


def sphere(around: int, up: int) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Units, and the quads between them; poles above and below."""
    theta, phi = np.linspace(0.01, np.pi - 0.01, up), np.linspace(0, 2 * np.pi, around, endpoint=False)
    t, p = (grid.ravel() for grid in np.meshgrid(theta, phi, indexing="ij"))
    units = np.stack([np.sin(t) * np.sin(p), np.sin(t) * np.cos(p), np.cos(t)], axis=1)
    faces = [
        (i * around + j, i * around + (j + 1) % around, (i + 1) * around + (j + 1) % around, (i + 1) * around + j)
        for i in range(up - 1)
        for j in range(around)
    ]
    return units, faces


def hang(vertices: np.ndarray, faces: list[tuple[int, ...]], armature: Any, bone: str) -> Any:
    """A mesh that a bone carries; vertices in the armature's space."""
    data = bpy.data.meshes.new("Head")
    data.from_pydata(vertices.tolist(), [], faces)
    mesh = bpy.data.objects.new("Head", data)
    bpy.context.scene.collection.objects.link(mesh)
    mesh.vertex_groups.new(name=bone).add(range(len(vertices)), 1.0, "REPLACE")
    mesh.parent = armature
    mesh.modifiers.new("Armature", "ARMATURE").object = armature
    return mesh


def neck() -> np.ndarray:
    """Vertices of a neck under the carved head, from the jaw down."""
    angle, level = np.meshgrid(np.linspace(0, 2 * np.pi, 24, endpoint=False), np.linspace(-0.24, -0.07, 12))
    return np.stack([0.058 * np.sin(angle), -0.025 + 0.06 * np.cos(angle), level], axis=-1).reshape(-1, 3)


def skinned(stage: Any, names: Names = RIGS["Mixamo, mixamorig:"], **how: Any) -> tuple[Any, Any]:
    """A rig with a carved head on it."""
    rig = build(stage, names, **how)
    skin, faces, _ = carved()
    into = np.array(rig.matrix_world.inverted())
    skin = (skin * (1, -1, 1) + (0.0, 0.01, 1.63)) @ into[:3, :3].T + into[:3, 3]
    return rig, hang(skin, faces, rig, names.bones()["head"])

"""What the inspector shows is what the nets get, for every kind of control that a scene can give."""

from collections.abc import Callable, Iterator
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import inspector
from underpaint.addon.capture import capture
from underpaint.addon.generation import Settings, generate
from underpaint.addon.kinds import KINDS
from underpaint.protocol.client import Connection


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    inspector.close()


def _shown(name: str) -> np.ndarray:
    """The numbers in the datablock that the Image Editor shows, row 0 at the top."""
    image = bpy.data.images[f"Control {name}"]
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    values = values.reshape(image.size[1], image.size[0], 4)[::-1, :, :3]
    return values if image.is_float else np.rint(values * 255).astype(np.uint8)


def test_the_inspector_shows_what_the_nets_get(scene: Any, backend: Connection, accept: Callable[..., None]) -> None:
    scene.cycles.samples = 1
    scene.underpaint.steps = 1
    for kind, *_ in KINDS:
        if kind == "OPENPOSE":  # the default scene has nobody
            continue
        bpy.ops.underpaint.control_add(kind=kind)
        item = scene.underpaint.controls[-1]
        item.conditioning_scale = 0.0  # the map is made all the same; the built-in model has no net for every kind
        item.mask_object = scene.objects["Cube"]
    scene.underpaint.controls[0].depth.use_floor = True
    scene.underpaint.controls[1].normal.encoding = "OPENGL"

    bpy.ops.underpaint.preview_maps()
    names = [item.name for item in inspector.state.look.maps]
    settings = Settings.from_scene(scene)
    outcome = generate(backend, settings, capture(scene, wants=settings.wants(), people=settings.people))
    refs = outcome.job.result.control_maps

    assert len(names) == len(refs) == len(KINDS) - 1
    differing = 0
    for name, ref in zip(names, refs, strict=True):
        shown, given = _shown(name), backend.download(ref)
        assert shown.dtype == given.dtype, name
        assert given.std() > 0, f"{name} is blank"
        differing += int(np.count_nonzero(shown != given))
    accept(32, f"inspector shows what the net gets, {len(names)} kinds", differing, 0, unit=" numbers differ")

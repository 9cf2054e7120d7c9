"""Fog, smoke and fire kept out of the passes: a ray that scatters in them writes no depth, and leaves a hole."""

from collections.abc import Iterator
from typing import Any

import bpy


def settings(depsgraph: Any) -> Iterator[tuple[Any, str, Any]]:
    """What has to be set on the evaluated copies: (owner, attribute, value).

    The way into each output's Volume socket is muted. What is nothing but a volume would then be a black body,
    and is hidden from the camera.
    """
    hollow: set[str] = set()
    for item in depsgraph.ids:
        if isinstance(item, bpy.types.Material | bpy.types.World) and item.node_tree is not None:
            links = [link for link in item.node_tree.links if link.to_node.type in _OUTPUTS]
            volumes = [link for link in links if link.to_socket.identifier == "Volume"]
            yield from ((link, "is_muted", True) for link in volumes)
            if volumes and not any(link.to_socket.identifier == "Surface" for link in links):
                hollow.add(item.original.name_full)
    for thing in depsgraph.ids:
        if not isinstance(thing, bpy.types.Object):
            continue
        used = [slot.material.original.name_full for slot in thing.material_slots if slot.material is not None]
        if thing.type == "VOLUME" or (used and hollow.issuperset(used)):
            yield thing, "visible_camera", False


_OUTPUTS = {"OUTPUT_MATERIAL", "OUTPUT_WORLD"}

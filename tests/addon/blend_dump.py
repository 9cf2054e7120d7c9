"""Everything reachable in `bpy.data` as plain values, to see that nothing of it changed."""

import warnings
from typing import Any

import bpy

# What Blender itself changes at every render or look: caches, timestamps; and uv_sculpt, whose brush crashes 4.2
_VOLATILE = {
    "rna_type", "bl_rna", "original", "is_evaluated", "is_updated", "is_updated_data", "session_uid",
    "depsgraph", "uv_sculpt", "is_dirty", "pixels", "has_data", "frame_duration",
}  # fmt: skip
_SKIPPED_COLLECTIONS = {"window_managers", "workspaces", "screens", "brushes"}  # the interface, not the file's content
_SKIPPED_IMAGES = {"RENDER_RESULT", "COMPOSITING"}


def dump() -> dict[str, Any]:
    """A dictionary from "collection/name/property path" to a value; datablocks appear by type and name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # use_nodes, which we only read
        return _everything()


def _everything() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for collection in bpy.data.bl_rna.properties:
        if collection.type != "COLLECTION" or collection.identifier in _SKIPPED_COLLECTIONS:
            continue
        for item in getattr(bpy.data, collection.identifier):
            if isinstance(item, bpy.types.Image) and item.type in _SKIPPED_IMAGES:
                continue
            _struct(item, f"{collection.identifier}/{item.name_full}", found, set())
            if isinstance(item, bpy.types.Image):
                found[f"{collection.identifier}/{item.name_full}/pixels"] = hash(tuple(item.pixels))
    return found


def _struct(item: Any, path: str, found: dict[str, Any], above: set[tuple[int, str]]) -> None:
    key = (item.as_pointer(), item.bl_rna.identifier)
    if key in above:
        return
    above = {*above, key}
    for prop in item.bl_rna.properties:
        if prop.identifier in _VOLATILE:
            continue
        try:
            value = getattr(item, prop.identifier)
        except (AttributeError, RuntimeError, TypeError) as error:  # some properties exist on paper only
            found[f"{path}.{prop.identifier}"] = type(error).__name__
            continue
        _value(value, f"{path}.{prop.identifier}", found, above)
    if isinstance(item, bpy.types.ID | bpy.types.PropertyGroup | bpy.types.Bone | bpy.types.PoseBone):
        for name, value in item.items():
            plain = value.to_dict() if hasattr(value, "to_dict") else value
            found[f"{path}[{name!r}]"] = repr(list(plain) if hasattr(plain, "to_list") else plain)


def _value(value: Any, path: str, found: dict[str, Any], above: set[tuple[int, str]]) -> None:
    if isinstance(value, bpy.types.ID):
        found[path] = (type(value).__name__, value.name_full)
        if isinstance(value, bpy.types.NodeTree | bpy.types.Key) and value.is_embedded_data:
            _struct(value, path, found, above)
    elif isinstance(value, bpy.types.bpy_struct):
        _struct(value, path, found, above)
    elif isinstance(value, bpy.types.bpy_prop_collection):
        found[f"{path}#"] = len(value)
        for index, entry in enumerate(value):
            _value(entry, f"{path}[{index}]", found, above)
    elif hasattr(value, "__len__") and not isinstance(value, str | bytes | set | frozenset):
        found[path] = repr([tuple(row) if hasattr(row, "__len__") else row for row in value])
    elif not callable(value):
        found[path] = repr(value)


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Every path whose value differs, with both values."""
    paths = before.keys() | after.keys()
    return {
        path: (before.get(path, "(absent)"), after.get(path, "(absent)"))
        for path in sorted(paths)
        if before.get(path, "(absent)") != after.get(path, "(absent)")
    }

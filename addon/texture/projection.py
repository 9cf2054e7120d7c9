"""A picture from the history, projected from its camera onto meshes. For the main thread."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ...protocol.arrays import Float32Array, UInt8Array
from ...protocol.errors import InvalidArray, NoPicture, NotEditable, NothingSelected, NotInView, NoUVMap
from ...protocol.geometry import Camera, Extent, Projection
from .. import capture as captures
from .. import images
from ..generation import pixels_of
from . import material
from .bake import BakedView, View, bake_view, grow
from .meshes import Mesh, read

# One view has no better one to leave grazing surfaces to: they are painted almost to the silhouette, with
# colours that are stretched beyond 75 degrees.
_LIMIT_DEG = 85.0
# Texels by which what is seen spreads over its own surface, where the camera saw an edge's mixed pixels.
_SPREAD = 8
_SPREAD_OVER_EARLIER = 2
_PADDING = 16  # texels around each island, so that filtering shows no seam
_REPORT = "underpaint_projection"  # on the image


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a projection onto one mesh went; shares are of 1."""

    object: str
    picture: str
    seen: float  # of the mesh's texels, those that the picture shows
    overlap: float  # of the mesh's texels, those that several faces share
    unmapped: float  # of its triangles, those without a place on the UV map
    outside: float  # of its triangles, those that reach beyond the UV map's unit square, where the texture repeats

    def warnings(self) -> tuple[str, ...]:
        """Sentences for what a user should know."""
        told: list[str] = []
        if self.overlap > 0.005:
            told.append(
                f'{self.overlap:.0%} of the UV map of "{self.object}" overlaps: those faces share their colours'
            )
        if self.unmapped > 0.001:
            told.append(f'{self.unmapped:.0%} of the faces of "{self.object}" have no place on the UV map')
        if self.outside > 0.001:
            told.append(
                f'{self.outside:.0%} of the faces of "{self.object}" lie outside the UV square: the texture repeats'
            )
        return tuple(told)


def project(image: Any, objects: Sequence[Any], *, size: int = 1024) -> list[Any]:
    """Project a result onto the meshes among `objects`; the new images, one for each mesh in view.

    Each is `size` x `size`, packed, on the mesh's active UV map, and shown by a new material in all its
    slots. What the picture doesn't show keeps the colours of an earlier projection, else the material's
    base colour. `report_of` tells of each image how it went. Meshes out of view are left alone.

    Raises NoPicture, NothingSelected, NoUVMap, NotEditable or NotInView, with everything unchanged.
    """
    request = images.request_of(image)
    if request.camera is None:
        raise NoPicture()
    things = _meshes(objects)
    picture = pixels_of(image)
    if picture.shape[:2] != (request.size.height, request.size.width):
        raise InvalidArray(reason=f'"{image.name}" is no longer as large as the request that made it')
    meshes, depth_m = _see(things, request.camera, request.size)
    view = View(camera=request.camera, picture=picture, depth_m=depth_m)
    made: list[tuple[Any, UInt8Array, Report]] = []
    for thing, mesh in zip(things, meshes, strict=True):
        if mesh is None:
            continue
        baked = bake_view(mesh.triangles, view, size, limit_deg=_LIMIT_DEG)
        if baked.weight.any():
            made.append((thing, _texture(baked, mesh, _earlier(thing, size)), _report(thing, image, mesh, baked)))
    if not made:
        raise NotInView(objects=", ".join(f'"{thing.name}"' for thing in things))
    return [_show(*result) for result in made]


def report_of(texture: Any) -> Report | None:
    """How the projection that made an image went; None for other images."""
    return Report(**json.loads(texture[_REPORT])) if _REPORT in texture else None


def _meshes(objects: Sequence[Any]) -> list[Any]:
    """The meshes among objects, each once, checked."""
    things = [thing for thing in dict.fromkeys(objects) if thing.type == "MESH"]
    if not things:
        raise NothingSelected()
    for thing in things:
        if thing.library is not None or (thing.data.library is not None and not thing.material_slots):
            raise NotEditable(object=thing.name)
        thing.update_from_editmode()
        if thing.data.uv_layers.active is None:
            raise NoUVMap(object=thing.name)
    return things


def _see(things: list[Any], camera: Camera, extent: Extent) -> tuple[list[Mesh | None], Float32Array]:
    """The meshes as they are rendered now, and the depth that the picture's camera sees; leaves no datablock."""
    meshes: list[Mesh | None] = []

    def take(depsgraph: Any) -> None:
        meshes.extend(read(thing, depsgraph) for thing in things)

    scene, layer = bpy.context.scene, bpy.context.view_layer
    if things[0].name not in scene.objects and things[0].users_scene:
        scene = things[0].users_scene[0]
        layer = scene.view_layers[0]
    copy = scene.copy()
    data = bpy.data.cameras.new(scene.name)
    eye = bpy.data.objects.new(scene.name, data)
    try:
        _set_up(copy, eye, camera, extent)
        seen = captures.capture(
            copy,
            copy.view_layers[layer.name],
            camera=eye,
            extent=extent,
            people=captures.People.LEFT_OUT,
            read=take,
        )
    finally:
        bpy.data.objects.remove(eye)
        bpy.data.cameras.remove(data)
        bpy.data.scenes.remove(copy)
    return meshes, seen.depth_m


def _set_up(scene: Any, eye: Any, camera: Camera, extent: Extent) -> None:
    """Make a camera object, and a scene's pixels, such that it sees as the protocol's camera did."""
    data = eye.data
    eye.matrix_world = Matrix(np.reshape(camera.world_from_camera, (4, 4)).tolist())
    data.sensor_fit = "HORIZONTAL"
    if camera.projection is Projection.ORTHOGRAPHIC:
        data.type, data.ortho_scale = "ORTHO", extent.width / camera.fx_px
    else:
        data.type = "PERSP"
        data.sensor_width = max(36.0, extent.width / camera.fx_px)  # a lens has at least 1 mm
        data.lens = camera.fx_px / extent.width * data.sensor_width
    tall = camera.fx_px / camera.fy_px  # a pixel's height for its width
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = max(1.0, 1 / tall), max(1.0, tall)
    data.shift_x = 0.5 - camera.cx_px / extent.width
    data.shift_y = (camera.cy_px - extent.height / 2) * tall / extent.width
    data.clip_start, data.clip_end = camera.clip_start_m, camera.clip_end_m


def _texture(baked: BakedView, mesh: Mesh, earlier: Float32Array | None) -> UInt8Array:
    """All texels of a texture: what is seen, what was there before, and the padding around it."""
    colour, seen = baked.colour.copy(), baked.weight > 0
    spread = _SPREAD if earlier is None else _SPREAD_OVER_EARLIER
    seen = grow(colour, seen, baked.covered, spread)
    rest = baked.covered & ~seen
    colour[rest] = mesh.base[baked.triangle[rest]] if earlier is None else earlier[rest]
    padded = grow(colour, baked.covered, ~baked.covered, _PADDING)
    colour[~padded] = colour[baked.covered].mean(axis=0)
    return np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8)


def _earlier(thing: Any, size: int) -> Float32Array | None:
    """The texture of an earlier projection at the new size, (size, size, 3), row 0 at the bottom."""
    image = material.shown_texture(thing)
    if image is None or (not image.has_data and not image.packed_file):
        return None
    picture = pixels_of(image)[::-1]
    rows = (np.arange(size) + 0.5) * picture.shape[0] / size
    columns = (np.arange(size) + 0.5) * picture.shape[1] / size
    return picture[rows.astype(np.intp)][:, columns.astype(np.intp)].astype(np.float32) / 255


def _report(thing: Any, image: Any, mesh: Mesh, baked: BakedView) -> Report:
    return Report(
        object=thing.name,
        picture=image.name,
        seen=float((baked.weight > 0).sum() / baked.covered.sum()),
        overlap=baked.overlap,
        unmapped=mesh.unmapped,
        outside=mesh.outside,
    )


def _show(thing: Any, texture: UInt8Array, report: Report) -> Any:
    name = f"{thing.name} Underpaint"
    image = material.new_image(name, texture)
    image[_REPORT] = json.dumps(asdict(report))
    material.show(thing, material.new_material(name, image, thing.data.uv_layers.active.name))
    return image

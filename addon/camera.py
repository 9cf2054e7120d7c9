"""Blender's camera as the pinhole or parallel camera of the protocol, and the size of the frame."""

from typing import Any

import bpy
import numpy as np

from ..protocol.checks import check_size
from ..protocol.errors import BrokenCamera, MovingParallelCamera, NoCamera, PanoramicCamera, ReversedClip, StereoRender
from ..protocol.geometry import Camera, Extent, Projection


def check(scene: Any) -> Extent:
    """The frame's size, once the scene is seen to be one that can be painted.

    Raises NoCamera, PanoramicCamera, ReversedClip, StereoRender or InvalidSize, before any work is done.
    """
    camera = scene.camera
    if camera is None or camera.type != "CAMERA":
        raise NoCamera(scene=scene.name)
    if camera.data.type not in ("PERSP", "ORTHO"):  # PANO, and CUSTOM since 5.0
        raise PanoramicCamera(camera=camera.name)
    start, end = camera.data.clip_start, camera.data.clip_end
    if not start < end:
        raise ReversedClip(camera=camera.name, start=f"{start:g}", end=f"{end:g}")
    if scene.render.use_multiview:
        raise StereoRender()
    extent = frame(scene)
    check_size(extent)
    return extent


def frame(scene: Any) -> Extent:
    """The size of the rendered frame in pixels, resolution percentage worked in."""
    render = scene.render
    percentage = render.resolution_percentage
    # Blender computes this in integers; a float would round 1 pixel up at some sizes
    return Extent(
        width=render.resolution_x * percentage // 100,
        height=render.resolution_y * percentage // 100,
    )


def protocol_camera(scene: Any, depsgraph: Any) -> Camera:
    """The scene's camera for its frame, with lens shift, sensor fit and pixel aspect worked in.

    Raises BrokenCamera where that is no camera that could see anything.
    """
    camera = scene.camera.evaluated_get(depsgraph)
    extent, render = frame(scene), scene.render
    projection = camera.calc_matrix_camera(
        depsgraph,
        x=extent.width,
        y=extent.height,
        scale_x=render.pixel_aspect_x,
        scale_y=render.pixel_aspect_y,
    )
    half_width, half_height = extent.width / 2, extent.height / 2
    if camera.data.type == "ORTHO":
        kind = Projection.ORTHOGRAPHIC
        off_x, off_y = projection[0][3], projection[1][3]
    else:
        kind = Projection.PERSPECTIVE
        off_x, off_y = -projection[0][2], -projection[1][2]  # divided by w = -z
    world_from_camera = camera.matrix_world.normalized()  # renderers ignore the camera's scale
    numbers = [*(value for row in (*world_from_camera, *projection) for value in row)]
    if not np.isfinite(numbers).all() or abs(world_from_camera.determinant()) < 0.5 or not projection[0][0]:
        raise BrokenCamera(camera=camera.name)
    return Camera(
        projection=kind,
        fx_px=projection[0][0] * half_width,
        fy_px=projection[1][1] * half_height,
        cx_px=half_width * (1 + off_x),
        cy_px=half_height * (1 - off_y),
        world_from_camera=tuple(float(value) for row in world_from_camera for value in row),
        clip_start_m=camera.data.clip_start,
        clip_end_m=camera.data.clip_end,
    )


def check_motion(engine: Any, depsgraph: Any) -> None:
    """Raise MovingParallelCamera where Cycles would give false motion vectors.

    For an orthographic camera that moves, Cycles 4.2 is right, and 4.5 and 5.0 project the frames before and after
    as if the camera were a perspective one.
    """
    scene = depsgraph.scene_eval
    if scene.camera.data.type != "ORTHO" or bpy.app.version < (4, 3):
        return
    frame, subframe = scene.frame_current, scene.frame_subframe
    places = []
    for offset in (-1, 1, 0):
        engine.frame_set(frame + offset, subframe)
        places.append(np.array([*scene.camera.matrix_world, (scene.camera.data.ortho_scale,) * 4]))
    if any(np.abs(place - places[2]).max() > 1e-6 for place in places[:2]):
        raise MovingParallelCamera(camera=scene.camera.name)

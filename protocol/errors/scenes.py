"""What a Blender scene lacks."""

from .base import UnderpaintError


class SceneError(UnderpaintError):
    code = "scene"


class NoCamera(SceneError):
    code = "no_camera"
    sentence = 'The scene "{scene}" has no active camera. Add one with Add > Camera, then View > Cameras > Set Active.'


class PanoramicCamera(SceneError):
    code = "panoramic_camera"
    sentence = (
        'The camera "{camera}" is panoramic; ControlNets know flat pictures only. '
        "Set its Type to Perspective or Orthographic in the camera properties."
    )


class StereoRender(SceneError):
    code = "stereo_render"
    sentence = "Stereoscopy is on; ControlNets know flat pictures only. Switch it off in Output > Stereoscopy."


class RegionTooSmall(SceneError):
    code = "region_too_small"
    sentence = (
        "A render region needs a frame of more than 64 x 64 pixels, this one has {width} x {height}. "
        "Switch off Render Region in Output > Format."
    )


class ReversedClip(SceneError):
    code = "reversed_clip"
    sentence = (
        'The camera "{camera}" shows nothing: its clip start, {start} m, is not before its clip end, {end} m. '
        "Set them in the camera's Lens panel."
    )


class BrokenCamera(SceneError):
    code = "broken_camera"
    sentence = (
        'The camera "{camera}" has no place to look from: its position, rotation, lens or shift is not a number, '
        "infinite, or scaled to nothing. Look at its transform, and at its parents and constraints."
    )


class BeautyNeedsWholeFrame(SceneError):
    code = "beauty_needs_whole_frame"
    sentence = (
        "A control or start made from the rendered scene needs the whole frame. "
        "Switch off Render Region in Output > Format, or press Generate, which leaves regions out."
    )


class NothingInView(SceneError):
    code = "nothing_in_view"
    sentence = (
        "The camera sees no surface, so every control from the scene would be blank. Point it at something that is "
        "shown in renders, within the camera's clip range, and whose coordinates are finite numbers."
    )


class BeautyNeedsPersistentData(SceneError):
    code = "beauty_needs_persistent_data"
    sentence = (
        "A control or start made from the rendered scene needs Persistent Data for F12. "
        "Switch it on in Render > Performance > Final Render, or press Generate, which does without."
    )


class MovingParallelCamera(SceneError):
    code = "moving_parallel_camera"
    sentence = (
        'The orthographic camera "{camera}" moves, and this Blender\'s motion vectors are wrong for such cameras. '
        "Use a perspective camera from far away, or Blender 4.2."
    )


class NothingRendered(SceneError):
    code = "nothing_rendered"
    sentence = "Cycles did not render the scene. What it says about that is in Blender's console and status bar."


class NoArmature(SceneError):
    code = "no_armature"
    sentence = (
        "The pose control needs a character, and the camera sees no armature. "
        "Add one, bring it into view, or switch the pose control off."
    )


class UnmappedRig(SceneError):
    code = "unmapped_rig"
    sentence = (
        'The armature "{armature}" names its bones in a way that is not known. Not found: {missing}. '
        "Map them in Object Data Properties > Bone Mapping, or tick Not a Person there."
    )


class NothingSelected(SceneError):
    code = "nothing_selected"
    sentence = "No mesh is selected. Select the meshes that should receive the picture."


class NoUVMap(SceneError):
    code = "no_uv_map"
    sentence = (
        'The mesh "{object}" has no UV map. Make one with UV > Smart UV Project in Edit Mode, then project again.'
    )


class NotInView(SceneError):
    code = "not_in_view"
    sentence = (
        "The picture's camera sees nothing of {objects}. Select meshes that are in the picture, "
        "in front of others and shown in renders."
    )


class NotEditable(SceneError):
    code = "not_editable"
    sentence = (
        'The object "{object}" is linked from another file and can\'t get a material here. '
        "Make it local first, with Object > Library Override > Make or Object > Relations > Make Local."
    )


class NoPicture(SceneError):
    code = "no_picture"
    sentence = "There is no picture to project yet. Render with Underpaint first, or pick a result in the history."

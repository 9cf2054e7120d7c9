"""The kinds of control and the detectors, as the interface shows them. No bpy: property callbacks read it."""

from ..protocol.checks import DETECTORS
from ..protocol.request import ControlKind
from ..protocol.sources import Detector

# (identifier, label, tooltip, icon, number): the numbers are saved in files, so they never change.
# The icons are in every Blender from 4.2 on.
KINDS = (
    ("DEPTH", "Depth", "Distance from the camera", "CAMERA_DATA", 0),
    ("NORMAL", "Normal", "The way surfaces face", "NORMALS_FACE", 1),
    ("OPENPOSE", "Pose", "Bodies, hands and faces, from the armatures that the camera sees", "ARMATURE_DATA", 2),
    ("CANNY", "Canny Edges", "Hard outlines, one pixel wide", "MOD_EDGESPLIT", 3),
    ("LINEART", "Line Art", "Outlines and creases, as an illustrator inks them", "MOD_LINEART", 4),
    ("LINEART_ANIME", "Anime Line Art", "Outlines and creases, as in anime", "OUTLINER_OB_GREASEPENCIL", 5),
    ("SOFTEDGE", "Soft Edges", "Blurred outlines, which leave the picture some freedom", "SMOOTHCURVE", 6),
    ("SCRIBBLE", "Scribble", "Thick outlines, which leave the picture much freedom", "BRUSH_DATA", 7),
    ("MLSD", "Straight Lines", "The straight edges alone: rooms and buildings", "MOD_WIREFRAME", 8),
    ("SEGMENTATION", "Segmentation", "What each thing is: its class as a colour", "COLOR", 9),
    ("INPAINT", "Inpaint", "A picture of which a part is painted anew", "MOD_MASK", 10),
    ("TILE", "Tile", "A picture whose details are painted anew", "TEXTURE", 11),
    ("SHUFFLE", "Shuffle", "A picture whose colours and mood are taken up", "MOD_NOISE", 12),
    ("BLUR", "Blur", "A blurred picture that is made sharp", "ANTIALIASED", 13),
    ("GRAY", "Gray", "A picture without colours that is coloured", "IMAGE_ZDEPTH", 14),
    ("LOW_QUALITY", "Low Quality", "A bad picture that is made good", "ALIASED", 15),
)

LINES = frozenset(
    {
        ControlKind.CANNY,
        ControlKind.LINEART,
        ControlKind.LINEART_ANIME,
        ControlKind.SOFTEDGE,
        ControlKind.SCRIBBLE,
        ControlKind.MLSD,
    }
)
"""Drawn from the lines of the geometry."""

PICTURES = frozenset(
    {ControlKind.INPAINT, ControlKind.TILE, ControlKind.SHUFFLE, ControlKind.BLUR, ControlKind.GRAY}
    | {ControlKind.LOW_QUALITY}
)
"""About a picture: an image, or what the scene looks like when it is rendered."""

# (detector, label, tooltip, number): as above
_DETECTORS = (
    (Detector.CANNY, "Canny", "Hard edges, by thresholds. Needs no weights", 1),
    (Detector.HED, "HED", "Soft edges. Needs weights", 2),
    (Detector.PIDINET, "PiDiNet", "Soft edges, thinner than HED's. Needs weights", 3),
    (Detector.TEED, "TEED", "Fine edges, as Anyline finds them. Needs weights", 4),
    (Detector.LINEART, "Line Art", "Lines as an illustrator draws them. Needs weights", 5),
    (Detector.LINEART_STANDARD, "Line Art Standard", "Lines by contrast. Needs no weights", 6),
    (Detector.LINEART_ANIME, "Anime Line Art", "Lines as in anime. Needs weights", 7),
    (Detector.MLSD, "M-LSD", "Straight lines. Needs weights", 8),
    (Detector.OPENPOSE, "OpenPose", "Bodies, hands and faces. Needs weights", 9),
    (Detector.DWPOSE, "DWPose", "Bodies, hands and faces, more surely than OpenPose. Needs weights", 10),
    (Detector.MIDAS, "MiDaS", "Depth, near and far alike. Needs weights", 11),
    (Detector.ZOE, "ZoeDepth", "Depth in metres. Needs weights", 12),
    (Detector.LERES, "LeReS", "Depth with fine detail. Needs weights", 13),
    (Detector.NORMAL_BAE, "Normal BAE", "The way surfaces face. Needs weights", 14),
    (Detector.SHUFFLE, "Shuffle", "Colours without shapes. Needs no weights", 15),
    (Detector.SAM, "SAM", "The parts of a photo in random colours. Needs weights", 16),
)
AUTO = ("AUTO", "Usual", "The detector that this kind of ControlNet was trained with, or the nearest to it", 0)

DETECTOR_ITEMS = {
    kind: [AUTO]
    + [
        (detector.name, label, tip, number)
        for detector, label, tip, number in _DETECTORS
        if detector in DETECTORS.get(kind, ())
    ]
    for kind in ControlKind
}
"""What an enum of detectors offers for each kind of control; lives here as Blender only borrows the strings."""

WITHOUT_WEIGHTS = frozenset({Detector.CANNY, Detector.LINEART_STANDARD, Detector.SHUFFLE})


def label_of(kind: str) -> str:
    """What a control of this kind is called in the interface."""
    return next(label for identifier, label, *_ in KINDS if identifier == kind)


def icon_of(kind: str) -> str:
    """The icon of a control of this kind."""
    return next(icon for identifier, _, _, icon, _ in KINDS if identifier == kind)

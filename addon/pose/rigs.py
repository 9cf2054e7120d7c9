"""What well-known rigs call the bones at whose heads a person's joints lie.

Data only. docs/adding-a-rig.md says how to add one. Names: those that Rigify's generator, the FBX and
BVH exporters, MPFB and the VRM add-on write.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Part(StrEnum):
    """A place on the body; all but the head come in pairs, the nose apart."""

    SHOULDER = "shoulder"
    ELBOW = "elbow"
    WRIST = "wrist"
    HIP = "hip"
    KNEE = "knee"
    ANKLE = "ankle"
    HEAD = "head"
    EYE = "eye"
    EAR = "ear"
    NOSE = "nose"


ARMS = (Part.SHOULDER, Part.ELBOW)
LEGS = (Part.HIP, Part.KNEE)
PAIRED = (Part.SHOULDER, Part.ELBOW, Part.WRIST, Part.HIP, Part.KNEE, Part.ANKLE, Part.EYE, Part.EAR)
SINGLE = (Part.HEAD, Part.NOSE)


@dataclass(frozen=True, kw_only=True)
class FacePoint:
    """Where a point of the face lies from the head of the head bone, in head bone lengths."""

    lateral: float  # to the point's own side
    forward: float
    up: float


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face for rigs that have a head bone and nothing on it. Head bones start at different heights."""

    nose: FacePoint
    eye: FacePoint
    ear: FacePoint


# Measured on the meshes of the rigs' own humans; eyes are on the surface.
FROM_THE_JAW = Face(  # Rigify's human, whose head bone starts at the height of the jaw
    nose=FacePoint(lateral=0.0, forward=0.86, up=0.32),
    eye=FacePoint(lateral=0.26, forward=0.60, up=0.57),
    ear=FacePoint(lateral=0.46, forward=0.03, up=0.41),
)
FROM_THE_EARS = Face(  # MPFB's default rig, whose head bone starts between the ears
    nose=FacePoint(lateral=0.0, forward=0.82, up=0.02),
    eye=FacePoint(lateral=0.195, forward=0.58, up=0.26),
    ear=FacePoint(lateral=0.51, forward=0.07, up=0.065),
)


@dataclass(frozen=True, kw_only=True)
class Rig:
    """One family's names. `{s}` stands for the side; the first name that the armature has is taken."""

    name: str
    sides: tuple[str, str]  # left, right: the person's
    bones: dict[Part, tuple[str, ...]] = field(hash=False)
    face: Face = FROM_THE_JAW
    true_length: bool = False  # whether the head bone ends at the crown; importers invent tails


def _rig(
    name: str,
    sides: tuple[str, str],
    *,
    face: Face = FROM_THE_JAW,
    true_length: bool = False,
    **bones: str | tuple[str, ...],
) -> Rig:
    named = {Part(part): (value,) if isinstance(value, str) else value for part, value in bones.items()}
    return Rig(name=name, sides=sides, bones=named, face=face, true_length=true_length)


RIGS: tuple[Rig, ...] = (
    _rig(
        "Rigify",
        ("L", "R"),
        true_length=True,
        shoulder="DEF-upper_arm.{s}",  # the limb's second half is DEF-upper_arm.L.001
        elbow="DEF-forearm.{s}",
        wrist="DEF-hand.{s}",
        hip="DEF-thigh.{s}",
        knee="DEF-shin.{s}",
        ankle="DEF-foot.{s}",
        head="DEF-spine.006",
        eye=("ORG-eye.{s}", "MCH-eye.{s}"),  # eye.L is what the eye looks at, far in front of the face
        ear=("ORG-ear.{s}", "DEF-ear.{s}"),
        nose=("ORG-nose.002", "DEF-nose.002"),
    ),
    _rig(
        "Rigify metarig",
        ("L", "R"),
        true_length=True,
        shoulder="upper_arm.{s}",
        elbow="forearm.{s}",
        wrist="hand.{s}",
        hip="thigh.{s}",
        knee="shin.{s}",
        ankle="foot.{s}",
        head="spine.006",
        eye="eye.{s}",
        ear="ear.{s}",
        nose="nose.002",
    ),
    _rig(
        "Mixamo, Ready Player Me, CMU and other BVH",
        ("Left", "Right"),
        shoulder="{s}Arm",
        elbow="{s}ForeArm",
        wrist="{s}Hand",
        hip="{s}UpLeg",
        knee="{s}Leg",
        ankle="{s}Foot",
        head="Head",
        eye="{s}Eye",
    ),
    _rig(
        "Unreal, MPFB game engine",
        ("l", "r"),
        shoulder="upperarm_{s}",
        elbow="lowerarm_{s}",
        wrist="hand_{s}",
        hip="thigh_{s}",
        knee="calf_{s}",
        ankle="foot_{s}",
        head="head",
    ),
    _rig(
        "VRM, Unity humanoid",
        ("left", "right"),
        shoulder="{s}UpperArm",
        elbow="{s}LowerArm",
        wrist="{s}Hand",
        hip="{s}UpperLeg",
        knee="{s}LowerLeg",
        ankle="{s}Foot",
        head="head",
        eye="{s}Eye",
    ),
    _rig(
        "VRoid",
        ("L", "R"),
        shoulder="J_Bip_{s}_UpperArm",
        elbow="J_Bip_{s}_LowerArm",
        wrist="J_Bip_{s}_Hand",
        hip="J_Bip_{s}_UpperLeg",
        knee="J_Bip_{s}_LowerLeg",
        ankle="J_Bip_{s}_Foot",
        head="J_Bip_C_Head",
        eye="J_Adj_{s}_FaceEye",
    ),
    _rig(
        "MPFB default",
        ("L", "R"),
        face=FROM_THE_EARS,
        true_length=True,
        shoulder="upperarm01.{s}",
        elbow="lowerarm01.{s}",
        wrist="wrist.{s}",
        hip="upperleg01.{s}",
        knee="lowerleg01.{s}",
        ankle="foot.{s}",
        head="head",
        eye="eye.{s}",
    ),
    _rig(
        "Auto-Rig Pro",
        ("l", "r"),
        # arm_stretch and thigh_stretch start in the middle of the limb
        shoulder=("c_arm_twist_offset.{s}", "arm_twist.{s}"),
        elbow="forearm_stretch.{s}",
        wrist="hand.{s}",
        hip="thigh_twist.{s}",
        knee="leg_stretch.{s}",
        ankle="foot.{s}",
        head="head.x",
        eye="c_eye.{s}",
    ),
    _rig(
        "Character Creator, iClone",
        ("L", "R"),
        shoulder="CC_Base_{s}_Upperarm",
        elbow="CC_Base_{s}_Forearm",
        wrist="CC_Base_{s}_Hand",
        hip="CC_Base_{s}_Thigh",
        knee="CC_Base_{s}_Calf",
        ankle="CC_Base_{s}_Foot",
        head="CC_Base_Head",
        eye="CC_Base_{s}_Eye",
    ),
    _rig(
        "Daz Genesis 1 to 8",
        ("l", "r"),
        shoulder=("{s}ShldrBend", "{s}Shldr"),
        elbow=("{s}ForearmBend", "{s}ForeArm"),
        wrist="{s}Hand",
        hip=("{s}ThighBend", "{s}Thigh"),
        knee="{s}Shin",
        ankle="{s}Foot",
        head="head",
        eye="{s}Eye",
        ear="{s}Ear",
    ),
    _rig(
        "Daz Genesis 9",
        ("l", "r"),
        shoulder="{s}_upperarm",
        elbow="{s}_forearm",
        wrist="{s}_hand",
        hip="{s}_thigh",
        knee="{s}_shin",
        ankle="{s}_foot",
        head="head",
        eye="{s}_eye",
        ear="{s}_ear",
    ),
    _rig(
        "Biped",
        ("L", "R"),
        shoulder="{s} UpperArm",  # after "Bip001 " or "Bip01 "
        elbow="{s} Forearm",
        wrist="{s} Hand",
        hip="{s} Thigh",
        knee="{s} Calf",
        ankle="{s} Foot",
        head="Head",
    ),
)

"""What well-known rigs call the bones of a hand.

Data only. A joint lies at the head of its bone: three from the palm out, and a fourth where the rig has a
bone at the fingertip. Bones of the palm are no joints and are left out. `{s}` stands for the side.
"""

from collections.abc import Mapping

from .points import Finger

Hand = Mapping[Finger, tuple[str, ...]]
"""Names from the palm out, three or four for each finger that the rig has."""


def _hand(pattern: str, names: str, joints: str = "1 2 3 4") -> Hand:
    """`{f}` stands for the finger's name, `{n}` for the joint's."""
    return {
        finger: tuple(pattern.replace("{f}", name).replace("{n}", joint) for joint in joints.split())
        for finger, name in zip(Finger, names.split(), strict=True)
    }


RIGIFY = (_hand("DEF-{f}.0{n}.{s}", "thumb f_index f_middle f_ring f_pinky", "1 2 3"),)
RIGIFY_METARIG = (_hand("{f}.0{n}.{s}", "thumb f_index f_middle f_ring f_pinky", "1 2 3"),)
MIXAMO = (
    _hand("{s}Hand{f}{n}", "Thumb Index Middle Ring Pinky"),
    {Finger.THUMB: ("{s[0]}Thumb",), Finger.INDEX: ("{s}HandFinger1",)},  # CMU: one bone for all fingers
)
UNREAL = (_hand("{f}_0{n}_{s}", "thumb index middle ring pinky", "1 2 3"),)
VRM = (
    _hand("{s}{f}{n}", "Thumb Index Middle Ring Little", "Proximal Intermediate Distal Tip"),  # and Unity's
    {Finger.THUMB: ("{s}ThumbMetacarpal", "{s}ThumbProximal", "{s}ThumbDistal", "{s}ThumbTip")},  # VRM 1
)
VROID = (_hand("J_Bip_{s}_{f}{n}", "Thumb Index Middle Ring Little", "1 2 3 3_end"),)
MPFB = (_hand("finger{f}-{n}.{s}", "1 2 3 4 5", "1 2 3"),)
AUTO_RIG_PRO = (
    _hand("c_{f}{n}.{s}", "thumb index middle ring pinky", "1 2 3"),
    _hand("{f}{n}.{s}", "thumb index middle ring pinky", "1 2 3"),
    {Finger.THUMB: ("thumb1.{s}", "c_thumb2.{s}", "c_thumb3.{s}")},
)
CHARACTER_CREATOR = (_hand("CC_Base_{s}_{f}{n}", "Thumb Index Mid Ring Pinky", "1 2 3"),)
DAZ = (_hand("{s}{f}{n}", "Thumb Index Mid Ring Pinky", "1 2 3"),)
DAZ_9 = (_hand("{s}_{f}{n}", "thumb index mid ring pinky", "1 2 3"),)
BIPED = ({finger: tuple(f"{{s}} Finger{i}{n}" for n in ("", "1", "2", "Nub")) for i, finger in enumerate(Finger)},)
MMD = (
    {
        Finger.THUMB: ("{s}親指０", "{s}親指１", "{s}親指２", "{s}親指先"),
        Finger.INDEX: ("{s}人指１", "{s}人指２", "{s}人指３", "{s}人指先"),
        Finger.MIDDLE: ("{s}中指１", "{s}中指２", "{s}中指３", "{s}中指先"),
        Finger.RING: ("{s}薬指１", "{s}薬指２", "{s}薬指３", "{s}薬指先"),
        Finger.LITTLE: ("{s}小指１", "{s}小指２", "{s}小指３", "{s}小指先"),
    },
)
MMD_TOOLS = (  # the add-on moves the side behind the name
    {finger: tuple(f"{name.removeprefix('{s}')}.{{s}}" for name in names) for finger, names in MMD[0].items()},
)

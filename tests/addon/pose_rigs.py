"""One human skeleton under the names of many rigs, as their files have them, for the pose tests.

The skeleton is a man of 1.75 m who looks along -Y, his left on +X: what a test expects comes from here, and not
from the tables of the add-on.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

FINGERS = ("thumb", "index", "middle", "ring", "little")
LEFT = {
    "shoulder": (0.19, 0.01, 1.42),
    "elbow": (0.45, 0.03, 1.40),
    "wrist": (0.70, 0.00, 1.39),
    "hip": (0.10, 0.00, 0.94),
    "knee": (0.11, -0.02, 0.50),
    "ankle": (0.11, 0.02, 0.09),
    "toe": (0.11, -0.11, 0.02),
    "eye": (0.032, -0.075, 1.64),
    "ear": (0.075, 0.01, 1.62),
    **{f"thumb_{i}": (0.725 + 0.025 * i, -0.02 - 0.025 * i, 1.37) for i in (1, 2, 3, 4)},
    **{
        f"{name}_{i}": (0.765 + 0.027 * i - 0.002 * i * abs(row - 1), -0.025 + 0.02 * row, 1.385 - 0.003 * i)
        for row, name in enumerate(FINGERS[1:])
        for i in (1, 2, 3, 4)
    },
}
MIDDLE = {"head": (0.0, 0.0, 1.55), "nose": (0.0, -0.11, 1.60)}
_PARENTS = {"elbow": "shoulder", "wrist": "elbow", "knee": "hip", "ankle": "knee", "toe": "ankle"}


def place(point: str) -> Vector:
    """Where a point ("left_wrist") of the skeleton is at rest."""
    if point in MIDDLE:
        return Vector(MIDDLE[point])
    side, part = point.split("_", 1)
    x, y, z = LEFT[part]
    return Vector((x if side == "left" else -x, y, z))


def parent(point: str) -> str | None:
    """The point that carries another one."""
    if point == "head":
        return None
    if point == "nose":
        return "head"
    side, part = point.split("_", 1)
    if part in ("eye", "ear"):
        return "head"
    finger, _, joint = part.rpartition("_")
    if finger:
        return f"{side}_{finger}_{int(joint) - 1}" if joint != "1" else f"{side}_wrist"
    above = _PARENTS.get(part)
    return f"{side}_{above}" if above else None


@dataclass(frozen=True)
class Names:
    """What a file calls the bones. `<L|R>` is the side."""

    body: str  # shoulder, elbow, wrist, hip, knee, ankle, toe: separated by commas
    fingers: str = ""  # `{f}` is a finger and `{n}` a joint of it
    finger_names: str = "Thumb Index Middle Ring Pinky"
    joints: str = "1 2 3"
    head: str = "Head"
    more: dict[str, str] = field(default_factory=dict)  # eye, ear, nose; or fingers that go by names of their own
    extra: str = ""  # bones that the file has as well, which lie elsewhere; separated by semicolons or spaces

    def bones(self) -> dict[str, str]:
        """Name by point."""
        parts = dict(
            zip(("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe"), self.body.split(","), strict=False)
        )
        if self.fingers:
            for finger, name in zip(FINGERS, self.finger_names.split(), strict=True):
                for i, joint in enumerate(self.joints.split(), 1):
                    parts[f"{finger}_{i}"] = self.fingers.replace("{f}", name).replace("{n}", joint)
        parts |= self.more
        found = {"head": self.head}
        for part, name in parts.items():
            if not name:
                continue
            if part in MIDDLE:
                found[part] = name
            else:
                found[f"left_{part}"], found[f"right_{part}"] = sided(name)
        return found


def sided(name: str) -> tuple[str, str]:
    """The left and the right name."""
    left = re.sub(r"<([^|>]*)\|([^>]*)>", r"\1", name)
    return left, re.sub(r"<([^|>]*)\|([^>]*)>", r"\2", name)


def _mixamo(prefix: str) -> Names:
    names = "<Left|Right>Arm,<Left|Right>ForeArm,<Left|Right>Hand,<Left|Right>UpLeg,<Left|Right>Leg,<Left|Right>Foot"
    names += ",<Left|Right>ToeBase"
    return Names(
        ",".join(prefix + name for name in names.split(",")),
        prefix + "<Left|Right>Hand{f}{n}",
        joints="1 2 3 4",
        head=prefix + "Head",
        extra=f"{prefix}Hips {prefix}Spine {prefix}Neck {prefix}LeftShoulder {prefix}RightShoulder {prefix}HeadTop_End",
    )


_RIGIFY = "upper_arm.<L|R>,forearm.<L|R>,hand.<L|R>,thigh.<L|R>,shin.<L|R>,foot.<L|R>,toe.<L|R>"
_RIGIFY_FACE = {"eye": "eye.<L|R>", "ear": "ear.<L|R>", "nose": "nose.002"}
_UNREAL = "upperarm_<l|r>,lowerarm_<l|r>,hand_<l|r>,thigh_<l|r>,calf_<l|r>,foot_<l|r>,ball_<l|r>"
_UNREAL_MORE = "root pelvis spine_01 clavicle_l clavicle_r upperarm_twist_01_l lowerarm_twist_01_r thigh_twist_01_l"
_BIPED = "L UpperArm,L Forearm,L Hand,L Thigh,L Calf,L Foot,L Toe0"
_VRM = "<left|right>UpperArm,<left|right>LowerArm,<left|right>Hand,<left|right>UpperLeg,<left|right>LowerLeg"
_VRM += ",<left|right>Foot,<left|right>Toes"


def _biped(prefix: str) -> Names:
    body = ",".join(prefix + name.replace("L ", "<L|R> ", 1) for name in _BIPED.split(","))
    fingers = {
        f"{finger}_{i}": f"{prefix}<L|R> Finger{row}{n}"
        for row, finger in enumerate(FINGERS)
        for i, n in enumerate(("", "1", "2"), 1)
    }
    return Names(
        body, head=f"{prefix}Head", more=fingers, extra=f"{prefix}Pelvis;{prefix}L Clavicle;{prefix}R Clavicle"
    )


RIGS: dict[str, Names] = {
    "Rigify": Names(
        ",".join(f"DEF-{name}" for name in _RIGIFY.split(",")),
        "DEF-{f}.0{n}.<L|R>",
        "thumb f_index f_middle f_ring f_pinky",
        head="DEF-spine.006",
        more={"eye": "ORG-eye.<L|R>", "ear": "ORG-ear.<L|R>", "nose": "ORG-nose.002"},
        extra="eye.L eye.R DEF-upper_arm.L.001 DEF-upper_arm.R.001 DEF-thigh.L.001 DEF-palm.01.L DEF-shoulder.L head",
    ),
    "Rigify metarig": Names(
        _RIGIFY,
        "{f}.0{n}.<L|R>",
        "thumb f_index f_middle f_ring f_pinky",
        head="spine.006",
        more=_RIGIFY_FACE,
        extra="palm.01.L palm.01.R shoulder.L shoulder.R pelvis.L pelvis.R heel.02.L",
    ),
    "Mixamo, mixamorig:": _mixamo("mixamorig:"),
    "Mixamo, mixamorig1:": _mixamo("mixamorig1:"),
    "Mixamo, no prefix": _mixamo(""),
    "Ready Player Me": Names(
        _mixamo("").body,
        "<Left|Right>Hand{f}{n}",
        joints="1 2 3 4",
        more={"eye": "<Left|Right>Eye"},
        extra="Hips Spine Neck LeftShoulder RightShoulder HeadTop_End",
    ),
    "CMU, BVH": Names(
        "<Left|Right>Arm,<Left|Right>ForeArm,<Left|Right>Hand,<Left|Right>UpLeg,<Left|Right>Leg,<Left|Right>Foot"
        ",<Left|Right>ToeBase",
        more={"thumb_1": "<L|R>Thumb", "index_1": "<Left|Right>HandFinger1"},
        extra="Hips LHipJoint RHipJoint LowerBack Spine Neck LeftShoulder RightShoulder",
    ),
    "Auto-Rig Pro": Names(
        "c_arm_twist_offset.<l|r>,forearm_stretch.<l|r>,hand.<l|r>,thigh_twist.<l|r>,leg_stretch.<l|r>,foot.<l|r>"
        ",toes_01.<l|r>",
        "c_{f}{n}.<l|r>",
        "thumb index middle ring pinky",
        head="head.x",
        more={"thumb_1": "thumb1.<l|r>", "eye": "c_eye.<l|r>"},
        extra="root.x arm_stretch.l arm_stretch.r thigh_stretch.l thigh_stretch.r shoulder.l c_index1_base.l",
    ),
    "Unreal": Names(
        _UNREAL,
        "{f}_0{n}_<l|r>",
        "thumb index middle ring pinky",
        head="head",
        extra=f"{_UNREAL_MORE} index_metacarpal_l index_metacarpal_r",
    ),
    "MetaHuman": Names(
        _UNREAL,
        "{f}_0{n}_<l|r>",
        "thumb index middle ring pinky",
        head="head",
        more={"eye": "FACIAL_<L|R>_Eye", "nose": "FACIAL_C_NoseTip"},
        extra=f"{_UNREAL_MORE} FACIAL_C_FacialRoot index_metacarpal_l",
    ),
    "VRM": Names(
        _VRM,
        "<left|right>{f}{n}",
        "Thumb Index Middle Ring Little",
        "Proximal Intermediate Distal",
        head="head",
        more={
            "eye": "<left|right>Eye",
            "thumb_1": "<left|right>ThumbMetacarpal",
            "thumb_2": "<left|right>ThumbProximal",
            "thumb_3": "<left|right>ThumbDistal",
        },
        extra="hips spine neck leftShoulder rightShoulder",
    ),
    "Unity humanoid": Names(
        ",".join(name.replace("<left|right>", "<Left|Right>") for name in _VRM.split(",")),
        "<Left|Right> {f} {n}",
        "Thumb Index Middle Ring Little",
        "Proximal Intermediate Distal",
        more={"eye": "<Left|Right>Eye"},
        extra="Hips Spine Neck LeftShoulder RightShoulder",
    ),
    "VRoid": Names(
        ",".join(
            f"J_Bip_<L|R>_{part}"
            for part in ["UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "ToeBase"]
        ),
        "J_Bip_<L|R>_{f}{n}",
        "Thumb Index Middle Ring Little",
        head="J_Bip_C_Head",
        more={"eye": "J_Adj_<L|R>_FaceEye"},
        extra="J_Bip_C_Hips J_Bip_C_Neck J_Bip_L_Shoulder J_Bip_R_Shoulder J_Sec_L_Bust1",
    ),
    "MPFB default": Names(
        "upperarm01.<L|R>,lowerarm01.<L|R>,wrist.<L|R>,upperleg01.<L|R>,lowerleg01.<L|R>,foot.<L|R>",
        "finger{f}-{n}.<L|R>",
        "1 2 3 4 5",
        head="head",
        more={"eye": "eye.<L|R>"},
        extra="root upperarm02.L upperarm02.R lowerarm02.L upperleg02.L shoulder01.L clavicle.L metacarpal1.L",
    ),
    "MPFB game engine": Names(_UNREAL, "{f}_0{n}_<l|r>", "thumb index middle ring pinky", head="head", extra="Root"),
    "Daz Genesis 3 and 8": Names(
        "<l|r>ShldrBend,<l|r>ForearmBend,<l|r>Hand,<l|r>ThighBend,<l|r>Shin,<l|r>Foot,<l|r>Toe",
        "<l|r>{f}{n}",
        "Thumb Index Mid Ring Pinky",
        head="head",
        more={"eye": "<l|r>Eye", "ear": "<l|r>Ear"},
        extra="hip pelvis lShldrTwist rShldrTwist lCollar rCollar lCarpal1 lThighTwist lMetatarsals",
    ),
    "Daz Genesis 9": Names(
        ",".join(f"<l|r>_{part}" for part in ["upperarm", "forearm", "hand", "thigh", "shin", "foot", "toes"]),
        "<l|r>_{f}{n}",
        "thumb index mid ring pinky",
        head="head",
        more={"eye": "<l|r>_eye", "ear": "<l|r>_ear"},
        extra="hip pelvis l_upperarmtwist1 r_upperarmtwist1 l_shoulder r_shoulder l_indexmetacarpal",
    ),
    "Character Creator, iClone": Names(
        ",".join(
            f"CC_Base_<L|R>_{part}" for part in ["Upperarm", "Forearm", "Hand", "Thigh", "Calf", "Foot", "ToeBase"]
        ),
        "CC_Base_<L|R>_{f}{n}",
        "Thumb Index Mid Ring Pinky",
        head="CC_Base_Head",
        more={"eye": "CC_Base_<L|R>_Eye"},
        extra="CC_Base_Hip CC_Base_L_UpperarmTwist01 CC_Base_L_Clavicle CC_Base_R_Clavicle CC_Base_FacialBone",
    ),
    "Biped": _biped("Bip001 "),
    "Rocketbox": _biped("Bip01 "),
    "MMD": Names(
        "<左|右>腕,<左|右>ひじ,<左|右>手首,<左|右>足,<左|右>ひざ,<左|右>足首,<左|右>つま先",
        "<左|右>{f}{n}",
        "親指 人指 中指 薬指 小指",
        "１ ２ ３",  # noqa: RUF001  (as MMD writes them)
        head="頭",
        more={"eye": "<左|右>目", "thumb_1": "<左|右>親指０", "thumb_2": "<左|右>親指１", "thumb_3": "<左|右>親指２"},
        extra="全ての親 センター 左肩 右肩 左腕捩 右腕捩 左足ＩＫ 右足ＩＫ 両目",
    ),
    "MMD, mmd_tools": Names(
        "腕.<L|R>,ひじ.<L|R>,手首.<L|R>,足.<L|R>,ひざ.<L|R>,足首.<L|R>,つま先.<L|R>",
        "{f}{n}.<L|R>",
        "親指 人指 中指 薬指 小指",
        "１ ２ ３",  # noqa: RUF001  (as MMD writes them)
        head="頭",
        more={"eye": "目.<L|R>", "thumb_1": "親指０.<L|R>", "thumb_2": "親指１.<L|R>", "thumb_3": "親指２.<L|R>"},
        extra="全ての親 センター 肩.L 肩.R 腕捩.L 足ＩＫ.L 足D.L 足D.R ひざD.L",
    ),
}
UNKNOWN: dict[str, Names] = {
    "words, with a namespace": Names(
        ",".join(f"Hero:<L|R>_{part}_jnt" for part in ["upArm", "loArm", "wrist", "upLeg", "loLeg", "ankle", "toe"]),
        "Hero:<L|R>_{f}_0{n}_jnt",
        "thumb index middle ring pinky",
        head="Hero:C_head_jnt",
        more={"eye": "Hero:<L|R>_eye_jnt"},
        extra="Hero:C_spine_01_jnt Hero:L_clavicle_jnt Hero:L_arm_ik_ctrl Hero:L_upArm_twist_01_jnt Hero:L_eye_target",
    ),
    "words for joints": Names(
        "Shoulder_<L|R>,Elbow_<L|R>,Wrist_<L|R>,Hip_<L|R>,Knee_<L|R>,Ankle_<L|R>,Toes_<L|R>",
        "{f}Finger{n}_<L|R>",
        "Thumb Index Middle Ring Pinky",
        head="Head_M",
        extra="Root_M Spine1_M Scapula_L Scapula_R Neck_M IKLeg_L",
    ),
    "words, numbered": Names(
        "b_<left|right>_arm_01,b_<left|right>_arm_02,b_<left|right>_hand,b_<left|right>_leg_01,b_<left|right>_leg_02"
        ",b_<left|right>_foot,b_<left|right>_toe",
        "b_<left|right>_finger_{f}_{n}",
        "1 2 3 4 5",
        head="b_head",
        extra="b_root b_spine_01 b_left_clavicle b_right_clavicle",
    ),
    "words, shouted": Names(
        "RIG|<LEFT|RIGHT>-THIGH".replace("THIGH", "UPPERARM")
        + "".join(f",RIG|<LEFT|RIGHT>-{part}" for part in ["FOREARM", "HAND", "THIGH", "CALF", "FOOT", "BALL"]),
        "RIG|<LEFT|RIGHT>-{f}-{n}",
        "THUMB INDEX MIDDLE RING LITTLE",
        head="RIG|HEAD",
        extra="RIG|PELVIS RIG|LEFT-COLLAR RIG|RIGHT-COLLAR",
    ),
}


def build(scene: Any, names: Names, *, imported: bool = False, seed: int = 0) -> Any:
    """An armature object with the skeleton under these names.

    imported: as importers of FBX leave it, in centimetres with Y up under a turned and scaled object, and
    with tails that nobody modelled. Otherwise as riggers build it: bones end where the next begins.
    """
    extra = names.extra.split(";") if ";" in names.extra else names.extra.split()
    return build_named(scene, names.bones(), extra, imported=imported, seed=seed)


def build_named(
    scene: Any, bones: dict[str, str], extra: list[str] | None = None, *, imported: bool = False, seed: int = 0
) -> Any:
    """The same, with bones by point."""
    random = np.random.default_rng(seed)
    data = bpy.data.armatures.new("Character")
    rig = bpy.data.objects.new("Character", data)
    scene.collection.objects.link(rig)
    if imported:
        rig.matrix_world = Matrix.Rotation(np.pi / 2, 4, "X") @ Matrix.Scale(0.01, 4)
    into = rig.matrix_world.inverted()
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for name in extra or []:
        bone = data.edit_bones.new(name)
        spot = Vector(random.uniform((-0.3, -0.6, 0.5), (0.3, 0.6, 1.7)).tolist())
        bone.head, bone.tail = into @ spot, into @ (spot + Vector((0, 0, 0.1)))
    made = {}
    for point, name in sorted(bones.items(), key=lambda item: item[0] != "head"):
        bone = made[point] = data.edit_bones.new(name)
        assert bone.name == name, "a name twice"
        bone.head = into @ place(point)
        bone.tail = into @ (place(point) + _along(point, imported, random))
        bone.roll = float(random.uniform(-3, 3))
    for point, bone in made.items():
        above = parent(point)
        bone.parent = made.get(above) if above else None
    bpy.ops.object.mode_set(mode="OBJECT")
    return rig


def _along(point: str, imported: bool, random: Any) -> Vector:
    """From a bone's head to its tail."""
    if imported:
        return Vector(random.normal(size=3).tolist()).normalized() * 0.1
    side, _, part = point.partition("_")
    following = {above: below for below, above in _PARENTS.items()}
    finger, _, joint = part.rpartition("_")
    if part in following:
        return place(f"{side}_{following[part]}") - place(point)
    if finger and joint != "4":
        return place(f"{side}_{finger}_{int(joint) + 1}") - place(point)
    return Vector((0, 0, 0.19)) if point == "head" else Vector((0, -0.03, 0))

"""Bone names to rigs, against lists of names as they stand in real files."""

import pytest
from underpaint.addon.pose.match import match, unmapped
from underpaint.addon.pose.points import Part, paired

# left and right names of shoulder, elbow, wrist, hip, knee, ankle; then the head; as files have them
FILES = {
    "Rigify": (
        "DEF-upper_arm.L DEF-forearm.L DEF-hand.L DEF-thigh.L DEF-shin.L DEF-foot.L",
        "DEF-upper_arm.R DEF-forearm.R DEF-hand.R DEF-thigh.R DEF-shin.R DEF-foot.R",
        "DEF-spine.006",
    ),
    "Rigify metarig": (
        "upper_arm.L forearm.L hand.L thigh.L shin.L foot.L",
        "upper_arm.R forearm.R hand.R thigh.R shin.R foot.R",
        "spine.006",
    ),
    "Mixamo, Ready Player Me, CMU and other BVH": (
        "mixamorig:LeftArm mixamorig:LeftForeArm mixamorig:LeftHand mixamorig:LeftUpLeg mixamorig:LeftLeg "
        "mixamorig:LeftFoot",
        "mixamorig:RightArm mixamorig:RightForeArm mixamorig:RightHand mixamorig:RightUpLeg mixamorig:RightLeg "
        "mixamorig:RightFoot",
        "mixamorig:Head",
    ),
    "Unreal, MPFB game engine": (
        "upperarm_l lowerarm_l hand_l thigh_l calf_l foot_l",
        "upperarm_r lowerarm_r hand_r thigh_r calf_r foot_r",
        "head",
    ),
    "VRM, Unity humanoid": (
        "leftUpperArm leftLowerArm leftHand leftUpperLeg leftLowerLeg leftFoot",
        "rightUpperArm rightLowerArm rightHand rightUpperLeg rightLowerLeg rightFoot",
        "head",
    ),
    "VRoid": (
        "J_Bip_L_UpperArm J_Bip_L_LowerArm J_Bip_L_Hand J_Bip_L_UpperLeg J_Bip_L_LowerLeg J_Bip_L_Foot",
        "J_Bip_R_UpperArm J_Bip_R_LowerArm J_Bip_R_Hand J_Bip_R_UpperLeg J_Bip_R_LowerLeg J_Bip_R_Foot",
        "J_Bip_C_Head",
    ),
    "MPFB default": (
        "upperarm01.L lowerarm01.L wrist.L upperleg01.L lowerleg01.L foot.L",
        "upperarm01.R lowerarm01.R wrist.R upperleg01.R lowerleg01.R foot.R",
        "head",
    ),
    "Auto-Rig Pro": (
        "c_arm_twist_offset.l forearm_stretch.l hand.l thigh_twist.l leg_stretch.l foot.l",
        "c_arm_twist_offset.r forearm_stretch.r hand.r thigh_twist.r leg_stretch.r foot.r",
        "head.x",
    ),
    "Character Creator, iClone": (
        "CC_Base_L_Upperarm CC_Base_L_Forearm CC_Base_L_Hand CC_Base_L_Thigh CC_Base_L_Calf CC_Base_L_Foot",
        "CC_Base_R_Upperarm CC_Base_R_Forearm CC_Base_R_Hand CC_Base_R_Thigh CC_Base_R_Calf CC_Base_R_Foot",
        "CC_Base_Head",
    ),
    "Daz Genesis 1 to 8": (
        "lShldrBend lForearmBend lHand lThighBend lShin lFoot",
        "rShldrBend rForearmBend rHand rThighBend rShin rFoot",
        "head",
    ),
    "Daz Genesis 9": (
        "l_upperarm l_forearm l_hand l_thigh l_shin l_foot",
        "r_upperarm r_forearm r_hand r_thigh r_shin r_foot",
        "head",
    ),
    "Biped, Rocketbox": (
        "Bip001 L UpperArm|Bip001 L Forearm|Bip001 L Hand|Bip001 L Thigh|Bip001 L Calf|Bip001 L Foot",
        "Bip001 R UpperArm|Bip001 R Forearm|Bip001 R Hand|Bip001 R Thigh|Bip001 R Calf|Bip001 R Foot",
        "Bip001 Head",
    ),
}
LIMBS = (Part.SHOULDER, Part.ELBOW, Part.WRIST, Part.HIP, Part.KNEE, Part.ANKLE)


def names(rig: str) -> tuple[list[str], list[str], str]:
    left, right, head = FILES[rig]
    apart = "|" if "|" in left else " "
    return left.split(apart), right.split(apart), head


@pytest.mark.parametrize("rig", FILES)
def test_a_rig_is_known_and_its_sides_are_not_swapped(rig: str) -> None:
    left, right, head = names(rig)
    found = match(["Root", "Hips", *right, head, *left])
    assert found is not None
    assert found.rig.name == rig
    assert [found.bones[paired("left", part)] for part in LIMBS] == left
    assert [found.bones[paired("right", part)] for part in LIMBS] == right
    assert found.bones["head"] == head


@pytest.mark.parametrize("prefix", ["", "mixamorig1:", "mixamorig", "Hero_", "char|rig:"])
def test_any_prefix_or_none(prefix: str) -> None:
    left, right, head = names("Mixamo, Ready Player Me, CMU and other BVH")
    bones = [name.replace("mixamorig:", prefix) for name in (*left, *right, head)]
    found = match(bones)
    assert found is not None
    assert found.bones["right_wrist"] == f"{prefix}RightHand"
    assert found.bones["head"] == f"{prefix}Head"


@pytest.mark.parametrize("rig", ["Unreal, MPFB game engine", "VRM, Unity humanoid", "Biped, Rocketbox"])
def test_case_and_separators_do_not_matter(rig: str) -> None:
    left, right, head = names(rig)
    bones = [name.upper().replace("_", "-").replace(" ", "_") for name in (*left, *right, head)]
    found = match(bones)
    assert found is not None
    assert found.rig.name == rig
    assert len(found.bones) == 13


def test_deform_bones_win_over_controls() -> None:
    left, right, head = names("Rigify")
    bones = [name.replace("DEF-", prefix) for name in (*left, *right, head) for prefix in ("ORG-", "MCH-", "DEF-")]
    found = match(bones)
    assert found is not None
    assert found.bones["left_elbow"] == "DEF-forearm.L"


@pytest.mark.parametrize(
    "bones",
    [
        ["Bone", "Bone.001", "Bone.002"],
        ["Root", "Chain.L", "Chain.R", "head"],
        # a wolf of Rigify's: a man's legs behind, and names of their own in front
        ["thigh.L", "shin.L", "foot.L", "thigh.R", "shin.R", "foot.R", "front_thigh.L", "front_thigh.R", "spine.006"],
        [],
    ],
)
def test_what_is_no_person(bones: list[str]) -> None:
    assert match(bones) is None


def test_a_person_with_unknown_names_is_an_error_that_names_them() -> None:
    left, right, head = names("Unreal, MPFB game engine")
    bones = [name for name in (*left, *right, head) if name not in ("calf_l", "lowerarm_r")]
    found = match(bones)
    assert found is not None
    error = unmapped("Hero", found)
    assert '"Hero"' in str(error)
    assert "right elbow, left knee" in str(error)

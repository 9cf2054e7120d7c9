"""Union nets: which mode stands for which kind, and what is refused before anything is downloaded."""

import pytest
from underpaint.backend.worker.conditioning.table import NetKind, convention
from underpaint.backend.worker.conditioning.unions import UNIONS, UnionId, known, mode, mode_of
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.request import ControlKind


def test_xinsir_s_modes() -> None:
    expected = {
        ControlKind.OPENPOSE: 0,
        ControlKind.DEPTH: 1,
        ControlKind.SOFTEDGE: 2,
        ControlKind.SCRIBBLE: 2,
        ControlKind.CANNY: 3,
        ControlKind.LINEART: 3,
        ControlKind.LINEART_ANIME: 3,
        ControlKind.MLSD: 3,
        ControlKind.NORMAL: 4,
        ControlKind.SEGMENTATION: 5,
    }
    assert {kind: mode(FamilyId.SDXL, kind, 6) for kind in expected} == expected
    assert {kind: mode(FamilyId.SDXL, kind, 8) for kind in expected} == expected
    assert (mode(FamilyId.SDXL, ControlKind.TILE, 8), mode(FamilyId.SDXL, ControlKind.INPAINT, 8)) == (6, 7)


def test_a_kind_without_a_mode_is_refused_by_what_the_net_knows() -> None:
    with pytest.raises(InvalidRequest, match=r"has no mode for tile; it knows canny, depth, .*softedge"):
        mode(FamilyId.SDXL, ControlKind.TILE, 6)
    for modes in (6, 8):
        with pytest.raises(InvalidRequest, match="no mode for shuffle"):
            mode(FamilyId.SDXL, ControlKind.SHUFFLE, modes)
    with pytest.raises(InvalidRequest, match="7 modes is not known"):
        mode(FamilyId.SDXL, ControlKind.DEPTH, 7)


def test_flux_s_modes() -> None:
    kinds = ("canny", "tile", "depth", "blur", "openpose", "gray", "low_quality")
    for union in (UnionId.FLUX_INSTANTX, UnionId.FLUX_SHAKKER_PRO):
        assert [mode_of(union, ControlKind(kind)) for kind in kinds] == list(range(7))
    with pytest.raises(InvalidRequest, match="no mode for normal"):
        mode_of(UnionId.FLUX_SHAKKER_PRO, ControlKind.NORMAL)


def test_nets_without_a_mode_embedding_get_no_mode() -> None:
    assert mode_of(UnionId.FLUX_SHAKKER_PRO_2, ControlKind.GRAY) is None
    assert mode_of(UnionId.QWEN_INSTANTX, ControlKind.SOFTEDGE) is None
    with pytest.raises(InvalidRequest, match="no mode for tile"):
        mode_of(UnionId.FLUX_SHAKKER_PRO_2, ControlKind.TILE)


def test_a_union_is_known_by_its_hub_id() -> None:
    assert known("xinsir/controlnet-union-sdxl-1.0") is UNIONS[UnionId.XINSIR]
    assert known(" Brad-Twinkl/controlnet-union-sdxl-1.0-promax") is UNIONS[UnionId.XINSIR_PROMAX]
    assert known("InstantX/FLUX.1-dev-Controlnet-Union") is UNIONS[UnionId.FLUX_INSTANTX]
    assert known("lllyasviel/control_v11p_sd15_canny") is None
    assert known("") is None


def test_ten_modes_are_flux_s_and_no_one_else_s() -> None:
    assert mode(FamilyId.FLUX, ControlKind.OPENPOSE, 10) == 4
    with pytest.raises(InvalidRequest, match="10 modes is not known, only ones with 6 or 8"):
        mode(FamilyId.SDXL, ControlKind.OPENPOSE, 10)
    with pytest.raises(InvalidRequest, match="only ones with none"):
        mode(FamilyId.QWEN_IMAGE, ControlKind.OPENPOSE, 10)


def test_modes_are_within_the_net_s_own_count_and_have_a_convention() -> None:
    for row in UNIONS.values():
        numbers = [number for number in row.modes.values() if number is not None]
        assert all(0 <= number < row.mode_count for number in numbers)
        assert bool(numbers) == bool(row.mode_count)
        for kind in row.modes:
            convention(row.family, kind, NetKind.UNION if row.mode_count else NetKind.PLAIN)

"""Any source to a control image of exactly the size that is asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.conditioning import ControlMap, control_map
from underpaint.backend.worker.conditioning.table import Convention, LineConvention, NetKind, convention
from underpaint.backend.worker.families import FamilyId
from underpaint.protocol.arrays import ArrayRef, UInt8Array
from underpaint.protocol.checks import SOURCES
from underpaint.protocol.errors import BlobMissing, InvalidArray, InvalidRequest
from underpaint.protocol.geometry import Camera, Extent, Projection
from underpaint.protocol.options import (
    DepthEncoding,
    DepthOptions,
    DetectorOptions,
    LineOptions,
    NormalEncoding,
    NormalOptions,
    Options,
    PictureOptions,
    PoseOptions,
    SegmentationOptions,
    SegmentColours,
)
from underpaint.protocol.request import Control, ControlKind
from underpaint.protocol.sources import (
    DepthPass,
    Detector,
    InpaintPass,
    LinesPass,
    NormalPass,
    Photo,
    PicturePass,
    PosePass,
    ReadyMap,
    Segment,
    SegmentationPass,
    Source,
)
from worker_scene import depth_pass, normal_pass, pose_pass

_SIZE = Extent(width=64, height=48)
_CAMERA = Camera(
    projection=Projection.PERSPECTIVE,
    fx_px=64,
    fy_px=64,
    cx_px=32,
    cy_px=24,
    world_from_camera=(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1),
    clip_start_m=0.1,
    clip_end_m=100,
)


class Seen(Exception):
    """Raised by the detector that only looks at what it is handed."""


def _detect(photo: Photo, image: UInt8Array, extent: Extent, **details: Any) -> UInt8Array:
    raise Seen(photo, image, extent, details)


Convert = Callable[..., ControlMap]


@pytest.fixture
def convert(blobs: BlobStore) -> Convert:
    def convert(
        kind: ControlKind,
        source: Source,
        options: Options | None = None,
        *,
        family: FamilyId = FamilyId.SD15,
        net: NetKind = NetKind.PLAIN,
        controlnet: str = "",
    ) -> ControlMap:
        control = Control(kind=kind, source=source, options=options, controlnet=controlnet)
        return control_map(control, family=family, net=net, extent=_SIZE, read=blobs.read_array, detect=_detect)

    return convert


def _picture(width: int, height: int) -> UInt8Array:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def sources(blobs: BlobStore) -> dict[type[Source], Source]:
    """Each kind of pass, of one little scene: a ball over a floor."""
    depth, normal = depth_pass(blobs, _SIZE), normal_pass(blobs, _SIZE)
    metres, normals = blobs.read_array(depth.metres), blobs.read_array(normal.normal_camera)
    floor = normals[:, :, 1] == 1
    objects = np.where(np.isfinite(metres), np.where(floor, 2, 1), 0).astype(np.int32)
    image = blobs.write_array(_picture(64, 48))
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:20] = 255
    segments = (Segment(name="Ball", ade20k=119), Segment(name="Floor", ade20k=3))
    return {
        DepthPass: depth,
        NormalPass: normal,
        PosePass: pose_pass(_SIZE),
        LinesPass: LinesPass(
            metres=depth.metres,
            normal_camera=normal.normal_camera,
            objects=blobs.write_array(objects),
            materials=blobs.write_array(objects),
            camera=_CAMERA,
        ),
        SegmentationPass: SegmentationPass(indices=blobs.write_array(objects - 1), segments=segments, background=2),
        PicturePass: PicturePass(image=image),
        InpaintPass: InpaintPass(image=image, mask=blobs.write_array(mask)),
    }


@pytest.mark.parametrize("kind", ControlKind)
def test_every_kind_is_made_from_every_source_that_the_scene_has_for_it(
    kind: ControlKind, convert: Convert, sources: dict[type[Source], Source]
) -> None:
    for source in SOURCES[kind]:
        image = convert(kind, sources[source])
        assert image.shape == (48, 64, 3)
        assert image.dtype == (np.float32 if kind is ControlKind.INPAINT else np.uint8)
        assert image.std() > (0.1 if kind is ControlKind.INPAINT else 10)


def test_what_a_family_has_no_nets_for_is_refused_with_what_would_do(
    convert: Convert, sources: dict[type[Source], Source]
) -> None:
    with pytest.raises(InvalidRequest, match="no mlsd ControlNet for Stable Diffusion XL is known; choose a union"):
        convert(ControlKind.MLSD, sources[LinesPass], family=FamilyId.SDXL)
    assert convert(ControlKind.MLSD, sources[LinesPass], family=FamilyId.SDXL, net=NetKind.UNION).shape[2] == 3
    with pytest.raises(InvalidRequest, match="no tile ControlNet for Stable Diffusion 2 is known"):
        convert(ControlKind.TILE, sources[PicturePass], family=FamilyId.SD2)
    with pytest.raises(InvalidRequest, match=r"can't be shown a shuffle control: .* know .*depth"):
        convert(ControlKind.SHUFFLE, sources[PicturePass], family=FamilyId.SDXL, net=NetKind.UNION)
    with pytest.raises(InvalidRequest, match=r"no union net for Stable Diffusion 1\.5"):
        convert(ControlKind.DEPTH, sources[DepthPass], net=NetKind.UNION)


def test_how_the_net_is_built_decides_what_it_is_shown(convert: Convert, sources: dict[type[Source], Source]) -> None:
    for kind, source in ((ControlKind.SEGMENTATION, SegmentationPass), (ControlKind.INPAINT, InpaintPass)):
        plain = convert(kind, sources[source], family=FamilyId.SDXL)
        union = convert(kind, sources[source], family=FamilyId.SDXL, net=NetKind.UNION)
        assert (plain != union).any()


_ZOE = DepthOptions(encoding=DepthEncoding.LINEAR)


@pytest.mark.parametrize(
    ("controlnet", "options"),
    [
        ("diffusers/controlnet-zoe-depth-sdxl-1.0", _ZOE),
        (" Diffusers/ControlNet-Zoe-Depth-SDXL-1.0 ", _ZOE),
        ("/models/diffusers/controlnet-zoe-depth-sdxl-1.0/", _ZOE),
        ("C:\\models\\diffusers\\controlnet-zoe-depth-sdxl-1.0", _ZOE),
        ("mydiffusers/controlnet-zoe-depth-sdxl-1.0", None),
        ("diffusers/controlnet-depth-sdxl-1.0", None),
    ],
)
def test_a_net_that_is_an_exception_is_known_by_its_id(
    convert: Convert, sources: dict[type[Source], Source], controlnet: str, options: DepthOptions | None
) -> None:
    depth = sources[DepthPass]
    expected = convert(ControlKind.DEPTH, depth, options, family=FamilyId.SDXL)
    assert (convert(ControlKind.DEPTH, depth, family=FamilyId.SDXL, controlnet=controlnet) == expected).all()
    chosen = convert(ControlKind.DEPTH, depth, _ZOE, family=FamilyId.SDXL, controlnet=controlnet)
    assert (chosen == convert(ControlKind.DEPTH, depth, _ZOE, family=FamilyId.SDXL)).all()  # the user's word counts


def test_sticks_are_as_wide_as_each_net_saw_them(convert: Convert, sources: dict[type[Source], Source]) -> None:
    def drawn(family: FamilyId, controlnet: str) -> int:
        return np.count_nonzero(convert(ControlKind.OPENPOSE, sources[PosePass], family=family, controlnet=controlnet))

    own = drawn(FamilyId.SDXL, "thibaud/controlnet-openpose-sdxl-1.0")
    assert own > 1.5 * drawn(FamilyId.SDXL, "xinsir/controlnet-openpose-sdxl-1.0")  # which grows with the size
    assert drawn(FamilyId.SD15, "") == drawn(FamilyId.SDXL, "")  # not yet, at 64 pixels


def test_sd10_s_normal_net_asks_for_its_slopes(convert: Convert, sources: dict[type[Source], Source]) -> None:
    controlnet = "lllyasviel/sd-controlnet-normal"
    with pytest.raises(InvalidRequest, match="choose the midas encoding"):
        convert(ControlKind.NORMAL, sources[NormalPass], controlnet=controlnet)
    slopes = convert(ControlKind.NORMAL, sources[DepthPass])
    assert (convert(ControlKind.NORMAL, sources[DepthPass], controlnet=controlnet) == slopes).all()


@pytest.mark.parametrize(
    ("kind", "source", "options"),
    [
        (ControlKind.DEPTH, DepthPass, DepthOptions(floor=0.5)),
        (ControlKind.NORMAL, NormalPass, NormalOptions(encoding=NormalEncoding.OPENGL)),
        (ControlKind.NORMAL, DepthPass, NormalOptions(background_threshold=0.9)),
        (ControlKind.OPENPOSE, PosePass, PoseOptions(stick_px=9)),
        (ControlKind.SCRIBBLE, LinesPass, LineOptions(width_px=9)),
        (ControlKind.SEGMENTATION, SegmentationPass, SegmentationOptions(colours=SegmentColours.RANDOM)),
        (ControlKind.TILE, PicturePass, PictureOptions(shrink=4)),
        (ControlKind.INPAINT, InpaintPass, PictureOptions(grow_px=5)),
    ],
)
def test_options_reach_the_map(
    convert: Convert, sources: dict[type[Source], Source], kind: ControlKind, source: type[Source], options: Options
) -> None:
    assert (convert(kind, sources[source]) != convert(kind, sources[source], options)).any()


def test_options_of_another_source_are_refused(convert: Convert, sources: dict[type[Source], Source]) -> None:
    with pytest.raises(InvalidRequest, match="PoseOptions don't go with the DepthPass of a depth control"):
        convert(ControlKind.DEPTH, sources[DepthPass], PoseOptions())
    with pytest.raises(InvalidRequest, match="DepthOptions don't go"):
        convert(ControlKind.NORMAL, sources[DepthPass], DepthOptions())


def test_a_photo_goes_to_the_detector_with_what_it_needs(convert: Convert, blobs: BlobStore) -> None:
    picture = _picture(20, 10)
    photo = Photo(image=blobs.write_array(picture), detector=Detector.HED)
    options = DetectorOptions(safe=True)
    with pytest.raises(Seen) as caught:
        convert(ControlKind.SOFTEDGE, photo, options)
    seen_photo, image, extent, details = caught.value.args
    assert seen_photo is photo
    assert (image == picture).all()
    assert extent == _SIZE
    rule: Convention = details["rule"]
    assert isinstance(rule, LineConvention)
    assert rule == convention(FamilyId.SD15, ControlKind.SOFTEDGE)
    assert (details["kind"], details["options"]) == (ControlKind.SOFTEDGE, options)


@pytest.mark.parametrize("kind", ControlKind)
def test_a_ready_map_is_used_as_it_is(kind: ControlKind, convert: Convert, blobs: BlobStore) -> None:
    image = _picture(64, 48)
    assert (convert(kind, ReadyMap(image=blobs.write_array(image))) == image).all()


@pytest.mark.parametrize(("width", "height"), [(128, 96), (32, 24), (30, 100)])
def test_a_ready_map_of_another_size_is_fitted(convert: Convert, blobs: BlobStore, width: int, height: int) -> None:
    halves = np.zeros((height, width, 3), np.uint8)
    halves[:, width // 2 :] = (10, 200, 90)
    image = convert(ControlKind.CANNY, ReadyMap(image=blobs.write_array(halves)))
    assert image.shape == (48, 64, 3)
    # Lanczos rings beside the edge when it enlarges.
    assert image[:, :20].max() <= 2
    assert np.abs(image[:, 44:].astype(int) - (10, 200, 90)).max() <= 2


def test_what_does_not_go_together_is_refused(convert: Convert, sources: dict[type[Source], Source]) -> None:
    with pytest.raises(InvalidRequest, match="no canny control can be made from DepthPass"):
        convert(ControlKind.CANNY, sources[DepthPass])
    with pytest.raises(InvalidRequest, match="no tile control can be made from InpaintPass"):
        convert(ControlKind.TILE, sources[InpaintPass])


def test_a_pass_of_the_wrong_size_or_type_is_refused(convert: Convert, blobs: BlobStore) -> None:
    def depth(ref: ArrayRef) -> DepthPass:
        return DepthPass(metres=ref, projection=Projection.PERSPECTIVE)

    with pytest.raises(InvalidArray, match="depth pass"):
        convert(ControlKind.DEPTH, depth_pass(blobs, Extent(width=32, height=32)))
    flat = blobs.write_array(np.zeros((48, 64), np.uint8))
    with pytest.raises(InvalidArray, match="depth pass"):
        convert(ControlKind.DEPTH, depth(flat))
    with pytest.raises(InvalidArray, match="ready map"):
        convert(ControlKind.DEPTH, ReadyMap(image=flat))
    with pytest.raises(InvalidArray, match="segmentation pass"):
        convert(ControlKind.SEGMENTATION, SegmentationPass(indices=flat, segments=()))
    image = blobs.write_array(_picture(64, 48))
    with pytest.raises(InvalidArray, match="mask"):
        convert(ControlKind.INPAINT, InpaintPass(image=image, mask=blobs.write_array(np.zeros((8, 8), np.uint8))))
    gone = blobs.write_array(np.full((48, 64), 5.5, np.float32))
    blobs.path(gone.sha256).unlink()
    with pytest.raises(BlobMissing):
        convert(ControlKind.DEPTH, depth(gone))

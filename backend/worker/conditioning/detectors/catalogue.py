"""Every detector: the weights it needs, how it is built from them, and how it is run.

Sizes and places are those of the hub's pages of the repositories named here. controlnet-aux fetches what it needs
when it is asked to load; it is never asked before all of it is here.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .....protocol.arrays import UInt8Array
from .....protocol.sources import Detector
from ...third_party import torch
from . import lines, people, regions, surfaces
from .dwpose import WholeBody
from .weights import Choices, Found, WeightFile
from .work import Work

Build = Callable[[list[Found], str], Any]
Run = Callable[[Any, Work], UInt8Array]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A detector."""

    build: Build  # from its weights, on a torch device
    run: Run
    needs: tuple[Choices, ...] = ()
    resolution_px: int = 512  # controlnet-aux's default

    @property
    def megabytes(self) -> float:
        """Of memory, about."""
        return sum(max(file.megabytes for file in choices) for choices in self.needs)


def _nothing(_: list[Found], __: str) -> None:
    """Needs nothing to be built."""


def _without_weights(class_name: str) -> Build:
    return lambda _, __: getattr(_library(), class_name)()


def _pretrained(class_name: str, *arguments: str) -> Build:
    """By the class's from_pretrained, with each file under the argument that stands for it."""

    def build(files: list[Found], device: str) -> Any:
        # Told of a folder, the library joins it with the names; a whole path, such as these, stays as it is.
        names = {argument: str(found.path) for argument, found in zip(arguments, files, strict=True)}
        folder = str(files[0].path.parent)
        return getattr(_library(), class_name).from_pretrained(folder, **names).to(device)

    return build


def _zoe(files: list[Found], device: str) -> Any:
    """As from_pretrained does it, which would let a file pass that lacks half of the net: nobody asks there."""
    library = importlib.import_module("controlnet_aux.zoe")
    model = library.ZoeDepth.build_from_config(library.get_config("zoedepth", "infer"))
    tensors = _tensors(files[0])
    # timm computes these itself since its 1.0.
    absent = [name for name in model.state_dict() if name not in tensors and "relative_position_index" not in name]
    if absent:
        raise KeyError(absent[0])
    model.load_state_dict(tensors)
    return library.ZoeDetector(model.eval()).to(device)


def _leres(files: list[Found], device: str) -> Any:
    """Without the second net, of 318 MB, that from_pretrained wants and only the library's `boost` uses."""
    library = importlib.import_module("controlnet_aux.leres")
    model = library.RelDepthModel(backbone="resnext101")
    model.load_state_dict(library.strip_prefix_if_present(_tensors(files[0]), "module."))
    return library.LeresDetector(model.eval(), None).to(device)


def _tensors(found: Found) -> Any:
    return torch().load(str(found.path))[found.file.under]  # as `weights.safely_read` has it


def _sam(files: list[Found], device: str) -> Any:
    """The mask generator alone: the class around it takes whatever GPU there is, and paints with blended borders."""
    library = importlib.import_module("controlnet_aux.segment_anything")
    model = library.sam_model_registry[_SAM_TYPES[files[0].file]](checkpoint=str(files[0].path))
    return library.SamAutomaticMaskGenerator(model.to(device))


def _dwpose(files: list[Found], _: str) -> WholeBody:
    return WholeBody(files[0].path, files[1].path)


def _library() -> Any:
    return importlib.import_module("controlnet_aux")


def _one(path: str, megabytes: float, **more: str) -> tuple[WeightFile, ...]:
    return (WeightFile(path=path, megabytes=megabytes, **more),)


_SAM_TYPES = {
    WeightFile(repository="dhkim2810/MobileSAM", path="mobile_sam.pt", megabytes=40.7): "vit_t",
    WeightFile(repository="ybelkada/segment-anything", path="checkpoints/sam_vit_b_01ec64.pth", megabytes=375): "vit_b",
    WeightFile(
        repository="ybelkada/segment-anything", path="checkpoints/sam_vit_h_4b8939.pth", megabytes=2565
    ): "vit_h",
}

ROWS: dict[Detector, Row] = {
    Detector.CANNY: Row(build=_nothing, run=lines.canny),
    Detector.HED: Row(
        needs=(_one("ControlNetHED.pth", 29.4),), build=_pretrained("HEDdetector", "filename"), run=lines.soft
    ),
    Detector.PIDINET: Row(
        needs=(_one("table5_pidinet.pth", 2.87, under="state_dict"),),
        build=_pretrained("PidiNetDetector", "filename"),
        run=lines.soft,
    ),
    Detector.TEED: Row(
        needs=(_one("Anyline/MTEED.pth", 0.25, repository="TheMistoAI/MistoLine"),),
        build=_pretrained("AnylineDetector", "filename"),
        run=lines.anyline,
        resolution_px=1280,
    ),
    Detector.LINEART: Row(
        needs=(_one("sk_model.pth", 17.2), _one("sk_model2.pth", 17.2)),
        build=_pretrained("LineartDetector", "filename", "coarse_filename"),
        run=lines.lineart,
    ),
    Detector.LINEART_STANDARD: Row(build=_without_weights("LineartStandardDetector"), run=lines.lineart_standard),
    Detector.LINEART_ANIME: Row(
        needs=(_one("netG.pth", 218),),
        build=_pretrained("LineartAnimeDetector", "filename"),
        run=lines.lineart_anime,
    ),
    Detector.MLSD: Row(
        needs=(_one("mlsd_large_512_fp32.pth", 6.34),), build=_pretrained("MLSDdetector", "filename"), run=lines.mlsd
    ),
    Detector.OPENPOSE: Row(
        needs=(_one("body_pose_model.pth", 209), _one("hand_pose_model.pth", 147), _one("facenet.pth", 154)),
        build=_pretrained("OpenposeDetector", "filename", "hand_filename", "face_filename"),
        run=people.openpose,
    ),
    Detector.DWPOSE: Row(
        needs=(
            _one("yolox_l.onnx", 217, repository="yzd-v/DWPose"),
            _one("dw-ll_ucoco_384.onnx", 134, repository="yzd-v/DWPose"),
        ),
        build=_dwpose,
        run=people.dwpose,
    ),
    Detector.MIDAS: Row(
        needs=(_one("dpt_hybrid-midas-501f0c75.pt", 493),),
        build=_pretrained("MidasDetector", "filename"),
        run=surfaces.depth,
    ),
    Detector.ZOE: Row(needs=(_one("ZoeD_M12_N.pt", 1443, under="model"),), build=_zoe, run=surfaces.depth),
    Detector.LERES: Row(needs=(_one("res101.pth", 531, under="depth_model"),), build=_leres, run=surfaces.depth),
    Detector.NORMAL_BAE: Row(
        needs=(_one("scannet.pt", 291, under="model"),),
        build=_pretrained("NormalBaeDetector", "filename"),
        run=surfaces.normal,
    ),
    Detector.SHUFFLE: Row(build=_without_weights("ContentShuffleDetector"), run=regions.shuffle),
    Detector.SAM: Row(needs=(tuple(_SAM_TYPES),), build=_sam, run=regions.sam),
}

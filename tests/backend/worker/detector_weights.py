"""Random weights for the library's own detectors, in files of the published names and layouts."""

import importlib
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from underpaint.protocol.sources import Detector

Tensors = dict[str, torch.Tensor]


def library(name: str) -> Any:
    """A module of controlnet-aux, without its warnings of packages that it could use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"controlnet_aux.{name}")


def random_tensors(build: Callable[[], torch.nn.Module], device: str = "meta") -> Tensors:
    """Small values for every tensor of a net, the same each time; the net itself takes no memory, if it can."""
    with torch.device(device), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = build().state_dict()
    generator = torch.Generator().manual_seed(3)
    tensors: Tensors = OrderedDict()
    for name, tensor in shapes.items():
        if not tensor.is_floating_point():
            tensors[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
        elif name.endswith("running_var"):
            tensors[name] = torch.ones(tensor.shape)
        else:
            deviation = max(tensor[0].numel() if tensor.ndim > 1 else 100, 1) ** -0.5
            tensors[name] = torch.randn(tensor.shape, generator=generator) * deviation
    return tensors


def hed() -> Tensors:
    return random_tensors(lambda: library("hed").ControlNetHED_Apache2())


def pidinet() -> Tensors:
    return random_tensors(lambda: library("pidi.model").pidinet())


def teed() -> Tensors:
    return random_tensors(lambda: library("teed.ted").TED())


def lineart() -> Tensors:
    return random_tensors(lambda: library("lineart").Generator(3, 1, 3))


def lineart_anime() -> Tensors:
    module = library("lineart_anime")
    norm = module.functools.partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    return random_tensors(lambda: module.UnetGenerator(3, 1, 8, 64, norm_layer=norm))


def mlsd() -> Tensors:
    return random_tensors(lambda: library("mlsd").MobileV2_MLSD_Large())


def midas() -> Tensors:
    return random_tensors(lambda: library("midas.api").DPTDepthModel(path=None, backbone="vitb_rn50_384"))


def zoe() -> Tensors:
    """Of whatever size the library's configuration says."""
    module = library("zoe")
    tensors = random_tensors(lambda: module.ZoeDepth.build_from_config(module.get_config("zoedepth", "infer")))
    binomial = "conditional_log_binomial.log_binomial_transform"  # two constants that are saved with the weights
    tensors[f"{binomial}.k_idx"] = torch.arange(64.0).view(1, -1, 1, 1)
    tensors[f"{binomial}.K_minus_1"] = torch.tensor([63.0]).view(1, -1, 1, 1)
    return tensors


def normal_bae() -> Tensors:
    wanted = types.SimpleNamespace(architecture="BN", sampling_ratio=0.4, importance_ratio=0.7)
    return random_tensors(lambda: library("normalbae").NNET(wanted))


def leres() -> Tensors:
    return random_tensors(lambda: library("leres").RelDepthModel(backbone="resnext101"))


def mobile_sam() -> Tensors:
    return random_tensors(lambda: library("segment_anything.build_sam").build_sam_vit_t(), device="cpu")


def body_pose() -> Tensors:
    return _without_first_name(random_tensors(lambda: library("open_pose.model").bodypose_model()))


def hand_pose() -> Tensors:
    return _without_first_name(random_tensors(lambda: library("open_pose.model").handpose_model()))


def face_pose() -> Tensors:
    return random_tensors(lambda: library("open_pose.face").FaceNet())


def _without_first_name(tensors: Tensors) -> Tensors:
    """CMU's names, as Caffe had them, which know nothing of torch's modules."""
    return {name.partition(".")[2]: tensor for name, tensor in tensors.items()}


Save = Callable[[Path], None]


def _file(name: str, build: Callable[[], Tensors], wrap: Callable[[Tensors], Any] = lambda tensors: tensors) -> Save:
    return lambda folder: torch.save(wrap(build()), folder / name)


def _of_a_data_parallel(under: str) -> Callable[[Tensors], Any]:
    return lambda tensors: {under: {f"module.{name}": tensor for name, tensor in tensors.items()}}


def _half(tensors: Tensors) -> Tensors:
    return {name: tensor.half() for name, tensor in tensors.items()}


FILES: dict[Detector, tuple[Save, ...]] = {
    Detector.HED: (_file("ControlNetHED.pth", hed, _half),),
    Detector.PIDINET: (_file("table5_pidinet.pth", pidinet, _of_a_data_parallel("state_dict")),),
    Detector.TEED: (_file("MTEED.pth", teed),),
    Detector.LINEART: (_file("sk_model.pth", lineart), _file("sk_model2.pth", lineart)),
    Detector.LINEART_ANIME: (_file("netG.pth", lineart_anime, lambda t: {f"module.{k}": v for k, v in t.items()}),),
    Detector.MLSD: (_file("mlsd_large_512_fp32.pth", mlsd),),
    Detector.OPENPOSE: (
        _file("body_pose_model.pth", body_pose),
        _file("hand_pose_model.pth", hand_pose),
        _file("facenet.pth", face_pose),
    ),
    Detector.MIDAS: (_file("dpt_hybrid-midas-501f0c75.pt", midas),),
    Detector.ZOE: (_file("ZoeD_M12_N.pt", zoe, lambda tensors: {"model": tensors}),),
    Detector.LERES: (_file("res101.pth", leres, _of_a_data_parallel("depth_model")),),
    Detector.NORMAL_BAE: (_file("scannet.pt", normal_bae, _of_a_data_parallel("model")),),
    Detector.SAM: (_file("mobile_sam.pt", mobile_sam),),
}
"""What writes each detector's files into a folder."""


def put(detector: Detector, folder: Path) -> None:
    """Write the weights of a detector."""
    folder.mkdir(parents=True, exist_ok=True)
    for save in FILES[detector]:
        save(folder)

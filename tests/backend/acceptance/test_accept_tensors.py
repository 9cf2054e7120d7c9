"""What reaches a net is the control map, number for number; a union's modes go with its images."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models import embedded
from underpaint.backend.worker.sampling import guidance
from underpaint.backend.worker.sampling.networks import controlnet, union
from underpaint.protocol.arrays import AnyArray
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.events import Progress
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobResult, Phase
from underpaint.protocol.request import Control, ControlKind, GenerateRequest
from underpaint.protocol.sources import InpaintPass, PicturePass, ReadyMap, Segment, SegmentationPass
from worker_runner import make_runner
from worker_scene import depth_pass, normal_pass, pose_pass

Accept = Callable[..., None]

SIZE = Extent(width=64, height=64)
SD15, SD2, SDXL, UNION = "Stable Diffusion 1.5", "Stable Diffusion 2", "Stable Diffusion XL", "xinsir's union promax"
CHECKPOINTS = {SD15: "", SD2: "sd2", SDXL: "sdxl", UNION: "sdxl"}
NETS = {SD15: "", SD2: "sd2-net", SDXL: "sdxl-depth", UNION: "sdxl-promax"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from worker_sdxl import build_sdxl, build_unions

    folder = tmp_path_factory.mktemp("models")
    build_sdxl(folder / "sdxl", folder / "sdxl-depth")
    build_unions(folder, folder / "sdxl")
    build_sd2(folder)
    for name in ("sd2-net", "sdxl-depth"):  # new nets encode every image to zeros, which tells none from another
        net = diffusers.ControlNetModel.from_pretrained(folder / name)
        torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight)
        net.save_pretrained(folder / name)
    return folder


def build_sd2(models: Path) -> None:
    """The embedded checkpoint with Stable Diffusion 2's 1024 wide text, by which that family is told."""
    import transformers

    folder = Path(shutil.copytree(embedded.checkpoint(models), models / "sd2"))
    torch.manual_seed(2)
    text = transformers.CLIPTextConfig.from_pretrained(folder / "text_encoder")
    text.hidden_size = text.projection_dim = 1024
    transformers.CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    unet = diffusers.UNet2DConditionModel(
        **{**diffusers.UNet2DConditionModel.load_config(folder / "unet"), "cross_attention_dim": 1024}
    )
    unet.save_pretrained(folder / "unet")
    net = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 16, 16))
    net.save_pretrained(models / "sd2-net")


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> BlobStore:
    return BlobStore(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="module")
def runner(models: Path, blobs: BlobStore) -> JobRunner:
    return make_runner(blobs, models)


class Seen:
    """What the nets of a job were given, once for all its steps."""

    def __init__(self) -> None:
        self.encoded: list[tuple[AnyArray, torch.Tensor]] = []  # what went into a hint encoder, and what came out
        self.images: list[AnyArray] = []  # what each control's condition was made of
        self.modes: list[list[int]] = []  # of a union net, by control
        self.types: list[list[int]] = []  # what it is told that it is shown

    def condition(self, embedding: torch.Tensor) -> None:
        """A net was given a condition: the image that it comes from."""
        (image,) = (image for image, made in self.encoded if torch.equal(made[:1], embedding))
        self.images.append(image)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Watches hint encoders, and what both kinds of nets are made of for a job."""
    seen = Seen()
    encoder, plain, of_union = ControlNetConditioningEmbedding.forward, controlnet.PlainNet, union.UnionNet
    kinds = union.control_kinds

    def watch_encoder(net: Any, hint: torch.Tensor) -> Any:
        made = encoder(net, hint)
        seen.encoded.append((hint[0].permute(1, 2, 0).float().numpy().copy(), made))
        return made

    def watch_plain(net: Any, text: Any, times: Any, condition: Callable[[], Any]) -> Any:
        seen.condition(condition())
        return plain(net, text, times, condition)

    def watch_union(net: Any, text: Any, given: Any, controls: Any, active: Any, **options: Any) -> Any:
        for control in controls:
            seen.condition(control.condition())
        seen.modes.append([control.mode for control in controls])
        return of_union(net, text, given, controls, active, **options)

    def watch_kinds(net: Any, given: Any, modes: list[int]) -> Any:
        seen.types.append(sorted(modes))
        return kinds(net, given, modes)

    monkeypatch.setattr(ControlNetConditioningEmbedding, "forward", watch_encoder)
    monkeypatch.setattr(guidance, "PlainNet", watch_plain)
    monkeypatch.setattr(guidance, "UnionNet", watch_union)
    monkeypatch.setattr(union, "control_kinds", watch_kinds)
    return seen


def run(runner: JobRunner, controls: tuple[Control, ...], checkpoint: str, **changes: Any) -> JobResult:
    request = GenerateRequest(prompt="", checkpoint=checkpoint, size=SIZE, controls=controls, steps=2, **changes)
    runner.caches.hints.clear()  # an image that was encoded for another test would not be seen
    return runner.run("0" * 32, request, on_progress=print, on_preview=lambda *_: None, cancelled=lambda: False)


def every_control(blobs: BlobStore, net: str) -> tuple[Control, ...]:
    """A control of each sort of map: grey, colours, sticks, flat colours, a picture."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    indices = np.repeat(np.arange(4, dtype=np.int32), 16)[None].repeat(64, axis=0)
    segments = tuple(Segment(name=name, ade20k=number) for number, name in enumerate("abcd"))
    sources = {
        ControlKind.DEPTH: depth_pass(blobs, SIZE),
        ControlKind.NORMAL: normal_pass(blobs, SIZE),
        ControlKind.OPENPOSE: pose_pass(SIZE),
        ControlKind.SEGMENTATION: SegmentationPass(indices=blobs.write_array(indices), segments=segments),
        ControlKind.CANNY: ReadyMap(image=blobs.write_array(noise)),
    }
    return tuple(Control(kind=kind, source=source, controlnet=net) for kind, source in sources.items())


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_the_tensor_is_the_map(runner: JobRunner, blobs: BlobStore, seen: Seen, accept: Accept, family: str) -> None:
    controls = every_control(blobs, NETS[family])
    result = run(runner, controls, CHECKPOINTS[family])
    maps = [blobs.read_array(ref) for ref in result.control_maps]
    assert all(image.dtype == np.uint8 for image in maps)
    assert len(seen.images) == len(seen.encoded) == len(maps)
    off = max(
        float(np.abs(tensor - image / np.float32(255)).max()) for image, tensor in zip(maps, seen.images, strict=True)
    )
    accept(32, f"{family}: control tensor against the map / 255", off, 0.0)


@pytest.mark.parametrize(("family", "masked"), [(SD15, -1.0), (UNION, 0.0)])
def test_the_hole_of_an_inpaint_control(
    runner: JobRunner, blobs: BlobStore, seen: Seen, accept: Accept, family: str, masked: float
) -> None:
    picture = np.random.default_rng(1).integers(1, 256, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:40, 20:52] = 255
    source = InpaintPass(image=blobs.write_array(picture), mask=blobs.write_array(mask))
    control = Control(kind=ControlKind.INPAINT, source=source, controlnet=NETS[family])
    result = run(runner, (control,), CHECKPOINTS[family])
    stored = blobs.read_array(result.control_maps[0])
    assert stored.dtype == (np.float32 if masked < 0 else np.uint8)
    tensor = seen.images[0]
    hole = mask > 127
    accept(32, f"{family}: inpaint, pixels of the mask that are not exactly {masked:g}",
           int((tensor[hole] != masked).sum()), 0)  # fmt: skip
    outside = float(np.abs(tensor[~hole] - picture[~hole] / np.float32(255)).max())
    accept(32, f"{family}: inpaint, the picture around it, largest difference", outside, 1 / 255)
    if family == UNION:
        assert seen.modes[0] == [7]


def test_a_union_s_modes_go_with_its_images(runner: JobRunner, blobs: BlobStore, seen: Seen, accept: Accept) -> None:
    picture = PicturePass(image=blobs.write_array(np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)))
    controls = (
        *every_control(blobs, NETS[UNION]),
        Control(kind=ControlKind.TILE, source=picture, controlnet=NETS[UNION]),
        Control(kind=ControlKind.SOFTEDGE, source=ReadyMap(image=picture.image), controlnet=NETS[UNION]),
    )
    expected = [1, 4, 0, 5, 3, 6, 2]
    for order in (slice(None), slice(None, None, -1)):
        for record in (seen.modes, seen.images, seen.encoded, seen.types):
            record.clear()
        result = run(runner, controls[order], CHECKPOINTS[UNION])
        maps = [blobs.read_array(ref) / np.float32(255) for ref in result.control_maps]
        wrong = sum(mode != wanted for mode, wanted in zip(seen.modes[0], expected[order], strict=True))
        wrong += sum(not np.array_equal(image, tensor) for image, tensor in zip(maps, seen.images, strict=True))
        accept(33, "Union: modes and images out of step", wrong, 0)
        assert all(active == sorted(expected) for active in seen.types)
        assert len(seen.modes) == 1  # one net for all seven


def test_a_kind_without_a_mode_is_refused_before_anything_is_fetched(
    models: Path, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch, accept: Accept
) -> None:
    from underpaint.backend.worker.models import downloads

    monkeypatch.delenv("HF_HUB_OFFLINE")
    fetched: list[str] = []
    monkeypatch.setattr(downloads, "fetch", lambda name, *_, **__: fetched.append(name))
    image = blobs.write_array(np.zeros((64, 64, 3), np.uint8))
    runner = make_runner(blobs, models)
    progress: list[Progress] = []
    refused = 0
    cases = [
        ("xinsir/controlnet-union-sdxl-1.0", ControlKind.TILE),
        ("xinsir/controlnet-union-sdxl-1.0", ControlKind.INPAINT),
        ("brad-twinkl/controlnet-union-sdxl-1.0-promax", ControlKind.SHUFFLE),
        ("sdxl-union", ControlKind.BLUR),
        ("sdxl-promax", ControlKind.GRAY),
    ]
    for net, kind in cases:
        control = Control(kind=kind, source=ReadyMap(image=image), controlnet=net)
        request = GenerateRequest(prompt="", checkpoint="sdxl", size=SIZE, controls=(control,), allow_download=True)
        with pytest.raises(InvalidRequest, match=f"{kind}.* know") as caught:
            runner.run(
                "0" * 32, request, on_progress=progress.append, on_preview=lambda *_: None, cancelled=lambda: False
            )
        refused += str(kind) in str(caught.value)
    accept(33, "Union: kinds without a mode that are refused, readably", refused, len(cases), better="more")
    loads = sum(entry.phase is Phase.LOAD for entry in progress)
    accept(33, "Union: downloads and loads before such a refusal", len(fetched) + loads, 0)

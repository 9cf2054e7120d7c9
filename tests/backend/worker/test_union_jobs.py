"""Whole jobs with union nets: found out, refused in time, and shown what they were trained on."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from hub_server import hub_server, point_client_at
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.conditioning.table import NetKind
from underpaint.backend.worker.inspecting import inspect
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models import downloads
from underpaint.backend.worker.models.inspection import inspect_traits
from underpaint.backend.worker.sampling.decoding import decode
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import InvalidRequest, ModelMismatch, ModelMissing
from underpaint.protocol.events import Progress
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import JobResult, Phase
from underpaint.protocol.options import NormalEncoding, NormalOptions
from underpaint.protocol.request import Control, ControlKind, ControlMapsRequest, GenerateRequest, Request, Scheduler
from underpaint.protocol.sources import ReadyMap, Segment, SegmentationPass
from worker_runner import make_runner

Asked = Callable[..., GenerateRequest]


@pytest.fixture
def through(controls: tuple[Control, ...]) -> Callable[..., tuple[Control, ...]]:
    """The little scene's controls through another net."""

    def through(net: str, **changes: Any) -> tuple[Control, ...]:
        return tuple(dataclasses.replace(control, controlnet=net, **changes) for control in controls)

    return through


def run(runner: JobRunner, request: Request, told: list[Progress] | None = None) -> JobResult:
    progress: list[Progress] = [] if told is None else told
    return runner.run(
        "0" * 32, request, on_progress=progress.append, on_preview=lambda *_: None, cancelled=lambda: False
    )


@pytest.fixture
def picture(runner: JobRunner, blobs: BlobStore) -> Callable[[GenerateRequest], UInt8Array]:
    def picture(request: GenerateRequest) -> UInt8Array:
        image = run(runner, request).image
        assert image is not None
        return blobs.read_array(image)

    return picture


def edit(path: Path, **changes: object) -> None:
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_a_union_is_told_by_its_class_or_by_its_weights(models: Path, tmp_path: Path) -> None:
    assert inspect_traits(models / "sdxl-depth", "").kind is NetKind.PLAIN
    assert inspect_traits(models / "sdxl-union", "").modes == 6
    assert inspect_traits(models / "sdxl-promax", "").modes == 8
    folder = Path(shutil.copytree(models / "sdxl-promax", tmp_path / "net"))
    edit(folder / "config.json", _class_name="ControlNetModel", num_control_type=None)
    assert inspect_traits(folder, "").modes == 8
    (folder / "diffusion_pytorch_model.safetensors").unlink()  # a config that came ahead of its weights
    assert inspect_traits(folder, "").modes == 0
    edit(folder / "config.json", _class_name="ControlNetUnionModel")
    assert inspect_traits(folder, "").modes == 6


def test_a_union_from_before_diffusers_knew_them_loads(
    blobs: BlobStore, models: Path, tmp_path: Path, asked: Asked, through: Any
) -> None:
    for name in ("sdxl", "sdxl-promax"):
        shutil.copytree(models / name, tmp_path / name)
    request = asked(checkpoint="sdxl", controls=through("sdxl-promax"))
    before = run(make_runner(blobs, tmp_path), request).image
    edit(tmp_path / "sdxl-promax" / "config.json", _class_name="ControlNetModel", num_control_type=None)
    assert run(make_runner(blobs, tmp_path), request).image == before


@pytest.mark.parametrize("scales", [(1.0, 1.0, 1.0), (1.0, 0.7, 0.4)])
def test_the_picture_is_the_one_that_diffusers_union_pipeline_makes(
    runner: JobRunner, blobs: BlobStore, models: Path, asked: Asked, through: Any, scales: tuple[float, ...]
) -> None:
    controls = tuple(
        dataclasses.replace(control, conditioning_scale=scale)
        for control, scale in zip(through("sdxl-promax"), scales, strict=True)
    )
    request = asked(checkpoint="sdxl", controls=controls, scheduler=Scheduler.EULER)
    result = run(runner, request)
    inspected = inspect(request, models=models, announce=lambda _: None)
    plan = runner.planned(request, inspected).plan
    # the runner's own modules, so that the weights are the same
    ours = runner.residents.models(inspected.checkpoint, inspected.used_nets, plan, lambda _: None)
    parts = {**ours.pipeline.components, "controlnet": ours.nets[0].net}
    pipeline = diffusers.StableDiffusionXLControlNetUnionPipeline(**parts, add_watermarker=False)
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(inspected.checkpoint.scheduler_config)
    pipeline.set_progress_bar_config(disable=True)
    maps = [blobs.read_array(ref).transpose(2, 0, 1)[None] for ref in result.control_maps]
    latents = pipeline(
        request.prompt,
        negative_prompt=request.negative_prompt or None,
        control_image=[torch.from_numpy(np.ascontiguousarray(image)).float() / 255 for image in maps],
        control_mode=[1, 4, 0],
        controlnet_conditioning_scale=list(scales),
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        latents=torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(request.seed)),
        width=64,
        height=64,
        output_type="latent",
    ).images
    assert result.image is not None
    theirs = decode(pipeline.vae, latents, dtype=torch.float32).astype(int)
    apart = np.abs(theirs - blobs.read_array(result.image))
    assert apart.max() <= 1  # what both halves of guidance share is computed once, and rounds differently
    assert (apart > 0).mean() < 0.01


def test_each_control_of_a_union_has_its_own_window(picture: Any, asked: Asked, through: Any) -> None:
    depth, normal, _ = through("sdxl-union")

    def with_window(start: float, end: float) -> UInt8Array:
        windowed = dataclasses.replace(normal, start=start, end=end)
        return picture(asked(checkpoint="sdxl", steps=4, controls=(depth, windowed)))

    alone = picture(asked(checkpoint="sdxl", steps=4, controls=(depth,)))
    pictures = [with_window(0, 1), with_window(0, 0.5), with_window(0.5, 1), alone]
    for number, one in enumerate(pictures):
        assert all((one != other).any() for other in pictures[number + 1 :])
    assert (with_window(0.05, 0.2) == alone).all()  # between two steps: it never counts


def test_a_union_beside_a_plain_net_and_another_union(picture: Any, asked: Asked, through: Any) -> None:
    union, plain, promax = through("sdxl-union")[1], through("sdxl-depth")[0], through("sdxl-promax")[2]
    sets = [(union,), (plain,), (union, plain), (union, plain, promax)]
    pictures = [picture(asked(checkpoint="sdxl", controls=controls)) for controls in sets]
    for number, one in enumerate(pictures):
        assert all((one != other).any() for other in pictures[number + 1 :])
    assert (picture(asked(checkpoint="sdxl", controls=sets[2])) == pictures[2]).all()


def control(kind: ControlKind, blobs: BlobStore, net: str) -> Control:
    image = blobs.write_array(np.full((64, 64, 3), 90, np.uint8))
    return Control(kind=kind, source=ReadyMap(image=image), controlnet=net)


@pytest.mark.parametrize(
    ("net", "kind"),
    [
        ("sdxl-union", ControlKind.INPAINT),
        ("sdxl-union", ControlKind.TILE),
        ("sdxl-promax", ControlKind.SHUFFLE),
        ("sdxl-promax", ControlKind.GRAY),
        ("xinsir/controlnet-union-sdxl-1.0", ControlKind.TILE),  # not on this computer: known by name
        ("brad-twinkl/controlnet-union-sdxl-1.0-promax", ControlKind.SHUFFLE),
    ],
)
@pytest.mark.parametrize("maps_alone", [False, True])
def test_a_kind_that_the_union_does_not_know_is_refused_before_any_download(
    blobs: BlobStore,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: Asked,
    net: str,
    kind: ControlKind,
    maps_alone: bool,
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.delattr(downloads, "fetch")  # it would be missed
    controls = (control(kind, blobs, net),)
    request: Request = asked(checkpoint="sdxl", controls=controls, allow_download=True)
    if maps_alone:
        size = Extent(width=64, height=64)
        request = ControlMapsRequest(size=size, checkpoint="sdxl", controls=controls, allow_download="/" not in net)
    progress: list[Progress] = []
    with pytest.raises(InvalidRequest, match=str(kind)):
        run(make_runner(blobs, models), request, progress)
    assert Phase.LOAD not in {entry.phase for entry in progress}


def test_an_unknown_hub_id_shows_its_config_before_its_weights_are_fetched(
    blobs: BlobStore, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    controls = (control(ControlKind.TILE, blobs, "somebody/union"),)
    with hub_server() as hub:
        point_client_at(hub, tmp_path / "hub", monkeypatch)
        hub.add_folder("somebody/union", models / "sdxl-union")
        with pytest.raises(InvalidRequest, match="tile"):
            run(make_runner(blobs, models), asked(checkpoint="sdxl", controls=controls, allow_download=True))
        assert [path.rpartition("/")[2] for path in hub.fetched()] == ["config.json"]


def test_a_union_must_fit_the_checkpoint(runner: JobRunner, asked: Asked, through: Any) -> None:
    with pytest.raises((ModelMismatch, InvalidRequest), match="Stable Diffusion"):
        run(runner, asked(controls=through("sdxl-union")))


@pytest.mark.parametrize("net", ["sdxl-union", "sdxl-depth"])
def test_maps_to_look_at_are_those_of_the_net_that_is_named(
    runner: JobRunner, blobs: BlobStore, asked: Asked, net: str
) -> None:
    indices = blobs.write_array(np.repeat(np.arange(4, dtype=np.int32), 16)[None].repeat(64, axis=0))
    segments = tuple(Segment(name=name, ade20k=number) for number, name in enumerate("abcd"))
    controls = (
        Control(
            kind=ControlKind.SEGMENTATION, source=SegmentationPass(indices=indices, segments=segments), controlnet=net
        ),
    )
    request = asked(checkpoint="sdxl", controls=controls)
    looked_at = run(
        runner, ControlMapsRequest(size=request.size, controls=controls, checkpoint="sdxl")
    ).control_maps  # fmt: skip
    assert looked_at == run(runner, request).control_maps
    wall = (120, 120, 120)  # ADE20K's first class, which a union net was not shown
    assert (tuple(blobs.read_array(looked_at[0])[0, 0]) == wall) == (net == "sdxl-depth")


def test_maps_need_the_net_s_config_alone_and_not_even_that(
    blobs: BlobStore, models: Path, tmp_path: Path, controls: tuple[Control, ...]
) -> None:
    for name in ("sdxl/model_index.json", "sdxl/unet/config.json", "sdxl-union/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(models / name, tmp_path / name)
    runner = make_runner(blobs, tmp_path)
    size = Extent(width=64, height=64)
    for net in ("sdxl-union", "not-fetched/yet", ""):
        named = tuple(dataclasses.replace(control, controlnet=net) for control in controls)
        run(runner, ControlMapsRequest(size=size, controls=named, checkpoint="sdxl"))
    assert not (tmp_path / "embedded").exists()
    with pytest.raises(ModelMissing):
        run(runner, ControlMapsRequest(size=size, controls=controls, checkpoint="not-fetched/yet"))


def test_slopes_reach_a_net_in_the_order_it_was_trained_on(
    blobs: BlobStore, models: Path, tmp_path: Path, asked: Asked, controls: tuple[Control, ...], runner: JobRunner
) -> None:
    """Its config may have diffusers swap red and blue on the way; other pictures are meant to be swapped."""
    net = Path(shutil.copytree(models / "sdxl-depth", tmp_path / "net"))
    edit(net / "config.json", controlnet_conditioning_channel_order="bgr")
    slopes = dataclasses.replace(
        controls[0], kind=ControlKind.NORMAL, options=NormalOptions(encoding=NormalEncoding.MIDAS)
    )

    def maps(control: Control, controlnet: str) -> UInt8Array:
        named = dataclasses.replace(control, controlnet=controlnet)
        request = ControlMapsRequest(size=Extent(width=64, height=64), controls=(named,), checkpoint="sdxl")
        looked_at = run(runner, request).control_maps
        assert looked_at == run(runner, asked(checkpoint="sdxl", controls=(named,), steps=2)).control_maps
        return blobs.read_array(looked_at[0])

    assert (maps(slopes, str(net)) == maps(slopes, "sdxl-depth")[:, :, ::-1]).all()
    assert (maps(slopes, "sdxl-depth")[0, 0] == (255, 127, 127)).all()  # z, y, x of the background
    assert (maps(controls[2], str(net)) == maps(controls[2], "sdxl-depth")).all()

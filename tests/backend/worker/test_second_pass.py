"""Two passes: sizes, maps, starts, tiles, progress, cancelling, plans; and all that is asked at once."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_adapters import write_adapter, write_encoder
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.conditioning import control_map
from underpaint.backend.worker.conditioning.reduced import reduced_arrays, reduced_control, reduced_map
from underpaint.backend.worker.conditioning.table import NetKind
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models import embedded
from underpaint.backend.worker.sampling.second_pass import first_size, first_start
from underpaint.backend.worker.sampling.start import StartPicture
from underpaint.backend.worker.sampling.tiles import tiling
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import JobCancelled
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import Phase
from underpaint.protocol.models import FamilyId, ModelKind
from underpaint.protocol.options import LineOptions, PoseOptions
from underpaint.protocol.request import (
    Control,
    ControlKind,
    GenerateRequest,
    ImagePrompt,
    PlanRequest,
    Scheduler,
    Seamless,
    SecondPass,
    Start,
    Variant,
)
from worker_runner import Job
from worker_scene import depth_pass, normal_pass, pose_pass

Asked = Callable[..., GenerateRequest]
Painted = Callable[[GenerateRequest], list[UInt8Array]]

SIZE = Extent(width=128, height=128)
HALF = Extent(width=64, height=64)
DEFAULT = SecondPass()


@pytest.fixture
def painted(runner: JobRunner, blobs: BlobStore) -> Painted:
    return lambda request: [blobs.read_array(ref) for ref in Job(runner, request).run().images]


@pytest.fixture
def twice(blobs: BlobStore) -> Callable[..., GenerateRequest]:
    """A request in two passes at 128 x 128, with three controls."""

    def twice(second: SecondPass | None = DEFAULT, **changes: Any) -> GenerateRequest:
        fields: dict[str, Any] = {
            "prompt": "a cosy room",
            "size": SIZE,
            "steps": 4,
            "seed": 7,
            "second_pass": second,
            "controls": (
                Control(kind=ControlKind.DEPTH, source=depth_pass(blobs, SIZE)),
                Control(kind=ControlKind.NORMAL, source=normal_pass(blobs, SIZE)),
                Control(kind=ControlKind.OPENPOSE, source=pose_pass(SIZE)),
            ),
            **changes,
        }
        return GenerateRequest(**fields)

    return twice


def apart(one: UInt8Array, other: UInt8Array) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


# ---------------------------------------------------------------------------------------------- sizes and maps


@pytest.mark.parametrize(
    ("width", "height", "factor", "small"),
    [(1024, 768, 2.0, (512, 384)), (1000, 512, 1.5, (664, 344)), (96, 64, 2.0, (64, 64)), (48, 200, 4.0, (48, 64)),
     (512, 512, 1.0, (512, 512))],
)  # fmt: skip
def test_the_first_pass_is_smaller_by_the_factor(
    width: int, height: int, factor: float, small: tuple[int, int]
) -> None:
    found = first_size(Extent(width=width, height=height), factor)
    assert (found.width, found.height) == small


def made(control: Control, blobs: BlobStore, extent: Extent, read: Any = None) -> Any:
    return control_map(
        control,
        family=FamilyId.SD15,
        net=NetKind.PLAIN,
        extent=extent,
        read=read or blobs.read_array,
        detect=lambda *_: pytest.fail("nothing is detected anew"),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kind", [ControlKind.DEPTH, ControlKind.NORMAL, ControlKind.OPENPOSE])
def test_maps_of_the_first_pass_are_made_anew_as_of_a_scene_captured_that_small(
    kind: ControlKind, blobs: BlobStore
) -> None:
    source = {
        ControlKind.DEPTH: lambda size: depth_pass(blobs, size),
        ControlKind.NORMAL: lambda size: normal_pass(blobs, size),
        ControlKind.OPENPOSE: pose_pass,
    }[kind]
    large, wanted = Control(kind=kind, source=source(SIZE)), Control(kind=kind, source=source(HALF))
    anew = reduced_control(large, SIZE, HALF)
    assert anew is not None
    found = made(anew, blobs, HALF, reduced_arrays(large, blobs.read_array, SIZE, HALF))
    scene = made(wanted, blobs, HALF)
    # the scene's own small capture has its samples half a pixel away
    assert found.shape == scene.shape
    assert apart(found, scene) < 4
    if kind is ControlKind.OPENPOSE:
        colours = {tuple(colour) for colour in found.reshape(-1, 3)[found.any(axis=2).ravel()]}
        assert colours  # limbs are drawn at that size, not shrunk
        assert abs(int(found.any(axis=2).sum()) - int(scene.any(axis=2).sum())) < 0.1 * scene.any(axis=2).sum()


def test_lengths_in_options_shrink_with_the_picture(blobs: BlobStore) -> None:
    pose = Control(kind=ControlKind.OPENPOSE, source=pose_pass(SIZE), options=PoseOptions(stick_px=4, joint_px=0))
    anew = reduced_control(pose, SIZE, HALF)
    assert anew is not None
    assert anew.options == dataclasses.replace(pose.options, stick_px=2, joint_px=0)  # type: ignore[type-var]
    first, last = (points.source.people[0].body[1] for points in (pose, anew))  # type: ignore[union-attr]
    assert (last.x_px, last.y_px) == (first.x_px / 2, first.y_px / 2)
    lines = dataclasses.replace(pose, options=LineOptions(width_px=3.0, shortest_px=0.0, crease_deg=30.0))
    thinner = reduced_control(lines, SIZE, HALF)
    assert thinner is not None
    assert thinner.options == LineOptions(width_px=1.5, shortest_px=0.0, crease_deg=30.0)


def test_ready_maps_shrink_by_what_they_are() -> None:
    palette = np.zeros((128, 128, 3), np.uint8)
    palette[:, :61] = (120, 120, 120)
    palette[:, 61:] = (4, 250, 7)
    small = reduced_map(palette, ControlKind.SEGMENTATION, HALF)
    assert {tuple(colour) for colour in small.reshape(-1, 3).tolist()} == {(120, 120, 120), (4, 250, 7)}
    line = np.zeros((128, 128, 3), np.uint8)
    line[37] = 255  # one pixel thin, and on no place that is sampled
    line[:, 64] = 255
    thin = reduced_map(line, ControlKind.CANNY, Extent(width=32, height=32))
    assert set(np.unique(thin)) == {0, 255}
    assert (thin[:, :, 0] == 255).all(axis=1).any()
    assert (thin[:, :, 0] == 255).all(axis=0).any()
    ramp = np.repeat(np.tile(np.arange(128, dtype=np.uint8), (128, 1))[:, :, None], 3, axis=2)
    assert (
        apart(reduced_map(ramp, ControlKind.DEPTH, HALF), cv2.resize(ramp, (64, 64), interpolation=cv2.INTER_AREA)) == 0
    )


def test_the_thinnest_mask_reaches_the_first_pass() -> None:
    painted = np.zeros((128, 128), np.bool_)
    painted[:, 77] = True
    start = StartPicture(image=np.zeros((128, 128, 3), np.uint8), painted=painted, strength=0.5, blur_px=0)
    small = first_start(start, HALF).painted
    assert small is not None
    assert small[::8, ::8].any()
    assert small.shape == (64, 64)


# ---------------------------------------------------------------------------------------------- pictures


def test_a_second_pass_paints_at_the_full_size_and_twice_the_same(painted: Painted, twice: Any) -> None:
    one, again = painted(twice())[0], painted(twice())[0]
    assert one.shape == (128, 128, 3)
    assert one.tobytes() == again.tobytes()
    assert apart(one, painted(twice(None))[0]) > 1


def test_the_second_pass_keeps_to_the_first_by_its_strength(painted: Painted, twice: Any, asked: Asked) -> None:
    def far(strength: float) -> float:
        found = painted(twice(SecondPass(strength=strength, steps=20), controls=()))[0]
        return apart(cv2.resize(found, (64, 64), interpolation=cv2.INTER_AREA), first)  # type: ignore[arg-type]

    first = painted(asked(size=HALF, controls=(), steps=4))[0]
    assert far(0.1) < far(0.5) < far(1.0)


@pytest.mark.parametrize("tiles", [{}, {"tile_px": 128, "overlap_px": 32}])
def test_pictures_are_the_same_alone_and_together(painted: Painted, twice: Any, tiles: dict[str, Any]) -> None:
    second = SecondPass(**tiles)
    more = (Variant(prompt="a garden", seed=3),)
    size = Extent(width=192, height=128) if tiles else SIZE
    base = twice(second, controls=(), size=size, scheduler=Scheduler.EULER_ANCESTRAL)
    both = painted(dataclasses.replace(base, variants=more))
    assert both[0].tobytes() == painted(base)[0].tobytes()
    alone = painted(dataclasses.replace(base, prompt="a garden", seed=3))[0]
    assert both[1].tobytes() == alone.tobytes()
    together = painted(dataclasses.replace(base, variants=more, batch_size=2))
    assert all(np.abs(a.astype(int) - b.astype(int)).max() <= 1 for a, b in zip(both, together, strict=True))


def test_progress_counts_both_passes_and_each_tile(runner: JobRunner, twice: Any) -> None:
    second = SecondPass(tile_px=128, overlap_px=32, steps=6)
    job = Job(runner, twice(second, size=Extent(width=192, height=128), controls=()))
    result = job.run()
    evaluations = 4 + 3
    told = [entry for entry in job.progress if entry.phase is Phase.STEP]
    assert {entry.steps for entry in told} == {evaluations}
    assert sorted({entry.step for entry in told}) == list(range(1, evaluations + 1))
    assert len(told) == 4 + 2 * 3  # of two tiles the first is told of by itself
    fractions = [entry.fraction for entry in job.progress if entry.phase is not Phase.LOAD]
    assert fractions == sorted(fractions)
    assert told[3].fraction < 0.5  # the second pass has more to do
    assert [timing.phase for timing in result.timings].count(Phase.STEP) == evaluations
    assert len(job.previews) == evaluations


@pytest.mark.parametrize("cancel_at", [2, 5, 6])
def test_cancel_is_obeyed_in_either_pass(
    runner: JobRunner, twice: Any, cancel_at: int, painted: Painted, asked: Asked
) -> None:
    second = SecondPass(tile_px=128, overlap_px=32, steps=6)
    request = twice(second, size=Extent(width=192, height=128), controls=(), seamless=Seamless.X)
    job = Job(runner, request, cancel_at=cancel_at)
    before = painted(asked())[0]
    with pytest.raises(JobCancelled):
        job.run()
    assert len(job.steps) == cancel_at  # within a tile of a step
    assert painted(asked())[0].tobytes() == before.tobytes()  # the models are as they were


# ---------------------------------------------------------------------------------------------- start pictures


def start_of(blobs: BlobStore, strength: float, hole: bool = False) -> Start:
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    image = cv2.resize(image, (128, 128), interpolation=cv2.INTER_CUBIC)
    mask = None
    if hole:
        array = np.zeros((128, 128), np.uint8)
        array[40:90, 30:100] = 255
        mask = blobs.write_array(array)
    return Start(image=blobs.write_array(image), strength=strength, mask=mask)


def test_what_a_mask_keeps_is_kept_through_both_passes(painted: Painted, twice: Any, blobs: BlobStore) -> None:
    start = start_of(blobs, 1.0, hole=True)
    assert start.mask is not None
    found = painted(twice(start=start))[0]
    kept = blobs.read_array(start.mask) == 0
    image = blobs.read_array(start.image)
    assert (found[kept] == image[kept]).all()
    assert (found[~kept] != image[~kept]).any(axis=1).mean() > 0.9


def test_a_start_picture_of_strength_0_is_painted_over_as_it_is(
    painted: Painted, twice: Any, blobs: BlobStore, runner: JobRunner
) -> None:
    start = start_of(blobs, 0.0)
    second = SecondPass(strength=0.5, steps=8)
    found = painted(twice(second, start=start, controls=()))[0]
    # nothing was painted small and enlarged: that is plain image to image, but for the noise's place in the seed
    plain = painted(twice(None, start=dataclasses.replace(start, strength=0.5), steps=8, controls=()))[0]
    assert found.tobytes() == plain.tobytes()


# ---------------------------------------------------------------------------------------------- tiles


@pytest.mark.parametrize("side", [512, 1000, 4096])
@pytest.mark.parametrize("circular", [Seamless.OFF, Seamless.BOTH])
def test_tiles_cover_everything_and_overlap_enough(side: int, circular: Seamless) -> None:
    layout = tiling(Extent(width=side, height=side), 512, 64, circular)
    counts = np.zeros((side // 8, side // 8), int)
    for top, left in layout.corners:
        rows, columns = (
            (np.arange(layout.tile.height // 8) + top // 8) % counts.shape[0],
            (np.arange(layout.tile.width // 8) + left // 8) % counts.shape[1],
        )
        counts[rows[:, None], columns] += 1
    assert counts.min() >= 1
    lefts = sorted({left for _, left in layout.corners})
    steps = np.diff([*lefts, side + lefts[0]] if circular is Seamless.BOTH and side > 512 else lefts)
    assert (steps <= 512 - 64).all()
    assert layout.inside is (Seamless.BOTH if circular is Seamless.BOTH and side == 512 else Seamless.OFF)


def test_one_tile_is_the_whole_to_the_bit(painted: Painted, twice: Any) -> None:
    whole, tile = painted(twice(SecondPass()))[0], painted(twice(SecondPass(tile_px=512)))[0]
    assert np.abs(whole.astype(int) - tile.astype(int)).max() <= 1


def test_tiles_leave_no_seams(painted: Painted, twice: Any, blobs: BlobStore) -> None:
    size = Extent(width=320, height=192)
    controls = (Control(kind=ControlKind.DEPTH, source=depth_pass(blobs, size)),)
    second = SecondPass(strength=0.6, steps=10, tile_px=128, overlap_px=32)
    found = painted(twice(second, size=size, controls=controls))[0].astype(float).mean(axis=2)
    layout = tiling(size, 128, 32)
    across = np.abs(np.diff(found, axis=1)).mean(axis=0)
    borders = {left for _, left in layout.corners} | {left + 128 for _, left in layout.corners}
    at = [across[border - 1] for border in sorted(borders) if 0 < border < size.width]
    elsewhere = np.delete(across, [border - 1 for border in borders if 0 < border < size.width])
    assert len(at) >= 4
    assert np.mean(at) < 1.1 * elsewhere.mean()


def test_a_tile_net_is_shown_each_picture_s_own_tiles(painted: Painted, twice: Any, models: Path, runner: Any) -> None:
    net = str(embedded.controlnet(models, ControlKind.TILE))
    size = Extent(width=192, height=128)
    options: dict[str, Any] = {"tile_px": 128, "overlap_px": 32, "strength": 0.8, "steps": 10}
    more = (Variant(prompt="a garden", seed=3),)
    without = twice(SecondPass(**options), size=size, controls=(), variants=more, batch_size=2)
    nets = twice(SecondPass(**options, tile_controlnet=net), size=size, controls=(), variants=more, batch_size=2)
    assert all(apart(a, b) > 1 for a, b in zip(painted(without), painted(nets), strict=True))
    none = dataclasses.replace(nets, second_pass=SecondPass(**options, tile_controlnet=net, tile_scale=0.0))
    assert all(apart(a, b) < 0.5 for a, b in zip(painted(without), painted(none), strict=True))
    result = Job(runner, nets).run()
    assert [model.reference for model in result.models if model.kind is ModelKind.CONTROLNET] == [net]


def test_the_plan_counts_one_tile_of_a_large_picture(runner: JobRunner, twice: Any) -> None:
    large = Extent(width=4096, height=4096)

    def peak(second: SecondPass | None) -> int:
        from underpaint.backend.worker.inspecting import inspect

        request = twice(second, size=large, controls=())
        inspected = inspect(request, models=runner._models, announce=lambda _: None)
        return int(runner.planned(request, inspected).needs.denoiser_values())

    small = twice(None, size=Extent(width=512, height=512), controls=())
    tiles = peak(SecondPass(tile_px=512))
    assert tiles < 1.01 * _denoiser(runner, small)
    assert peak(SecondPass()) > 50 * tiles
    plan = Job(runner, PlanRequest(picture=twice(SecondPass(tile_px=512), size=large, controls=()))).run().plan
    assert "painted in tiles of 512 x 512" in plan


def _denoiser(runner: JobRunner, request: GenerateRequest) -> int:
    from underpaint.backend.worker.inspecting import inspect

    inspected = inspect(request, models=runner._models, announce=lambda _: None)
    return int(runner.planned(request, inspected).needs.denoiser_values())


@pytest.mark.parametrize("nets", [("sdxl-union",), ("sdxl-depth", "sdxl-union")])
def test_tiles_show_plain_and_union_nets_their_part_of_each_map(
    painted: Painted, twice: Any, nets: tuple[str, ...], blobs: BlobStore
) -> None:
    size = Extent(width=192, height=128)
    kinds = {
        ControlKind.DEPTH: depth_pass(blobs, size),
        ControlKind.NORMAL: normal_pass(blobs, size),
        ControlKind.OPENPOSE: pose_pass(size),
    }
    controls = tuple(
        Control(kind=kind, source=source, controlnet=nets[place % len(nets)], end=0.5 + 0.25 * place)
        for place, (kind, source) in enumerate(kinds.items())
    )
    options: dict[str, Any] = {"steps": 8, "overlap_px": 32}
    whole, tile, tiles = (
        painted(twice(SecondPass(**options, tile_px=side), checkpoint="sdxl", size=size, controls=controls))[0]
        for side in (None, 256, 128)
    )
    assert np.abs(whole.astype(int) - tile.astype(int)).max() <= 1  # one tile is the whole
    assert tiles.tobytes() != whole.tobytes()
    without = painted(twice(SecondPass(**options, tile_px=128), checkpoint="sdxl", size=size, controls=()))[0]
    assert apart(tiles, without) > 1


@pytest.fixture(scope="module")
def filling(models: Path) -> str:
    """The embedded checkpoint with the nine channels of one for inpainting."""
    folder = models / "filling-tiles"
    shutil.copytree(embedded.checkpoint(models), folder)
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "in_channels": 9}))
    (weights,) = (folder / "unet").glob("*.safetensors")
    tensors = load_file(weights)
    plain = tensors["conv_in.weight"]
    added = np.random.default_rng(0).normal(0, 0.05, (plain.shape[0], 5, 3, 3)).astype(plain.dtype)
    tensors["conv_in.weight"] = np.concatenate([plain, added], axis=1)
    save_file(tensors, weights, metadata={"format": "pt"})
    return folder.name


def test_a_checkpoint_for_inpainting_sees_its_part_of_mask_and_rest(
    painted: Painted, twice: Any, blobs: BlobStore, filling: str
) -> None:
    start = start_of(blobs, 1.0, hole=True)
    options: dict[str, Any] = {"steps": 6, "overlap_px": 32}
    size = Extent(width=192, height=128)
    request = twice(None, checkpoint=filling, start=start, controls=(), size=size)
    whole, tile, tiles = (
        painted(dataclasses.replace(request, second_pass=SecondPass(**options, tile_px=side)))[0]
        for side in (None, 256, 128)
    )
    assert np.abs(whole.astype(int) - tile.astype(int)).max() <= 1
    assert apart(whole, tiles) < 20
    mask, image = blobs.read_array(start.mask), blobs.read_array(start.image)  # type: ignore[arg-type]
    assert mask.shape == image.shape[:2]
    assert tiles.shape == (128, 192, 3)


# ---------------------------------------------------------------------------------------------- all at once


def test_everything_at_once_twice_is_the_same(painted: Painted, twice: Any, models: Path, blobs: BlobStore) -> None:
    write_adapter(models / "once" / "plain.safetensors", embedded.checkpoint(models) / "unet")
    write_encoder(models / "once" / "image_encoder")
    prompt = ImagePrompt(adapter="once/plain.safetensors", image=blobs.write_array(np.full((40, 40, 3), 90, np.uint8)))
    size = Extent(width=192, height=128)
    controls = (Control(kind=ControlKind.DEPTH, source=depth_pass(blobs, size)),)
    net = str(embedded.controlnet(models, ControlKind.TILE))
    request = twice(
        SecondPass(tile_px=128, overlap_px=32, tile_controlnet=net),
        size=size,
        controls=controls,
        variants=(Variant(prompt="a garden", seed=3),),
        batch_size=2,
        image_prompts=(prompt,),
        seamless=Seamless.X,
        scheduler=Scheduler.EULER_ANCESTRAL,
    )
    first, again = painted(request), painted(request)
    assert [each.tobytes() for each in first] == [each.tobytes() for each in again]
    for change in ({"image_prompts": ()}, {"seamless": Seamless.OFF}, {"second_pass": None}):
        assert apart(first[0], painted(dataclasses.replace(request, **change))[0]) > 0.1

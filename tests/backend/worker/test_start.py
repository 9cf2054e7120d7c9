"""What a picture begins with: pixels that are kept, and noise that comes in diffusers' order."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionControlNetImg2ImgPipeline, StableDiffusionControlNetInpaintPipeline
from PIL import Image
from underpaint.backend.worker.models import embedded
from underpaint.backend.worker.sampling.schedulers import make_scheduler
from underpaint.backend.worker.sampling.solvers import Solver, make_solver
from underpaint.backend.worker.sampling.start import (
    StartPicture,
    begin,
    draw,
    encode_start,
    kept_put_back,
    start_picture,
)
from underpaint.protocol.arrays import AnyArray, ArrayRef, DType, UInt8Array
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Scheduler, Sigmas, Start

SIZE = Extent(width=64, height=48)
STEPS = 8
CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def picture(size: Extent = SIZE) -> UInt8Array:
    return np.random.default_rng(3).integers(0, 256, (size.height, size.width, 3), np.uint8)


def mask(size: Extent = SIZE) -> UInt8Array:
    found = np.zeros((size.height, size.width), np.uint8)
    found[10:37, 21:50] = 255  # its border lies within latent pixels
    return found


def started(image: UInt8Array, hole: UInt8Array | None = None, extent: Extent = SIZE, **changes: Any) -> StartPicture:
    """A start picture of a request with these arrays."""
    arrays: dict[str, AnyArray] = {"a" * 64: image}

    def ref(name: str, array: AnyArray) -> ArrayRef:
        arrays[name] = array
        return ArrayRef(sha256=name, shape=array.shape, dtype=DType.UINT8)

    start = Start(
        image=ref("a" * 64, image), mask=None if hole is None else ref("b" * 64, hole), **changes
    )  # fmt: skip
    return start_picture(start, extent, lambda ref: arrays[ref.sha256])


# ---------------------------------------------------------------------------------------------- pixels


def test_what_is_not_painted_anew_is_the_start_picture_to_the_bit() -> None:
    start = started(picture(), mask())
    result = kept_put_back(start, np.full_like(start.image, 77))
    painted = mask() > 0
    assert (result[painted] == 77).all()
    assert (result[~painted] == picture()[~painted]).all()


def test_without_a_mask_nothing_is_put_back() -> None:
    painted = np.full((48, 64, 3), 77, np.uint8)
    assert kept_put_back(started(picture()), painted) is painted


def test_a_soft_edge_mixes_near_the_border_alone() -> None:
    grey = np.full((200, 200, 3), 40, np.uint8)
    hole = np.zeros((200, 200), np.uint8)
    hole[:, 100:] = 255
    start = started(grey, hole, Extent(width=200, height=200), mask_blur_px=6.0)
    result = kept_put_back(start, np.full_like(grey, 240))
    row = result[100, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert (row[: 100 - 18] == 40).all()  # three deviations away
    assert (row[100 + 18 :] == 240).all()
    assert 130 < row[100] < 150  # half and half at the border
    assert len(set(row)) > 15
    assert (result == result[100]).all()


def test_the_mask_grows_and_shrinks() -> None:
    assert started(picture(), mask(), mask_grow_px=3).painted[10 - 3, 30]
    assert not started(picture(), mask(), mask_grow_px=3).painted[10 - 4, 30]
    assert not started(picture(), mask(), mask_grow_px=-3).painted[12, 30]
    assert started(picture(), mask(), mask_grow_px=-3).painted[13, 30]


@pytest.mark.parametrize(("hole", "grow"), [(np.zeros_like(mask()), 0), (mask(), -20)])
def test_a_mask_of_nothing_is_refused(hole: UInt8Array, grow: int) -> None:
    with pytest.raises(InvalidRequest, match="nothing would be painted anew"):
        started(picture(), hole, mask_grow_px=grow)


def test_a_mask_between_the_latents_is_refused_with_what_helps() -> None:
    thin = np.zeros_like(mask())
    thin[:, 3:5] = 255
    with pytest.raises(InvalidRequest, match=r"too thin.*grow it"):
        started(picture(), thin)
    assert started(picture(), thin, mask_grow_px=8).painted.any()


def test_picture_and_mask_are_fitted_to_the_size() -> None:
    large = Extent(width=128, height=96)
    start = started(picture(large), mask(large), SIZE)
    assert start.image.shape == (48, 64, 3)
    assert start.painted.shape == (48, 64)


# ---------------------------------------------------------------------------------------------- latents


@pytest.fixture(scope="module")
def vae(models: Path) -> Any:
    return diffusers.AutoencoderKL.from_pretrained(embedded.checkpoint(models) / "vae").float().eval()


def solver(strength: float, scheduler: Scheduler = Scheduler.UNIPC) -> Solver:
    return make_solver(scheduler, Sigmas.DEFAULT, CONFIG, STEPS, strength)


def generator(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def stock(pipeline: type, vae: Any, strength: float, scheduler: Scheduler) -> Any:
    """Enough of a pipeline for its `prepare_latents`, and the timesteps that are left."""
    theirs = make_scheduler(scheduler, CONFIG, Sigmas.DEFAULT)
    theirs.set_timesteps(STEPS)
    self = SimpleNamespace(vae=vae, scheduler=theirs, vae_scale_factor=8)
    self._encode_vae_image = lambda image, generator: pipeline._encode_vae_image(self, image, generator)
    timesteps, _ = pipeline.get_timesteps(self, STEPS, strength, "cpu")
    return self, timesteps[:1]


def theirs_of(image: UInt8Array) -> torch.Tensor:
    """A picture as their image processor prepares it."""
    return diffusers.image_processor.VaeImageProcessor().preprocess(Image.fromarray(image))


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Equal but for the rounding of add_noise, which the solver does with numbers of the host."""
    return bool(torch.allclose(ours, theirs, rtol=0, atol=2e-6 * float(theirs.abs().max())))


@pytest.mark.parametrize("scheduler", [Scheduler.UNIPC, Scheduler.EULER_ANCESTRAL])
@pytest.mark.parametrize("strength", [0.3, 0.75, 1.0])
@torch.inference_mode()
def test_image_to_image_begins_as_diffusers_does(vae: Any, scheduler: Scheduler, strength: float) -> None:
    pipeline = StableDiffusionControlNetImg2ImgPipeline
    self, timestep = stock(pipeline, vae, strength, scheduler)
    pixels = theirs_of(picture())
    theirs = generator(5)
    expected = pipeline.prepare_latents(self, pixels, timestep, 1, 1, torch.float32, "cpu", theirs)
    begun = encode_start(
        vae, started(picture(), strength=strength), fills_holes=False, device="cpu", dtype=torch.float32, tiled=False
    )
    ours = generator(5)
    found = begin(solver(strength, scheduler), [ours], SIZE, begun, device="cpu")
    assert close(found.latents, expected)
    assert found.mask is None
    assert found.extra is None
    assert torch.equal(draw([ours], SIZE, device="cpu"), torch.randn((1, 4, 6, 8), generator=theirs))


@pytest.mark.parametrize("fills_holes", [False, True])
@pytest.mark.parametrize("scheduler", [Scheduler.UNIPC, Scheduler.EULER_ANCESTRAL])
@pytest.mark.parametrize("strength", [0.6, 1.0])
@torch.inference_mode()
def test_inpainting_begins_as_diffusers_does(
    vae: Any, scheduler: Scheduler, strength: float, fills_holes: bool
) -> None:
    pipeline = StableDiffusionControlNetInpaintPipeline
    self, timestep = stock(pipeline, vae, strength, scheduler)
    pixels = theirs_of(picture())
    hole = torch.from_numpy(mask()[None, None]).float() / 255
    theirs = generator(5)
    expected = pipeline.prepare_latents(
        self, 1, 4, SIZE.height, SIZE.width, torch.float32, "cpu", theirs, image=pixels, timestep=timestep,
        is_strength_max=strength == 1, return_noise=True, return_image_latents=not fills_holes,
    )  # fmt: skip
    small, rest = pipeline.prepare_mask_latents(
        self, hole, pixels * (hole < 0.5), 1, SIZE.height, SIZE.width, torch.float32, "cpu", theirs, False
    )
    ours = generator(5)
    start = started(picture(), mask(), strength=strength)
    begun = encode_start(vae, start, fills_holes=fills_holes, device="cpu", dtype=torch.float32, tiled=False)
    found = begin(solver(strength, scheduler), [ours], SIZE, begun, device="cpu")
    assert close(found.latents, expected[0])
    assert torch.equal(found.noise, expected[1])
    if fills_holes:
        assert torch.equal(found.extra, torch.cat([small, rest], dim=1))
        assert found.mask is None  # nothing is kept: the UNet itself knows the rest
    else:
        assert torch.equal(found.clean, expected[2])
        assert torch.equal(found.mask, small)
    # and the generator is where theirs is, for the schedulers that draw on
    assert torch.equal(draw([ours], SIZE, device="cpu"), torch.randn((1, 4, 6, 8), generator=theirs))


@pytest.mark.parametrize("start", [None, {"strength": 0.6}, {"strength": 0.6, "hole": mask()}])
@pytest.mark.parametrize("fills_holes", [False, True])
@torch.inference_mode()
def test_a_picture_begins_the_same_alone_and_among_others(
    vae: Any, start: dict[str, Any] | None, fills_holes: bool
) -> None:
    begun = None
    if start is not None:
        begun = encode_start(
            vae, started(picture(), **start), fills_holes=fills_holes, device="cpu", dtype=torch.float32, tiled=False
        )

    def begins(*seeds: int) -> Callable[[str], torch.Tensor | None]:
        generators = [generator(seed) for seed in seeds]
        found = begin(solver(0.6), generators, SIZE, begun, device="cpu")
        return lambda name: getattr(found, name)

    alone, together = begins(2), begins(1, 2, 3)
    for name in ("latents", "noise", "clean", "extra"):
        one, several = alone(name), together(name)
        assert (one is None) == (several is None)
        assert one is None or (len(several) == 3 and torch.equal(one, several[1:2]))
    assert not torch.equal(together("latents")[0], together("latents")[1])

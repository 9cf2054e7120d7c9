"""Pictures that tile: whatever noise rolls by, the picture rolls by, and nothing stays behind in the modules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from tiny_models import tiny_controlnet, tiny_unet, tiny_union
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models import embedded
from underpaint.backend.worker.models.nets import NetUse
from underpaint.backend.worker.sampling import seamless
from underpaint.backend.worker.sampling.decoding import decode, encode, picture_tensor
from underpaint.backend.worker.sampling.guidance import ControlInput, GuidedModel
from underpaint.backend.worker.sampling.hints import HintCache
from underpaint.backend.worker.sampling.prompts import Embeddings
from underpaint.protocol.arrays import UInt8Array
from underpaint.protocol.errors import JobCancelled
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import GenerateRequest, Seamless, SecondPass, Start
from worker_runner import Job, make_runner

Asked = Callable[..., GenerateRequest]
Painted = Callable[[GenerateRequest], list[UInt8Array]]

SIZE = Extent(width=128, height=128)  # half of it is a whole number of pixels at the UNet's lowest level
AXES = {Seamless.X: (3,), Seamless.Y: (2,), Seamless.BOTH: (2, 3)}


@pytest.fixture
def painted(runner: JobRunner, blobs: BlobStore) -> Painted:
    return lambda request: [blobs.read_array(ref) for ref in Job(runner, request).run().images]


@pytest.fixture(scope="module")
def vae(models: Path) -> Any:
    return diffusers.AutoencoderKL.from_pretrained(embedded.checkpoint(models) / "vae", dtype=torch.float32)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rolled(tensor: torch.Tensor, axes: tuple[int, ...], by: float = 0.5) -> torch.Tensor:
    return tensor.roll([int(tensor.shape[axis] * by) for axis in axes], axes)


def seam(picture: np.ndarray, axis: int) -> float:
    """How much more a picture changes across its opposite edges than from one latent to the next elsewhere."""
    lines = np.moveaxis(picture.astype(float), axis, 0)
    between_latents = np.abs(np.diff(lines, axis=0))[7::8]  # where a VAE that knows nothing changes the most
    return float(np.abs(lines[0] - lines[-1]).mean() / between_latents.mean())


# ---------------------------------------------------------------------------------------------- the networks


@pytest.mark.parametrize("surround", AXES)
@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_prediction_rolls_with_noise_and_control_images(family: Any, surround: Seamless) -> None:
    unet = tiny_unet(family)
    union = family == "sdxl"
    net = tiny_union(unet, 6) if union else tiny_controlnet(unet, 1)
    image = np.random.default_rng(0).integers(0, 256, (SIZE.height, SIZE.width, 3), np.uint8)
    noise = random(1, 4, SIZE.height // 8, SIZE.width // 8)
    axes = AXES[surround]

    def predicted(noise: torch.Tensor, image: UInt8Array) -> torch.Tensor:
        model = GuidedModel(
            unet,
            [ControlInput(use=NetUse(net=net, mode=1 if union else None), image=image, weights=(1.0,))],
            Embeddings(text=random(2, 7, 32, seed=1), pooled=random(2, 24, seed=2) if union else None),
            timesteps=(500.0,),
            guidance_scale=4.0,
            size=SIZE,
            pictures=1,
            hints=HintCache(),
            surround=surround,
        )
        return model(noise, 0)

    with seamless.around([unet, net], surround):
        straight = predicted(noise, image)
        shifted = np.ascontiguousarray(
            np.roll(image, [image.shape[axis - 2] // 2 for axis in axes], [axis - 2 for axis in axes])
        )
        moved = predicted(rolled(noise, axes), shifted)
    assert torch.allclose(rolled(straight, axes), moved, atol=1e-4 * float(straight.abs().max()))
    plain = predicted(noise, image)
    assert not torch.allclose(plain, straight, atol=1e-2 * float(straight.abs().max()))
    for axis in {2, 3} - set(axes):  # along the other axis edges are edges
        with seamless.around([unet, net], surround):
            other = predicted(
                rolled(noise, (axis,)), np.ascontiguousarray(np.roll(image, image.shape[axis - 2] // 2, axis - 2))
            )
        assert not torch.allclose(rolled(straight, (axis,)), other, atol=1e-3 * float(straight.abs().max()))


@pytest.mark.parametrize("surround", AXES)
def test_the_vae_rolls_both_ways(vae: Any, surround: Seamless) -> None:
    axes = AXES[surround]
    latents = random(1, 4, 16, 16)
    options: dict[str, Any] = {"dtype": torch.float32, "surround": surround}
    straight, moved = (decode(vae, each, **options).astype(int) for each in (latents, rolled(latents, axes)))
    by = [straight.shape[axis - 2] // 2 for axis in axes]
    places = [axis - 2 for axis in axes]
    assert np.abs(np.roll(straight, by, places) - moved).max() <= 1
    pixels = picture_tensor(straight.astype(np.uint8))
    found, again = (encode(vae, each, device="cpu", **options).mean for each in (pixels, rolled(pixels, axes)))
    assert torch.allclose(rolled(found, axes), again, atol=1e-4)


@pytest.mark.parametrize("surround", AXES)
def test_tiles_of_the_vae_go_on_at_the_opposite_edge(vae: Any, surround: Seamless) -> None:
    vae.tile_sample_min_size, vae.tile_latent_min_size = 64, 8
    latents = random(1, 4, 24, 24)
    options: dict[str, Any] = {"dtype": torch.float32, "surround": surround}
    tiles = decode(vae, latents, tiled=True, **options).astype(int)
    assert tiles.shape == (192, 192, 3)
    plain = decode(vae, latents, dtype=torch.float32, tiled=True)
    for axis in AXES[surround]:
        assert seam(tiles, axis - 2) < 1.2
        assert seam(plain, axis - 2) > 1.2
    pixels = picture_tensor(tiles.astype(np.uint8))
    assert encode(vae, pixels, device="cpu", tiled=True, **options).mean.shape == latents.shape


# ---------------------------------------------------------------------------------------------- what is left behind


def overridden(*modules: Any) -> list[str]:
    names = ("_conv_forward", "forward")
    return [name for outer in modules for inner in outer.modules() for name in names if name in vars(inner)]


def test_modules_are_as_they_were_after_the_block_and_after_an_error() -> None:
    unet = tiny_unet("sd15")
    with seamless.around([unet], Seamless.BOTH):
        assert overridden(unet)
    assert not overridden(unet)
    with pytest.raises(AttributeError), seamless.around([unet, None], Seamless.BOTH):
        pytest.fail("the second is no module")
    assert not overridden(unet)
    with seamless.around([unet], Seamless.OFF):
        assert not overridden(unet)


def test_off_is_to_the_bit_as_if_it_had_never_been_on(painted: Painted, asked: Asked, runner: JobRunner) -> None:
    before = painted(asked())[0]
    around = painted(asked(seamless=Seamless.BOTH))[0]
    assert (before != around).any()
    with pytest.raises(JobCancelled):
        Job(runner, asked(seamless=Seamless.X), cancel_at=1).run()
    assert painted(asked())[0].tobytes() == before.tobytes()
    assert painted(asked(seamless=Seamless.BOTH))[0].tobytes() == around.tobytes()
    models = [held.keeper.module for held in runner.residents._held.values()]
    assert not overridden(*models)


# ---------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("surround", AXES)
def test_a_picture_has_no_seam(painted: Painted, asked: Asked, surround: Seamless) -> None:
    found, plain = (
        painted(asked(controls=(), seamless=each, steps=8, size=SIZE))[0] for each in (surround, Seamless.OFF)
    )
    for axis in AXES[surround]:
        assert seam(found, axis - 2) < 1.2 < seam(plain, axis - 2)


@pytest.mark.parametrize("second", [SecondPass(steps=8), SecondPass(steps=8, tile_px=128, overlap_px=32)])
def test_two_passes_and_tiles_have_no_seam(painted: Painted, asked: Asked, second: SecondPass) -> None:
    size = Extent(width=256, height=192)
    found, plain = (
        painted(asked(controls=(), seamless=each, second_pass=second, size=size))[0]
        for each in (Seamless.BOTH, Seamless.OFF)
    )
    for axis in (0, 1):  # among tiles, one border between latents differs from the next by as much as this
        assert seam(found, axis) < 1.4 < seam(plain, axis)


def test_enlarging_sees_the_opposite_edge() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    large = Extent(width=160, height=104)
    straight = seamless.enlarged(image, large, Seamless.X)
    assert straight.shape == (104, 160, 3)
    moved = seamless.enlarged(np.ascontiguousarray(np.roll(image, 32, 1)), large, Seamless.X)
    assert np.abs(np.roll(straight, 80, 1).astype(int) - moved.astype(int)).max() <= 1


def test_start_pictures_go_on_too(painted: Painted, asked: Asked, blobs: BlobStore) -> None:
    y, x = np.mgrid[:64, :64] * 2 * np.pi / 64
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=2)
    image = (127 + 100 * waves).astype(np.uint8)  # it tiles
    start = Start(image=blobs.write_array(image), strength=0.4)
    found = painted(asked(controls=(), start=start, seamless=Seamless.BOTH, steps=10))[0]
    assert max(seam(found, 0), seam(found, 1)) < 1.2


@pytest.mark.parametrize("rung", ["PHASED", "STREAMED", "SEQUENTIAL"])
def test_every_rung_goes_on_at_the_edges(
    rung: str, painted: Painted, asked: Asked, models: Path, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from underpaint.backend.worker.memory import planner
    from underpaint.backend.worker.memory.plan import Rung

    request = asked(seamless=Seamless.BOTH)
    resident = painted(request)[0]
    made = planner.make_plan

    def forced(*args: Any, **options: Any) -> Any:
        return dataclasses.replace(made(*args, **options), rung=Rung[rung], streamed=("nets", "unet"))

    monkeypatch.setattr(planner, "make_plan", forced)
    result = Job(make_runner(blobs, models), request).run()
    assert blobs.read_array(result.images[0]).tobytes() == resident.tobytes()

"""What a picture begins with: noise, a picture under noise, or a picture with a hole.

Follows diffusers' image-to-image and inpainting pipelines to the draw: a picture's generator gives the latents of
the start picture first, then the noise, then those of the picture with the hole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ....protocol.arrays import AnyArray, ArrayRef, UInt8Array
from ....protocol.errors import InvalidRequest
from ....protocol.geometry import Extent
from ....protocol.request import Seamless, Start
from ..conditioning.fitting import fit
from ..conditioning.inpaint import fit_mask, grown
from ..third_party import torch
from . import decoding
from .decoding import LatentDistribution
from .solvers import Solver

LATENT_PIXELS = 8  # a latent's side in pixels, for every family so far
_LATENT_CHANNELS = 4
_REACH = 3  # standard deviations after which a softened edge has ended

_Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


# ---------------------------------------------------------------------------------------------- pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class StartPicture:
    """A start picture as large as the picture that is asked for."""

    image: UInt8Array  # (height, width, 3) sRGB
    painted: _Mask | None  # (height, width); True is painted anew; None paints everything anew
    strength: float
    blur_px: float


def start_picture(start: Start, extent: Extent, read: Callable[[ArrayRef], AnyArray]) -> StartPicture:
    """Read, fit and grow. Raises InvalidRequest for a mask that would paint nothing."""
    image = fit(np.asarray(read(start.image), np.uint8), extent)
    painted = None
    if start.mask is not None:
        painted = grown(fit_mask(np.asarray(read(start.mask), np.uint8), extent), start.mask_grow_px)
        if not _latent_mask(painted).any():
            raise InvalidRequest(
                reason="the start picture's mask is empty or too thin, so nothing would be painted anew. "
                "Choose another mask, or grow it"
            )
    return StartPicture(image=image, painted=painted, strength=start.strength, blur_px=start.mask_blur_px)


def kept_put_back(start: StartPicture, picture: UInt8Array) -> UInt8Array:
    """`picture` with the start picture where nothing was to be painted anew, to the bit.

    Where the edge is softened it is mixed, in sRGB as picture editors do; three times `blur_px` away from the
    mask's border either picture is left as it is.
    """
    if start.painted is None:
        return picture
    if start.blur_px == 0:
        return np.where(start.painted[:, :, None], picture, start.image)
    share = start.painted.astype(np.float32)
    side = 2 * int(np.ceil(_REACH * start.blur_px)) + 1
    share = cv2.GaussianBlur(share, (side, side), start.blur_px, borderType=cv2.BORDER_REPLICATE)[:, :, None]
    mixed = share * picture.astype(np.float32) + (1 - share) * start.image.astype(np.float32)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _latent_mask(painted: _Mask) -> _Mask:
    """One of each 8 x 8 pixels, the one that `interpolate(mode="nearest")` takes in diffusers' pipelines."""
    return painted[::LATENT_PIXELS, ::LATENT_PIXELS]


# ---------------------------------------------------------------------------------------------- latents


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedStart:
    """A start picture in latents, the same for every picture of a job, or one's own in a second pass."""

    image: UInt8Array  # (height, width, 3) sRGB
    strength: float
    whole: LatentDistribution | None  # None where a UNet that fills holes begins from noise alone
    rest: LatentDistribution | None  # of the picture with grey in the hole, for a UNet that fills holes
    mask: Any | None  # (1, 1, height / 8, width / 8) float32, 1 is painted anew


@dataclass(frozen=True, kw_only=True, eq=False)
class Beginning:
    """What a batch of pictures begins with, float32, on the device."""

    latents: Any  # (pictures, 4, height / 8, width / 8), as the solver takes them
    noise: Any  # the same shape: what is in `latents`, at unit variance
    clean: Any | None = None  # the same shape: latents to keep where `mask` is 0
    mask: Any | None = None  # (1, 1, height / 8, width / 8)
    extra: Any | None = None  # (pictures, 5, height / 8, width / 8): what a UNet that fills holes sees besides


def encode_start(
    vae: Any,
    start: StartPicture,
    *,
    fills_holes: bool,
    device: Any,
    dtype: Any,
    tiled: bool,
    surround: Seamless = Seamless.OFF,
) -> EncodedStart:
    """Run the VAE's encoder, as often as needed. `fills_holes`: the UNet takes a mask and a picture with a hole."""
    pixels = decoding.picture_tensor(start.image)
    options: dict[str, Any] = {"device": device, "dtype": dtype, "tiled": tiled, "surround": surround}
    whole = rest = mask = None
    if not (fills_holes and start.strength == 1):
        whole = decoding.encode(vae, pixels, **options)
    if start.painted is not None:
        library = torch()
        mask = library.from_numpy(_latent_mask(start.painted)[None, None].astype(np.float32)).to(device)
        if fills_holes:
            hole = library.from_numpy(start.painted[None, None])
            rest = decoding.encode(vae, pixels * (~hole), **options)
    return EncodedStart(image=start.image, strength=start.strength, whole=whole, rest=rest, mask=mask)


def begin(
    solver: Solver, generators: Sequence[Any], extent: Extent, start: EncodedStart | None, *, device: Any
) -> Beginning:
    """The start latents of a batch, each picture's from its own generator.

    Noise is made on the CPU, in float32, whatever the device: a seed means the same picture everywhere.
    """
    if start is None:
        noise = draw(generators, extent, device=device)
        return Beginning(latents=noise * solver.noise_scale, noise=noise)
    clean = None
    if start.whole is not None:
        clean = start.whole.sample(draw(generators, extent, device=device))
    noise = draw(generators, extent, device=device)
    if clean is None or (start.mask is not None and start.strength == 1):
        latents = noise * solver.noise_scale
    else:
        latents = solver.noised(clean, noise)
    if start.mask is None:
        return Beginning(latents=latents, noise=noise)
    # drawn for every UNet, used by those that fill holes: diffusers' generators have come as far
    third = draw(generators, extent, device=device)
    if start.rest is None:
        return Beginning(latents=latents, noise=noise, clean=clean, mask=start.mask)
    rest = start.rest.sample(third)
    mask = start.mask.expand(len(generators), -1, -1, -1)
    return Beginning(latents=latents, noise=noise, extra=torch().cat([mask, rest], dim=1))


def draw(generators: Sequence[Any], extent: Extent, *, device: Any) -> Any:
    """(pictures, 4, height / 8, width / 8) float32 noise, one draw of each generator.

    To a GPU it goes from pinned memory, so that nobody waits for the copy.
    """
    library = torch()
    shape = (1, _LATENT_CHANNELS, extent.height // LATENT_PIXELS, extent.width // LATENT_PIXELS)
    noise = library.cat([library.randn(shape, generator=each, dtype=library.float32) for each in generators])
    if library.device(device).type == "cuda":
        return noise.pin_memory().to(device, non_blocking=True)
    return noise.to(device)

"""Weights for the embedded checkpoint: seeded noise, with one path through it arranged by hand.

Plain random weights turn noise into noise. Here every tensor is random too, but a few channels carry a
signal from end to end, so that a picture comes out in which the control images can be recognised:

    hint RGB -> ControlNet's hint encoder -> its first zero convolution -> the UNet's first skip
    noise    -> the UNet's conv_in        -> the same skip
    skip     -> last resnet's shortcut    -> v = DECAY * x - target        (velocity prediction)
    latents  -> VAE decoder               -> RGB by the family's preview matrix
    RGB      -> VAE encoder               -> latents that decode to it, one colour for each 8 x 8 pixels

With that velocity the sampler's ODE is dx/da = -v over a quarter turn, so noise fades as
exp(-DECAY * pi/2) and x settles at the target. Two tricks make the path exact through layers that are not linear:
silu(h) - silu(-h) = h, so a value travels as a pair (h, -h); and a group norm whose group also holds a pair
of large constants divides by nearly a constant. Everything off the path adds texture, and the prompt's tint.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....protocol.arrays import Float32Array
from ....protocol.request import ControlKind
from ..families import FAMILIES, FamilyId
from ..third_party import torch

UNET_GROUPS = 8  # of 4 channels at the first level: a pair of values and a pair of constants
VAE_GROUPS = 4  # of 4 channels at the last level
_SCALING_FACTOR = 0.18215  # of the VAE, SD 1.5's

_DECAY = 2.2
_CONSTANT = 4.0
_BLUR = np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 16
_CENTRE = np.zeros((3, 3), np.float32)
_CENTRE[1, 1] = 1

_FACTORS = np.asarray(FAMILIES[FamilyId.SD15].latent_rgb, np.float32)  # (4 latents, RGB)
_LATENTS_FROM_RGB = np.linalg.pinv(_FACTORS.astype(np.float64)).T.astype(np.float32)  # (4, 3)

_Vector = tuple[float, float, float]

_GROUND = (-0.30, -0.26, -0.14)  # RGB, -1..1: the picture without any control


@dataclass(frozen=True, kw_only=True)
class Hint:
    """What a control image adds to the picture: RGB = gain @ (hint - neutral), hint 0..1."""

    kinds: tuple[ControlKind, ...]
    neutral: _Vector  # a map's background
    gain: tuple[_Vector, _Vector, _Vector]


HINTS: dict[str, Hint] = {
    # near is light and warm
    "depth": Hint(
        kinds=(ControlKind.DEPTH,),
        neutral=(0.0, 0.0, 0.0),
        gain=((0.36, 0.36, 0.36), (0.30, 0.30, 0.30), (0.19, 0.19, 0.19)),
    ),
    # lit from above left, with the bluish shade of a sky
    "normal": Hint(
        kinds=(ControlKind.NORMAL,),
        neutral=(0.502, 0.502, 1.0),
        gain=((0.75, 0.65, 0.10), (0.60, 0.75, 0.05), (0.45, 0.70, -0.25)),
    ),
    # sticks in their own colours
    "openpose": Hint(
        kinds=(ControlKind.OPENPOSE,), neutral=(0.0, 0.0, 0.0), gain=((0.9, 0.0, 0.0), (0.0, 0.8, 0.0), (0.0, 0.0, 1.0))
    ),
    # lines drawn dark; those a pixel wide count for more, for the hint is averaged over eight
    "thin_lines": Hint(
        kinds=(ControlKind.CANNY, ControlKind.LINEART, ControlKind.LINEART_ANIME, ControlKind.MLSD),
        neutral=(0.0, 0.0, 0.0),
        gain=((-1.30, -1.30, -1.30), (-1.20, -1.20, -1.20), (-1.00, -1.00, -1.00)),
    ),
    "lines": Hint(
        kinds=(ControlKind.SOFTEDGE, ControlKind.SCRIBBLE),
        neutral=(0.0, 0.0, 0.0),
        gain=((-0.45, -0.45, -0.45), (-0.42, -0.42, -0.42), (-0.33, -0.33, -0.33)),
    ),
    # pictures and areas in their own colours
    "colours": Hint(
        kinds=(
            ControlKind.SEGMENTATION,
            ControlKind.INPAINT,
            ControlKind.TILE,
            ControlKind.SHUFFLE,
            ControlKind.BLUR,
            ControlKind.GRAY,
            ControlKind.LOW_QUALITY,
        ),
        neutral=(0.5, 0.5, 0.5),
        gain=((0.9, 0.0, 0.0), (0.0, 0.9, 0.0), (0.0, 0.0, 0.9)),
    ),
}
"""By the name of the ControlNet's folder: one net for all kinds that show in the same way."""


def hint_name(kind: ControlKind) -> str:
    """The name of the net for a kind of control."""
    return next(name for name, hint in HINTS.items() if kind in hint.kinds)


_Tensors = dict[str, Float32Array]


def arrange(part: Any, name: str) -> None:
    """Fill a freshly made model of the embedded checkpoint; the same values on every run and every machine."""
    state = part.state_dict()
    tensors: _Tensors = {
        key: _noise(f"{name}/{key}", tuple(value.shape)) for key, value in state.items() if value.is_floating_point()
    }
    if name == "unet":
        _arrange_unet(tensors)
    elif name == "vae":
        _arrange_encoder(tensors)
        _arrange_decoder(tensors)
    elif name.startswith("controlnets/"):
        _arrange_controlnet(tensors, HINTS[name.removeprefix("controlnets/")])
    part.load_state_dict({key: torch().from_numpy(value) for key, value in tensors.items()}, strict=False)


def _noise(name: str, shape: tuple[int, ...]) -> Float32Array:
    """Initial values by what a tensor is: its name tells norms and biases, its shape the fan-in."""
    if len(shape) == 1:
        scale = name.endswith("weight") and "norm" in name
        return np.full(shape, 1.0 if scale else 0.0, np.float32)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    values = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape, dtype=np.float32)
    fan_in = math.prod(shape[1:])
    return values / np.float32(math.sqrt(fan_in))


def _arrange_unet(tensors: _Tensors) -> None:
    """v = DECAY * x - target for each latent channel; x in skip channels 0-3, the controls' target in 4-7."""
    conv_in = tensors["conv_in.weight"]
    conv_in[:8] = 0
    for latent in range(4):
        conv_in[latent, latent] = _CENTRE

    width = conv_in.shape[0]
    last = "up_blocks.3.resnets.1."
    shortcut, bias = tensors[last + "conv_shortcut.weight"], tensors[last + "conv_shortcut.bias"]
    shortcut[:16] *= 0.05  # what the UNet's depths say: texture
    shortcut[:16, width:] = 0  # of the concatenated [hidden, skip]
    ground = _LATENTS_FROM_RGB @ np.asarray(_GROUND, np.float32) * np.float32(_settling())
    for latent in range(4):
        for sign, channel in ((1, 4 * latent), (-1, 4 * latent + 1)):
            shortcut[channel, width + latent] = sign * _DECAY
            shortcut[channel, width + 4 + latent] = -sign
            bias[channel] = -sign * ground[latent]
        bias[4 * latent + 2], bias[4 * latent + 3] = _CONSTANT, -_CONSTANT
    tensors[last + "conv2.weight"][:16] *= 0.06
    tensors["up_blocks.3.attentions.1.proj_out.weight"][:16] *= 0.06

    tensors["conv_norm_out.weight"][:16] = _CONSTANT / math.sqrt(2)
    conv_out = tensors["conv_out.weight"]
    conv_out *= 0.03
    conv_out[:, :16] = 0
    for latent in range(4):
        conv_out[latent, 4 * latent], conv_out[latent, 4 * latent + 1] = _CENTRE, -_CENTRE


def _arrange_controlnet(tensors: _Tensors, hint: Hint) -> None:
    """The hint, blurred to latent size, as a target in skip channels 4-7; small random residuals elsewhere."""
    encoder = "controlnet_cond_embedding."
    layers = [encoder + "conv_in", *(f"{encoder}blocks.{index}" for index in range(6))]
    for index, layer in enumerate(layers):
        weight = tensors[layer + ".weight"]
        weight[:6] = 0
        kernel = _BLUR if index in (2, 4, 6) else _CENTRE  # those with stride 2 average what they skip
        for channel in range(3):
            if index == 0:  # from RGB
                weight[2 * channel, channel], weight[2 * channel + 1, channel] = kernel, -kernel
            else:  # from a pair to a pair
                pair = slice(2 * channel, 2 * channel + 2)
                weight[2 * channel, pair] = kernel[None] * np.array([1, -1], np.float32)[:, None, None]
                weight[2 * channel + 1, pair] = -weight[2 * channel, pair]

    neutral, gain = (np.asarray(numbers, np.float32) for numbers in (hint.neutral, hint.gain))
    latents_from_hint = np.float32(_settling()) * _LATENTS_FROM_RGB @ gain  # (4, 3)
    out, bias = tensors[encoder + "conv_out.weight"], tensors[encoder + "conv_out.bias"]
    out *= 0.3
    out[:8] = 0
    for channel in range(3):
        out[4:8, 2 * channel] = latents_from_hint[:, channel, None, None] * _CENTRE
        out[4:8, 2 * channel + 1] = -out[4:8, 2 * channel]
    bias[4:8] = -latents_from_hint @ neutral

    tensors["conv_in.weight"] *= 0.3
    tensors["conv_in.weight"][:8] = 0
    for key, weight in tensors.items():
        if key.startswith(("controlnet_down_blocks.", "controlnet_mid_block.")) and weight.ndim == 4:
            weight *= 0.1
    first = tensors["controlnet_down_blocks.0.weight"]
    first[:8] = 0
    first[4:8, 4:8, 0, 0] = np.eye(4)


def _arrange_encoder(tensors: _Tensors) -> None:
    """The mean of each 8 x 8 pixels as latents: pairs in channels 0-11, from the third level on in 0-23, each
    among constants that fill its group of the last norm."""
    conv_in, bias = tensors["encoder.conv_in.weight"], tensors["encoder.conv_in.bias"]
    conv_in[:12] = 0
    for channel in range(3):
        conv_in[4 * channel, channel], conv_in[4 * channel + 1, channel] = _CENTRE, -_CENTRE
        bias[4 * channel + 2], bias[4 * channel + 3] = _CONSTANT, -_CONSTANT
    mean_of_4, first = np.zeros((3, 3), np.float32), np.zeros((3, 3), np.float32)
    mean_of_4[:2, :2] = 0.25  # diffusers pads below and to the right, so that a pixel is at its kernel's corner
    first[0, 0] = 1
    values = [index for channel in range(3) for index in (4 * channel, 4 * channel + 1)]
    for key, weight in tensors.items():
        if not key.startswith("encoder.") or weight.ndim < 2:
            continue
        path = 12 if key.startswith(("encoder.down_blocks.0.", "encoder.down_blocks.1.")) else 24
        if key.endswith(("conv2.weight", "to_out.0.weight")):  # the ends of residual branches
            weight[:path] *= 0.02
        elif ".downsamplers." in key:
            weight[:path] = 0
            moving = values if path == 12 else [8 * (index // 4) + index % 4 for index in values]
            for index in range(path):
                weight[index, index] = mean_of_4 if index in moving else first
        elif key.endswith("conv_shortcut.weight"):  # from groups of 4 to groups of 8
            weight[:path] = 0
            for index in range(path):
                channel, place = divmod(index, 8)
                weight[index, 4 * channel + (place if place < 2 else 2 + place % 2)] = 1
    tensors["encoder.conv_norm_out.weight"][:24] = _CONSTANT * math.sqrt(6 / 8)
    conv_out, bias = tensors["encoder.conv_out.weight"], tensors["encoder.conv_out.bias"]
    conv_out *= 0.01
    conv_out[:, :24] = 0
    bias[4:] = -14  # it is as good as sure: a logarithm of variances
    for channel in range(3):
        latents = _LATENTS_FROM_RGB[:, channel, None, None] * _CENTRE / np.float32(_SCALING_FACTOR)
        conv_out[:4, 8 * channel], conv_out[:4, 8 * channel + 1] = latents, -latents
    tensors["quant_conv.weight"][:] = np.eye(8, dtype=np.float32)[:, :, None, None]


def _arrange_decoder(tensors: _Tensors) -> None:
    """RGB by the preview matrix, as pairs in channels 0-11 at every level, smoothed at each doubling."""
    tensors["post_quant_conv.weight"][:] = np.eye(4, dtype=np.float32)[:, :, None, None]
    conv_in, bias = tensors["decoder.conv_in.weight"], tensors["decoder.conv_in.bias"]
    conv_in[:12] = 0
    for channel in range(3):
        column = _FACTORS[:, channel, None, None] * np.float32(_SCALING_FACTOR) * _CENTRE
        conv_in[4 * channel], conv_in[4 * channel + 1] = column, -column
        bias[4 * channel + 2], bias[4 * channel + 3] = _CONSTANT, -_CONSTANT
    values = [index for channel in range(3) for index in (4 * channel, 4 * channel + 1)]
    for key, weight in tensors.items():
        if not key.startswith("decoder.") or weight.ndim < 2:
            continue
        if key.endswith(("conv2.weight", "to_out.0.weight")):  # the ends of residual branches
            weight[:12] *= 0.02
        elif key.endswith("conv_shortcut.weight"):
            weight[:12] = 0
            for index in range(12):
                weight[index, index] = 1
        elif ".upsamplers." in key:
            weight[:12] = 0
            for index in range(12):
                weight[index, index] = _BLUR if index in values else _CENTRE
    tensors["decoder.conv_norm_out.weight"][:12] = _CONSTANT / math.sqrt(2)
    conv_out = tensors["decoder.conv_out.weight"]
    conv_out *= 0.03
    conv_out[:, :12] = 0
    for channel in range(3):
        conv_out[channel, 4 * channel], conv_out[channel, 4 * channel + 1] = _CENTRE, -_CENTRE


def _settling() -> float:
    """By what to multiply a target, so that x is there when the quarter turn ends."""
    return _DECAY / (1 - math.exp(-_DECAY * math.pi / 2))

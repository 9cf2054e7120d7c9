"""The sizes of models, from the headers of their safetensors files; no weight is read and there is no torch here."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from ....protocol.geometry import Extent
from ....protocol.request import GenerateRequest
from ..models.choice import NetChoice
from ..models.inspection import CheckpointInfo
from ..models.weights import Weights
from .needs import Needs, Part, text_chunks
from .plan import Group
from .stock_sizes import stock_needs

_LEVEL = re.compile(r"^(down_blocks|up_blocks|mid_block)(?:\.(\d+))?\.")
_RESAMPLER = re.compile(r"\.(down|up)samplers\.")
_ONCE = ("time_embedding", "add_embedding", "time_emb_proj", "attn2.to_k", "attn2.to_v")

Shapes = dict[str, tuple[int, ...]]


def needs(
    checkpoint: CheckpointInfo,
    nets: Sequence[NetChoice],
    request: GenerateRequest,
    *,
    evaluations: int | None = None,
    more: Iterable[tuple[str, Weights, Group]] = (),
    at_once: Extent | None = None,
    image_tokens: int = 0,
) -> Needs:
    """What a request takes of a machine. `nets` holds one choice for each control that is used.

    `evaluations` of the model for each picture; as many as steps where it isn't given. `more` is what works besides
    the checkpoint and the nets, such as an image encoder. `at_once` and `image_tokens`: see `Needs`.
    """
    config = checkpoint.unet_config
    channels = tuple(config.get("block_out_channels", (320, 640, 1280, 1280)))
    levels = len(channels)
    parts = [part(name, weights, _group(name, checkpoint), levels) for name, weights in checkpoint.weights.items()]
    chosen = {choice.info.key: choice.info for choice in nets}
    parts += [
        part(info.name or info.folder.name, info.weights, Group.DENOISER, levels, is_net=True)
        for info in chosen.values()
    ]
    parts += [part(name, weights, group, levels) for name, weights, group in more]
    vae = _config(checkpoint.weights["vae"])
    if checkpoint.family.stock is not None:
        return stock_needs(
            checkpoint.family,
            checkpoint.family.stock,
            config,
            vae,
            parts,
            nets,
            request,
            evaluations=evaluations or request.steps,
            title=title(checkpoint.family.short, len(chosen)),
        )
    size = Extent(width=max(request.size.width, 8), height=max(request.size.height, 8))
    return Needs(
        title=title(checkpoint.family.short, len(chosen)),
        parts=tuple(parts),
        size=size,
        at_once=at_once,
        image_tokens=image_tokens,
        pictures=len(request.pictures),
        batch=min(request.batch_size, len(request.pictures)),
        guided=request.guidance_scale > 1,
        evaluations=evaluations or request.steps,
        controls=len(nets),
        text_chunks=max(
            text_chunks(text) for picture in request.pictures for text in (picture.prompt, picture.negative_prompt)
        ),
        width_peak=_widest(config, channels),
        skip_values=_skips(config, channels),
        vae_channels=tuple(vae.get("block_out_channels", (128, 256, 512, 512))),
        float32_vae=bool(vae.get("force_upcast", True)),
    )


def _group(name: str, checkpoint: CheckpointInfo) -> Group:
    if name == checkpoint.family.denoiser:
        return Group.DENOISER
    return Group.VAE if name == "vae" else Group.TEXT


def title(family: str, nets: int) -> str:
    """ "SDXL + 2 ControlNets"."""
    return family if not nets else f"{family} + {nets} ControlNet{'s' if nets > 1 else ''}"


def part(name: str, weights: Weights, group: Group, levels: int, *, is_net: bool = False) -> Part:
    """A component's size. `levels` is how often the UNet halves the latent, and one."""
    shapes = weights.shapes(name)
    leaves: dict[str, int] = {}
    for key, shape in shapes.items():
        leaf = key.rpartition(".")[0]
        leaves[leaf] = leaves.get(leaf, 0) + math.prod(shape)
    macs, pair_macs = _macs(shapes, levels) if group is Group.DENOISER else (0.0, 0.0)
    return Part(
        name=name,
        group=group,
        is_net=is_net,
        values=sum(leaves.values()),
        largest_leaf=max(leaves.values(), default=0),
        text_keys=sum(shape[0] for key, shape in shapes.items() if key.endswith("attn2.to_k.weight")),
        macs=macs,
        pair_macs=pair_macs,
    )


def _macs(shapes: Shapes, levels: int) -> tuple[float, float]:
    """Multiplications of a UNet or ControlNet for each latent pixel, and for each pair of them.

    Every weight of a convolution or linear layer is used once at each place of its level. Against what
    torch's FlopCounterMode counts this is within a few percent for SD 1.5 and SDXL (the test has the figures).
    """
    macs = pairs = 0.0
    for key, shape in shapes.items():
        if len(shape) < 2 or key.startswith("controlnet_") or any(part in key for part in _ONCE):
            continue  # of a ControlNet's own layers, the convolutions of its residuals are not 1 % of the whole
        level = _level(key, levels)
        macs += math.prod(shape) / 4**level
        if key.endswith("attn1.to_q.weight"):
            pairs += 2 * shape[0] / 16**level
    return macs, pairs


def _level(key: str, levels: int) -> int:
    """How often the latent has been halved where a layer works."""
    found = _LEVEL.match(key)
    if found is None or found[1] is None:
        return 0
    if found[1] == "mid_block":
        return levels - 1
    index = int(found[2] or 0)
    level = index if found[1] == "down_blocks" else levels - 1 - index
    resampled = _RESAMPLER.search(key)
    return level + {"down": 1, "up": -1}[resampled[1]] if resampled else level


def _widest(config: dict[str, Any], channels: Sequence[int]) -> float:
    """Channels times the share of the latent's pixels at the level where a transformer takes the most."""
    blocks = cast("Sequence[str]", config.get("down_block_types", ()))
    wide = [width / 4**level for level, (width, block) in enumerate(zip(channels, blocks, strict=False))
            if "CrossAttn" in block]  # fmt: skip
    # The first level counts without a transformer too: its resnets hold about 10 times its width.
    return max([*wide, channels[0] * 10 / 21])


def _skips(config: dict[str, Any], channels: Sequence[int]) -> float:
    """Values of all the skips, and of what the middle gives, for each latent pixel."""
    layers = config.get("layers_per_block", 2)
    per_block = cast("list[int]", layers) if isinstance(layers, list) else [int(layers)] * len(channels)

    def outputs() -> Iterator[float]:
        yield channels[0]
        for level, (width, count) in enumerate(zip(channels, per_block, strict=False)):
            yield from [width / 4**level] * count
            if level < len(channels) - 1:
                yield width / 4 ** (level + 1)
        yield channels[-1] / 4 ** (len(channels) - 1)

    return sum(outputs())


def _config(weights: Weights) -> dict[str, Any]:
    if weights.part is not None:
        return dict(weights.part.config)
    file = weights.folder / "config.json"
    return cast("dict[str, Any]", json.loads(file.read_text())) if file.is_file() else {}

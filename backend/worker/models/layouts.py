"""What the tensors of single files are called, and what diffusers calls the same ones. Names alone, no torch.

Three layouts are about: Stability's and CompVis' own (LDM, and sgm for SDXL), which Civitai, A1111 and ComfyUI know;
OpenCLIP's for the text encoders of SD 2 and SDXL; and diffusers' own names in one file. The first two are written
down in the code that reads them: https://github.com/CompVis/latent-diffusion,
https://github.com/Stability-AI/generative-models, https://github.com/lllyasviel/ControlNet,
https://github.com/mlfoundations/open_clip.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum


class Turn(Enum):
    """How a tensor in the file becomes the one that the module wants."""

    NONE = "as it is"
    FLAT = "a convolution over one pixel, as a matrix"
    QUERY = "the first third of the rows"
    KEY = "the second third of the rows"
    VALUE = "the last third of the rows"
    TRANSPOSED = "rows and columns swapped"

    @property
    def third(self) -> int | None:
        """Which third of the rows; None for all of them."""
        thirds = (Turn.QUERY, Turn.KEY, Turn.VALUE)
        return thirds.index(self) if self in thirds else None

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the tensor that comes out."""
        if self is Turn.FLAT and shape[2:] == (1,) * len(shape[2:]):
            return shape[:2]
        if self is Turn.TRANSPOSED:
            return shape[::-1]
        return shape if self.third is None else (shape[0] // 3, *shape[1:])


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Where a module's tensor is found."""

    key: str  # in the file
    turn: Turn = Turn.NONE


Recipe = Mapping[str, Piece]
"""By the names of diffusers or transformers; CLIP's without the "text_model." that only some versions put first."""


class UnknownTensor(Exception):
    """A tensor that nothing known has; its message is the tensor's key."""


_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_UNET = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "time_embed.cond_proj": "time_embedding.cond_proj",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
    "middle_block_out.0": "controlnet_mid_block",
}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_BLOCK = re.compile(r"(input_blocks|output_blocks)\.(\d+)\.(\d)\.(.+)")
_HINT = re.compile(r"input_hint_block\.(\d+)\.(weight|bias)")
_ZERO = re.compile(r"zero_convs\.(\d+)\.0\.(weight|bias)")

_VAE_BLOCK = re.compile(r"(encoder|decoder)\.(down|up)\.(\d+)\.(block|downsample|upsample)\.(.+)")
_VAE_MIDDLE = re.compile(r"(encoder|decoder)\.mid\.(block_1|block_2|attn_1)\.(.+)")
_VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
_OLD_VAE_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_VAE_OLD = re.compile(r"(.+\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")

_OPEN_CLIP_LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")
_OPEN_CLIP = {
    "positional_embedding": "embeddings.position_embedding.weight",
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_OPEN_CLIP_PARTS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_THIRDS = (("q_proj", Turn.QUERY), ("k_proj", Turn.KEY), ("v_proj", Turn.VALUE))


def under(keys: Iterable[str], prefix: str) -> list[str]:
    """The names that begin with a prefix, without it."""
    return [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]


def prefixed(recipe: Recipe, prefix: str) -> dict[str, Piece]:
    """The same where every key in the file begins with `prefix`."""
    return {name: Piece(key=prefix + piece.key, turn=piece.turn) for name, piece in recipe.items()}


def same_names(keys: Iterable[str]) -> dict[str, Piece]:
    """Names that are diffusers' already."""
    return {key: Piece(key=key) for key in keys}


def ldm_unet(keys: Collection[str]) -> dict[str, Piece]:
    """A UNet, or a ControlNet, which is the first half of one. Raises UnknownTensor."""
    count = _layers_per_block(keys)
    hints = sorted({int(found[1]) for key in keys if (found := _HINT.fullmatch(key))})
    return {_unet_name(key, count, hints): Piece(key=key) for key in keys}


def _unet_name(key: str, count: int, hints: list[int]) -> str:
    module, _, kind = key.rpartition(".")
    if module in _UNET:
        return f"{_UNET[module]}.{kind}"
    if found := _BLOCK.fullmatch(key):
        side, index, place, rest = found[1], int(found[2]), int(found[3]), found[4]
        if side == "input_blocks":
            block, layer = divmod(index - 1, count + 1)
            if rest.startswith("op."):
                return f"down_blocks.{block}.downsamplers.0.conv.{rest.removeprefix('op.')}"
            return f"down_blocks.{block}.{_layer(place, layer, rest, key)}"
        block, layer = divmod(index, count + 1)
        if place and rest.startswith("conv."):
            return f"up_blocks.{block}.upsamplers.0.{rest}"
        return f"up_blocks.{block}.{_layer(place, layer, rest, key)}"
    if key.startswith("middle_block."):
        _, place, rest = key.split(".", 2)
        if place in _MIDDLE:
            return f"mid_block.{_MIDDLE[place]}.{rest if place == '1' else _resnet(rest, key)}"
    if found := _ZERO.fullmatch(key):
        return f"controlnet_down_blocks.{found[1]}.{found[2]}"
    if found := _HINT.fullmatch(key):
        number = hints.index(int(found[1]))
        names = {0: "conv_in", len(hints) - 1: "conv_out"}
        return f"controlnet_cond_embedding.{names.get(number, f'blocks.{number - 1}')}.{found[2]}"
    raise UnknownTensor(key)


def _layer(place: int, layer: int, rest: str, key: str) -> str:
    return f"attentions.{layer}.{rest}" if place else f"resnets.{layer}.{_resnet(rest, key)}"


def _resnet(rest: str, key: str) -> str:
    module, _, kind = rest.rpartition(".")
    if module not in _RESNET:
        raise UnknownTensor(key)
    return f"{_RESNET[module]}.{kind}"


def _layers_per_block(keys: Iterable[str]) -> int:
    """How many resnets come before the first halving of the latent."""
    halvings = [int(key.split(".")[1]) for key in keys if re.fullmatch(r"input_blocks\.\d+\.0\.op\.weight", key)]
    blocks = (found for key in keys if (found := _BLOCK.fullmatch(key)))
    last = max((int(found[2]) for found in blocks if found[1] == "input_blocks"), default=2)
    return max(1, min(halvings, default=last + 1) - 1)


def ldm_vae(keys: Collection[str]) -> dict[str, Piece]:
    """An AutoencoderKL. Raises UnknownTensor."""
    blocks = 1 + max((int(found[3]) for key in keys if (found := _VAE_BLOCK.fullmatch(key))), default=0)
    return dict(_vae_entry(key, blocks) for key in keys)


def _vae_entry(key: str, blocks: int) -> tuple[str, Piece]:
    plain = Piece(key=key)
    if found := _VAE_BLOCK.fullmatch(key):
        side, way, block, part, rest = found[1], found[2], int(found[3]), found[4], found[5]
        place = f"{side}.{way}_blocks.{block if way == 'down' else blocks - 1 - block}"
        if part == "block":
            return f"{place}.resnets.{rest.replace('nin_shortcut', 'conv_shortcut')}", plain
        return f"{place}.{part}rs.0.{rest}", plain
    if found := _VAE_MIDDLE.fullmatch(key):
        side, part, rest = found[1], found[2], found[3]
        if part != "attn_1":
            number = int(part[-1]) - 1
            return f"{side}.mid_block.resnets.{number}.{rest.replace('nin_shortcut', 'conv_shortcut')}", plain
        module, _, kind = rest.rpartition(".")
        if module not in _VAE_ATTENTION:
            raise UnknownTensor(key)
        turn = Turn.FLAT if kind == "weight" and module != "norm" else Turn.NONE
        return f"{side}.mid_block.attentions.0.{_VAE_ATTENTION[module]}.{kind}", Piece(key=key, turn=turn)
    if key.partition(".")[0] in ("quant_conv", "post_quant_conv") or re.fullmatch(
        r"(encoder|decoder)\.(conv_in|conv_out|norm_out)\.(weight|bias)", key
    ):
        return key.replace("norm_out", "conv_norm_out"), plain
    raise UnknownTensor(key)


def diffusers_vae(keys: Iterable[str]) -> dict[str, Piece]:
    """diffusers' names, those of its first versions for the attention among them."""

    def name(key: str) -> str:
        found = _VAE_OLD.fullmatch(key)
        return f"{found[1]}.{_OLD_VAE_ATTENTION[found[2]]}.{found[3]}" if found else key

    return {name(key): Piece(key=key) for key in keys}


def transformers_clip(keys: Iterable[str]) -> dict[str, Piece]:
    """A text encoder with transformers' names, of any version."""
    return {
        key.removeprefix("text_model."): Piece(key=key) for key in keys if not key.endswith("embeddings.position_ids")
    }


def open_clip(keys: Iterable[str], *, layers: int, projects: bool) -> dict[str, Piece]:
    """A text encoder with OpenCLIP's names, as far as its first `layers` layers. Raises UnknownTensor."""
    recipe: dict[str, Piece] = {}
    for key in keys:
        if key in ("logit_scale", "attn_mask") or (key == "text_projection" and not projects):
            continue
        if key == "text_projection":
            recipe["text_projection.weight"] = Piece(key=key, turn=Turn.TRANSPOSED)
        elif key == "text_projection.weight":
            recipe[key] = Piece(key=key)
        elif key in _OPEN_CLIP:
            recipe[_OPEN_CLIP[key]] = Piece(key=key)
        elif found := _OPEN_CLIP_LAYER.fullmatch(key):
            if int(found[1]) < layers:
                recipe.update(_open_clip_layer(f"encoder.layers.{int(found[1])}", found[2], key))
        else:
            raise UnknownTensor(key)
    return recipe


def _open_clip_layer(layer: str, rest: str, key: str) -> dict[str, Piece]:
    for kind in ("weight", "bias"):
        if rest == f"attn.in_proj_{kind}":
            return {f"{layer}.self_attn.{name}.{kind}": Piece(key=key, turn=turn) for name, turn in _THIRDS}
    module, _, kind = rest.rpartition(".")
    if module not in _OPEN_CLIP_PARTS:
        raise UnknownTensor(key)
    return {f"{layer}.{_OPEN_CLIP_PARTS[module]}.{kind}": Piece(key=key)}


def ema_name(key: str) -> str:
    """What a UNet's tensor is called among the running averages: LitEma in latent-diffusion takes the dots out."""
    return "model_ema.diffusion_model" + key.replace(".", "")

"""Small random models as diffusers folders, and the same as single files with the names that other programs give.

The names are written out block by block, as the original code builds its models, and not taken from what reads them.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import diffusers
import torch
import transformers
from safetensors.torch import save_file
from underpaint.backend.worker.models.clip_tokenizer import merges, vocabulary

Family = Literal["sd15", "sd2", "sdxl"]
Tensors = dict[str, Any]

HINTS = (8, 8, 16, 16)
_TEXT = 64  # of each text encoder
_TEXT_LAYERS = 2

_UNETS: dict[Family, dict[str, Any]] = {
    "sd15": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (32, 64),
        "attention_head_dim": 8,
        "cross_attention_dim": _TEXT,
    },
    "sd2": {
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (64, 64, 128),
        "attention_head_dim": (1, 1, 2),
        "cross_attention_dim": _TEXT,
        "use_linear_projection": True,
        "upcast_attention": True,
    },
    "sdxl": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (32, 64, 128),
        "attention_head_dim": (1, 1, 2),
        "transformer_layers_per_block": (1, 1, 2),
        "cross_attention_dim": 2 * _TEXT,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 6 * 256 + _TEXT,
    },
}
_SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def unet(family: Family, in_channels: int = 4, layers: int = 2, seed: int = 0) -> Any:
    """A `UNet2DConditionModel`."""
    config = {"sample_size": 16, "layers_per_block": layers, **_UNETS[family]}
    return _filled(lambda: diffusers.UNet2DConditionModel(in_channels=in_channels, **config), seed)


def net(family: Family, seed: int = 1) -> Any:
    """A `ControlNetModel` that goes with `unet`."""
    return _filled(
        lambda: diffusers.ControlNetModel.from_unet(
            unet(family), conditioning_embedding_out_channels=HINTS, load_weights_from_unet=False
        ),
        seed,
    )


def union(modes: int, seed: int = 2) -> Any:
    """A `ControlNetUnionModel` for `unet("sdxl")`."""
    config = {key: value for key, value in _UNETS["sdxl"].items() if key != "up_block_types"}
    return _filled(
        lambda: diffusers.ControlNetUnionModel(
            **config,
            conditioning_embedding_out_channels=HINTS,
            num_control_type=modes,
            num_trans_channel=32,
            num_proj_channel=32,
        ),
        seed,
    )


def vae(family: Family, seed: int = 3) -> Any:
    """An `AutoencoderKL`."""
    return _filled(
        lambda: diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(32, 32, 64, 64),
            layers_per_block=1,
            scaling_factor=0.13025 if family == "sdxl" else 0.18215,
        ),
        seed,
    )


def text_encoder(second: bool, act: str, seed: int, layers: int = _TEXT_LAYERS) -> Any:
    """CLIP's text encoder; the `second` one of SDXL projects its pooled text."""
    config = transformers.CLIPTextConfig(
        hidden_size=_TEXT, intermediate_size=96, num_hidden_layers=layers, num_attention_heads=1, projection_dim=_TEXT,
        hidden_act=act, bos_token_id=49406, eos_token_id=49407, pad_token_id=49407,
    )  # fmt: skip
    kind = transformers.CLIPTextModelWithProjection if second else transformers.CLIPTextModel
    return _filled(lambda: kind(config), seed)


def build_folder(family: Family, folder: Path, *, in_channels: int = 4, **scheduler: Any) -> dict[str, Any]:
    """Write a checkpoint folder; gives its modules."""
    parts = {"unet": unet(family, in_channels), "vae": vae(family)}
    parts["text_encoder"] = text_encoder(False, "gelu" if family == "sd2" else "quick_gelu", 4)
    if family == "sdxl":
        parts["text_encoder_2"] = text_encoder(True, "gelu", 5)
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    for name in ("tokenizer", "tokenizer_2") if family == "sdxl" else ("tokenizer",):
        _write_tokenizer(folder / name, "!" if family == "sd2" or name == "tokenizer_2" else "<|endoftext|>")
    kind = diffusers.EulerDiscreteScheduler if family == "sdxl" else diffusers.PNDMScheduler
    extra = {} if family == "sdxl" else {"skip_prk_steps": True, "set_alpha_to_one": False}
    kind(**{**_SCHEDULER, "timestep_spacing": "leading", **extra, **scheduler}).save_pretrained(folder / "scheduler")
    pipeline = "StableDiffusionXLPipeline" if family == "sdxl" else "StableDiffusionPipeline"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    return parts


def ldm_checkpoint(family: Family, parts: Mapping[str, Any]) -> Tensors:
    """A checkpoint's tensors as A1111, ComfyUI and Civitai have them."""
    tensors = _under("model.diffusion_model.", ldm_unet(parts["unet"]))
    tensors |= _under("first_stage_model.", ldm_vae(parts["vae"]))
    if family == "sd15":
        tensors |= _under("cond_stage_model.transformer.", _clip(parts["text_encoder"]))
    elif family == "sd2":
        tensors |= _under("cond_stage_model.model.", open_clip(parts["text_encoder"]))
    else:
        tensors |= _under("conditioner.embedders.0.transformer.", _clip(parts["text_encoder"]))
        tensors |= _under("conditioner.embedders.1.model.", open_clip(parts["text_encoder_2"]))
        tensors["conditioner.embedders.1.model.logit_scale"] = torch.tensor(4.6)
    tensors["model_ema.decay"] = torch.tensor(0.9999)
    tensors["betas"] = torch.linspace(0.00085, 0.012, 1000)
    return tensors


def ldm_unet(module: Any) -> Tensors:
    """A UNet's or ControlNet's tensors as CompVis named them."""
    source = module.state_dict()
    count, levels = module.config["layers_per_block"], len(module.config["block_out_channels"])
    names: dict[str, str] = {
        "conv_in": "input_blocks.0.0",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "controlnet_mid_block": "middle_block_out.0",
    }
    place = 1
    for level in range(levels):
        for layer in range(count):
            names[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{place}.0"
            names[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{place}.1"
            place += 1
        if level < levels - 1:
            names[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{place}.0.op"
            place += 1
    for number in range(place):
        names[f"controlnet_down_blocks.{number}"] = f"zero_convs.{number}.0"
    place = 0
    for level in range(levels):
        attends = any(key.startswith(f"up_blocks.{level}.attentions") for key in source)
        for layer in range(count + 1):
            names[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{place}.0"
            names[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{place}.1"
            place += 1
        names[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{place - 1}.{2 if attends else 1}.conv"
    hint = "controlnet_cond_embedding"
    blocks = 2 * (len(module.config.get("conditioning_embedding_out_channels") or HINTS) - 1)
    names[f"{hint}.conv_in"] = "input_hint_block.0"
    for number in range(blocks):
        names[f"{hint}.blocks.{number}"] = f"input_hint_block.{2 * (number + 1)}"
    names[f"{hint}.conv_out"] = f"input_hint_block.{2 * (blocks + 1)}"
    resnet = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
        "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }  # fmt: skip
    return {_renamed(key, names, resnet): tensor for key, tensor in source.items()}


def ldm_vae(module: Any) -> Tensors:
    """A VAE's tensors as CompVis named them: the attention's matrices are convolutions."""
    levels, count = len(module.config["block_out_channels"]), module.config["layers_per_block"]
    names: dict[str, str] = {}
    for side in ("encoder", "decoder"):
        for number in range(2):
            names[f"{side}.mid_block.resnets.{number}"] = f"{side}.mid.block_{number + 1}"
        names[f"{side}.mid_block.attentions.0"] = f"{side}.mid.attn_1"
        names[f"{side}.conv_norm_out"] = f"{side}.norm_out"
    for level in range(levels):
        for layer in range(count + 1):
            names[f"encoder.down_blocks.{level}.resnets.{layer}"] = f"encoder.down.{level}.block.{layer}"
            names[f"decoder.up_blocks.{level}.resnets.{layer}"] = f"decoder.up.{levels - 1 - level}.block.{layer}"
        names[f"encoder.down_blocks.{level}.downsamplers.0"] = f"encoder.down.{level}.downsample"
        names[f"decoder.up_blocks.{level}.upsamplers.0"] = f"decoder.up.{levels - 1 - level}.upsample"
    parts = {
        "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
        "conv_shortcut": "nin_shortcut",
    }  # fmt: skip
    tensors: Tensors = {}
    for key, tensor in module.state_dict().items():
        flat = ".attentions." in key and tensor.ndim == 2
        tensors[_renamed(key, names, parts)] = tensor[:, :, None, None] if flat else tensor
    return tensors


def open_clip(module: Any) -> Tensors:
    """A text encoder's tensors as OpenCLIP names them."""
    source = {key.removeprefix("text_model."): tensor for key, tensor in module.state_dict().items()}
    tensors: Tensors = {
        "token_embedding.weight": source["embeddings.token_embedding.weight"],
        "positional_embedding": source["embeddings.position_embedding.weight"],
        "ln_final.weight": source["final_layer_norm.weight"],
        "ln_final.bias": source["final_layer_norm.bias"],
    }
    if "text_projection.weight" in source:
        tensors["text_projection"] = source["text_projection.weight"].T.contiguous()
    for layer in range(module.config.num_hidden_layers):
        theirs, ours = f"transformer.resblocks.{layer}", f"encoder.layers.{layer}"
        for kind in ("weight", "bias"):
            thirds = [source[f"{ours}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            tensors[f"{theirs}.attn.in_proj_{kind}"] = torch.cat(thirds)
            tensors[f"{theirs}.attn.out_proj.{kind}"] = source[f"{ours}.self_attn.out_proj.{kind}"]
            tensors[f"{theirs}.ln_1.{kind}"] = source[f"{ours}.layer_norm1.{kind}"]
            tensors[f"{theirs}.ln_2.{kind}"] = source[f"{ours}.layer_norm2.{kind}"]
            tensors[f"{theirs}.mlp.c_fc.{kind}"] = source[f"{ours}.mlp.fc1.{kind}"]
            tensors[f"{theirs}.mlp.c_proj.{kind}"] = source[f"{ours}.mlp.fc2.{kind}"]
    return tensors


def save(tensors: Tensors, file: Path, metadata: dict[str, str] | None = None) -> Path:
    """Write a safetensors file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.clone().contiguous() for key, tensor in tensors.items()}, file, metadata)
    return file


def _clip(module: Any) -> Tensors:
    """As the transformers of 2022 named them, which the files keep."""
    tensors = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in module.state_dict().items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    return tensors


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + key: tensor for key, tensor in tensors.items()}


def _renamed(key: str, names: Mapping[str, str], parts: Mapping[str, str]) -> str:
    """A key by its longest prefix that has another name, and the part that comes after it."""
    for length in range(key.count("."), 0, -1):
        prefix = ".".join(key.split(".")[:length])
        if prefix in names:
            rest = key.removeprefix(prefix + ".")
            module, _, kind = rest.rpartition(".")
            return f"{names[prefix]}.{parts[module]}.{kind}" if module in parts else f"{names[prefix]}.{rest}"
    return key


def _write_tokenizer(folder: Path, pad: str) -> None:
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    lines = "\n".join(" ".join(pair) for pair in merges())
    (folder / "merges.txt").write_text(f"#version: 0.2\n{lines}\n")
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**special, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"})
    )


def _filled(make: Callable[[], Any], seed: int) -> Any:
    """The model with weights that are the same for the same seed, and none of them 0 or 1 as they begin."""
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(seed)
        model = make()
        for name, weight in model.named_parameters():
            if name.startswith(("controlnet_down_blocks", "controlnet_mid_block", "spatial_ch_projs")):
                torch.nn.init.normal_(weight, std=0.2)
            elif weight.ndim == 1:
                weight.add_(torch.randn_like(weight), alpha=0.1)
    return model.float().eval().requires_grad_(False)

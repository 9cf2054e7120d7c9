"""What users have of the families that diffusers' own pipelines paint, made tiny, random, and in its real layout."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import tokenizers
import torch
import transformers
from underpaint.backend.worker.families import FamilyId
from underpaint.backend.worker.models.embedded_tokenizer import END_ID, START_ID, VOCABULARY_SIZE, write_tokenizer

_TEXT_WIDTH = 32
_HEAD = 16  # of attention, everywhere; the axes of the positions add up to it
_WORDS = ("a", "cosy", "room", "red", "chair", "blurry", "of", "the")

QWEN_CHAT = (
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{%- endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{%- endif %}"
)


NETS: dict[str, tuple[FamilyId, dict[str, Any]]] = {
    "sd3-depth": (FamilyId.SD3, {}),
    "sd3-canny": (FamilyId.SD3, {}),
    "sd3-inpaint": (FamilyId.SD3, {"extra_conditioning_channels": 1}),
    # as those of Stability AI for SD 3.5 large: no text, and the transformer's own embedder of positions
    "sd3-large": (
        FamilyId.SD3,
        {"use_pos_embed": False, "joint_attention_dim": None, "force_zeros_for_pooled_projection": False},
    ),
    "flux-depth": (FamilyId.FLUX, {}),
    "flux-canny": (FamilyId.FLUX, {}),
    "flux-union": (FamilyId.FLUX, {"num_mode": 10}),
    "qwen-union": (FamilyId.QWEN_IMAGE, {}),
    "qwen-other": (FamilyId.QWEN_IMAGE, {}),
    "qwen-inpaint": (FamilyId.QWEN_IMAGE, {"extra_condition_channels": 4}),
    "z-union": (FamilyId.Z_IMAGE, {}),
    "z-union-2": (FamilyId.Z_IMAGE, {"control_in_dim": 33}),
}
"""ControlNets by the folder that they are in: plain, union, and such as take a mask."""


def build_all(models: Path) -> None:
    """Every checkpoint, in a folder of its family's name, and every ControlNet."""
    for family in _CHECKPOINTS:
        build(family, models / family)
    torch.manual_seed(50)
    _flux(guidance_embeds=False).save_pretrained(models / "schnell")
    for seed, (name, (family, config)) in enumerate(NETS.items(), 100):
        build_net(family, models / name, seed=seed, **config)


def build(family: FamilyId, folder: Path) -> Path:
    """Write a checkpoint folder as `save_pretrained` does: model_index.json and every component."""
    torch.manual_seed(list(FamilyId).index(family))
    _CHECKPOINTS[family]().save_pretrained(folder)
    return folder


def build_net(family: FamilyId, folder: Path, seed: int = 99, **config: Any) -> Path:
    """Write a ControlNet for the family's tiny checkpoint; `config` goes to its class."""
    torch.manual_seed(seed)
    net = filled(_NETS[family](**config))
    net.save_pretrained(folder)
    return folder


def filled(model: Any) -> Any:
    """The model without weights that are zero, as those of a ControlNet's own layers are at the beginning."""
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.any():
                torch.nn.init.normal_(weight, std=0.2)
    return model.eval()


# ---------------------------------------------------------------------------------------------- checkpoints


def _sd3() -> Any:
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=_HEAD, num_attention_heads=2,
        joint_attention_dim=_TEXT_WIDTH * 2, caption_projection_dim=32, pooled_projection_dim=_TEXT_WIDTH * 2,
        out_channels=16, pos_embed_max_size=16, qk_norm="rms_norm", dual_attention_layers=(0,),
    )  # fmt: skip
    return diffusers.StableDiffusion3Pipeline(
        transformer=filled(transformer),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=_clip(projected=True),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=_clip(projected=True),
        tokenizer_2=_clip_tokenizer(),
        text_encoder_3=_t5(_TEXT_WIDTH * 2),
        tokenizer_3=_t5_tokenizer(256),
    )


def _flux(guidance_embeds: bool = True) -> Any:
    transformer = diffusers.FluxTransformer2DModel(guidance_embeds=guidance_embeds, **_FLUX)
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**_DYNAMIC),
        vae=_vae(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=_clip(projected=False),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=_t5(_TEXT_WIDTH),
        tokenizer_2=_t5_tokenizer(512),
        transformer=filled(transformer),
    )


def _qwen_image() -> Any:
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            **_QWEN_TEXT,
            "rope_parameters": {"mrope_section": [2, 3, 3], "rope_type": "default", "rope_theta": 1e6},
        },
        vision_config={
            "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": _TEXT_WIDTH,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 28,
            "fullatt_block_indexes": [0],
        },
    )  # fmt: skip
    vae = diffusers.AutoencoderKLQwenImage(base_dim=8, z_dim=16, dim_mult=[1, 1, 2, 2], num_res_blocks=1)
    return diffusers.QwenImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            **{**_DYNAMIC, "max_shift": 0.9, "max_image_seq_len": 8192, "shift_terminal": 0.02}
        ),
        vae=vae.eval(),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(config).eval(),
        tokenizer=_qwen_tokenizer(),
        transformer=filled(diffusers.QwenImageTransformer2DModel(**_QWEN)),
    )


def _z_image() -> Any:
    return diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=transformers.Qwen3Model(transformers.Qwen3Config(**_QWEN_TEXT, head_dim=_HEAD)).eval(),
        tokenizer=_qwen_tokenizer(),
        transformer=filled(
            diffusers.ZImageTransformer2DModel(
                in_channels=16,
                n_layers=2,
                cap_feat_dim=_TEXT_WIDTH,
                axes_dims=[4, 6, 6],
                axes_lens=[1024, 64, 64],
                **_Z,
            )
        ),
    )


# ---------------------------------------------------------------------------------------------- ControlNets


def _sd3_net(**config: Any) -> Any:
    shape: dict[str, Any] = {
        "sample_size": 8, "patch_size": 2, "in_channels": 16, "num_layers": 1, "attention_head_dim": _HEAD,
        "num_attention_heads": 2, "joint_attention_dim": _TEXT_WIDTH * 2, "caption_projection_dim": 32,
        "pooled_projection_dim": _TEXT_WIDTH * 2, "out_channels": 16, "pos_embed_max_size": 16,
    }  # fmt: skip
    return diffusers.SD3ControlNetModel(**{**shape, **config})


def _flux_net(**config: Any) -> Any:
    return diffusers.FluxControlNetModel(**{**_FLUX, "num_single_layers": 1, "guidance_embeds": True, **config})


def _qwen_net(**config: Any) -> Any:
    return diffusers.QwenImageControlNetModel(**{**_QWEN, "num_layers": 1, **config})


def _z_net(**config: Any) -> Any:
    return diffusers.ZImageControlNetModel(
        **{"control_layers_places": [0], "control_refiner_layers_places": [0], "control_in_dim": 16, **_Z, **config}
    )


_FLUX: dict[str, Any] = {
    "patch_size": 1, "in_channels": 64, "num_layers": 1, "num_single_layers": 2, "attention_head_dim": _HEAD,
    "num_attention_heads": 2, "joint_attention_dim": _TEXT_WIDTH, "pooled_projection_dim": _TEXT_WIDTH,
    "axes_dims_rope": (4, 6, 6),
}  # fmt: skip
_QWEN: dict[str, Any] = {
    "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 2, "attention_head_dim": _HEAD,
    "num_attention_heads": 2, "joint_attention_dim": _TEXT_WIDTH, "axes_dims_rope": (4, 6, 6),
}  # fmt: skip
_Z: dict[str, Any] = {"dim": 32, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2}
_DYNAMIC: dict[str, Any] = {
    "shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}  # fmt: skip
_QWEN_TEXT: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": _TEXT_WIDTH, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 2048,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
_CHECKPOINTS: dict[FamilyId, Callable[[], Any]] = {
    FamilyId.SD3: _sd3, FamilyId.FLUX: _flux, FamilyId.QWEN_IMAGE: _qwen_image, FamilyId.Z_IMAGE: _z_image,
}  # fmt: skip
_NETS: dict[FamilyId, Callable[..., Any]] = {
    FamilyId.SD3: _sd3_net, FamilyId.FLUX: _flux_net, FamilyId.QWEN_IMAGE: _qwen_net, FamilyId.Z_IMAGE: _z_net,
}  # fmt: skip


# ---------------------------------------------------------------------------------------------- parts


def _vae(**config: float) -> Any:
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16), norm_num_groups=4, latent_channels=16, sample_size=64,
        use_quant_conv=False, use_post_quant_conv=False, **config,
    ).eval()  # fmt: skip


def _clip(*, projected: bool) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=VOCABULARY_SIZE, hidden_size=_TEXT_WIDTH, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, projection_dim=_TEXT_WIDTH, bos_token_id=START_ID, eos_token_id=END_ID,
    )  # fmt: skip
    chosen = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return chosen(config).eval()


def _t5(width: int) -> Any:
    config = transformers.T5Config(
        vocab_size=320, d_model=width, d_kv=_HEAD, d_ff=64, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.T5EncoderModel(config).eval()


def _clip_tokenizer() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder) / "tokenizer")
        return transformers.CLIPTokenizer.from_pretrained(Path(folder) / "tokenizer")


def _t5_tokenizer(longest: int) -> Any:
    """Unigrams, as SentencePiece makes them: pieces with a score, a word's first one marked."""
    letters = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -3.0)]
    pieces += [(f"\u2581{word}", -2.0) for word in _WORDS] + [(letter, -5.0) for letter in letters]
    return transformers.T5TokenizerFast(
        vocab=pieces, extra_ids=0, model_max_length=longest, additional_special_tokens=[]
    )


def _qwen_tokenizer() -> Any:
    """Bytes, and the two marks of a turn in a chat."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|endoftext|>": 0, **{letter: index + 1 for index, letter in enumerate(alphabet)}}
    made = transformers.Qwen2Tokenizer(
        vocab=vocabulary, merges=[], pad_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"], model_max_length=2048,
    )  # fmt: skip
    made.chat_template = QWEN_CHAT
    return made


# ---------------------------------------------------------------------------------------------- LoRAs


def build_lora(models: Path, family: FamilyId, file: Path, *, rank: int = 4) -> Path:
    """A LoRA of the transformer's attention, by the family's own `save_lora_weights`."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(models / family)
    generator = torch.Generator().manual_seed(11)
    tensors: dict[str, Any] = {}
    for name, layer in pipeline.transformer.named_modules():
        if isinstance(layer, torch.nn.Linear) and name.rpartition(".")[2] in ("to_q", "to_k", "to_v"):
            wide, narrow = layer.weight.shape
            tensors[f"{name}.lora_A.weight"] = torch.randn(rank, narrow, generator=generator) / narrow**0.5
            tensors[f"{name}.lora_B.weight"] = torch.randn(wide, rank, generator=generator) * 0.3
    type(pipeline).save_lora_weights(file.parent, transformer_lora_layers=tensors, weight_name=file.name)
    return file

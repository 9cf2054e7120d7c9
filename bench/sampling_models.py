"""Stable Diffusion 1.5 with three ControlNets at full size and random weights, made in memory for measurements."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from underpaint.backend.worker.models.embedded_tokenizer import END_ID, START_ID, VOCABULARY_SIZE, write_tokenizer

NETS = 3

_UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "attention_head_dim": 8,  # heads, for SD 1.5
    "cross_attention_dim": 768,
}
_SMALL_UNET = {**_UNET, "block_out_channels": (32, 32, 64, 64), "attention_head_dim": 2, "cross_attention_dim": 64}
_SCHEDULER: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "clip_sample": False,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Models:
    """What every contestant works with: the same modules, not copies of them."""

    unet: Any
    nets: tuple[Any, ...]
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]  # Stable Diffusion 1.5's own

    @property
    def modules(self) -> tuple[Any, ...]:
        """All that has weights."""
        return (self.unet, *self.nets, self.vae, self.text_encoder)

    def pipeline(self) -> Any:
        """A pipeline without ControlNets, which is what the worker has for its prompts."""
        return diffusers.StableDiffusionPipeline(
            unet=self.unet,
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            scheduler=diffusers.PNDMScheduler.from_config(self.scheduler_config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def to(self, *arguments: Any, **options: Any) -> None:
        """Move or convert everything in place, a tensor at a time."""
        for module in self.modules:
            module.to(*arguments, **options)


def build(device: str, *, small: bool = False) -> Models:
    """float32; 8.6 GB at full size. The weights are torch's own random ones, and none is zero.

    What begins at zero in a ControlNet gets a deviation of 0.02: zeros are multiplied faster than numbers.
    """
    torch.manual_seed(0)
    width = 64 if small else 768
    with torch.device(device):
        unet = diffusers.UNet2DConditionModel(**(_SMALL_UNET if small else _UNET))
        nets = tuple(_net(unet, number) for number in range(NETS))
        vae = diffusers.AutoencoderKL(
            block_out_channels=(32, 32, 32, 32) if small else (128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1 if small else 2,
            sample_size=512,
        )
        text_encoder = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=VOCABULARY_SIZE if small else 49408,
                hidden_size=width,
                intermediate_size=4 * width,
                num_hidden_layers=2 if small else 12,
                num_attention_heads=width // 32 if small else 12,
                bos_token_id=START_ID,
                eos_token_id=END_ID,
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder) / "tokenizer")
        tokenizer = transformers.CLIPTokenizer.from_pretrained(Path(folder) / "tokenizer")
    models = Models(
        unet=unet, nets=nets, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, scheduler_config=_SCHEDULER
    )
    for module in models.modules:
        module.eval().requires_grad_(False)
    return models


def parameters(module: Any) -> float:
    """Millions."""
    return sum(weight.numel() for weight in module.parameters()) / 1e6


def _net(unet: Any, number: int) -> Any:
    net = diffusers.ControlNetModel.from_unet(unet)
    generator = torch.Generator(unet.device).manual_seed(number)
    for name, weight in net.named_parameters():
        if name.startswith(("controlnet_down_blocks", "controlnet_mid_block", "controlnet_cond_embedding.conv_out")):
            torch.nn.init.normal_(weight, std=0.02, generator=generator)
    return net

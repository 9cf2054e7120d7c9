"""Tiny CLIP text encoders with random weights, as SD 1.5 has one and SDXL two, and diffusers' pipelines over them."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from underpaint.backend.worker.models.embedded_tokenizer import END_ID, START_ID, VOCABULARY_SIZE, write_tokenizer
from underpaint.backend.worker.sampling.clip_text import Stage

LAYERS = 4


@cache
def tokenizer(pad: str | None = None) -> Any:
    """The embedded checkpoint's; `pad` as SDXL's second one has "!"."""
    folder = Path(tempfile.mkdtemp()) / "tokenizer"
    write_tokenizer(folder)
    extra = {"pad_token": pad} if pad else {}
    return transformers.CLIPTokenizer.from_pretrained(folder, **extra)


def encoder(width: int = 16, seed: int = 0, *, projects: bool = False, eos: int = END_ID) -> Any:
    """A text encoder; `projects` as SDXL's second one does."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        config = transformers.CLIPTextConfig(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            projection_dim=width,
            bos_token_id=START_ID,
            eos_token_id=eos,
        )
        chosen = transformers.CLIPTextModelWithProjection if projects else transformers.CLIPTextModel
        model = chosen(config)
        for weight in model.parameters():
            weight.data += 0.3 * torch.randn_like(weight)  # as they begin, words hardly differ
    return model.eval().requires_grad_(False)


def sd15() -> Any:
    """A pipeline that can encode prompts, and no more."""
    return diffusers.StableDiffusionPipeline(
        vae=None, text_encoder=encoder(), tokenizer=tokenizer(), unet=None, scheduler=None,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sdxl() -> Any:
    """The same with two encoders."""
    return diffusers.StableDiffusionXLPipeline(
        vae=None, text_encoder=encoder(seed=1), text_encoder_2=encoder(24, seed=2, projects=True),
        tokenizer=tokenizer(), tokenizer_2=tokenizer("!"), unet=None, scheduler=None, add_watermarker=False,
    )  # fmt: skip


def stages(pipeline: Any) -> tuple[Stage, ...]:
    """The same encoders for ours."""
    first = Stage(tokenizer=pipeline.tokenizer, encoder=pipeline.text_encoder)
    if not hasattr(pipeline, "text_encoder_2"):
        return (first,)
    return (first, Stage(tokenizer=pipeline.tokenizer_2, encoder=pipeline.text_encoder_2))

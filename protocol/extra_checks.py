"""What a request must hold where it asks for more than prompt, controls and steps."""

import re

from .arrays import DType
from .limits import LARGEST_SCALE, MAX_SIDE, MAX_STEPS, require, require_array, require_within
from .request import DownloadRequest, GenerateRequest, SecondPass

MAX_FACTOR = 8  # of a second pass
MIN_TILE = 128
MAX_LORAS = 32
MAX_LORA_WEIGHT = 100.0
MAX_EMBEDDINGS = 64
MAX_IMAGE_PROMPTS = 8
MAX_IMAGE_PROMPT_SCALE = 10.0
MAX_CLIP_SKIP = 11  # of the smallest CLIP's twelve layers
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check_second_pass(second: SecondPass, request: GenerateRequest) -> None:
    """Raise InvalidRequest for a second pass that would do nothing, or can't be done."""
    require_within("second_pass: factor", second.factor, 1, MAX_FACTOR)
    require_within("second_pass: strength", second.strength, 0, 1)
    steps = request.steps if second.steps is None else second.steps
    require_within("second_pass: steps", steps, 1, MAX_STEPS)
    require(
        int(steps * second.strength) > 0,
        f"second_pass: a strength of {second.strength:g} leaves none of {steps} steps to do. Raise it, or take more",
    )
    require_within("second_pass: tile_scale", second.tile_scale, 0, LARGEST_SCALE)
    if second.tile_px is not None:
        require_within("second_pass: tile_px", second.tile_px, MIN_TILE, MAX_SIDE)
        require_within("second_pass: overlap_px", second.overlap_px, 0, second.tile_px // 2)


def check_extras(request: GenerateRequest) -> None:
    """Raise InvalidRequest for LoRAs, embeddings, image prompts or a clip skip that are out of bounds."""
    for what, entries, most in (
        ("LoRAs", request.loras, MAX_LORAS),
        ("embeddings", request.embeddings, MAX_EMBEDDINGS),
        ("image prompts", request.image_prompts, MAX_IMAGE_PROMPTS),
    ):
        require(len(entries) <= most, f"{len(entries)} {what}, at most {most} work")
    for number, lora in enumerate(request.loras):
        require(bool(lora.lora), f"LoRA {number + 1} has no file. Choose one, or remove it")
        for weight in (lora.weight, lora.text_weight):
            require_within(
                f"LoRA {number + 1}: weight", 0.0 if weight is None else weight, -MAX_LORA_WEIGHT, MAX_LORA_WEIGHT
            )
    for number, embedding in enumerate(request.embeddings):
        require(bool(embedding.embedding), f"embedding {number + 1} has no file. Choose one, or remove it")
    for number, prompt in enumerate(request.image_prompts):
        where = f"image prompt {number + 1}"
        require(bool(prompt.adapter), f"{where} has no IP-Adapter. Choose one, or remove it")
        require_array(prompt.image, DType.UINT8, 3, where)
        require_within(f"{where}: scale", prompt.scale, 0, MAX_IMAGE_PROMPT_SCALE)
        require(
            0 <= prompt.start < prompt.end <= 1,
            f"{where}: it works from {prompt.start} to {prompt.end}; expected 0 <= start < end <= 1",
        )
    require_within("clip_skip", request.clip_skip, 0, MAX_CLIP_SKIP)


def check_download(request: DownloadRequest) -> None:
    """Raise InvalidRequest for what is no place on the hub."""
    require(
        HUB_ID.fullmatch(request.reference) is not None,
        f'{request.reference[:80]!r} is no hub id; those have an owner and a name, such as "owner/name"',
    )
    parts = request.file.replace("\\", "/").split("/")
    require(".." not in parts and not request.file.startswith("/"), "the file lies outside the repository")

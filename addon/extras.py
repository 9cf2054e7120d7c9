"""What is asked of a picture beyond prompt, controls and steps: from the scene into a request, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..protocol.arrays import AnyArray, ArrayRef, UInt8Array
from ..protocol.errors import InvalidRequest
from ..protocol.request import Embedding, GenerateRequest, ImagePrompt, Lora, Seamless, SecondPass
from . import pixels
from .decimals import typed


@dataclass(frozen=True, kw_only=True)
class ImagePromptSettings:
    """A picture as a prompt, without any reference to Blender's data."""

    adapter: str  # file, folder or hub id of an IP-Adapter
    image: UInt8Array  # (height, width, 3) sRGB, row 0 at the top
    scale: float = 0.6
    start: float = 0.0  # fraction of the steps
    end: float = 1.0
    image_encoder: str = ""


def loras(group: Any) -> tuple[Lora, ...]:
    """The LoRAs that take part. Raises InvalidRequest for one without a file."""
    rows = [item for item in group.loras if item.enabled]
    for item in rows:
        if not item.lora.strip():
            raise InvalidRequest(reason="a LoRA has no file. Choose one, switch it off, or remove it")
    return tuple(
        Lora(
            lora=item.lora.strip(),
            weight=typed(item.weight),
            text_weight=typed(item.text_weight) if item.use_text_weight else None,
        )
        for item in rows
    )


def embeddings(group: Any) -> tuple[Embedding, ...]:
    """The textual inversions of the list. Raises InvalidRequest for one without a file."""
    for item in group.embeddings:
        if not item.embedding.strip():
            raise InvalidRequest(reason="an embedding has no file. Choose one, or remove it")
    return tuple(Embedding(embedding=item.embedding.strip(), token=item.token.strip()) for item in group.embeddings)


def image_prompts(group: Any) -> tuple[ImagePromptSettings, ...]:
    """The pictures that take part. Raises InvalidRequest or InvalidArray for one that can't."""
    found: list[ImagePromptSettings] = []
    for item in group.image_prompts:
        if not item.enabled:
            continue
        wrong = problem_of(item)
        if wrong:
            raise InvalidRequest(reason=f"an image prompt can't be used: {wrong}")
        found.append(
            ImagePromptSettings(
                adapter=item.adapter.strip(),
                image=pixels.pixels_of(item.image),
                scale=typed(item.scale),
                start=typed(item.start),
                end=typed(item.end),
                image_encoder=item.image_encoder.strip(),
            )
        )
    return tuple(found)


def problem_of(item: Any) -> str:
    """What an image prompt lacks; "" where nothing is known."""
    if not item.adapter.strip():
        return "Choose the IP-Adapter that reads the picture"
    if item.image is None:
        return "Choose the picture"
    if item.start >= item.end:
        return "It stops where it sets in: move Start or End"
    return pixels.problem_of(item.image)


def second_pass(group: Any) -> SecondPass | None:
    """The second pass; None where the picture is painted at its size at once."""
    if not group.second_pass.use:
        return None
    item = group.second_pass
    return SecondPass(
        factor=typed(item.factor),
        strength=typed(item.strength),
        steps=item.steps or None,
        tile_px=item.tile_px if item.use_tiles else None,
        overlap_px=item.overlap_px,
        tile_controlnet=item.tile_controlnet.strip() if item.use_tiles else "",
        tile_scale=typed(item.tile_scale),
    )


def uploaded(
    prompts: tuple[ImagePromptSettings, ...], upload: Callable[[AnyArray], ArrayRef]
) -> tuple[ImagePrompt, ...]:
    """Image prompts as a request has them."""
    return tuple(shown(prompt, upload(prompt.image)) for prompt in prompts)


def shown(prompt: ImagePromptSettings, image: ArrayRef) -> ImagePrompt:
    """An image prompt with this picture."""
    return ImagePrompt(
        adapter=prompt.adapter,
        image=image,
        scale=prompt.scale,
        start=prompt.start,
        end=prompt.end,
        image_encoder=prompt.image_encoder,
    )


def restore(group: Any, request: GenerateRequest, image_with: Callable[[ArrayRef], Any]) -> list[str]:
    """Put a request's extras into a scene's group; what lacks its picture is switched off, and named.

    `image_with` finds the datablock that holds a request's picture, or None.
    """
    lost: list[str] = []
    group.loras.clear()
    for lora in request.loras:
        item = group.loras.add()
        item.lora, item.weight = lora.lora, lora.weight
        item.use_text_weight = lora.text_weight is not None
        item.text_weight = lora.weight if lora.text_weight is None else lora.text_weight
    group.embeddings.clear()
    for embedding in request.embeddings:
        item = group.embeddings.add()
        item.embedding, item.token = embedding.embedding, embedding.token
    group.image_prompts.clear()
    for prompt in request.image_prompts:
        item = group.image_prompts.add()
        item.adapter, item.image_encoder = prompt.adapter, prompt.image_encoder
        item.scale, item.start, item.end = prompt.scale, prompt.start, prompt.end
        item.image = image_with(prompt.image)
        if item.image is None:
            item.enabled = False
            lost.append("Image Prompt")
    group.active_lora = group.active_embedding = group.active_image_prompt = 0
    _restore_second_pass(group.second_pass, request.second_pass)
    group.vae, group.clip_skip = request.vae, request.clip_skip
    group.plain_prompt, group.safety_checker = request.plain_prompt, request.safety_checker
    group.seamless = request.seamless.name
    return lost


def seamless(group: Any) -> Seamless:
    """Which edges continue."""
    return Seamless[group.seamless]


def weighing(group: Any) -> tuple[object, ...]:
    """What of the extras a plan of the memory depends on."""
    second = group.second_pass
    passes = (second.factor, second.use_tiles, second.tile_px, second.tile_controlnet) if second.use else ()
    prompts = tuple((item.adapter, item.image_encoder) for item in group.image_prompts if item.enabled)
    loras = tuple((item.lora, item.weight) for item in group.loras if item.enabled)
    return (passes, prompts, loras, group.vae, group.safety_checker)


def _restore_second_pass(item: Any, second: SecondPass | None) -> None:
    item.use = second is not None
    if second is None:
        return
    item.factor, item.strength = second.factor, second.strength
    item.steps = second.steps or 0
    item.use_tiles = second.tile_px is not None
    if second.tile_px is not None:
        item.tile_px = second.tile_px
    item.overlap_px = second.overlap_px
    item.tile_controlnet, item.tile_scale = second.tile_controlnet, second.tile_scale

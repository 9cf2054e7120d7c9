"""What is asked for beyond prompt, controls and steps, as data, and how it becomes a request. Knows no Qt."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.arrays import AnyArray, ArrayRef
from ..protocol.errors import InvalidRequest, UnderpaintError
from ..protocol.request import Embedding, GenerateRequest, ImagePrompt, Lora, Seamless, SecondPass
from .control_form import Picture

DEFAULT_SECOND_PASS = SecondPass()


@dataclass(frozen=True, kw_only=True)
class LoraForm:
    """One row of the list of LoRAs."""

    lora: str = ""
    weight: float = 1.0
    text_weight: float | None = None  # None takes `weight`
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class ImagePromptForm:
    """A picture as a prompt, and the IP-Adapter that reads it."""

    adapter: str = ""
    image: Picture | ArrayRef | None = None  # a reference is of what the service has already
    scale: float = 0.6
    start: float = 0.0
    end: float = 1.0
    image_encoder: str = ""
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class Extras:
    """Everything in the folds."""

    loras: tuple[LoraForm, ...] = ()
    embeddings: tuple[Embedding, ...] = ()
    image_prompts: tuple[ImagePromptForm, ...] = ()
    second_pass: SecondPass = DEFAULT_SECOND_PASS
    use_second_pass: bool = False
    vae: str = ""
    clip_skip: int = 0
    plain_prompt: bool = False
    seamless: Seamless = Seamless.OFF
    safety_checker: str = ""


NO_EXTRAS = Extras()


@dataclass(frozen=True, kw_only=True)
class AskedExtras:
    """What becomes of them in a request."""

    loras: tuple[Lora, ...]
    embeddings: tuple[Embedding, ...]
    image_prompts: tuple[ImagePrompt, ...]
    second_pass: SecondPass | None
    vae: str
    clip_skip: int
    plain_prompt: bool
    seamless: Seamless
    safety_checker: str


def extras_problems(extras: Extras) -> list[UnderpaintError]:
    """Why they can't be asked for."""
    found: list[UnderpaintError] = []
    for number, lora in enumerate(extras.loras, start=1):
        if lora.enabled and not lora.lora.strip():
            found.append(InvalidRequest(reason=f"LoRA {number} has no file. Choose one, or remove it"))
    for number, embedding in enumerate(extras.embeddings, start=1):
        if not embedding.embedding.strip():
            found.append(InvalidRequest(reason=f"embedding {number} has no file. Choose one, or remove it"))
    for number, prompt in enumerate(extras.image_prompts, start=1):
        if not prompt.enabled:
            continue
        if prompt.image is None:
            found.append(InvalidRequest(reason=f"image prompt {number} has no picture. Drop one, or remove it"))
        if not prompt.adapter.strip():
            found.append(InvalidRequest(reason=f"image prompt {number} has no IP-Adapter. Choose one, or remove it"))
        if prompt.start >= prompt.end:
            found.append(InvalidRequest(reason=f"image prompt {number} stops before it starts"))
    return found


def to_extras(extras: Extras, upload: Callable[[AnyArray], ArrayRef]) -> AskedExtras:
    """A request's part of them. Raises the first of `extras_problems`."""
    for problem in extras_problems(extras):
        raise problem
    return AskedExtras(
        loras=tuple(
            Lora(lora=row.lora.strip(), weight=row.weight, text_weight=row.text_weight)
            for row in extras.loras
            if row.enabled
        ),
        embeddings=extras.embeddings,
        image_prompts=tuple(_asked_prompt(row, upload) for row in extras.image_prompts if row.enabled),
        second_pass=extras.second_pass if extras.use_second_pass else None,
        vae=extras.vae.strip(),
        clip_skip=extras.clip_skip,
        plain_prompt=extras.plain_prompt,
        seamless=extras.seamless,
        safety_checker=extras.safety_checker.strip(),
    )


def restored_extras(request: GenerateRequest, before: Extras = NO_EXTRAS) -> Extras:
    """What makes a request's again; without a second pass, the settings of the one `before` wait for the next."""
    second = request.second_pass
    return Extras(
        loras=tuple(
            LoraForm(lora=lora.lora, weight=lora.weight, text_weight=lora.text_weight) for lora in request.loras
        ),
        embeddings=request.embeddings,
        image_prompts=tuple(
            ImagePromptForm(
                adapter=prompt.adapter,
                image=prompt.image,
                scale=prompt.scale,
                start=prompt.start,
                end=prompt.end,
                image_encoder=prompt.image_encoder,
            )
            for prompt in request.image_prompts
        ),
        second_pass=before.second_pass if second is None else second,
        use_second_pass=second is not None,
        vae=request.vae,
        clip_skip=request.clip_skip,
        plain_prompt=request.plain_prompt,
        seamless=request.seamless,
        safety_checker=request.safety_checker,
    )


def without_images(extras: Extras, gone: set[str]) -> Extras:
    """The extras whose image prompts wait for pictures where the service has theirs no more (`gone`, by address)."""
    return dataclasses.replace(
        extras,
        image_prompts=tuple(
            dataclasses.replace(row, image=None)
            if isinstance(row.image, ArrayRef) and row.image.sha256 in gone
            else row
            for row in extras.image_prompts
        ),
    )


def _asked_prompt(row: ImagePromptForm, upload: Callable[[AnyArray], ArrayRef]) -> ImagePrompt:
    image = row.image
    assert image is not None
    return ImagePrompt(
        adapter=row.adapter.strip(),
        image=upload(image.pixels) if isinstance(image, Picture) else image,
        scale=row.scale,
        start=row.start,
        end=row.end,
        image_encoder=row.image_encoder.strip(),
    )

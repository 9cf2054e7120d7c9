"""What prompts ask for besides words: LoRAs and textual inversions, found and checked before anything is loaded."""

from dataclasses import dataclass
from pathlib import Path

from ...protocol.errors import InvalidRequest
from ...protocol.request import GenerateRequest
from .models import adapters, embeddings
from .models.adapters import LoraChoice, modules_config
from .models.embeddings import EmbeddingChoice
from .models.inspection import CheckpointInfo
from .sampling.prompt_syntax import LoraTag, parse


@dataclass(frozen=True, kw_only=True)
class PromptExtras:
    """LoRAs and textual inversions that fit the checkpoint."""

    loras: tuple[LoraChoice, ...] = ()
    embeddings: tuple[EmbeddingChoice, ...] = ()
    notes: tuple[str, ...] = ()  # what the user should hear of


def prompt_extras(request: GenerateRequest, checkpoint: CheckpointInfo, *, models: Path) -> PromptExtras:
    """Read the prompts and find what they and the request's lists name.

    Raises InvalidRequest for tags that can't be read, for pictures that don't agree on their LoRAs and for a clip
    skip that leaves no layer, and whatever `adapters.choose` and `embeddings.choose` raise.
    """
    _check_clip_skip(request, checkpoint)
    tags, notes = ((), ()) if request.plain_prompt else _tags(request)
    listed = tuple((entry.lora, entry.weight, entry.text_weight) for entry in request.loras)
    named = tuple((tag.name, tag.weight, tag.text_weight) for tag in tags)
    loras = adapters.choose((*listed, *named), checkpoint, models=models)
    texts = [text for picture in request.pictures for text in (picture.prompt, picture.negative_prompt)]
    found, more = embeddings.choose(request.embeddings, texts, checkpoint, models=models, plain=request.plain_prompt)
    return PromptExtras(
        loras=loras, embeddings=found, notes=(*notes, *more, *(lora.note for lora in loras if lora.note))
    )


def listed_loras(request: GenerateRequest, checkpoint: CheckpointInfo, *, models: Path) -> PromptExtras:
    """The LoRAs of the request's list, for a family whose prompts are words alone. Raises as `adapters.choose`."""
    listed = tuple((entry.lora, entry.weight, entry.text_weight) for entry in request.loras)
    loras = adapters.choose(listed, checkpoint, models=models)
    return PromptExtras(loras=loras, notes=tuple(lora.note for lora in loras if lora.note))


def _tags(request: GenerateRequest) -> tuple[tuple[LoraTag, ...], tuple[str, ...]]:
    """The LoRAs of the prompts, which share one model, and notes on what is written there and isn't done."""
    notes: dict[str, None] = {}
    tags: tuple[LoraTag, ...] | None = None
    for picture in request.pictures:
        prompt, negative = parse(picture.prompt), parse(picture.negative_prompt)
        notes |= dict.fromkeys((*prompt.notes, *negative.notes))
        if negative.loras:
            notes["LoRAs in a negative prompt do nothing; they were left out."] = None
        if tags is not None and tags != prompt.loras:
            raise InvalidRequest(
                reason="the prompts of one job name different LoRAs, and its pictures share one model. Name the same "
                "in each, or make a job of each"
            )
        tags = prompt.loras
    return tags or (), tuple(notes)


def _check_clip_skip(request: GenerateRequest, checkpoint: CheckpointInfo) -> None:
    """Raise InvalidRequest where nothing would be left of a text encoder."""
    for name, _, _ in checkpoint.family.text_encoders if request.clip_skip else ():
        layers = int(modules_config(checkpoint, name).num_hidden_layers)
        most = layers - (2 if checkpoint.family.pooled_text else 1)
        if request.clip_skip > most:
            raise InvalidRequest(
                reason=f"clip_skip is {request.clip_skip}, and of the {layers} layers of the checkpoint's {name} "
                f"{max(most, 0)} can be left out"
            )

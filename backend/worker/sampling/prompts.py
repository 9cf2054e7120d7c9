"""Prompts to embeddings, once each."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

_KEPT = 32  # about 0.5 MB each for SDXL


@dataclass(frozen=True, kw_only=True, eq=False)
class Embeddings:
    """What the text encoders make of a prompt, as the pipelines' keyword arguments."""

    arguments: dict[str, Any]


class PromptCache:
    """The embeddings of the last prompts, by everything that makes them what they are."""

    def __init__(self) -> None:
        self.encoded = 0
        """How often the text encoders really ran."""
        self._kept: OrderedDict[tuple[object, ...], Embeddings] = OrderedDict()

    def embeddings(
        self, pipeline: Any, checkpoint_key: tuple[object, ...], *, prompt: str, negative_prompt: str, guided: bool
    ) -> Embeddings:
        """The embeddings of a prompt and, for classifier-free guidance, of what to avoid."""
        key = (checkpoint_key, prompt, negative_prompt if guided else None)
        if key not in self._kept:
            self._kept[key] = _encode(pipeline, prompt, negative_prompt, guided)
            self.encoded += 1
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


def _encode(pipeline: Any, prompt: str, negative_prompt: str, guided: bool) -> Embeddings:
    encoded = pipeline.encode_prompt(
        prompt=prompt,
        device=pipeline._execution_device,  # where model offload will want them
        num_images_per_prompt=1,
        do_classifier_free_guidance=guided,
        negative_prompt=negative_prompt if guided else None,
    )
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    arguments = dict(zip(names, encoded, strict=False))  # two of them without pooled text
    return Embeddings(arguments={name: value for name, value in arguments.items() if value is not None})

"""Prompts to what a family's pipeline wants of them, and the last ones kept."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ....protocol.models import FamilyId
from ....protocol.request import Variant
from ..memory.placement import Placement
from ..memory.plan import Group

_KEPT = 16  # pictures' texts; one of Flux.1 takes 4 MB in bfloat16
_NOTHING = " "  # what Qwen-Image's card gives for no negative prompt, and its pipeline wants one to guide at all


@dataclass(frozen=True, kw_only=True, eq=False)
class TextTask:
    """A picture's prompts, and who encodes them."""

    family: FamilyId
    pipeline: Any
    placement: Placement  # brings the encoders where a text isn't known
    guided: bool  # classifier-free: the negative prompt counts
    told_guidance: bool  # the transformer was distilled to be told the guidance scale (Flux.1 dev)


class TextCache:
    """The texts that were encoded last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[object, ...], dict[str, Any]] = OrderedDict()

    def encoded(self, task: TextTask, picture: Variant, key: tuple[object, ...]) -> dict[str, Any]:
        """The arguments of the pipeline's call that stand for the prompts. `key` names encoders and precision."""
        whole = (key, task.family, task.guided, picture.prompt, picture.negative_prompt if task.guided else "")
        found = self._kept.pop(whole, None)
        if found is None:
            with task.placement.using(Group.TEXT):
                found = _ENCODERS[task.family](task, picture)
        self._kept[whole] = found
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def clear(self) -> None:
        """Let go of them."""
        self._kept.clear()


def _sd3(task: TextTask, picture: Variant) -> dict[str, Any]:
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    found = task.pipeline.encode_prompt(
        picture.prompt,
        None,
        None,
        device=task.placement.device,
        negative_prompt=picture.negative_prompt,
        do_classifier_free_guidance=task.guided,
    )
    return dict(zip(names, found, strict=True))


def _flux(task: TextTask, picture: Variant) -> dict[str, Any]:
    # Flux.1 schnell was trained with half as long a prompt as dev, and its card says so
    tokens = 512 if task.told_guidance else 256
    text, pooled, _ = task.pipeline.encode_prompt(
        picture.prompt, None, device=task.placement.device, max_sequence_length=tokens
    )
    return {"prompt_embeds": text, "pooled_prompt_embeds": pooled}


def _qwen_image(task: TextTask, picture: Variant) -> dict[str, Any]:
    found: dict[str, Any] = {}
    prompts = [("", picture.prompt)]
    if task.guided:
        prompts.append(("negative_", picture.negative_prompt or _NOTHING))
    for prefix, prompt in prompts:
        text, mask = task.pipeline.encode_prompt(prompt, device=task.placement.device, max_sequence_length=512)
        if mask is None:  # none of it is padding; said, because the pipeline warns of what isn't
            mask = text.new_ones(text.shape[:2]).long()
        found |= {f"{prefix}prompt_embeds": text, f"{prefix}prompt_embeds_mask": mask}
    return found


def _z_image(task: TextTask, picture: Variant) -> dict[str, Any]:
    text, negative = task.pipeline.encode_prompt(
        picture.prompt,
        device=task.placement.device,
        do_classifier_free_guidance=task.guided,
        negative_prompt=picture.negative_prompt,
    )
    return {"prompt_embeds": text, "negative_prompt_embeds": negative}


_ENCODERS: dict[FamilyId, Callable[[TextTask, Variant], dict[str, Any]]] = {
    FamilyId.SD3: _sd3,
    FamilyId.FLUX: _flux,
    FamilyId.QWEN_IMAGE: _qwen_image,
    FamilyId.Z_IMAGE: _z_image,
}

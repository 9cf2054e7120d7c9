"""What a model that was chosen asks of the other settings: few-step models above all. Knows no Qt."""

import dataclasses

from ..protocol.checks import nearest_size
from ..protocol.geometry import Extent
from ..protocol.models import Advice, ModelEntry
from ..protocol.request import Scheduler, Sigmas
from . import words
from .form import Form


def advised(form: Form, entry: ModelEntry) -> tuple[Form, str] | None:
    """The form as the model wants it, and a sentence on what was set; None where nothing has to change.

    A size is taken only where the form's picture is less than half as large as the model was trained on, or twice it.
    """
    advice = entry.advice
    if advice is None:
        return None
    changed, told = form, list[str]()
    if advice.scheduler in {member.value for member in Scheduler}:
        scheduler = Scheduler(advice.scheduler)
        if scheduler is not form.scheduler:
            changed = dataclasses.replace(changed, scheduler=scheduler)
            told.append(words.SCHEDULERS[scheduler])
    if advice.sigmas in {member.value for member in Sigmas}:
        sigmas = Sigmas(advice.sigmas)
        if sigmas is not form.sigmas:
            changed = dataclasses.replace(changed, sigmas=sigmas)
            told.append(f"{words.SIGMAS[sigmas]} noise levels")
    if advice.steps is not None and advice.steps != form.steps:
        changed = dataclasses.replace(changed, steps=advice.steps)
        told.append(f"{advice.steps} {'step' if advice.steps == 1 else 'steps'}")
    if advice.guidance_scale is not None and advice.guidance_scale != form.guidance_scale:
        changed = dataclasses.replace(changed, guidance_scale=advice.guidance_scale)
        told.append(f"a guidance scale of {advice.guidance_scale:g}")
    if advice.clip_skip is not None and advice.clip_skip != form.extras.clip_skip:
        changed = dataclasses.replace(changed, extras=dataclasses.replace(changed.extras, clip_skip=advice.clip_skip))
        told.append(f"a clip skip of {advice.clip_skip}")
    size = _size(form.size, advice)
    if size is not None:
        changed = dataclasses.replace(changed, size=size)
        told.append(f"{size.width} × {size.height}")
    if not told:
        return None
    listed = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    verb = "is" if len(told) == 1 else "are"
    return changed, f"As {entry.title or entry.reference} was trained for it, {listed} {verb} set now."


def _size(size: Extent, advice: Advice) -> Extent | None:
    if advice.width is None or advice.height is None:
        return None
    wanted, held = advice.width * advice.height, size.width * size.height
    if wanted / 2 < held < wanted * 2 or size == Extent(width=advice.width, height=advice.height):
        return None
    return nearest_size(Extent(width=advice.width, height=advice.height))

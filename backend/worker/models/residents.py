"""The models in memory: kept between jobs, replaced when their files change or others are asked for."""

import gc
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from .. import memory
from ..memory import Plan
from ..third_party import diffusers
from .choice import NetChoice
from .inspection import CheckpointInfo, ControlNetInfo
from .loading import Components, load_checkpoint, load_controlnet
from .together import NetUse, together

_CONTROLNETS = 4  # kept at most, beyond those of the running job

_Key = tuple[object, ...]


class Residents:
    """One checkpoint and some ControlNets. Swapping a ControlNet leaves the checkpoint where it is."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        """Where everything here runs."""
        self._checkpoint: Components | None = None
        self._controlnets: OrderedDict[_Key, Any] = OrderedDict()
        self._pipeline: tuple[tuple[_Key, ...], Any] | None = None

    def pipeline(
        self, checkpoint: CheckpointInfo, controlnets: Sequence[NetChoice], announce: Callable[[str], None]
    ) -> Any:
        """The diffusers pipeline for this checkpoint with these ControlNets in this order, placed by the plan.

        `announce` hears what is about to be loaded and may raise. On an error, what was loaded before stays.
        """
        key = (checkpoint.key, *(choice.key for choice in controlnets))
        if self._pipeline is not None and self._pipeline[0] == key:
            return self._pipeline[1]
        components = self._load_checkpoint(checkpoint, announce)
        nets = [NetUse(net=self._load_controlnet(choice.info, announce), mode=choice.mode) for choice in controlnets]
        self._drop_spare({choice.info.key for choice in controlnets})
        self._pipeline = None
        pipeline = _assemble(components, nets)
        memory.place(pipeline, self.plan)
        self._pipeline = (key, pipeline)
        return pipeline

    def clear(self) -> None:
        """Let go of everything; what running out of memory calls for."""
        self._checkpoint, self._pipeline = None, None
        self._controlnets.clear()
        gc.collect()
        memory.release()

    def _load_checkpoint(self, info: CheckpointInfo, announce: Callable[[str], None]) -> Components:
        if self._checkpoint is not None and self._checkpoint.info.key == info.key:
            return self._checkpoint
        self.clear()  # the old one goes first: two seldom fit
        self._checkpoint = load_checkpoint(info, self.plan.dtype, announce)
        return self._checkpoint

    def _load_controlnet(self, info: ControlNetInfo, announce: Callable[[str], None]) -> Any:
        if info.key not in self._controlnets:
            announce(f"Loading ControlNet {info.name or info.folder.name}")
            self._controlnets[info.key] = load_controlnet(info, self.plan.dtype)
        self._controlnets.move_to_end(info.key)
        return self._controlnets[info.key]

    def _drop_spare(self, needed: set[_Key]) -> None:
        spare = [key for key in self._controlnets if key not in needed]
        for key in spare[: max(0, len(self._controlnets) - max(_CONTROLNETS, len(needed)))]:
            del self._controlnets[key]


def _assemble(components: Components, controlnets: Sequence[NetUse]) -> Any:
    """A pipeline over modules that are shared, not copied.

    From its constructor, because `from_pipe` casts the shared modules to float32 when no dtype is given.
    """
    library, family = diffusers(), components.info.family
    arguments = dict(components.parts)
    if family.pooled_text:
        arguments["add_watermarker"] = False
    else:
        arguments |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if controlnets:
        arguments["controlnet"] = together(controlnets)
    pipeline = getattr(library, family.control_pipeline if controlnets else family.pipeline)(**arguments)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline

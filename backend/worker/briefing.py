"""What a brief holds beyond one pass and its controls, out of what was inspected and loaded."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from ...protocol.arrays import AnyArray, ArrayRef
from .conditioning import ControlMap
from .inspecting import Inspected
from .sampling import Brief
from .sampling.guidance import ControlInput
from .sampling.image_prompts import ImagePromptInput
from .sampling.second_pass import SecondPassInput, TileNet


def with_further(
    brief: Brief, inspected: Inspected, maps: Sequence[ControlMap], read: Callable[[ArrayRef], AnyArray]
) -> Brief:
    """The brief with image prompts, second pass and safety checker. `maps` are of the picture's size."""
    further, loaded = inspected.further, brief.models.more
    used = further.used_images
    adapters, encoders = loaded[: len(used)], loaded[len(used) : 2 * len(used)]
    images = [
        ImagePromptInput(
            choice=further.image_prompts[place],
            adapter=adapter,
            encoder=encoder,
            image=np.asarray(read(brief.request.image_prompts[place].image), np.uint8),
            weights=further.image_weights[place],
        )
        for place, adapter, encoder in zip(used, adapters, encoders, strict=True)
    ]
    return dataclasses.replace(
        brief,
        image_prompts=images,
        second=_second(brief, inspected, maps),
        safety=None if further.safety is None else loaded[-1],
    )


def _second(brief: Brief, inspected: Inspected, maps: Sequence[ControlMap]) -> SecondPassInput | None:
    second, asked = inspected.further.second, brief.request.second_pass
    if second is None or asked is None:
        return None
    controls = [
        ControlInput(
            use=use,
            image=maps[place],
            weights=second.weights[place],
            guess_mode=brief.request.controls[place].guess_mode,
        )
        for place, use in zip(inspected.used, brief.models.nets[: len(inspected.used)], strict=True)
    ]
    return SecondPassInput(
        first_size=second.first_size,
        solver=second.solver,
        strength=asked.strength,
        controls=controls,
        image_weights=[second.image_weights[place] for place in inspected.further.used_images],
        tiling=second.tiling,
        tile_net=None if second.tile_net is None else TileNet(use=brief.models.nets[-1], scale=asked.tile_scale),
    )

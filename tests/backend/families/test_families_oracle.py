"""Our pictures are those of diffusers' own pipelines, to the byte, in everything that a family's pipelines do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from family_stock import pil, stock_picture
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.protocol.arrays import ArrayRef
from underpaint.protocol.request import Control, ControlKind, CurvePoint, GenerateRequest, Start
from underpaint.protocol.sources import InpaintPass, ReadyMap
from worker_runner import Job

Asked = Callable[..., GenerateRequest]

# what each family's guidance scale is to its pipelines, and what else they are told to do the same
PROMPTS: dict[str, dict[str, Any]] = {
    "sd3": {"guidance_scale": 3.5, "negative_prompt": "blurry"},
    "flux": {"guidance_scale": 3.5},
    "schnell": {"guidance_scale": 3.5, "max_sequence_length": 256},
    "qwen_image": {"true_cfg_scale": 3.5, "negative_prompt": "blurry"},
    "z_image": {"guidance_scale": 3.5, "negative_prompt": "blurry"},
}
DEPTH, CANNY, POSE, INPAINT = ControlKind.DEPTH, ControlKind.CANNY, ControlKind.OPENPOSE, ControlKind.INPAINT


@dataclass(frozen=True, kw_only=True)
class Case:
    """A picture: what is asked of us, and what of the pipeline."""

    family: str
    way: str = ""
    nets: tuple[tuple[str, ControlKind], ...] = ()
    several: str = ""
    start: str = ""  # "image" or "mask"
    strength: float = 0.7
    control: dict[str, Any] = field(default_factory=dict[str, Any])  # fields of every control
    changes: dict[str, Any] = field(default_factory=dict[str, Any])  # of the request
    call: dict[str, Any] = field(default_factory=dict[str, Any])  # of the pipeline's call
    stock_nets: tuple[str, ...] | None = None  # None is those of `nets`

    @property
    def id(self) -> str:
        return "-".join(
            [self.family, self.way or "Text", *(name for name, _ in self.nets), *self.control, *self.changes]
        )


WINDOW: dict[str, Any] = {"conditioning_scale": 0.6, "start": 0.3, "end": 0.9}
STOCK_WINDOW: dict[str, Any] = {
    "controlnet_conditioning_scale": 0.6, "control_guidance_start": 0.3, "control_guidance_end": 0.9,
}  # fmt: skip
CASES = [
    *(Case(family=family) for family in PROMPTS),
    *(Case(family=family, way="Img2Img", start="image") for family in PROMPTS),
    *(Case(family=family, way="Inpaint", start="mask") for family in PROMPTS),
    Case(family="sd3", way="ControlNet", nets=(("sd3-depth", DEPTH),)),
    Case(family="sd3", way="ControlNet", nets=(("sd3-depth", DEPTH),), control=WINDOW, call=STOCK_WINDOW),
    Case(
        family="sd3", way="ControlNet", nets=(("sd3-depth", DEPTH), ("sd3-canny", CANNY)),
        several="SD3MultiControlNetModel", call={"controlnet_conditioning_scale": [1.0, 1.0]},
    ),
    Case(family="sd3", way="ControlNet", nets=(("sd3-large", DEPTH),)),
    Case(family="sd3", way="ControlNetInpainting", nets=(("sd3-inpaint", INPAINT),), start="mask", strength=1.0),
    Case(family="flux", way="ControlNet", nets=(("flux-depth", DEPTH),)),
    Case(family="flux", way="ControlNet", nets=(("flux-depth", DEPTH),), control=WINDOW, call=STOCK_WINDOW),
    Case(family="flux", way="ControlNet", nets=(("flux-union", DEPTH),), call={"control_mode": 2}),
    Case(family="flux", way="ControlNet", nets=(("flux-union", POSE),), call={"control_mode": 4}),
    Case(
        family="flux", way="ControlNet", nets=(("flux-union", CANNY), ("flux-union", DEPTH)),
        stock_nets=("flux-union",), several="FluxMultiControlNetModel",
        # without a window for each picture this pipeline counts nets, finds one, and drops the second picture unsaid
        call={
            "control_mode": [0, 2], "controlnet_conditioning_scale": [1.0, 1.0],
            "control_guidance_start": [0.0, 0.0], "control_guidance_end": [1.0, 1.0],
        },
    ),
    Case(
        family="flux", way="ControlNet", nets=(("flux-union", POSE), ("flux-depth", DEPTH)),
        several="FluxMultiControlNetModel",
        call={"control_mode": [4, None], "controlnet_conditioning_scale": [1.0, 1.0]},
    ),
    Case(family="flux", way="ControlNetImg2Img", nets=(("flux-depth", DEPTH),), start="image"),
    Case(
        family="flux", way="ControlNetImg2Img", nets=(("flux-union", DEPTH),), start="image",
        call={"control_mode": 2},
    ),
    Case(family="flux", way="ControlNetInpaint", nets=(("flux-depth", DEPTH),), start="mask"),
    Case(
        family="flux", way="ControlNetInpaint", nets=(("flux-union", CANNY), ("flux-depth", DEPTH)), start="mask",
        several="FluxMultiControlNetModel",
        call={"control_mode": [0, None], "controlnet_conditioning_scale": [1.0, 1.0]},
    ),
    Case(family="qwen_image", way="ControlNet", nets=(("qwen-union", DEPTH),)),
    Case(family="qwen_image", way="ControlNet", nets=(("qwen-union", DEPTH),), control=WINDOW, call=STOCK_WINDOW),
    Case(
        family="qwen_image", way="ControlNet", nets=(("qwen-union", DEPTH), ("qwen-union", CANNY)),
        stock_nets=("qwen-union",), several="QwenImageMultiControlNetModel",
        call={"controlnet_conditioning_scale": [1.0, 1.0]},
    ),
    Case(family="qwen_image", way="ControlNetInpaint", nets=(("qwen-inpaint", INPAINT),), start="mask", strength=1.0),
    Case(
        family="z_image", way="ControlNet", nets=(("z-union", DEPTH),), control={"conditioning_scale": 0.75},
        call={"controlnet_conditioning_scale": 0.75},
    ),
    Case(
        family="z_image", way="ControlNet", nets=(("z-union-2", CANNY),), call={"controlnet_conditioning_scale": 1.0},
    ),
    Case(
        family="z_image", way="ControlNetInpaint", nets=(("z-union-2", DEPTH),), start="mask", strength=1.0,
        call={"controlnet_conditioning_scale": 1.0},
    ),
    Case(family="sd3", changes={"guidance_scale": 1.0}, call={"guidance_scale": 1.0}),
    Case(family="qwen_image", changes={"guidance_scale": 1.0}, call={"true_cfg_scale": 1.0}),
    Case(family="qwen_image", changes={"negative_prompt": ""}, call={"negative_prompt": " "}),
    Case(family="z_image", changes={"guidance_scale": 0.0}, call={"guidance_scale": 0.0}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_picture_is_stock_s(
    case: Case, runner: JobRunner, models: Path, blobs: BlobStore, asked: Asked, picture: ArrayRef, mask: ArrayRef
) -> None:
    pixels, hole = blobs.read_array(picture), blobs.read_array(mask)
    shown = [np.ascontiguousarray(np.roll(pixels, 8 * index, axis=1)) for index in range(len(case.nets))]
    controls = tuple(
        Control(
            kind=kind,
            source=InpaintPass(image=picture, mask=mask)
            if kind is INPAINT
            else ReadyMap(image=blobs.write_array(image)),
            controlnet=name,
            **case.control,
        )
        for (name, kind), image in zip(case.nets, shown, strict=True)
    )
    start = (
        Start(image=picture, strength=case.strength, mask=mask if case.start == "mask" else None)
        if case.start
        else None
    )
    job = Job(runner, asked(checkpoint=case.family, controls=controls, start=start, **case.changes))
    ours = blobs.read_array(job.run().images[0])
    again = blobs.read_array(
        Job(runner, asked(checkpoint=case.family, controls=controls, start=start, **case.changes)).run().images[0]
    )

    call: dict[str, Any] = {
        "prompt": "a cosy room", "width": 64, "height": 48, "num_inference_steps": 3, **PROMPTS[case.family],
    }  # fmt: skip
    inpaint_net = any(kind is INPAINT for _, kind in case.nets)
    if case.nets:
        images = [pil(image) for image in shown]
        call["control_image"] = pil(pixels) if inpaint_net else images if len(images) > 1 else images[0]
    if case.start == "image":
        call |= {"image": pil(pixels), "strength": case.strength}
    elif inpaint_net:
        call["control_mask"] = pil(hole)
    elif case.start == "mask":
        call |= {"image": pil(pixels), "mask_image": pil(hole)}
        if case.family != "z_image" or not case.nets:
            call["strength"] = case.strength
    names = tuple(name for name, _ in case.nets) if case.stock_nets is None else case.stock_nets
    theirs = stock_picture(models, case.family, case.way, nets=names, several=case.several, **{**call, **case.call})
    if case.start == "mask":  # where nothing was to be painted anew, ours is the start picture to the bit
        assert (ours[:, :32] == pixels[:, :32]).all()
        ours, again, theirs = ours[:, 32:], again[:, 32:], theirs[:, 32:]
    assert ours.std() > 5
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(again, ours)
    assert job.steps == list(range(1, len(job.steps) + 1))


def test_what_a_case_adds_changes_the_picture(
    runner: JobRunner, blobs: BlobStore, asked: Asked, picture: ArrayRef
) -> None:
    """Or the comparison above would compare nothing."""
    for family, net in (
        ("sd3", "sd3-depth"),
        ("flux", "flux-union"),
        ("qwen_image", "qwen-union"),
        ("z_image", "z-union"),
    ):
        control = Control(kind=DEPTH, source=ReadyMap(image=picture), controlnet=net)
        weaker = Control(kind=DEPTH, source=ReadyMap(image=picture), controlnet=net, conditioning_scale=0.5)
        curved = Control(
            kind=DEPTH, source=ReadyMap(image=picture), controlnet=net, curve=(CurvePoint(at=0.0, factor=0.5),)
        )
        pictures = [
            blobs.read_array(Job(runner, asked(checkpoint=family, controls=controls)).run().images[0])
            for controls in ((), (control,), (weaker,), (curved,))
        ]
        assert (pictures[0] != pictures[1]).mean() > 0.1, family
        assert (pictures[1] != pictures[2]).mean() > 0.01, family
        np.testing.assert_array_equal(pictures[2], pictures[3])  # a level curve is a scale
        negative = blobs.read_array(Job(runner, asked(checkpoint=family, negative_prompt="red chair")).run().images[0])
        assert (negative != pictures[0]).any() == (family != "flux")

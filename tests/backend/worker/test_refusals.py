"""What can't be painted is refused with an error of its own, before anything is loaded or computed."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.protocol import wire
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.errors import (
    BlobMissing,
    DoesNotFit,
    InvalidRequest,
    InvalidSize,
    ModelMismatch,
    UnderpaintError,
)
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import (
    Control,
    ControlKind,
    ControlMapsRequest,
    CurvePoint,
    GenerateRequest,
    PlanRequest,
    Request,
    Start,
    Variant,
)
from underpaint.protocol.sources import ReadyMap
from worker_runner import Job, make_runner

Asked = Callable[..., GenerateRequest]

IMAGE = ArrayRef(sha256="c" * 64, shape=(64, 64, 3), dtype=DType.UINT8)  # never stored
MASK = ArrayRef(sha256="d" * 64, shape=(64, 64), dtype=DType.UINT8)
UNSEEN = Control(kind=ControlKind.TILE, source=ReadyMap(image=IMAGE))
START = Start(image=IMAGE)

REFUSED: list[tuple[dict[str, Any], type[UnderpaintError], str]] = [
    ({"steps": 0}, InvalidRequest, "steps is 0"),
    ({"steps": -1}, InvalidRequest, "steps is -1"),
    ({"steps": math.nan}, InvalidRequest, "steps is nan"),
    ({"size": Extent(width=100, height=64)}, InvalidSize, "104 x 64"),
    ({"size": Extent(width=64, height=-8)}, InvalidSize, "64 x 8"),
    ({"size": Extent(width=128, height=64)}, InvalidRequest, "DepthPass is 64 x 64 and the picture 128 x 64"),
    ({"guidance_scale": math.nan}, InvalidRequest, "guidance_scale is nan"),
    ({"guidance_scale": math.inf}, InvalidRequest, "guidance_scale is inf"),
    ({"seed": math.nan}, InvalidRequest, "seed"),
    ({"variants": (Variant(prompt="x", seed=-1),)}, InvalidRequest, "seed"),
    ({"batch_size": 0}, InvalidRequest, "batch_size is 0"),
    ({"batch_size": math.nan}, InvalidRequest, "batch_size is nan"),
    ({"memory_budget_gb": math.nan}, InvalidRequest, "memory_budget_gb is nan"),
    ({"memory_budget_gb": 0.001}, DoesNotFit, "at 64 x 64 takes"),
    ({"batch_size": 4, "variants": (Variant(prompt="x", seed=1),) * 3, "size": Extent(width=4096, height=4096),
      "controls": (), "memory_budget_gb": 3.0}, DoesNotFit, "batch size 1"),
    ({"controls": (UNSEEN,)}, BlobMissing, "no longer has the image cccc"),  # a control without its image
    ({"start": START, "controls": ()}, BlobMissing, "cccc"),
    ({"start": dataclasses.replace(START, mask=dataclasses.replace(MASK, shape=(8, 8)))}, InvalidRequest,
     "image and mask differ in size"),
    ({"start": dataclasses.replace(START, strength=math.nan)}, InvalidRequest, "strength is nan"),
    ({"start": dataclasses.replace(START, strength=0.3), "steps": 3}, InvalidRequest,
     "a strength of 0.3 leaves none of 3 steps to do. Raise it to 0.34"),
]  # fmt: skip

OF_A_CONTROL: list[tuple[dict[str, Any], type[UnderpaintError], str]] = [
    ({"controlnet": "sdxl-depth"}, ModelMismatch, r"made for Stable Diffusion XL.*is Stable Diffusion 1\.5"),
    ({"conditioning_scale": math.nan}, InvalidRequest, "conditioning_scale is nan"),
    ({"conditioning_scale": -1.0}, InvalidRequest, "conditioning_scale is -1"),
    ({"start": -0.1}, InvalidRequest, "works from -0.1 to 1"),
    ({"end": 1.5}, InvalidRequest, r"works from 0.0 to 1\.5"),
    ({"start": 0.8, "end": 0.2}, InvalidRequest, r"works from 0\.8 to 0\.2"),
    ({"start": math.nan}, InvalidRequest, "works from nan"),
    ({"end": math.nan}, InvalidRequest, "to nan"),
    ({"curve": (CurvePoint(at=math.nan, factor=1.0),)}, InvalidRequest, "place of a curve's point is nan"),
    ({"curve": (CurvePoint(at=0.5, factor=math.nan),)}, InvalidRequest, "factor of a curve's point is nan"),
]


def refused(runner: JobRunner, request: Request, error: type[UnderpaintError], words: str) -> None:
    """It is refused so, and nothing has been done by then."""
    job = Job(runner, request)
    with pytest.raises(error, match=words):
        job.run()
    assert job.progress == []
    assert runner.residents.held_bytes == 0
    assert (runner.caches.prompts.encoded, runner.caches.hints.encoded) == (0, 0)


@pytest.fixture
def fresh(blobs: BlobStore, models: Path) -> JobRunner:
    return make_runner(blobs, models)


@pytest.mark.parametrize(("changes", "error", "words"), REFUSED)
def test_a_picture_that_can_not_be_painted(
    fresh: JobRunner, asked: Asked, changes: dict[str, Any], error: type[UnderpaintError], words: str
) -> None:
    refused(fresh, asked(**changes), error, words)
    if error is not BlobMissing:  # a plan is made from the models, without looking at any image
        refused(fresh, PlanRequest(picture=asked(**changes)), error, words)


@pytest.mark.parametrize(("changes", "error", "words"), OF_A_CONTROL)
def test_a_control_that_can_not_be_followed(
    fresh: JobRunner,
    asked: Asked,
    controls: tuple[Control, ...],
    changes: dict[str, Any],
    error: type[UnderpaintError],
    words: str,
) -> None:
    wrong = dataclasses.replace(controls[0], **changes)
    refused(fresh, asked(controls=(wrong, *controls[1:])), error, words)
    refused(fresh, asked(controls=(*controls[1:], wrong)), error, words)  # wherever it stands


def test_control_images_of_no_control(fresh: JobRunner) -> None:
    refused(fresh, ControlMapsRequest(size=Extent(width=64, height=64), controls=()), InvalidRequest, "no controls")


def test_a_union_net_of_another_family(fresh: JobRunner, asked: Asked, controls: tuple[Control, ...]) -> None:
    wrong = dataclasses.replace(controls[0], controlnet="sdxl-union")
    refused(fresh, asked(controls=(wrong,)), UnderpaintError, "Stable Diffusion")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_do_not_cross_the_wire(asked: Asked, number: str) -> None:
    """JSON has no word for them; Python's reader would take them all the same."""
    text = wire.dumps(asked(guidance_scale=4.25), Request)
    with pytest.raises(InvalidRequest):
        wire.loads(Request, text.replace("4.25", number))
    weight = wire.dumps(
        asked(controls=(Control(kind=ControlKind.TILE, source=UNSEEN.source, conditioning_scale=0.77),))
    )
    with pytest.raises(InvalidRequest):
        wire.loads(GenerateRequest, weight.replace("0.77", number))


def test_the_least_strength_that_is_named_works(runner: JobRunner, asked: Asked, blobs: BlobStore) -> None:
    image = blobs.write_array(np.full((64, 64, 3), 90, np.uint8))
    for steps in (1, 3, 7, 49, 100):
        job = Job(runner, asked(controls=(), steps=steps, start=Start(image=image, strength=0.001)))
        with pytest.raises(InvalidRequest, match="Raise it to") as caught:
            job.run()
        least = float(str(caught.value).partition("Raise it to ")[2].split()[0])
        job = Job(runner, asked(controls=(), steps=steps, start=Start(image=image, strength=least)))
        job.run()
        assert job.steps[0] == 1

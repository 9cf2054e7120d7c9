"""JSON and back: the same value, and nothing guessed."""

import json
from dataclasses import dataclass

import pytest
from underpaint.protocol import wire
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.events import Alive, Event, JobChanged, Progress
from underpaint.protocol.geometry import Camera, Extent, Projection
from underpaint.protocol.jobs import Job, JobResult, JobState, JobSubmission, Phase, Timing
from underpaint.protocol.options import DepthOptions
from underpaint.protocol.request import (
    Control,
    ControlKind,
    CurvePoint,
    GenerateRequest,
    PlanRequest,
    Precision,
    Request,
    Scheduler,
    Sigmas,
    Start,
    Variant,
)
from underpaint.protocol.sources import DepthPass, Keypoint, Person, PosePass

REQUEST = GenerateRequest(
    prompt="a \U0001f58c \u2028 line",
    size=Extent(width=512, height=512),
    seed=2**62 + 1,
    guidance_scale=0.1 + 0.2,
    camera=Camera(
        projection=Projection.ORTHOGRAPHIC,
        fx_px=1.0,
        fy_px=1.0,
        cx_px=0.0,
        cy_px=0.0,
        world_from_camera=tuple(float(number) for number in range(16)),
        clip_start_m=0.1,
        clip_end_m=100.0,
    ),
    controls=(
        Control(
            kind=ControlKind.DEPTH,
            source=DepthPass(
                metres=ArrayRef(sha256="ab" * 32, shape=(512, 512), dtype=DType.FLOAT32),
                projection=Projection.PERSPECTIVE,
            ),
            options=DepthOptions(near_m=0.5),
            curve=(CurvePoint(at=0.0, factor=0.25), CurvePoint(at=1.0, factor=0.1 + 0.2)),
            guess_mode=True,
        ),
        Control(
            kind=ControlKind.OPENPOSE,
            source=PosePass(people=(Person(body=(None, Keypoint(x_px=1.5, y_px=-2.0)), depth_m=3.0),)),
        ),
    ),
    scheduler=Scheduler.DPMPP_2M_SDE,
    sigmas=Sigmas.KARRAS,
    variants=(Variant(prompt="another", seed=2**62 + 3), Variant(prompt="", negative_prompt="grey", seed=0)),
    batch_size=2,
    start=Start(
        image=ArrayRef(sha256="cd" * 32, shape=(64, 64, 3), dtype=DType.UINT8),
        strength=0.1 + 0.2,
        mask=ArrayRef(sha256="ef" * 32, shape=(64, 64), dtype=DType.UINT8),
        mask_grow_px=-2,
        mask_blur_px=1.5,
    ),
    precision=Precision.BFLOAT16,
    memory_budget_gb=3.5,
)
RESULT = JobResult(
    images=(REQUEST.start.image, REQUEST.start.image),
    control_maps=(),
    timings=(Timing(phase=Phase.STEP, ms=1.5),),
    checkpoint="x",
    plan="on the CPU",
    notes=("Memory ran out once.",),
    versions={"torch": "2"},
)
JOB = Job(id="1" * 32, client="x", state=JobState.QUEUED, request=REQUEST, revision=1, created_at=1.25)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (REQUEST, Request),
        (PlanRequest(picture=REQUEST), Request),
        (RESULT, JobResult),
        (JobSubmission(request=REQUEST), JobSubmission),
        (JOB, Job),
        (JobChanged(revision=3, job=JOB), Event),
        (Progress(job_id="x", phase=Phase.STEP, picture=2, pictures=4), Event),
        (Alive(revision=0), Event),
    ],
)
def test_values_come_back_equal(value, kind):
    assert wire.loads(kind, wire.dumps(value, kind)) == value


def test_one_value_is_one_line():
    assert "\n" not in wire.dumps(JobChanged(revision=3, job=JOB), Event)


def changed(**fields):
    return json.dumps({**wire.to_json(REQUEST, Request), **fields})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", r"\$ is list"),
        (changed(type="Unknown"), "expected one of GenerateRequest, ControlMapsRequest, PlanRequest"),
        (changed(type="PlanRequest"), r"\$ has the unknown field"),
        (json.dumps({"type": "PlanRequest"}), r"\$ lacks the field 'picture'"),
        (json.dumps({"type": "PlanRequest", "picture": {"prompt": 1}}), r"\$.picture"),
        (changed(sigmas="cosine"), "expected one of default, karras, exponential, beta"),
        (changed(precision="float64"), "expected one of auto, float32, float16, bfloat16"),
        (changed(batch_size=1.5), r"\$.batch_size is float"),
        (changed(batch_size=None), r"\$.batch_size is NoneType"),
        (changed(memory_budget_gb="8"), r"\$.memory_budget_gb is str"),
        (changed(variants=[{"prompt": "x"}]), r"\$.variants\[0\] lacks the field 'seed'"),
        (changed(variants=[{"prompt": "x", "seed": 1.0}]), r"\$.variants\[0\].seed is float"),
        (changed(start={"strength": 0.5}), r"\$.start lacks the field 'image'"),
        (changed(start=[]), r"\$.start is list"),
        (changed(turbo=1), "unknown field 'turbo'"),
        (changed(prompt=None), r"\$.prompt is NoneType"),
        (changed(steps=2.0), r"\$.steps is float"),
        (changed(steps=True), r"\$.steps is True"),
        (changed(guidance_scale=True), r"\$.guidance_scale is bool"),
        (changed(guidance_scale=float("nan")), "NaN is not JSON"),
        (changed(guidance_scale=float("inf")), "Infinity is not JSON"),
        (changed().replace('"guidance_scale": 0.30000000000000004', '"guidance_scale": 1e999'), "finite"),
        (changed(guidance_scale=10**400), "finite"),
        (changed(scheduler="Turbo"), "expected one of UniPC"),
        (changed(size={"width": 8}), "lacks the field 'height'"),
        (changed(controls=[{}]), r"\$.controls\[0\] lacks"),
        (changed(controls={}), r"\$.controls is dict"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, said):
    with pytest.raises(InvalidRequest, match=said):
        wire.loads(Request, text)


def test_a_whole_number_may_stand_for_a_float():
    assert wire.loads(Request, changed(guidance_scale=7)).guidance_scale == 7.0


def test_what_an_older_request_did_not_say_is_the_default():
    text = json.dumps({"type": "GenerateRequest", "prompt": "x", "size": {"width": 8, "height": 8}})
    request = wire.loads(Request, text)
    assert request == GenerateRequest(prompt="x", size=Extent(width=8, height=8))
    assert (request.pictures, request.start) == ((Variant(prompt="x", seed=0),), None)


def test_a_jobs_pictures_begin_with_its_own():
    assert [(picture.prompt, picture.seed) for picture in REQUEST.pictures] == [
        (REQUEST.prompt, REQUEST.seed),
        ("another", 2**62 + 3),
        ("", 0),
    ]


def test_a_newer_peers_fields_are_passed_over_only_where_asked():
    text = json.dumps({**wire.to_json(JOB), "mood": "good"})
    assert wire.loads(Job, text, ignore_unknown=True) == JOB
    with pytest.raises(InvalidRequest, match="mood"):
        wire.loads(Job, text)


def test_what_json_cannot_say_is_refused_when_written():
    @dataclass(frozen=True, kw_only=True)
    class Number:
        value: float

    with pytest.raises(ValueError, match="JSON"):
        wire.dumps(Number(value=float("nan")))

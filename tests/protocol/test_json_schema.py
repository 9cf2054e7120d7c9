"""The JSON Schema says what `wire` writes and reads."""

import json

import jsonschema_rs
import pytest
from underpaint.protocol import json_schema, wire
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.events import Alive, Event, JobChanged, Progress
from underpaint.protocol.geometry import Extent, Projection
from underpaint.protocol.jobs import Job, JobState, JobSubmission, Phase
from underpaint.protocol.options import DepthOptions
from underpaint.protocol.request import Control, ControlKind, CurvePoint, GenerateRequest, PlanRequest, Start
from underpaint.protocol.sources import DepthPass, Keypoint, Person, PosePass

REF = ArrayRef(sha256="ab" * 32, shape=(8, 8), dtype=DType.FLOAT32)
REQUEST = GenerateRequest(
    prompt="é",
    size=Extent(width=8, height=8),
    controls=(
        Control(
            kind=ControlKind.DEPTH,
            source=DepthPass(metres=REF, projection=Projection.PERSPECTIVE),
            options=DepthOptions(near_m=1.0),
            curve=(CurvePoint(at=0, factor=1.5),),
        ),
        Control(
            kind=ControlKind.OPENPOSE,
            source=PosePass(people=(Person(body=(None, Keypoint(x_px=1.5, y_px=-2)), depth_m=3),)),
        ),
    ),
    start=Start(image=REF),
)
JOB = Job(id="0" * 32, client="", state=JobState.QUEUED, request=REQUEST, revision=1, created_at=1.0)


def validator(kind):
    definitions = json_schema.definitions(kind, at="#/$defs/")
    return jsonschema_rs.validator_for(json_schema.reference(kind, at="#/$defs/") | {"$defs": definitions})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (JobSubmission, JobSubmission(request=REQUEST)),
        (JobSubmission, JobSubmission(request=PlanRequest(picture=REQUEST), transient=True)),
        (Job, JOB),
        (Event, JobChanged(revision=1, job=JOB)),
        (Event, Progress(job_id="0" * 32, phase=Phase.STEP)),
        (Event, Alive(revision=3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_written_fits(kind, value):
    validator(kind).validate(json.loads(wire.dumps(value, kind)))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("colour",), "red"),  # unknown
        (("request", "steps"), 2.5),
        (("request", "type"), "PaintRequest"),
        (("request", "scheduler"), "Magic"),
        (("request", "controls", 0, "source", "metres"), None),
        (("request", "controls", 0, "options", "type"), None),
        (("request", "controls", 1, "source", "people"), {}),
        (("transient",), 1),
    ],
    ids=str,
)
def test_what_is_refused_does_not_fit(place, value):
    body = json.loads(wire.dumps(JobSubmission(request=REQUEST)))
    *path, last = place
    inner = body
    for step in path:
        inner = inner[step]
    inner[last] = value
    with pytest.raises(InvalidRequest):
        wire.from_json(JobSubmission, body)
    assert not validator(JobSubmission).is_valid(body)

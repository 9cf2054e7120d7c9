"""Frames between service and worker."""

import io

import pytest
from underpaint.backend import pipe
from underpaint.backend.pipe import Beat, Cancel, PipeBroken, Previewed, Run, Shutdown
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import GenerateRequest

REQUEST = GenerateRequest(prompt="é", size=Extent(width=8, height=8))
MESSAGES = [
    (Run(job_id="1", request=REQUEST), b""),
    (Cancel(job_id="1"), b""),
    (Previewed(job_id="1", step=2), b"\x00\xff" * 500),
    (Beat(), b""),
    (Shutdown(), b""),
]


def written():
    stream = io.BytesIO()
    for message, payload in MESSAGES:
        pipe.write_frame(stream, message, payload)
    return stream.getvalue()


def test_frames_come_out_as_they_went_in():
    stream = io.BytesIO(written())
    assert [pipe.read_frame(stream) for _ in MESSAGES] == MESSAGES
    assert pipe.read_frame(stream) is None


def test_an_end_inside_a_frame_is_noticed_wherever_it_is():
    whole = io.BytesIO()
    pipe.write_frame(whole, *MESSAGES[2])
    for length in range(1, len(whole.getvalue()), 97):
        with pytest.raises(PipeBroken):
            pipe.read_frame(io.BytesIO(whole.getvalue()[:length]))


@pytest.mark.parametrize(
    "data",
    [
        b"Loading weights: 100%|#####| 200/200\n",
        b"\xff" * 8,
        b"\0\0\0\x02\0\0\0\0{}",
        b'\0\0\0\x0f\0\0\0\0{"type":"Ready"}',
        b"\0\0\0\x02\0\0\0\0\xff\xfe",
    ],
)
def test_garbage_is_refused_without_allocating_what_it_promises(data):
    with pytest.raises(PipeBroken):
        pipe.read_frame(io.BytesIO(data))

"""The HTTP face: routes, bodies with limits, and errors as JSON."""

import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ...protocol import arrays, wire
from ...protocol.checks import check, references
from ...protocol.errors import (
    BackendUnreachable,
    BlobMissing,
    DiskFull,
    InvalidArray,
    InvalidRequest,
    JobConflict,
    JobNotQueued,
    JobUnknown,
    ModelMissing,
    QueueLocked,
    RequestError,
    UnderpaintError,
)
from ...protocol.events import Alive, Event
from ...protocol.jobs import JobPage, JobSubmission, Move, is_job_id
from ...protocol.version import CAPABILITIES, PROTOCOL_MAJOR, PROTOCOL_MINOR, Hello
from ..blobstore import BlobStore, Incoming
from ..library.index import Index
from .database import DamagedDatabase, Database
from .guard import Door, refusal
from .hub import Hub
from .lanes import Lane
from .models import model_routes
from .openapi import document
from .patience import WELCOME
from .supervisor import Supervisor

MAX_JSON_BYTES = 4 << 20
MAX_BLOB_BYTES = arrays.MAX_ARRAY_BYTES + arrays.HEADER_BYTES
MAX_PAGE = 500
ALIVE_S = 1.0
_REMOTE = "underpaint.remote"  # in a request's scope: whether it came from another computer
_PIECE_BYTES = 4 << 20  # of an answer; every slow reader costs as much memory

_STATUS: dict[type[UnderpaintError], int] = {
    RequestError: 422,
    JobUnknown: 404,
    BlobMissing: 404,
    ModelMissing: 404,
    JobConflict: 409,
    JobNotQueued: 409,
    DiskFull: 507,
    QueueLocked: 503,
}


@dataclass(kw_only=True)
class Activity:
    """Whether anybody still needs the service, and whether it can go on."""

    last_call: float = field(default_factory=time.monotonic)
    damage: DamagedDatabase | None = None  # the next service mends it


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the routes work on."""

    database: Database
    blobs: BlobStore
    hub: Hub
    supervisor: Supervisor
    index: Index
    activity: Activity
    stop: Callable[[], None]
    software_version: str
    pid: int


def build(parts: Parts, *, here: Door, remote: Door | None = None) -> ASGIApp:
    """The application, with its guard in front: one door for this computer, and perhaps one for others."""
    routes = _Routes(parts)
    app = Starlette(
        routes=[
            Route("/v1/hello", routes.hello, methods=["GET"]),
            Route("/v1/openapi.json", routes.openapi, methods=["GET"]),
            Route("/v1/blobs/{sha256}", routes.put_blob, methods=["PUT"]),
            Route("/v1/blobs/{sha256}", routes.get_blob, methods=["GET", "HEAD"]),
            Route("/v1/jobs", routes.jobs, methods=["GET"]),
            Route("/v1/queue", routes.queue, methods=["GET"]),
            Route("/v1/jobs/{job_id}", routes.put_job, methods=["PUT"]),
            Route("/v1/jobs/{job_id}", routes.get_job, methods=["GET"]),
            Route("/v1/jobs/{job_id}/cancel", routes.cancel, methods=["POST"]),
            Route("/v1/jobs/{job_id}/move", routes.move, methods=["POST"]),
            Route("/v1/jobs/{job_id}/collected", routes.collected, methods=["POST"]),
            Route("/v1/jobs/{job_id}/preview", routes.preview, methods=["GET"]),
            *model_routes(parts.index),
            Route("/v1/events", routes.events, methods=["GET"]),
            Route("/v1/shutdown", routes.shutdown, methods=["POST"]),
        ],
        exception_handlers={
            UnderpaintError: _answer_error,
            DamagedDatabase: routes.answer_damage,
            HTTPException: _answer_http,
            ClientDisconnect: _answer_gone,
        },
    )

    app.router.redirect_slashes = False  # a name that is not there is not there

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            door = remote if remote is not None and scope["scheme"] == "https" else here
            refused = refusal(scope["headers"], door)
            if refused is not None:
                await _refusal(*refused)(scope, receive, send)
                return
            scope[WELCOME], scope[_REMOTE] = True, door.remote
            parts.activity.last_call = time.monotonic()
        await app(scope, receive, send)

    return guarded


class _Routes:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def hello(self, request: Request) -> Response:
        return _json(
            Hello(
                protocol_major=PROTOCOL_MAJOR,
                protocol_minor=PROTOCOL_MINOR,
                software_version=self._parts.software_version,
                pid=self._parts.pid,
                revision=self._parts.database.revision(),
                capabilities=CAPABILITIES,
            )
        )

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(document(self._parts.software_version))

    # ---- blobs

    async def put_blob(self, request: Request) -> Response:
        sha256 = _address(request)
        length = _declared_length(request, MAX_BLOB_BYTES)
        self._parts.supervisor.warm()  # whoever brings arrays is about to want something done with them
        with self._parts.blobs.incoming() as incoming:
            await _receive_array(request, incoming, length)
            await run_in_threadpool(incoming.keep, sha256)
        return Response(status_code=201)

    async def get_blob(self, request: Request) -> Response:
        sha256 = _address(request)
        if request.method == "HEAD":
            if not self._parts.blobs.touch(sha256):
                raise BlobMissing(sha256=sha256)
            return Response()
        return _BlobResponse(await run_in_threadpool(self._parts.blobs.open, sha256))

    # ---- jobs

    async def put_job(self, request: Request) -> Response:
        job_id = _job_id(request)
        submission = wire.loads(JobSubmission, await _body(request, MAX_JSON_BYTES))
        check(submission.request)
        for ref in references(submission.request):
            self._parts.blobs.check(ref)
        job, new = self._parts.database.submit(job_id, submission, time.time())
        if new:
            self._parts.supervisor.wake()
        return _json(job, status=201 if new else 200)

    async def get_job(self, request: Request) -> Response:
        return _json(self._parts.database.job(_job_id(request)))

    async def jobs(self, request: Request) -> Response:
        before = _number(request, "before")
        limit = _number(request, "limit")
        limit = 50 if limit is None else min(max(limit, 1), MAX_PAGE)
        return _json(self._parts.database.jobs(before, limit))

    async def queue(self, request: Request) -> Response:
        return _json(JobPage(jobs=tuple(self._parts.database.queued(Lane.PICTURES, limit=MAX_PAGE)), next_before=None))

    async def cancel(self, request: Request) -> Response:
        return _json(self._parts.supervisor.cancel(_job_id(request)))

    async def move(self, request: Request) -> Response:
        job_id = _job_id(request)
        move = wire.loads(Move, await _body(request, MAX_JSON_BYTES))
        if move.before and not is_job_id(move.before):
            raise InvalidRequest(reason="a job's id is 32 lower-case hex digits")
        return _json(self._parts.supervisor.move(job_id, move))

    async def collected(self, request: Request) -> Response:
        self._parts.database.collect(_job_id(request))
        return Response(status_code=204)

    async def preview(self, request: Request) -> Response:
        job_id = self._parts.database.job(_job_id(request)).id
        preview = self._parts.hub.preview
        if preview is None or preview.ready.job_id != job_id:
            return Response(status_code=204)
        return Response(preview.data, media_type="application/octet-stream")

    # ---- the service itself

    async def events(self, request: Request) -> Response:
        since, newest = _number(request, "since"), self._parts.database.revision()
        # A number from the future comes from another queue's past: this one was started anew.
        since = newest if since is None else min(since, newest)
        self._parts.supervisor.warm()
        return StreamingResponse(self._lines(since), media_type="application/x-ndjson")

    async def shutdown(self, request: Request) -> Response:
        if request.scope[_REMOTE]:  # nobody over there could start it again
            raise HTTPException(403, "the service is stopped on its own computer")
        self._parts.stop()
        return Response(status_code=202)

    async def answer_damage(self, request: Request, error: Exception) -> Response:
        """Have the service fall, whose next start restores the queue; the client looks for that one."""
        assert isinstance(error, DamagedDatabase)
        self._parts.activity.damage = error
        return _error(503, BackendUnreachable(reason=str(error)))

    async def _lines(self, since: int) -> AsyncIterator[str]:
        """The events as lines: first what was missed, then what happens."""
        hub, database = self._parts.hub, self._parts.database
        subscription = hub.subscribe()
        try:
            yield _line(Alive(revision=since))
            while not hub.closed:
                while changes := database.changes(since):
                    for change in changes:
                        since = change.revision
                        yield _line(change)
                for event in subscription.news():
                    yield _line(event)
                if not await subscription.wait(ALIVE_S):
                    yield _line(Alive(revision=since))
        finally:
            hub.unsubscribe(subscription)
            self._parts.activity.last_call = time.monotonic()


# ---------------------------------------------------------------------------------------------- bodies


async def _body(request: Request, limit: int) -> bytes:
    _declared_length(request, limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


async def _receive_array(request: Request, incoming: Incoming, length: int | None) -> None:
    """Take in a `.npy` file, refusing it at its header where that is wrong."""
    start, header, received = bytearray(), None, 0
    async for chunk in request.stream():
        received += len(chunk)
        if header is None:
            start += chunk
            if len(start) >= min(arrays.HEADER_BYTES, length or arrays.HEADER_BYTES):
                header = arrays.read_header(bytes(start[: arrays.HEADER_BYTES]))
                if length is not None and length != header.file_bytes:
                    raise InvalidArray(reason=f"{length} bytes where the header promises {header.file_bytes}")
        if header is not None and received > header.file_bytes:
            break
        incoming.write(chunk)
    header = header or arrays.read_header(bytes(start))
    if received != header.file_bytes:
        raise InvalidArray(reason=f"{received} bytes where the header promises {header.file_bytes}")


def _declared_length(request: Request, limit: int) -> int | None:
    """What Content-Length says, refused when it is too much."""
    text = request.headers.get("content-length")
    if text is None:
        return None  # chunked: it is counted as it comes
    if not text.isascii() or not text.isdigit():
        raise InvalidRequest(reason="the Content-Length is no number")
    if int(text) > limit:
        raise _too_large(limit)
    return int(text)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than {limit} bytes")


# ---------------------------------------------------------------------------------------------- parameters


def _address(request: Request) -> str:
    sha256 = request.path_params["sha256"]
    if not arrays.is_address(sha256):
        raise InvalidRequest(reason="a blob's address is 64 lower-case hex digits")
    return sha256


def _job_id(request: Request) -> str:
    job_id = request.path_params["job_id"]
    if not is_job_id(job_id):
        raise InvalidRequest(reason="a job's id is 32 lower-case hex digits")
    return job_id


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidRequest(reason=f"{name} is no number")
    return int(text)


# ---------------------------------------------------------------------------------------------- answers


class _BlobResponse(Response):
    """A file, a piece at a time, as fast as the client takes it: however many are slow, little of it is in memory."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(media_type="application/octet-stream")
        self._stream = stream
        self.headers["content-length"] = str(os.fstat(stream.fileno()).st_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stream as stream:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while piece := await run_in_threadpool(stream.read, _PIECE_BYTES):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})


def _json(value: object, status: int = 200) -> Response:
    return Response(wire.dumps(value), status, media_type="application/json")


def _line(event: Event) -> str:
    return wire.dumps(event, Event) + "\n"


def _refusal(status: int, error: UnderpaintError) -> Response:
    """What somebody is told at the door. One whose request has no certain end is told nothing after it."""
    answer = _error(status, error)
    if status in (400, 431):
        answer.headers["connection"] = "close"
    return answer


def _error(status: int, error: UnderpaintError) -> Response:
    return _json(error.info(), status)


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, UnderpaintError)
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    return _error(status, error)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, InvalidRequest(reason=error.detail))


async def _answer_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it: the client left in the middle of its body

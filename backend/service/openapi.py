"""What the service answers, as an OpenAPI 3.1 document; `GET /v1/openapi.json` gives it."""

from typing import Any

from ...protocol import json_schema
from ...protocol.errors import ErrorInfo
from ...protocol.events import Event
from ...protocol.jobs import Job, JobPage, JobSubmission, Move
from ...protocol.models import Catalogue, FamilyId, ModelKind, ModelPage
from ...protocol.version import PROTOCOL_MAJOR, PROTOCOL_MINOR, Hello

_Object = dict[str, Any]

_JSON, _BYTES, _LINES = "application/json", "application/octet-stream", "application/x-ndjson"
_PICTURE = ("image/*", {"type": "string", "format": "binary"})
_JOB_ID: _Object = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "description": "`uuid.uuid4().hex` of the client that submits the job",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}
_SHA256: _Object = {
    "name": "sha256",
    "in": "path",
    "required": True,
    "description": "of the whole .npy file",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
_MODEL_ID: _Object = {
    "name": "model_id",
    "in": "path",
    "required": True,
    "description": "`id` of an entry in the list of models",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}
_ERRORS = {
    400: "the request is no HTTP that the service understands, or broke off",
    401: "the token is missing or wrong",
    403: "the request comes from a web page, or speaks to another host",
    404: "there is no such job, blob or model",
    405: "the method doesn't go with the path",
    409: "the job exists with another request, or doesn't wait in the queue",
    413: "the body is larger than what is taken",
    422: "the request can't be right, whoever runs it",
    500: "a mistake of the service; its log tells more",
    503: "another program has the queue locked, or it has to be restored first: ask again",
    507: "the disk is full",
}
_GUARDED = (400, 401, 403)
_ROOTS = (Hello, Job, JobPage, JobSubmission, Move, ModelPage, Event, ErrorInfo, Catalogue)


def document(software_version: str) -> _Object:
    """The OpenAPI document, as JSON values."""
    job = (_JSON, json_schema.reference(Job))
    array = (_BYTES, {"type": "string", "format": "binary"})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Underpaint's backend",
            "version": f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}",
            "summary": f"Protocol {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}, spoken by Underpaint {software_version}",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "security": [{"token": []}],
        "paths": {
            "/v1/hello": {"get": _operation("Who is there", {200: (_JSON, json_schema.reference(Hello))})},
            "/v1/openapi.json": {"get": _operation("This document", {200: (_JSON, {"type": "object"})})},
            "/v1/blobs/{sha256}": {
                "put": _operation(
                    "Store an array", {201: None}, parameters=[_SHA256], body=array, errors=(413, 422, 507)
                ),
                "get": _operation("An array", {200: array}, parameters=[_SHA256], errors=(404, 422)),
                "head": _operation(
                    "Whether an array is there; it then stays for a while",
                    {200: None},
                    parameters=[_SHA256],
                    errors=(404, 422),
                ),
            },
            "/v1/jobs": {
                "get": _operation(
                    "Jobs, newest first, without looks",
                    {200: (_JSON, json_schema.reference(JobPage))},
                    parameters=[
                        _query("before", "`next_before` of the page before", least=0),
                        _query("limit", "how many at most", least=0),
                    ],
                    errors=(422,),
                )
            },
            "/v1/queue": {
                "get": _operation(
                    "The jobs that wait, next one first, without looks and downloads; the first 500",
                    {200: (_JSON, json_schema.reference(JobPage))},
                )
            },
            "/v1/jobs/{job_id}": {
                "put": _operation(
                    "Queue a job; 200 where it was there already",
                    {200: job, 201: job},
                    parameters=[_JOB_ID],
                    body=(_JSON, json_schema.reference(JobSubmission)),
                    errors=(404, 409, 413, 422, 503, 507),
                ),
                "get": _operation("A job as it is now", {200: job}, parameters=[_JOB_ID], errors=(404, 422)),
            },
            "/v1/jobs/{job_id}/cancel": {
                "post": _operation("Ask for a job's end", {200: job}, parameters=[_JOB_ID], errors=(404, 422, 503, 507))
            },
            "/v1/jobs/{job_id}/move": {
                "post": _operation(
                    "Give a waiting job another place",
                    {200: job},
                    parameters=[_JOB_ID],
                    body=(_JSON, json_schema.reference(Move)),
                    errors=(404, 409, 413, 422, 503, 507),
                )
            },
            "/v1/jobs/{job_id}/collected": {
                "post": _operation(
                    "Say that the client has what the job made, which then may go when space runs out",
                    {204: None},
                    parameters=[_JOB_ID],
                    errors=(404, 422, 503, 507),
                )
            },
            "/v1/jobs/{job_id}/preview": {
                "get": _operation(
                    "The newest preview, as .npy; 204 where there is none",
                    {200: array, 204: None},
                    parameters=[_JOB_ID],
                    errors=(404, 422),
                )
            },
            "/v1/models": {
                "get": _operation(
                    "The models on this computer, and where they were looked for",
                    {200: (_JSON, json_schema.reference(ModelPage))},
                    parameters=[
                        _choice("kind", "only models of this kind", list(ModelKind)),
                        _choice("family", "only models of this family", list(FamilyId)),
                    ],
                    errors=(422,),
                )
            },
            "/v1/models/catalogue": {
                "get": _operation("The models that are recommended", {200: (_JSON, json_schema.reference(Catalogue))})
            },
            "/v1/models/rescan": {"post": _operation("Look through all folders again", {202: None})},
            "/v1/models/{model_id}/thumbnail": {
                "get": _operation(
                    "The small picture of a model, as whoever made it left it; 204 where there is none",
                    {200: _PICTURE, 204: None, 304: None},
                    parameters=[_MODEL_ID],
                    errors=(404, 422),
                )
            },
            "/v1/events": {
                "get": _operation(
                    "What happens, one JSON object a line, until either side hangs up",
                    {200: (_LINES, json_schema.reference(Event))},
                    parameters=[_query("since", "the last revision that the client knows", least=0)],
                    errors=(422,),
                )
            },
            "/v1/shutdown": {"post": _operation("Leave; jobs stay in the queue for the next service", {202: None})},
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "what the token file holds"}
            },
            "schemas": json_schema.definitions(*_ROOTS),
        },
    }


def _operation(
    summary: str,
    answers: dict[int, tuple[str, _Object] | None],
    *,
    parameters: list[_Object] | None = None,
    body: tuple[str, _Object] | None = None,
    errors: tuple[int, ...] = (),
) -> _Object:
    operation: _Object = {"summary": summary, "responses": {}}
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    for status, answer in answers.items():
        response: _Object = {"description": "as asked"}
        operation["responses"][str(status)] = response if answer is None else response | {"content": _content(answer)}
    for status in sorted({*_GUARDED, *errors}):
        operation["responses"][str(status)] = {
            "description": _ERRORS[status],
            "content": _content((_JSON, json_schema.reference(ErrorInfo))),
        }
    return operation


def _content(body: tuple[str, _Object]) -> _Object:
    media_type, schema = body
    return {media_type: {"schema": schema}}


def _choice(name: str, description: str, values: list[str]) -> _Object:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string", "enum": values}}


def _query(name: str, description: str, *, least: int) -> _Object:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "integer", "minimum": least, "maximum": 10**18 - 1},
    }

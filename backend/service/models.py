"""The models on this computer, as routes: the list, a thumbnail, and a new look; and those that are recommended."""

import re
from collections.abc import Sequence
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...protocol import wire
from ...protocol.errors import InvalidRequest, ModelBroken, ModelMissing
from ...protocol.models import FamilyId, ModelKind, ModelPage
from ..library import thumbnails
from ..library.catalogue import catalogue
from ..library.entries import Record
from ..library.index import Index

_ID = re.compile("[0-9a-f]{32}")
Choice = TypeVar("Choice", ModelKind, FamilyId)


def model_routes(index: Index) -> Sequence[Route]:
    """What is asked of the list of models."""
    routes = _Models(index)
    return (
        Route("/v1/models", routes.models, methods=["GET"]),
        Route("/v1/models/catalogue", routes.catalogue, methods=["GET"]),
        Route("/v1/models/rescan", routes.rescan, methods=["POST"]),
        Route("/v1/models/{model_id}/thumbnail", routes.thumbnail, methods=["GET"]),
    )


class _Models:
    def __init__(self, index: Index) -> None:
        self._index = index
        self._whole: tuple[ModelPage, bytes] | None = None

    async def models(self, request: Request) -> Response:
        kind, family = _choice(request, "kind", ModelKind), _choice(request, "family", FamilyId)
        return Response(await run_in_threadpool(self._text, kind, family), media_type="application/json")

    async def catalogue(self, request: Request) -> Response:
        return Response(wire.dumps(catalogue()), media_type="application/json")

    async def rescan(self, request: Request) -> Response:
        self._index.rescan()
        return Response(status_code=202)

    async def thumbnail(self, request: Request) -> Response:
        model_id = request.path_params["model_id"]
        if not _ID.fullmatch(model_id):
            raise InvalidRequest(reason="a model's id is 32 lower-case hex digits")
        record = self._index.record(model_id)
        if record is None:
            raise ModelMissing(model=model_id, reason="no model in the list has this id; ask for the list again")
        picture = await run_in_threadpool(_picture, record)
        if picture is None:
            return Response(status_code=204)
        headers = {"etag": f'"{picture.etag}"', "cache-control": "no-cache", "x-content-type-options": "nosniff"}
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(picture.data, media_type=picture.media_type, headers=headers)

    def _text(self, kind: ModelKind | None, family: FamilyId | None) -> bytes:
        """The page as JSON. That of everything, which is long, is made once for each change."""
        page = self._index.page()
        if kind is not None or family is not None:
            models = tuple(
                entry for entry in page.models if kind in (None, entry.kind) and family in (None, entry.family)
            )
            page = ModelPage(models=models, folders=page.folders, scanning=page.scanning, revision=page.revision)
            return wire.dumps(page).encode()
        whole = self._whole
        if whole is None or whole[0] is not page:
            whole = self._whole = (page, wire.dumps(page).encode())
        return whole[1]


def _picture(record: Record) -> thumbnails.Thumbnail | None:
    """The picture as it is now; None where there is none, or none any more."""
    try:
        if record.picture:
            return thumbnails.beside(record.path.parent / record.picture)
        return thumbnails.inside(record.path, record.entry.reference) if record.entry.has_thumbnail else None
    except (OSError, ModelBroken):
        return None  # gone since: the next look tells


def _choice(request: Request, name: str, kind: type[Choice]) -> Choice | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        raise InvalidRequest(reason=f"{name} is none of {', '.join(kind)}") from None

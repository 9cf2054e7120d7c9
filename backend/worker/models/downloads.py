"""Models by their hub ids: from the Hugging Face cache, and from the hub for a picture that may fetch them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from ....protocol.errors import ModelMissing
from ....protocol.extra_checks import HUB_ID
from ....protocol.models import ModelKind
from ....protocol.request import GenerateRequest
from ...library import folders
from ..hub import cache, choosing
from ..hub.fetching import announced, fetch
from ..third_party import hub_is_offline

_HAVE_WEIGHTS = ("unet", "transformer", "vae", "text_encoder")  # components, and what else begins so


def snapshot(
    hub_id: str, files: Sequence[str], *, models: Path, allow_download: bool, announce: Callable[[str], None]
) -> Path:
    """The folder of a hub id in the Hugging Face cache, fetched first where that is allowed and it lacks `files`.

    `files` are plain names, or patterns, which ask for what of the repository's kind of model matches. `announce` hears
    of a download before it begins and each second while it lasts, and may raise to end it. Raises ModelMissing,
    ModelGated, DownloadFailed.
    """
    cached, offline = cache.snapshot(hub_id), hub_is_offline()
    if not allow_download or offline:
        if cached is not None:
            return cached  # should a part be missing, inspection names it
        forbidden = "HF_HUB_OFFLINE is set" if offline else "downloads are not allowed for this job"
        raise ModelMissing(
            model=hub_id,
            reason=f"it is not in the Hugging Face cache, and {forbidden}. Allow the download, or put the "
            f"diffusers folder at {models / hub_id}",
        )
    # Plain names are there or not; a pattern is never a file, and so asks for the whole.
    if cached is not None and (_has_weights(cached) or all((cached / file).is_file() for file in files)):
        return cached
    if any("*" in file for file in files):
        return fetch(hub_id, choosing.matching(*files), tell=announced(hub_id, announce)).folder
    return fetch(hub_id, choosing.just(*files), whole=False, tell=announced(hub_id, announce)).folder


def file(reference: str, *, announce: Callable[[str], None]) -> Path | None:
    """The file that "owner/name/file.safetensors" means, fetched with what it needs; None for another reference.

    Raises as `snapshot` does. For pictures that may download, and references that nothing on the disk answers to.
    """
    parts = reference.split("/", 2)
    if len(parts) < 3 or not reference.endswith(".safetensors") or HUB_ID.fullmatch("/".join(parts[:2])) is None:
        return None
    if hub_is_offline():
        raise ModelMissing(model=reference, reason="it is not in the Hugging Face cache, and HF_HUB_OFFLINE is set")
    hub_id, path = "/".join(parts[:2]), parts[2]
    return fetch(hub_id, choosing.one_file(path), whole=False, tell=announced(reference, announce)).folder / path


def here(reference: str, kind: ModelKind, models: Path) -> Path | None:
    """What a reference means on this computer, a repository in the Hugging Face cache among it; None for nothing."""
    found = folders.find(reference, kind, models)
    return cache.snapshot(reference) if found is None and HUB_ID.fullmatch(reference) else found


def bring(request: GenerateRequest, *, models: Path, announce: Callable[[str], None]) -> None:
    """Fetch what goes with a checkpoint and is named by a hub id or a file there, as far as it isn't here.

    Does nothing for a picture that may not download, and leaves it to whoever looks for a model to miss it. Raises as
    `snapshot` does.
    """
    if not request.allow_download or hub_is_offline():
        return
    wanted = [
        *((lora.lora, ModelKind.LORA) for lora in request.loras),
        *((embedding.embedding, ModelKind.EMBEDDING) for embedding in request.embeddings),
        *((prompt.adapter, ModelKind.IP_ADAPTER) for prompt in request.image_prompts),
        *((prompt.image_encoder, ModelKind.IMAGE_ENCODER) for prompt in request.image_prompts),
        (request.safety_checker, ModelKind.SAFETY_CHECKER),
    ]
    for reference, kind in wanted:
        if not reference or here(reference, kind, models) is not None or file(reference, announce=announce):
            continue
        if HUB_ID.fullmatch(reference):
            fetch(reference, tell=announced(reference, announce))


def _has_weights(folder: Path) -> bool:
    """Whether a snapshot was fetched to its end; one that was cut off is fetched on."""
    index = folder / choosing.INDEX
    if not index.is_file():
        return _complete(folder)
    found: Any = json.loads(index.read_bytes())
    named = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    # [null, null] stands for a part that was left out
    parts = {part for part, what in named.items() if not (isinstance(what, list) and None in what)}
    parts = {part for part in parts if part.startswith(_HAVE_WEIGHTS)} or {"unet", "vae", "text_encoder"}
    return all(_complete(folder / part) for part in parts)


def _complete(folder: Path) -> bool:
    """Whether a component has weights, and every shard that its index names."""
    shards = {
        name
        for index in folder.glob("*.safetensors.index.json")
        for name in json.loads(index.read_bytes()).get("weight_map", {}).values()
    }
    present = {file.name for file in folder.glob("*.safetensors")}
    return bool(present) and shards <= present

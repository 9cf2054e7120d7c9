"""Models by their hub ids: from the Hugging Face cache, and from the hub for a picture that may fetch them."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from ....protocol.errors import ModelMissing
from ..hub import cache, choosing
from ..hub.fetching import Standing, fetch
from ..third_party import hub_is_offline

_HAVE_WEIGHTS = ("unet", "transformer", "vae", "text_encoder")  # components, and what else begins so
_ANNOUNCED_EVERY_S = 1.0


def snapshot(
    hub_id: str, files: Sequence[str], *, models: Path, allow_download: bool, announce: Callable[[str], None]
) -> Path:
    """The folder of a hub id in the Hugging Face cache, fetched first where that is allowed and it lacks `files`.

    `files` are plain names, or patterns, which ask for all that the repository's kind of model needs. `announce` hears
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
    everything = any("*" in file for file in files)
    # Plain names are there or not; a pattern is never a file, and so asks for the whole.
    if cached is not None and (_has_weights(cached) or all((cached / file).is_file() for file in files)):
        return cached
    announce(f"Downloading {hub_id}")
    announced = [time.monotonic()]

    def tell(standing: Standing) -> None:
        if time.monotonic() - announced[0] >= _ANNOUNCED_EVERY_S:
            announced[0] = time.monotonic()
            announce(f"Downloading {hub_id}: {standing.words}")

    return fetch(hub_id, choosing.needed if everything else choosing.just(*files), tell=tell).folder


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

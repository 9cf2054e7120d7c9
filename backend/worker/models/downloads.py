"""Models from the hub, fetched on the user's word alone."""

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ....protocol.errors import ModelMissing
from ..third_party import hub_is_offline

# Twins of the same weights in other precisions, and parts that are never used here.
_NOT_NEEDED = ("*.fp16.*", "*.non_ema.*", "*flax*", "*openvino*", "*onnx*", "safety_checker/*", "feature_extractor/*")


def snapshot(
    hub_id: str, files: Sequence[str], *, models: Path, allow_download: bool, announce: Callable[[str], None]
) -> Path:
    """The folder of a hub id in the Hugging Face cache, fetched first where that is allowed and it lacks `files`.

    `files` are names or patterns; a plain name is there or not, a pattern asks for the whole. `announce` hears of a
    download before it begins, and may raise to prevent it. Raises ModelMissing, saying what to do.
    """
    hub: Any = importlib.import_module("huggingface_hub")
    offline = hub_is_offline()
    try:
        cached = Path(hub.snapshot_download(hub_id, local_files_only=True))
    except FileNotFoundError:  # huggingface_hub's LocalEntryNotFoundError among them
        cached = None
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
    announce(f"Downloading {hub_id}")
    try:
        return Path(hub.snapshot_download(hub_id, allow_patterns=list(files), ignore_patterns=list(_NOT_NEEDED)))
    except (hub.errors.HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
            raise  # the disk's trouble, not the hub's
        raise ModelMissing(model=hub_id, reason=f"the download failed: {_first_line(error)}") from error


def _has_weights(folder: Path) -> bool:
    """Whether a snapshot was fetched to its end; one that was cut off is fetched on."""
    index = folder / "model_index.json"
    if not index.is_file():
        return _complete(folder)
    parts = {"unet", "vae", "text_encoder", *json.loads(index.read_bytes())}
    return all(_complete(folder / part) for part in parts if part.startswith(("unet", "vae", "text_encoder")))


def _complete(folder: Path) -> bool:
    """Whether a component has weights, and every shard that its index names."""
    shards = {
        name
        for index in folder.glob("*.safetensors.index.json")
        for name in json.loads(index.read_bytes()).get("weight_map", {}).values()
    }
    present = {file.name for file in folder.glob("*.safetensors")}
    return bool(present) and shards <= present


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

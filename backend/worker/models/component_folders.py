"""A folder's weights and JSON files, found and checked; whatever is wrong with them is said in words."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from ....protocol.errors import ModelBroken, ModelMissing, ModelPickled
from ...library.headers import read_header
from .weights import Weights, make_stamp

_PICKLED = ("*.bin", "*.ckpt", "*.pt", "*.pth")


def find_weights(folder: Path, stem: str, name: str) -> Weights:
    """The safetensors files of a component, whole as far as their headers tell.

    Raises ModelMissing when the folder has no weights at all, ModelBroken when they are pickled, cut off,
    or a shard is missing.
    """
    with readable(folder, name):
        return _find_weights(folder, stem, name)


def _find_weights(folder: Path, stem: str, name: str) -> Weights:
    for variant in _variants(folder, stem):
        suffix = f".{variant}" if variant else ""
        index = folder / f"{stem}.safetensors.index{suffix}.json"
        single = folder / f"{stem}{suffix}.safetensors"
        if single.is_file():
            files = [single]
        elif index.is_file():
            shards = cast("dict[str, str]", read_json(index, name).get("weight_map", {}))
            files = [_shard(folder, shard, name) for shard in sorted(set(shards.values()))]
        else:
            continue
        for file in files:
            read_header(file, name)
        return Weights(folder=folder, variant=variant, stamp=make_stamp(files))
    pickled = sorted(file for pattern in _PICKLED for file in folder.glob(pattern))
    if pickled:
        raise ModelPickled(model=name, file=f"{folder.name}/{pickled[0].name}", path=pickled[0])
    raise ModelMissing(model=name, reason=f"{folder.name}/{stem}.safetensors is not there; fetch the model again")


def _variants(folder: Path, stem: str) -> list[str | None]:
    """The weights themselves, in half the precision, and whatever else is there.

    So the running average (EMA), which is what such folders hold as the weights themselves, comes before "non_ema".
    """
    files = folder.glob(f"{stem}.*.safetensors")
    found = {file.name.removeprefix(f"{stem}.").removesuffix(".safetensors") for file in files}
    return [None, "fp16", *sorted(found - {"fp16"})]


def _shard(folder: Path, shard: str, name: str) -> Path:
    if Path(shard).name != shard or not shard.endswith(".safetensors"):
        raise ModelBroken(model=name, reason=f"{folder.name}'s index names {shard[:80]!r}, which is no file beside it")
    return folder / shard


@contextmanager
def readable(folder: Path, name: str) -> Generator[None]:
    """Says in words what the system says of a folder: that it may not be read, or leads to itself."""
    try:
        yield
    except OSError as error:
        raise ModelBroken(
            model=name, reason=f"{folder} can't be read ({error.strerror}); look at its permissions and links"
        ) from error


def read_json(path: Path, name: str) -> dict[str, Any]:
    shown = f"{path.parent.name}/{path.name}"
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelBroken(model=name, reason=f"{shown} is missing; fetch it again") from error
    except OSError as error:
        raise ModelBroken(
            model=name, reason=f"{shown} can't be read ({error.strerror}); look at its permissions and links"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelBroken(model=name, reason=f"{shown} is no JSON ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise ModelBroken(model=name, reason=f"{shown} is not a JSON object; fetch it again")
    return cast("dict[str, Any]", content)

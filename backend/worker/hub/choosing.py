"""Which files of a repository a model needs. Safetensors, JSON and text alone: no pickle is ever fetched."""

import difflib
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ....protocol.errors import ModelMissing

INDEX = "model_index.json"
Choose = Callable[[str, Sequence[str], Mapping[str, Any]], tuple[str, ...]]
"""From a hub id, the paths in its repository, and its model_index.json (empty where it has none)."""

_WEIGHTS = ".safetensors"
_TEXT = (".json", ".txt")
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack", ".h5")
_STEMS = ("diffusion_pytorch_model", "model")  # diffusers' and transformers' names for a component's weights
_ADAPTERS = ("pytorch_lora_weights.safetensors", "learned_embeds.safetensors")
# Of a checkpoint: the first is asked for by itself where it is wanted, the second is only needed by it.
_LEFT_OUT = ("safety_checker", "feature_extractor")
_LISTED = 8  # files in a sentence


def needed(hub_id: str, paths: Sequence[str], index: Mapping[str, Any]) -> tuple[str, ...]:
    """What a repository's kind of model needs.

    A checkpoint's folder: model_index.json and the components that it names, without the safety checker. A ControlNet,
    a VAE or an encoder: config.json and the weights. Weights in half precision ("fp16") are taken only where there are
    no others, for those can be made of the others. An adapter: its one file. Raises ModelMissing where that is not
    clear, naming the files that one may ask for, and where there are only pickles.
    """
    if INDEX in paths:
        return _checkpoint(hub_id, paths, index)
    component = _component("", paths)
    if "config.json" in paths and component:
        return component
    alone = [path for path in paths if path.endswith(_WEIGHTS)]
    chosen = next((name for name in _ADAPTERS if name in alone), alone[0] if len(alone) == 1 else None)
    if chosen is not None:
        return (chosen,)
    if alone:
        raise ModelMissing(
            model=hub_id,
            reason=f"its repository holds several models: {_listed(alone)}. Say which file is meant, such as: "
            f'underpaint download {hub_id} --file "{alone[0]}"',
        )
    pickles = [path for path in paths if path.endswith(_PICKLES)]
    raise ModelMissing(model=hub_id, reason=_only_pickles(pickles) if pickles else "its repository holds no weights")


def one_file(file: str) -> Choose:
    """A file, and what it can't be read without: the config.json beside it, an IP-Adapter's image encoder."""

    def choose(hub_id: str, paths: Sequence[str], index: Mapping[str, Any]) -> tuple[str, ...]:
        if file not in paths:
            near = difflib.get_close_matches(file, [path for path in paths if path.endswith((_WEIGHTS, *_TEXT))], 3)
            instead = f" Is one of these meant: {_listed(near)}?" if near else " Look at its page for their names"
            raise ModelMissing(model=hub_id, reason=f'its repository has no file "{file}".{instead}'.rstrip("."))
        if file.endswith(_PICKLES) or not file.endswith((_WEIGHTS, *_TEXT)):
            raise ModelMissing(model=hub_id, reason=_only_pickles([file]))
        return tuple(dict.fromkeys((file, *_companions(file, paths))))

    return choose


def matching(*patterns: str) -> Choose:
    """What the repository's kind of model needs, as far as it matches; and the texts beside what does.

    Of a whole checkpoint, so its VAE alone: "vae/*". Raises as `needed` does.
    """

    def choose(hub_id: str, paths: Sequence[str], index: Mapping[str, Any]) -> tuple[str, ...]:
        everything = needed(hub_id, paths, index)
        matched = [path for path in everything if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)]
        folders = {PurePosixPath(path).parent for path in matched}
        texts = [path for path in everything if path.endswith(_TEXT) and PurePosixPath(path).parent in folders]
        if not any(path.endswith(_WEIGHTS) for path in matched):
            raise ModelMissing(model=hub_id, reason="its repository holds no such model")
        return tuple(dict.fromkeys((*matched, *texts)))

    return choose


def just(*names: str) -> Choose:
    """Files by name, as far as the repository has them."""

    def choose(hub_id: str, paths: Sequence[str], index: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(name for name in names if name in paths)

    return choose


def _checkpoint(hub_id: str, paths: Sequence[str], index: Mapping[str, Any]) -> tuple[str, ...]:
    chosen = [INDEX]
    for name, spoken_of in index.items():
        # ["library", "class"]; [null, null] for a part that was left out
        if not isinstance(spoken_of, list) or None in spoken_of or name in _LEFT_OUT:
            continue
        own = _component(name, paths)
        if not own:
            own = tuple(path for path in paths if _in(path, name) and path.endswith(_TEXT))  # a tokenizer, a scheduler
            pickles = [path for path in paths if _in(path, name) and path.endswith(_PICKLES)]
            if pickles:
                raise ModelMissing(model=hub_id, reason=_only_pickles(pickles))
        chosen.extend(own)
    return tuple(chosen)


def _component(folder: str, paths: Sequence[str]) -> tuple[str, ...]:
    """The weights of one component and the texts beside them; nothing where it has no safetensors."""
    beside = [path for path in paths if _in(path, folder)]
    for stem in _STEMS:
        for variant in ("", ".fp16"):
            single = _path(folder, f"{stem}{variant}{_WEIGHTS}")
            if single in beside:
                return (*_texts(beside, folder), single)
            shards = [path for path in beside if _is_shard(PurePosixPath(path).name, stem + variant)]
            index = _path(folder, f"{stem}{_WEIGHTS}.index{variant}.json")
            if shards and index in beside:
                return (*_texts(beside, folder), index, *shards)
    return ()


def _is_shard(name: str, stem: str) -> bool:
    middle = name.removeprefix(f"{stem}-").removesuffix(_WEIGHTS)
    return f"{stem}-{middle}{_WEIGHTS}" == name and middle.replace("-of-", "").isdigit()


def _texts(beside: Sequence[str], folder: str) -> list[str]:
    """The configs and tokenizer files of a folder; of a repository's root, where there is much else, only configs."""
    texts = [path for path in beside if path.endswith(_TEXT) and ".index." not in path]
    return texts if folder else [path for path in texts if path in ("config.json", "preprocessor_config.json")]


def _companions(file: str, paths: Sequence[str]) -> list[str]:
    folder, name = str(PurePosixPath(file).parent).removeprefix("."), PurePosixPath(file).name
    wanted: list[str] = []
    if name.startswith(_STEMS):
        # xinsir's union net has a second file of weights, with a config of its own
        special = name.removesuffix(_WEIGHTS).rpartition("_")[2]
        wanted += [_path(folder, f"config_{special}.json"), _path(folder, "config.json")]
    if "ip-adapter" in name.lower():
        wanted += _image_encoder(folder, name, paths)
    return [path for path in wanted if path in paths]


def _image_encoder(folder: str, name: str, paths: Sequence[str]) -> tuple[str, ...]:
    """The encoder in the folder beside an IP-Adapter. Of SDXL's, those with "vit-h" look with SD1.5's."""
    places = [_path(folder, "image_encoder")]
    if "vit-h" in name:
        places.insert(0, "models/image_encoder")
    return next((found for place in places if (found := _component(place, paths))), ())


def _in(path: str, folder: str) -> bool:
    return str(PurePosixPath(path).parent).removeprefix(".") == folder


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
    return ", ".join(paths[:_LISTED]) + more


def _only_pickles(pickles: Sequence[str]) -> str:
    return (
        f"{pickles[0]} is a pickle or of another format, and a pickle may run any program when it is opened, so only "
        "safetensors are fetched. Take a repository that has them; or fetch the file yourself and, where you trust "
        "it, convert it with: underpaint convert FILE"
    )

"""The command line's part on models: `underpaint models`, which lists them, and where they are looked for."""

import argparse
import json
import shutil
import sys
import textwrap
import time
from pathlib import Path

from ..protocol import wire
from ..protocol.client import Connection, Home, connect_here, ensure_running
from ..protocol.client.model_folders import add_model_folder, model_folders, remove_model_folder
from ..protocol.errors import BackendUnreachable
from ..protocol.models import FamilyId, ModelEntry, ModelFolder, ModelKind, ModelPage

_POLL_S = 0.25
_PATIENCE_S = 600.0  # for a first look at thousands of files on a slow drive
_DESCRIPTION = """\
Lists the models that the backend finds: in its own folder, in the Hugging Face
cache, and in folders that are added here, such as those of ComfyUI or A1111.
They are read where they lie. Nothing is copied, and nothing is written there.
"""
_TITLES = {
    ModelKind.CHECKPOINT: "Checkpoints",
    ModelKind.CONTROLNET: "ControlNets",
    ModelKind.VAE: "VAEs",
    ModelKind.LORA: "LoRAs",
    ModelKind.EMBEDDING: "Embeddings",
    ModelKind.IP_ADAPTER: "IP-Adapters",
    ModelKind.IMAGE_ENCODER: "Image encoders",
    ModelKind.TINY_DECODER: "Tiny decoders",
    ModelKind.SAFETY_CHECKER: "Safety checkers",
    ModelKind.UNKNOWN: "Others",
}
_FAMILIES = {
    FamilyId.SD15: "SD 1.5",
    FamilyId.SD2: "SD 2",
    FamilyId.SDXL: "SDXL",
    FamilyId.SD3: "SD 3",
    FamilyId.FLUX: "Flux.1",
    FamilyId.QWEN_IMAGE: "Qwen-Image",
    FamilyId.Z_IMAGE: "Z-Image",
}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    models = commands.add_parser(
        "models",
        help="list the models on this computer, and say where to look",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models.add_argument("--json", action="store_true", help="for programs")
    models.set_defaults(run=_list)
    what = models.add_subparsers(title="commands", metavar="COMMAND")
    for name, told, run in (
        ("list", "list them (what happens without a command, too)", _list),
        ("add", "look through a folder as well: ComfyUI's, A1111's, or any other", _add),
        ("remove", "no longer look through a folder; it stays as it is", _remove),
        ("rescan", "look through all folders again, and list them", _rescan),
    ):
        one = what.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.")
        if run in (_add, _remove):
            one.add_argument("folder", metavar="FOLDER")
        one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for programs")
        one.set_defaults(run=run)


def _list(home: Home, options: argparse.Namespace) -> int:
    with ensure_running(home) as connection:
        return _show(_settled(connection), options)


def _rescan(home: Home, options: argparse.Namespace) -> int:
    with ensure_running(home) as connection:
        connection.rescan_models()
        return _show(_settled(connection), options)


def _add(home: Home, options: argparse.Namespace) -> int:
    folder = add_model_folder(home.models, options.folder)
    return _changed(home, options, f"{folder} is looked through from now on.")


def _remove(home: Home, options: argparse.Namespace) -> int:
    folder = remove_model_folder(home.models, options.folder)
    return _changed(home, options, f"{folder} is no longer looked through. It stays as it is.")


def _changed(home: Home, options: argparse.Namespace, sentence: str) -> int:
    try:
        with connect_here(home) as connection:
            connection.rescan_models()
    except BackendUnreachable:
        pass  # whichever starts next reads the list of folders
    print(json.dumps({"folders": list(model_folders(home.models))}, indent=2) if options.json else sentence)
    return 0


def _settled(connection: Connection) -> ModelPage:
    """The list once everything was looked at."""
    deadline = time.monotonic() + _PATIENCE_S
    told = False
    while True:
        page = connection.models()
        if not page.scanning or time.monotonic() > deadline:
            return page
        if not told and sys.stderr.isatty():
            print("Looking through the folders ...", file=sys.stderr, flush=True)
            told = True
        time.sleep(_POLL_S)


def _show(page: ModelPage, options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps(json.loads(wire.dumps(page)), indent=2))
        return 0
    width = min(shutil.get_terminal_size().columns, 120) if sys.stdout.isatty() else 1000
    for kind, title in _TITLES.items():
        entries = [entry for entry in page.models if entry.kind is kind]
        if entries:
            print(f"{title}:")
        for entry in entries:
            print(
                textwrap.shorten(f"  {_line(entry)}", width, placeholder=" ...")
                if width < 1000
                else f"  {_line(entry)}"
            )
            if entry.problem:
                print(textwrap.fill(entry.problem, width, initial_indent="      ! ", subsequent_indent="        "))
    if not page.models:
        print("There are no models yet. Say where some are: underpaint models add FOLDER")
    print("Looked for in:")
    for folder in page.folders:
        print(f"  {_place(folder)}")
    if page.scanning:
        print("The folders are still being looked through; ask again later.")
    return 0


def _line(entry: ModelEntry) -> str:
    family = "" if entry.family is None else _FAMILIES[entry.family]
    told = (
        family,
        *entry.traits,
        ", ".join(entry.control_kinds),
        entry.precision,
        _size(entry.size_bytes),
        entry.licence,
    )
    return f"{entry.reference}  ({'; '.join(part for part in told if part)})"


def _size(count: int) -> str:
    return (
        f"{count / 1e9:.1f} GB"
        if count >= 1e9
        else f"{count / 1e6:.0f} MB"
        if count >= 1e6
        else f"{count / 1e3:.0f} kB"
    )


def _place(folder: ModelFolder) -> str:
    return (
        f"{Path(folder.path)}  ({folder.origin.value.replace('_', ' ')}){f': {folder.problem}' * bool(folder.problem)}"
    )

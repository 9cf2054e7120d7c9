"""This Blender's log in the data folder: what the add-on did, and what went wrong."""

import logging
from typing import Any

import bpy

from ..protocol.client import default_home, logs
from ..protocol.client.logs import Program

log = logs.logger(Program.BLENDER)
_handlers: list[logging.Handler] = []


def register() -> None:
    from .. import __version__

    _handlers.append(logs.write_to_home(Program.BLENDER, default_home))
    kind = "in the background" if bpy.app.background else "with a window"
    log.info(
        "Underpaint %s in Blender %s, %s", __version__, bpy.app.version_string, kind, extra={"event": "registered"}
    )


def unregister() -> None:
    log.info("Underpaint leaves", extra={"event": "unregistered"})
    while _handlers:
        logs.take_back(_handlers.pop(), Program.BLENDER)


def reported(operator: Any, error: Exception) -> None:
    """Keep an error that a user was told."""
    log.error("%s", error, extra={"event": operator.bl_idname})

"""What the panel remembers from one day to the next."""

import logging
from pathlib import Path
from typing import cast

from PySide6.QtCore import QByteArray, QSettings

from ..protocol import wire
from ..protocol.errors import UnderpaintError
from .form import Form
from .saved_form import SavedForm, form_of, saved

_log = logging.getLogger(__name__)
_MOST_RECENT = 12


class Memory:
    """Owns the QSettings."""

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings

    def save_form(self, form: Form) -> None:
        """Write the form down."""
        self._settings.setValue("form", wire.dumps(saved(form)))

    def load_form(self) -> Form:
        """The form that was written down; the defaults where there is none or a later version wrote it."""
        text = self._settings.value("form")
        if not isinstance(text, str):
            return Form()
        try:
            return form_of(wire.loads(SavedForm, text, ignore_unknown=True))
        except UnderpaintError as error:
            _log.warning("The remembered settings can't be read: %s", error)
            return Form()

    def remember_models(self, form: Form) -> None:
        """Put the models of a picture that was asked for first among those that are offered."""
        self._put_first("checkpoints", [form.checkpoint])
        self._put_first("controlnets", [control.controlnet for control in form.controls if control.enabled])

    def checkpoints(self) -> tuple[str, ...]:
        """Checkpoints used before, the last one first."""
        return self._strings("checkpoints")

    def controlnets(self) -> tuple[str, ...]:
        """ControlNets used before, the last one first."""
        return self._strings("controlnets")

    def save_window(self, geometry: QByteArray, splitters: dict[str, QByteArray]) -> None:
        """Where the window was, and how it was divided."""
        self._settings.setValue("window/geometry", geometry)
        for name, state in splitters.items():
            self._settings.setValue(f"window/{name}", state)

    def window(self, name: str) -> QByteArray | None:
        """The remembered "geometry", or a splitter's state."""
        value = self._settings.value(f"window/{name}")
        return value if isinstance(value, QByteArray) else None

    def folder(self) -> str:
        """Where a picture was last saved."""
        value = self._settings.value("folder")
        return value if isinstance(value, str) else ""

    def save_folder(self, folder: Path) -> None:
        """Remember where a picture was saved."""
        self._settings.setValue("folder", str(folder))

    def flush(self) -> None:
        """Write to disk."""
        self._settings.sync()

    def _put_first(self, key: str, used: list[str]) -> None:
        names = [name.strip() for name in used if name.strip()]
        self._settings.setValue(key, list(dict.fromkeys([*names, *self._strings(key)]))[:_MOST_RECENT])

    def _strings(self, key: str) -> tuple[str, ...]:
        value = self._settings.value(key)
        if isinstance(value, str):  # an ini file with one entry
            return (value,) if value else ()
        return tuple(str(entry) for entry in cast("list[object]", value)) if isinstance(value, list) else ()

"""Starting the panel."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from ..protocol.client import Home, logs
from ..protocol.client.logs import Program
from .session import Session
from .settings import Memory
from .window import Window


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the panel until it is closed."""
    parser = argparse.ArgumentParser(prog="python -m underpaint.qt_panel", description="Underpaint's own window.")
    parser.add_argument("--home", type=Path, help="the data folder (default: UNDERPAINT_HOME, else the user's)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler would wait for Qt to call back into Python
    app = QApplication(sys.argv[:1])
    app.setApplicationName("Underpaint")
    app.setApplicationDisplayName("Underpaint")
    app.setOrganizationName("Underpaint")
    app.setDesktopFileName("underpaint")
    home: Path | None = options.home
    session = Session(Home(home.expanduser().absolute()) if home is not None else None)
    own = (__name__.rpartition(".")[0],)  # this room's modules speak to loggers of their own names
    handler = logs.write_to_home(Program.PANEL, session.home, also=own)
    logs.logger(Program.PANEL).info("opened", extra={"event": "opened"})
    try:
        window = Window(session, Memory(QSettings("Underpaint", "Panel")))
        window.show()
        session.start()
        return app.exec()
    finally:
        logs.logger(Program.PANEL).info("closed", extra={"event": "closed"})
        logs.take_back(handler, Program.PANEL, also=own)

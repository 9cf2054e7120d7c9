"""Help > Copy Diagnostics: what a bug report needs, gathered by another process, as it takes some seconds."""

import sys
from collections.abc import Callable

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, Signal, qVersion
from PySide6.QtGui import QGuiApplication

from ..installer.scrub import scrub
from ..protocol.client import Home


class Diagnoses(QObject):
    """Owns the process that looks; one at a time."""

    said = Signal(str)
    """How it goes, for the status bar."""

    def __init__(self, home: Home, prompts: Callable[[], list[str]], parent: QObject) -> None:
        super().__init__(parent)
        self._home = home
        self._prompts = prompts  # that the form holds, to be left out
        self._process = QProcess(self)
        self._process.finished.connect(self._take)
        self._process.errorOccurred.connect(self._fail)

    def begin(self) -> None:
        """Look, unless it is being done."""
        if self._process.state() is not QProcess.ProcessState.NotRunning:
            return
        self.said.emit("Gathering diagnostics, this takes some seconds …")
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONUTF8", "1")
        self._process.setProcessEnvironment(environment)
        self._process.start(
            sys.executable, ["-m", "underpaint.installer", "--home", str(self._home.folder), "diagnostics"]
        )

    def stop(self) -> None:
        """End the process, where one is at work; nothing is copied then."""
        self._process.blockSignals(True)
        self._process.kill()
        self._process.waitForFinished(1000)

    def _fail(self, _error: QProcess.ProcessError) -> None:
        self.said.emit(f"The diagnostics could not be gathered: {self._process.errorString()}")

    def _take(self, code: int) -> None:
        if code != 0:
            said = bytes(self._process.readAllStandardError().data()).decode("utf-8", "replace")
            self.said.emit(f"The diagnostics could not be gathered: {said.strip().rpartition(chr(10))[2]}")
            return
        text = bytes(self._process.readAllStandardOutput().data()).decode("utf-8", "replace")
        text += f"\nPanel: Qt {qVersion()} on {QGuiApplication.platformName()}\n"
        QGuiApplication.clipboard().setText(scrub(text, home=self._home, prompts=self._prompts()))
        self.said.emit("The diagnostics are on the clipboard")

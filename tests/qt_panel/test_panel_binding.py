"""The installed PySide6 keeps count of Python's constants; one version did not, and brought the process down."""

import sys

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot


class _Sender(QObject):
    sent = Signal()


def test_calls_and_signals_give_no_reference_away(qtbot: QtBot) -> None:
    label, sender = QLabel(), _Sender()
    qtbot.addWidget(label)
    sender.sent.connect(label.update)
    before = sys.getrefcount(None), sys.getrefcount(True)
    for number in range(500):
        label.setText(str(number))
        sender.sent.emit()
    after = sys.getrefcount(None), sys.getrefcount(True)
    assert after[0] > before[0] - 100
    assert after[1] > before[1] - 100

"""The panel's real window, offscreen, whose Generate is pressed again and again. To be killed."""

import os
import random
import sys
from dataclasses import replace

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import fault_notes
from PySide6.QtCore import QSettings, QTimer
from PySide6.QtWidgets import QApplication
from underpaint.protocol.geometry import Extent
from underpaint.qt_panel.session import Session
from underpaint.qt_panel.settings import Memory
from underpaint.qt_panel.window import Window

options = fault_notes.options()
app = QApplication(sys.argv[:1])
session = Session()
window = Window(session, Memory(QSettings(f"{options.ledger}.ini", QSettings.Format.IniFormat)))
window.show()
session.start()
fault_notes.note_submissions(options.ledger)
random_ = random.Random(options.seed + os.getpid())


def press() -> None:
    if fault_notes.enough(options.ledger):
        window.close()
        app.quit()
        return
    panel = window.form_panel
    size, seed = Extent(width=64, height=48), random_.randrange(1 << 30)
    panel.fill(replace(panel.form, prompt="steps=2 pause=0.02", size=size, seed=seed, random_seed=False, controls=()))
    window.run_bar.generate.trigger()


timer = QTimer()
timer.timeout.connect(press)
timer.start(250)
sys.exit(app.exec())

"""What is asked before the window closes while a picture is being made."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QMessageBox, QWidget


class ClosingQuestion(QMessageBox):
    """Asks without stopping anything; says what was chosen, and goes."""

    kept = Signal()  # close, and let it go on
    stopped = Signal()  # cancel it and close

    def __init__(self, parent: QWidget) -> None:
        super().__init__(QMessageBox.Icon.Question, "Close Underpaint", "A picture is still being made.", parent=parent)
        self.setInformativeText("It can go on without this window; you will find it in the job list next time.")
        keep = self.addButton("Close, Keep Painting", QMessageBox.ButtonRole.AcceptRole)
        stop = self.addButton("Cancel It and Close", QMessageBox.ButtonRole.DestructiveRole)
        self.addButton("Stay", QMessageBox.ButtonRole.RejectRole)
        self.setDefaultButton(keep)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

        def answered() -> None:
            clicked = self.clickedButton()
            if clicked is keep:
                self.kept.emit()
            elif clicked is stop:
                self.stopped.emit()

        self.finished.connect(answered)

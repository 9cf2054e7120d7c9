"""Pictures that the service holds, fetched once and kept for a while."""

from collections import OrderedDict

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from ..protocol.arrays import AnyArray, ArrayRef
from . import messages as m
from .collecting import Collector
from .pictures import displayed, to_qimage
from .session import Session

_KEPT_BYTES = 256 << 20  # of decoded pictures; the oldest go first


class Gallery(QObject):
    """Hands out pictures by reference: at once where they are kept, by `came` otherwise."""

    came = Signal(object, object)  # ArrayRef, QImage

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._kept: OrderedDict[str, tuple[AnyArray, QImage]] = OrderedDict()
        self._asked: set[str] = set()
        session.reported.connect(self._hear)
        self._collector = Collector(session, self)

    def image(self, ref: ArrayRef) -> QImage | None:
        """A picture that is kept; None asks for it, and `came` follows."""
        kept = self._kept.get(ref.sha256)
        if kept is None:
            self.want(ref)
            return None
        self._kept.move_to_end(ref.sha256)
        return kept[1]

    def pixels(self, ref: ArrayRef) -> AnyArray | None:
        """The same as an array, (height, width, 3), uint8 or float32; None while it is not here."""
        kept = self._kept.get(ref.sha256)
        return None if kept is None else kept[0]

    def want(self, ref: ArrayRef) -> None:
        """Have `came` tell of a picture, fetching it once."""
        kept = self._kept.get(ref.sha256)
        if kept is not None:
            self.came.emit(ref, kept[1])
        elif ref.sha256 not in self._asked:
            self._asked.add(ref.sha256)
            self._session.send(m.LoadPicture(ref=ref))

    def _hear(self, report: m.Report) -> None:
        match report:
            case m.PictureLoaded(ref=ref, pixels=pixels):
                self._asked.discard(ref.sha256)
                self._kept[ref.sha256] = (pixels, to_qimage(displayed(pixels)))
                while sum(pixels.nbytes for pixels, _ in self._kept.values()) > _KEPT_BYTES and len(self._kept) > 1:
                    self._kept.popitem(last=False)
                self.came.emit(ref, self._kept[ref.sha256][1])
            case m.Connected():
                self._asked.clear()  # what was refused while there was no backend may be asked for again
            case _:
                pass

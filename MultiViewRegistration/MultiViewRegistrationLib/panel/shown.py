"""What is only seen: texts, the bar of what is under way, pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import qt

from ..session.presenters import form as controls
from .drawn import Drawn, Make, embolden, joined, pixmap
from .style import PLAIN, QUIET, plain_label, put, set_tone

#: Width of a picture, in heights, at most.
PICTURE_WIDTH = 4 / 3


class _Text(Drawn[controls.Text]):
    def make(self, control: controls.Text) -> Any:
        label = plain_label()
        label.wordWrap = True
        label.minimumWidth = 1  # a long name, which cannot be wrapped, must not widen the panel
        label.textInteractionFlags = qt.Qt.TextSelectableByMouse
        return label

    def show(self, control: controls.Text) -> None:
        if control == self.before:
            return
        set_tone(self.widget, PLAIN if control.tone == controls.STRONG else control.tone)
        embolden(self.widget, control.tone == controls.STRONG)
        self.widget.text = self.unit.shown(control.label) if self.unit else control.label


class _Progress(Drawn[controls.ProgressBar]):
    def make(self, control: controls.ProgressBar) -> Any:
        self.bar, self.text = qt.QProgressBar(), plain_label()
        self.bar.textVisible = False
        self.text.wordWrap = True
        return joined(qt.QVBoxLayout, self.bar, self.text)

    def show(self, control: controls.ProgressBar) -> None:
        unknown = control.percent is None  # the bar goes to and fro
        put(self.bar, maximum=0 if unknown else 100, value=control.percent or 0)
        put(self.text, text=control.label)


class _ClickFilter(qt.QObject):
    """Tells where the picture of a label, in its middle, is clicked; to be kept as long as the label."""

    def __init__(self, label: Any, then: Callable[[float, float], object]) -> None:
        super().__init__()
        self._label = label
        self._then = then
        self.size = (0, 0)
        label.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Return whether the event has been dealt with; Qt calls this."""
        if event.type() != qt.QEvent.MouseButtonRelease:
            return False
        at = event.position() if hasattr(event, "position") else event.pos()  # Qt 6, or 5
        width, height = self.size
        across = (at.x() - (self._label.width - width) / 2) / max(width, 1)
        down = (at.y() - (self._label.height - height) / 2) / max(height, 1)
        if 0 <= across <= 1 and 0 <= down <= 1:
            self._then(across, down)
        return True


class _Picture(Drawn[controls.Picture]):
    def make(self, control: controls.Picture) -> Any:
        self._rgb: np.ndarray | None = None
        self.picture, self.text = plain_label(), plain_label()
        self._clicks = _ClickFilter(self.picture, self.act) if control.action else None
        if self._clicks:
            self.picture.setCursor(qt.QCursor(qt.Qt.PointingHandCursor))
        for part in (self.picture, self.text):
            part.alignment = qt.Qt.AlignCenter
        self.text.wordWrap = True
        set_tone(self.text, QUIET)
        return joined(qt.QVBoxLayout, self.picture, self.text)

    def show(self, control: controls.Picture) -> None:
        if control.wide:
            self.picture.scaledContents = True
            self.picture.setFixedHeight(control.height)
        if control.rgb is not None and control.rgb is not self._rgb:
            self._rgb = control.rgb
            self.picture.setPixmap(
                pixmap(
                    control.rgb,
                    round(PICTURE_WIDTH * control.height),
                    control.height,
                    control.aspect,
                )
            )
        elif control.svg and (self.before is None or control.svg != self.before.svg):
            picture = qt.QPixmap()
            picture.loadFromData(qt.QByteArray(control.svg.encode()), "SVG")
            self.picture.setPixmap(picture)
            if self._clicks:
                self._clicks.size = picture.width(), picture.height()
            # a form's layout does not see how high a text below a picture is
            text = 2 * self.text.fontMetrics().lineSpacing() + self.widget.layout().spacing
            self.widget.minimumHeight = picture.height() + text
        if control != self.before:
            put(self.text, text=control.label)
            self.text.setVisible(bool(control.label))


KINDS: dict[type[controls.Control], Make] = {
    controls.Text: _Text,
    controls.ProgressBar: _Progress,
    controls.Picture: _Picture,
}

"""What a person should read once, above the sections."""

from __future__ import annotations

MARK = "\u26a0 "


class Notices:
    """A label with the `session.session.UnreadNotices` of the registration at work, and a button that acknowledges them.

    panel: the `panel.Panel` whose widgets they are.
    """

    def __init__(self, panel) -> None:
        self._panel, self._ui = panel, panel.ui
        self._ui.noticeButton.clicked.connect(self._on_understood)

    def refresh(self) -> None:
        """Show what is not yet acknowledged."""
        sentences = self._panel.session.notices.sentences if self._panel.session else []
        self._ui.noticeLabel.text = "\n".join(MARK + sentence for sentence in sentences)
        for widget in (self._ui.noticeLabel, self._ui.noticeButton):
            widget.setVisible(bool(sentences))

    def _on_understood(self) -> None:
        with self._panel.acting():
            self._panel.session.notices.acknowledge()

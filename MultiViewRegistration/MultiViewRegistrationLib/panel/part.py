"""A part of a section: what belongs together of its widgets, in a file of its own."""

from __future__ import annotations


class Part:
    """Works on the widgets of its section's .ui, which a subclass connects in `connect`."""

    def __init__(self, section) -> None:
        self.section, self.panel, self.ui = section, section.panel, section.ui
        self.connect()

    @property
    def registration(self):
        """The `mrml.registration.Registration` at work."""
        return self.section.registration

    @property
    def session(self):
        """Its `session.session.Session`."""
        return self.section.session

    def connect(self) -> None:
        """Connect the widgets, once."""

    def adopt(self) -> None:
        """There is another registration at work."""

    def let_go(self) -> None:
        """Take away of the registration at work what would not be followed any more; its scene is there."""

    def refresh(self) -> None:
        """Show the scene as it is."""

    def follow(self) -> None:
        """Keep true what views show; also while another module is open."""

    def tick(self) -> None:
        """Keep true what changes in the panel by itself."""

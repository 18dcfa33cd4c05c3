"""Two poses side by side, in a dialog over the page."""

from __future__ import annotations

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..session import comparison
from ..session.background_task import Worker
from ..session.history import Entry
from ..session.words import method_in_words
from .picture import data_url

CLOSED = {"open": False, "text": "", "names": [], "rows": []}


class ComparisonPart:
    """Of where the CT is now with another entry of the history.   section: the `RegisterSection` that has the history."""

    def __init__(self, section) -> None:
        self._section = section
        self._worker: Worker | None = None
        self._names: list[str] = []
        section.application.state.comparison = CLOSED

    def build(self) -> None:
        with (
            v.VDialog(model_value=("comparison.open",), update_modelValue=(self.close, "[]"), max_width=1200),
            v.VCard(title="Two poses side by side"),
        ):
            with v.VCardText():
                html.Div("{{ comparison.text }}", classes="mv-fact", role="status")
                with html.Table(classes="mv-compared"):
                    with html.Thead(), html.Tr():
                        html.Th("")
                        html.Th("{{ name }}", v_for="name in comparison.names", key="name")
                    with html.Tbody(), html.Tr(v_for="row in comparison.rows", key="row.name"):
                        html.Th("{{ row.name }}")
                        with html.Td(v_for="(picture, index) in row.pictures", key="index"):
                            html.Img(
                                src=("picture",), alt=("`Edges of bone over ${row.name}, ${comparison.names[index]}`",)
                            )
            with v.VCardActions():
                v.VSpacer()
                v.VBtn("Close", click=self.close)

    def adopt(self) -> None:
        """There is another registration at work."""
        self._worker = None
        self._show(CLOSED)

    def tick(self) -> None:
        """Take what was drawn."""
        if self._worker is None:
            return
        self._worker.poll(0)
        if self._worker.state == "running":
            return
        worker, self._worker = self._worker, None
        if worker.state != "done":
            self._show({**CLOSED, "open": True, "text": worker.message})
            return
        found = worker.result
        self._show(
            {
                "open": True,
                "names": self._names,
                "text": f"The CT's centre is {found.mm:.2f} mm apart, and it is turned by {found.degrees:.2f}°. Orange: edges of bone.",
                "rows": [
                    {"name": name, "pictures": [data_url(picture) for picture in pictures]}
                    for name, *pictures in found.pictures
                ],
            }
        )

    def compare(self, number: int) -> None:
        """Compare with an entry, by its number."""
        section = self._section
        with section.application.acting():
            entries = section.session.history.entries
            if not 0 <= int(number) < len(entries):
                raise InputError("Compare: this pose is not there, expected one of the history; choose another.")
            other = entries[int(number)]
            now = Entry.now("now", section.registration.world_from_ct)
            work = comparison.compare_poses(section.session, now, other)
            self._worker = Worker(lambda tell: work())
            self._names = ["Where the CT is now", f"{method_in_words(other)}, {other.time[11:19]}"]
            self._show({**CLOSED, "open": True, "text": "Drawing…"})

    def close(self) -> None:
        """Close the dialog."""
        self._worker = None
        self._show(CLOSED)

    def _show(self, content: dict) -> None:
        self._section.application.state.comparison = content

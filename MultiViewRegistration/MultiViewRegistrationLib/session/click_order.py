"""Which landmark a click means, by the order of the clicks before."""

from __future__ import annotations


class ClickOrder:
    """A person clicks image by image (all landmarks in the CT, then all in an X-ray), or landmark by landmark (one in the CT and in each
    X-ray, then the next one), and leaves out what an image does not show.

    Where the last two clicks were in the same image, it is the former, and the first landmark that an image lacks comes next there. Where
    they were not, it is the latter, and the landmark that was clicked last comes next everywhere.
    """

    def __init__(self) -> None:
        self._chosen: dict[str, str] = {}
        self._last: list[tuple[str, str]] = []

    def choose(self, where: str, name: str) -> None:
        """A person says which landmark comes next in an image."""
        self._chosen[where] = name

    def clicked(self, where: str, name: str) -> None:
        """A landmark was clicked in an image."""
        self._last = [*self._last, (where, name)][-2:]
        self._chosen.pop(where, None)

    def next(self, where: str) -> str:
        """The landmark that comes next in an image, unless it is there already; "" where that is not known."""
        by_landmark = len({place for place, _ in self._last}) == 2
        return self._chosen.get(where) or (self._last[-1][1] if by_landmark else "")

"""The poses a registration has had: kept in the scene, clicked to go back to, undone and redone. Nothing is ever lost from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime

import numpy as np

from .registration import Registration

PARAMETER = "history"
POSITION = "historyPosition"


@dataclass(frozen=True)
class Entry:
    """A pose and how it came about.

    time: ISO 8601, local.   method: "given", "search", "landmarks", "by hand", "transform", ...
    similarity: local NCC by the view's name.   cameras: those that were corrected, by the view's name, as in case.json.
    fingerprint: of the inputs that a registration had; "" where the pose is no result of one.
    reasons: what a person must know before trusting the pose.   seconds: that it took.
    """

    time: str
    method: str
    world_from_ct: list[list[float]]
    similarity: dict[str, float] = field(default_factory=dict)
    cameras: dict[str, dict] = field(default_factory=dict)
    fingerprint: str = ""
    reasons: list[str] = field(default_factory=list)
    seconds: float | None = None

    @classmethod
    def now(cls, method: str, world_from_ct: np.ndarray, **more) -> Entry:
        return cls(datetime.now().astimezone().isoformat(timespec="seconds"), method, np.asarray(world_from_ct).tolist(), **more)

    @property
    def key(self) -> str:
        """Tells it from the others."""
        return f"{self.time} {self.method} {self.world_from_ct}"

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) world_from_ct, LPS."""
        return np.array(self.world_from_ct)


class History:
    """The entries of one registration, and at which of them it is."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration

    @property
    def entries(self) -> list[Entry]:
        """The oldest first."""
        return [Entry(**entry) for entry in json.loads(self._registration.parameter(PARAMETER, "[]"))]

    @property
    def position(self) -> int:
        """Of the entry that the registration is at; -1 without any."""
        return int(self._registration.parameter(POSITION, "-1"))

    @property
    def current(self) -> Entry | None:
        return self.entries[self.position] if self.position >= 0 else None

    def add(self, entry: Entry) -> None:
        """Add an entry after all others, and be there."""
        entries = [asdict(other) for other in self.entries] + [asdict(entry)]
        self._registration.node.SetParameter(PARAMETER, json.dumps(entries))
        self._move(len(entries) - 1)

    def go(self, position: int) -> Entry:
        """Put the CT and the cameras back as they were then."""
        entry = self.entries[position]
        self._registration.world_from_ct = entry.pose
        for view in self._registration.xrays:
            corrected = entry.cameras.get(view.name)
            if view.content.get("corrected") != corrected:
                view.change(corrected=corrected)
                view.place()
        self._move(position)
        return entry

    def undo(self) -> Entry | None:
        """To the entry before, if there is one."""
        return self.go(self.position - 1) if self.position > 0 else None

    def redo(self) -> Entry | None:
        """To the entry after, if there is one."""
        return self.go(self.position + 1) if self.position < len(self.entries) - 1 else None

    def rename_view(self, before: str, after: str) -> None:
        """What was kept under a view's name from now on has another."""
        entries = json.loads(self._registration.parameter(PARAMETER, "[]"))
        for entry in entries:
            for kept in (entry["similarity"], entry["cameras"]):
                if before in kept:
                    kept[after] = kept.pop(before)
        self._registration.node.SetParameter(PARAMETER, json.dumps(entries))

    def _move(self, position: int) -> None:
        self._registration.node.SetParameter(POSITION, str(position))

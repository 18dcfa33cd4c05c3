"""History of the poses of a registration, stored in the scene, with undo and redo.

Entries are never deleted by undo.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from dataclasses import fields as dataclass_fields
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from ..assessment.bodies import BodyResult
from ..assessment.records import Assessment
from ..io.files import JsonObject, plain
from ..io.result_json import (
    AssessedPose,
    all_edges_match,
    assessment_json,
    body_json,
    bones_in,
    edge_findings,
    edge_keys,
    read_assessment,
    read_body,
    read_edge_checks,
)
from ..mrml.ct_3d import Places, bones_of, places_of, put_apart, put_bones, same_places
from ..mrml.fingerprints import ct_fingerprint, fingerprint
from ..mrml.registration import Registration
from ..translation import _

if TYPE_CHECKING:
    from ..report.result import Result

#: How a person reads the methods of entries.
METHODS = {
    "before": _("Before"),
    "moved": _("Moved"),
    "transform": _("Transform"),
    "centred": _("Centred"),
    "tracked": _("Sequence"),
    "given": _("From here"),
    "search": _("Search"),
    "landmarks": _("Landmarks"),
    "by hand": _("By hand"),
    "regressor": _("Regressor"),
    "auto": _("Automatic"),
    "bones": _("Each bone by itself"),
    "one body": _("As one body"),
    "removed": _("Removed"),
}
#: State of each assessed view, see `assessment.records.Assessment.view_states`.
VIEW_STATES = ("good", "check", "bad")
PARAMETER = "history"
POSITION = "historyPosition"
#: In the record: the names of implants that were removed.
REMOVED = "removed"


@dataclass(frozen=True, eq=False)
class HistoryEntry(AssessedPose):
    """A pose and its origin.

    Attributes
    ----------
    time
        ISO 8601, local.
    method
        "given", "search", "landmarks", "by hand", "transform", ...
    seconds
        Duration in seconds, including the preparation at the first start after installation
        (first_time_s).
    cameras
        Corrected cameras by view name, as stored by `XRayView`.
    fingerprint
        Fingerprint of the inputs of the registration; "" if the pose is not a registration result.
    refinement
        Name of the published refinement, if one was used.
    device
        Compute device, see `ComputeDevice.display_name`; "" for the CPU.
    regressor
        Of a start by a regressor: "model", its folder's name; "expected_mm"; "selected_start", what
        the pose came from.
    assessment
        None if the pose was not assessed.
    notes
        Warnings of the registration, and messages about a pose that was not assessed.
    views
        "good", "check" or "bad" for the 3D position, by view name; empty if not assessed.
    bodies, motions
        Bones with separate poses; their motions as in a result.json.
    decisive
        As `Result.decisive`, for a result that was read from a file.
    edge_checks
        Edge checks by the user, with the keys of `result_json.edge_keys`.
    assessed
        Fingerprint of the inputs with which a pose that was not registered was assessed; or "".
    after
        Number of the previously current entry; None for the first.
    ct
        Fingerprint of the CT's voxels.
    """

    time: str
    method: str
    world_from_ct: list[list[float]]
    cameras: dict[str, dict] = field(default_factory=dict)
    fingerprint: str = ""
    seconds: float | None = None
    first_time_s: float = 0.0
    refinement: str = ""
    device: str = ""
    regressor: dict = field(default_factory=dict)
    assessment: Assessment | None = None
    notes: list[str] = field(default_factory=list)
    views: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, BodyResult] = field(default_factory=dict)
    motions: list[dict] = field(default_factory=list)
    decisive: dict[str, list[list[int]]] = field(default_factory=dict)
    edge_checks: dict[str, bool] = field(default_factory=dict)
    assessed: str = ""
    after: int | None = None
    ct: str = ""

    @classmethod
    def from_json(cls, content: dict) -> HistoryEntry:
        """Restore an entry from the output of `to_json`."""
        fields = JsonObject("the scene", "history", content)
        known = {
            each.name: content[each.name] for each in dataclass_fields(cls) if each.name in content
        }
        known["assessment"] = read_assessment(fields)
        known["bodies"] = {name: read_body(name, each) for name, each in bones_in(fields).items()}
        return cls(**known)

    def to_json(self) -> dict:
        """Return the entry as JSON content."""
        bodies = {name: body_json(body) for name, body in self.bodies.items()}
        own = {key: value for key, value in vars(self).items() if key != "assessment"}
        return plain({**own, **assessment_json(self.assessment), "bodies": bodies})

    @classmethod
    def now(cls, method: str, world_from_ct: np.ndarray, **more: Any) -> HistoryEntry:
        """Make an entry of this moment, with more of its fields."""
        return cls(
            datetime.now().astimezone().isoformat(timespec="seconds"),
            method,
            np.asarray(world_from_ct).tolist(),
            **more,
        )

    @classmethod
    def of_content(
        cls, method: str, world_from_ct: np.ndarray, fields: JsonObject, **more: Any
    ) -> HistoryEntry:
        """Make an entry of a pose with what a result.json says of it, and more or other fields.

        InputError for what is none.
        """
        content = fields.values
        views = {each.text("name", "its name"): each for each in fields.sections("views", "views")}
        states = {name: view.values.get("state") for name, view in views.items()}
        decisive = {
            name: view.array("decisive_px", (2, 2), "pixels").astype(int).tolist()
            for name, view in views.items()
            if view.has("decisive_px")
        }
        assessment = read_assessment(fields)
        reasons = fields.optional("reasons", fields.texts, "sentences", default=[])
        known = {
            "assessment": assessment,
            "notes": [] if assessment else reasons,
            "seconds": content.get("seconds", {}).get("total"),
            "views": {name: state for name, state in states.items() if state in VIEW_STATES},
            "decisive": decisive,
            "edge_checks": read_edge_checks(fields),
            "bodies": {name: read_body(name, each) for name, each in bones_in(fields).items()},
            "motions": fields.optional("motions", fields.value, "a list", list, default=[]),
        }
        return cls.now(method, world_from_ct, **{**known, **more})

    @classmethod
    def of_result(
        cls, method: str, world_from_ct: np.ndarray, result: Result, **more: Any
    ) -> HistoryEntry:
        """Make an entry of a pose with what a `result.Result` says of it, and more or other fields."""
        device = result.compute_device.display_name
        fields = JsonObject("result.json", "", result.to_json())
        return cls.of_content(method, world_from_ct, fields, **{"device": device, **more})

    def confirmed(self, keys: Iterable[str]) -> bool:
        """Return whether the user confirmed the edges for all these keys."""
        return all_edges_match(self.edge_checks, keys)

    def verdict_of(self, name: str) -> str | None:
        """Return the verdict of a bone, or that its edges were confirmed."""
        bone = self.bones[name]
        confirmed = bone.verdict == "check" and self.confirmed(edge_keys(name, bone.similarity))
        return _("check, edges confirmed") if confirmed else bone.verdict

    @property
    def mismatched_views(self) -> list[str]:
        """The X-rays in which the user saw edges of the whole CT that do not match."""
        checks = self.edge_checks.items()
        return [key for key, matches in checks if not matches and "/" not in key]

    @property
    def as_checked(self) -> HistoryEntry:
        """The entry after the user's edge checks: at best "check" for any use if an edge does not match."""
        checks = self.edge_checks
        bodies = {}
        for name, body in self.bodies.items():
            assessment = body.assessment
            if assessment:
                assessment = assessment.with_findings(edge_findings(checks, name))
            bodies[name] = replace(body, assessment=assessment)
        whole = self.assessment
        if whole:
            whole = whole.with_findings(edge_findings(checks))
        return replace(self, assessment=whole, bodies=bodies)

    @property
    def bones(self) -> dict[str, BodyResult]:
        """The bones with separate poses."""
        return self.bodies

    @property
    def key(self) -> str:
        """What identifies the entry."""
        return f"{self.time} {self.method} {self.world_from_ct}"

    @property
    def pose(self) -> np.ndarray:
        """The pose world_from_ct (4, 4), LPS."""
        return np.array(self.world_from_ct)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The fingerprints of the inputs that the pose was registered, or assessed, with."""
        return tuple(filter(None, (self.fingerprint, self.assessed)))

    @property
    def bone_poses(self) -> Places:
        """The poses (4, 4), LPS, of the bones that have one of their own, by their names."""
        return {name: body.world_from_ct for name, body in self.bodies.items()}

    @property
    def places(self) -> Places:
        """Where CT and bones are."""
        return {"": self.pose, **self.bone_poses}


class History:
    """The entries of one registration, and the current one.

    Attributes
    ----------
    unnoted
        Method of a pose that has not yet been recorded.
    """

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._read: tuple[str, list[HistoryEntry]] = "", []  # a timer asks for them again and again
        #: The volumes of what was removed, by its name; no saved scene has them.
        self._removed: dict[str, Any] = {}
        self.unnoted = "moved"

    @property
    def entries(self) -> list[HistoryEntry]:
        """The entries, the oldest first."""
        content = self._registration.parameter(PARAMETER, "[]")
        if content != self._read[0]:
            self._read = content, [HistoryEntry.from_json(entry) for entry in json.loads(content)]
        return list(self._read[1])

    @property
    def position(self) -> int:
        """The index of the current entry; -1 without any."""
        return int(self._registration.kept(POSITION, -1))

    @property
    def current(self) -> HistoryEntry | None:
        """The entry that the registration is at; None without any."""
        return self.entries[self.position] if self.position >= 0 else None

    @property
    def moved(self) -> bool:
        """Whether the pose of the CT or of a bone differs from the current entry, or there is no entry."""
        current = self.current
        return current is None or not same_places(current.places, places_of(self._registration))

    @property
    def added_implants(self) -> set[str]:
        """The names of implants added after the current entry; its verdict does not cover them."""
        current = self.current
        registration = self._registration
        implants = registration.apart.keys() - registration.bone_cts.keys()
        return set() if current is None else implants - current.bodies.keys()

    @property
    def is_displaced(self) -> bool:
        """Whether a registered body of the current entry has moved since, or there is no entry."""
        current = self.current
        if current is None:
            return True
        added = self.added_implants
        places = places_of(self._registration)
        registered = {name: pose for name, pose in places.items() if name not in added}
        return not same_places(current.places, registered)

    @property
    def inputs(self) -> str:
        """Fingerprint of the current inputs, without implants that were added since the current entry."""
        return fingerprint(self._registration, self.added_implants)

    @property
    def change_since_registration(self) -> str:
        """Sentence on how the CT or a bone has changed since the last registration; "" if unchanged."""
        entry = self.current
        while entry is not None and entry.method == "by hand" and entry.after is not None:
            entry = self.entries[entry.after]
        if entry is None:
            return ""
        if self._registration.ct is None:
            return _("There is no CT.")
        if entry.ct not in ("", ct_fingerprint(self._registration)):
            return _("The CT was replaced by another one.")
        places = places_of(self._registration)
        if gone := sorted(entry.bone_poses.keys() - places.keys()):
            return _("The transform of {names} was removed.").format(names=", ".join(gone))
        moved = not same_places({"": entry.pose}, {"": places[""]})
        return _("The CT was moved by hand.") if moved else ""

    def add(self, entry: HistoryEntry) -> None:
        """Append an entry and make it current."""
        after = self.position if self.position >= 0 else None
        ct = ct_fingerprint(self._registration)
        entries = [*self.entries, replace(entry, after=after, ct=ct)]
        self._keep(entries)
        self._move(len(entries) - 1)

    def replace_current(self, entry: HistoryEntry) -> None:
        """Replace the current entry."""
        entries = self.entries
        entries[self.position] = entry
        self._keep(entries)

    def note(self, method: str) -> None:
        """Add the pose and the cameras as they are now, unless the CT is where the entry says.

        Where it is again exactly where another entry was assessed, be there: its verdict holds.
        """
        if not self.moved:
            return
        places = places_of(self._registration)
        for position, entry in self._standing():
            if same_places(entry.places, places):
                self.put(entry)
                self._move(position)
                return
        pose = self._registration.world_from_ct
        cameras = self._cameras()
        self.add(HistoryEntry.now(method, pose, cameras=cameras, bodies=self._current_bones()))

    def note_here(self) -> None:
        """Record the current pose before the CT is moved."""
        self.note(self.unnoted if self.entries else "before")

    def go(self, position: int) -> HistoryEntry:
        """Restore the CT and the cameras of an entry.

        A pose that is not yet recorded is recorded first.
        """
        if self.position >= 0:
            self.note(self.unnoted)
        entry = self.entries[position]
        self.put(entry)
        self._move(position)
        return entry

    def undo(self) -> HistoryEntry | None:
        """Go to where the registration was before, if it was anywhere."""
        return self.go(self._before) if self._before is not None else None

    def redo(self) -> HistoryEntry | None:
        """Go to what came last after this entry, if anything did."""
        return self.go(self._after) if self._after is not None else None

    def put(self, entry: HistoryEntry) -> None:
        """Apply the poses of CT and bones and the cameras of an entry.

        Camera corrections are ignored if the geometry has been changed since.
        """
        registration = self._registration
        registration.world_from_ct = entry.pose
        poses = entry.bone_poses
        there = registration.apart
        for name, volume in self._removed.items():
            if name in poses:
                there.setdefault(name, volume)
            elif there.get(name) is volume:
                del there[name]
        if self._removed:
            put_apart(registration, there, poses)
        lost = set(registration.kept(REMOVED, [])) - registration.apart.keys()
        put_bones(registration, {name: pose for name, pose in poses.items() if name not in lost})
        for view in self._registration.xrays:
            kept = entry.cameras.get(view.name)
            record = view.record
            stands = kept is not None and kept.get("of") == record.geometry_fingerprint
            if view.correct(record.camera_like(kept) if kept and stands else None):
                view.place()

    def remove(self, name: str) -> None:
        """Remove an implant from the scene; `undo` restores it."""
        self.note_here()
        volumes = self._registration.apart
        self._removed[name] = volumes.pop(name)
        gone = self._registration.kept(REMOVED, [])
        self._registration.keep(REMOVED, [*gone, name])
        poses = self.entries[self.position].bone_poses
        del poses[name]
        put_apart(self._registration, volumes, poses)
        self.note("removed")

    can_undo = property(lambda self: self._before is not None)
    can_redo = property(lambda self: self._after is not None)

    @property
    def _before(self) -> int | None:
        current = self.current
        if current is None:
            return None
        return self.position if self.moved else current.after

    @property
    def _after(self) -> int | None:
        numbered = enumerate(self.entries)
        return max((n for n, entry in numbered if entry.after == self.position), default=None)

    def _cameras(self) -> dict[str, dict]:
        kept = {}
        for view in self._registration.xrays:
            record = view.record
            if record.corrected:
                kept[view.name] = {**record.corrected.to_json(), "of": record.geometry_fingerprint}
        return kept

    def _standing(self) -> list[tuple[int, HistoryEntry]]:
        """Return the entries whose verdicts apply to the current inputs, the last first, with their positions."""
        now = fingerprint(self._registration)
        every = reversed(list(enumerate(self.entries)))
        return [each for each in every if each[1].verdict and now in each[1].inputs]

    def _current_bones(self) -> dict[str, BodyResult]:
        """Return each bone at its current pose, with its result if it was registered there."""
        registered = [entry.bodies for _n, entry in self._standing()]
        current = bones_of(self._registration)
        return {
            name: _result_at(name, bone.world_from_ct, registered) for name, bone in current.items()
        }

    def rename_view(self, before: str, after: str) -> None:
        """Rename a view in all entries."""
        entries = self.entries
        for entry in entries:
            of_views: list[dict[str, Any]] = [
                *(entry.cameras, entry.views, entry.decisive, entry.edge_checks),
                *(body.similarity for body in entry.bodies.values()),
            ]
            for kept in of_views:
                for key in [each for each in kept if each.rpartition("/")[2] == before]:
                    kept[key.removesuffix(before) + after] = kept.pop(key)
        self._keep(entries)

    def _keep(self, entries: list[HistoryEntry]) -> None:
        self._registration.node.SetParameter(
            PARAMETER, json.dumps([entry.to_json() for entry in entries])
        )

    def _move(self, position: int) -> None:
        self._registration.keep(POSITION, position)


def _result_at(name: str, pose: np.ndarray, registered: list[dict[str, BodyResult]]) -> BodyResult:
    """Return the first result of a bone that was registered at a pose (4, 4), or one without assessment."""
    for bodies in registered:
        if name in bodies and same_places({name: bodies[name].world_from_ct}, {name: pose}):
            return bodies[name]
    return BodyResult(name, pose)


#: Seconds for which the CT must rest.
REST_S = 0.6


class ManualMoveRecorder:
    """Records manual movements of the CT with any tool; `step` is called from a timer.

    While it is there, a pose that was left before it had rested is noted as one by hand, too.
    """

    def __init__(self, registration: Registration, history: History) -> None:
        self.registration = registration
        self._history = history
        self._dragging = False
        self._seen = b""
        self._since = monotonic()
        if not history.entries:
            history.note("before")
        elif history.moved:
            history.note("moved")
        history.unnoted = "by hand"

    def begin(self) -> None:
        """Note that the mouse, or a key, is pressed."""
        self._dragging = True

    def end(self) -> None:
        """Note that the mouse is released, or the key has moved the CT."""
        self._dragging = False
        self._since = monotonic()

    def step(self) -> bool:
        """Record the poses at which CT and bones have stopped, and return whether there were any."""
        places = b"".join(pose.tobytes() for pose in places_of(self.registration).values())
        if places != self._seen:
            self._seen = places
            self._since = monotonic()
        if self._dragging or monotonic() - self._since < REST_S or not self._history.moved:
            return False
        self._history.note("by hand")
        return True

    def stop(self) -> None:
        """Note the last movement: from now on others move the CT."""
        if self.registration.scene is not None:
            self._history.note("by hand")
        self._history.unnoted = "moved"


def describe_method(entry: HistoryEntry) -> str:
    """Return the origin of a pose, in words, with the published refinement, if any."""
    method = METHODS.get(entry.method, entry.method)
    return f"{method}, {entry.refinement}" if entry.refinement else method

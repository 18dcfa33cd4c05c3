"""The answer above all sections: the verdict on the current pose, its reasons, and the next action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any

from ...errors import InputError
from ...io.recognise import CT, XRAY
from ...mrml.identity import patients_in_doubt, patients_in_words
from ...report.messages import USE_NAMES, describe_use, proposed_view, remedy
from ...translation import _
from .. import assessment
from ..registering import (
    MIN_XRAYS,
    AutomaticRegistration,
    missing_images,
    register_bones,
)
from ..tasks import within_sentence
from .check import EdgesPresenter
from .form import (
    Button,
    Control,
    Files,
    Form,
    ProgressBar,
    Text,
    group,
    row,
    texts,
)
from .section import Host, Presenter, progress_bar
from .sections import Sections

#: Symbol and word of each kind of answer: a colour alone says nothing to one in twelve men; "reading"
#: in place of the verdict of before, while another registration or CT is read.
WORDS = {
    "accept": ("\u2714", _("ACCEPT")),
    "check": ("\u26a0", _("CHECK")),
    "checked": ("\u2611", _("CHECK, edges confirmed")),
    "reject": ("\u2718", _("REJECT")),
    "not shown": ("\u2718", _("NOT SHOWN")),
    "running": ("\u25b6", _("REGISTERING")),
    "failed": ("\u2718", _("FAILED")),
    "moved": ("\u25cb", _("NOT ASSESSED")),
    "none": ("\u25cb", _("NOT REGISTERED")),
    "reading": ("\u25cb", _("READING")),
}
#: Where each bone has a pose of its own that is accepted, and the CT in one piece is to be checked.
EACH_ACCEPTED = "\u2714", _("BONES: ACCEPT")
#: Those of a pose that was assessed.
VERDICTS = ("accept", "check", "checked", "reject")
#: Symbol and word of each state of an X-ray.
VIEW_WORDS = {
    "good": ("\u2714", _("speaks for the pose")),
    "check": ("\u26a0", _("is in doubt")),
    "bad": ("\u2718", _("does not fit")),
}
#: Where something is checked: what the button says, and the section.
SECTIONS_TO_CHECK = {
    "start": (_("Check the start"), "start"),
    "ct": (_("Check the CT"), "ct"),
}
#: What the DICOM headers name, and what a person does about it.
DIFFERENT_PATIENTS = _(
    "The DICOM headers name different patients. Confirm that they are one, or remove the wrong "
    "image."
)
#: Asked before it is kept that they are.
PATIENTS = _(
    "By their DICOM headers CT and X-rays are of different patients or sides. Are they of the same "
    "patient all the same?"
)
#: What ends the doubt about a C-arm's readings.
PHANTOM = _(
    "A C-arm's readings are not known better. Where the X-rays show a phantom of steel balls beside "
    "the bone, or can be taken again with one: press Calibrate."
)
#: What a person who sees the edges fit has settled for these X-rays.
SEEN_IN_EDGES = ("overlays", "calibration", "certainty", "xray")
#: Starts from a pose that was set, which may be what is wrong.
PLACED = ("given", "by hand")
#: Seconds between two looks at whether the answer still holds.
LOOK_S = 0.2


@dataclass(frozen=True)
class AnswerView:
    """An X-ray that is used.

    Attributes
    ----------
    state
        "good", "check" or "bad".
    symbol
        Symbol of the state.
    tip
        The state in words.
    """

    name: str
    state: str
    symbol: str
    tip: str


@dataclass(frozen=True)
class Answer:
    """The verdict on a registration, its reasons, and the headline.

    Attributes
    ----------
    kind
        One of WORDS.
    symbol, word
        Symbol and word of the kind.
    headline
        Most important statement.
    views
        Views of a pose with a verdict.
    why
        Reasons of the verdict, one sentence each, the cause first.
    """

    kind: str
    symbol: str
    word: str
    headline: str
    views: tuple[AnswerView, ...] = ()
    why: tuple[str, ...] = ()


class AnswerPresenter(Presenter):
    """Shows the verdict, and one button for the next action.

    The registration of a new case starts automatically.

    Parameters
    ----------
    host
        See `Presenter`.
    sections
        Steps of the workflow, whose actions are offered.
    """

    TITLE = _("Answer")
    BEGINS = True

    def __init__(self, host: Host, sections: Sections) -> None:
        self._sections = sections
        self._geometry = sections.xrays.geometry
        self._register = sections.register
        self._landmarks = sections.start.landmarks
        self._edges = EdgesPresenter(host)
        super().__init__(host)

    def reset(self) -> None:
        """Discard all state of the previous registration."""
        self._automatic = (
            AutomaticRegistration(self.session) if self.host.session is not None else None
        )
        self._shown = Answer("none", *WORDS["none"], "")
        self._looked = 0.0
        self._placing = False
        self._edges.reset()

    @property
    def changing(self) -> bool:
        """Whether the content currently changes without user action."""
        session = self.host.session
        return session is not None and bool(session.running_registration or self._edges.question)

    # What it shows

    def answer(self) -> Answer:
        """Return the current answer."""
        session = self.host.session
        kind, headline = self._kind_and_headline()
        cancelled = session is not None and session.ended == "cancelled"
        if kind in ("moved", "failed") or (kind == "none" and cancelled):
            headline = " \u00b7 ".join(filter(None, [headline, self._register.missing()]))
        if session is None or kind not in (*VERDICTS, "moved"):
            return Answer(kind, *WORDS[kind], headline)
        if kind != "moved" and session.sequence.frame is None:
            headline = " \u00b7 ".join(filter(None, [headline, session.bones.summary()]))
            headline = self._edges.question or headline
        states = {} if kind == "moved" else assessment.view_states(session)
        views = [view.name for view in self.registration.used_xrays if view.name in states]
        if kind != "moved":
            kind = "checked" if assessment.checked(session) else assessment.overall_verdict(session)
        is_of_bones = kind == "accept" and assessment.each_bone_is_accepted(session)
        symbol, word = EACH_ACCEPTED if is_of_bones else WORDS[kind]
        return Answer(
            kind,
            symbol,
            word,
            headline,
            tuple(_view(name, states[name]) for name in views),
            (*assessment.explanation(session), *self._how_to_calibrate(kind)),
        )

    def _how_to_calibrate(self, kind: str) -> list[str]:
        """Return the advice for a C-arm geometry from readings, which leads to "check" however often these are repeated."""
        doubted = kind == "check" and remedy(assessment.findings(self.session)) == "calibration"
        return [PHANTOM] if doubted and self._has_readings else []

    def _retake(self) -> Control | None:
        """Return the button for a calibration with beads; None if it would not help."""
        helps = PHANTOM in self._shown.why
        return Button("calibrate", _("Calibrate"), self.calibrate) if helps else None

    @property
    def _has_readings(self) -> bool:
        return any(view.record.kind == "c_arm" for view in self.registration.used_xrays)

    def form(self) -> Form:
        """Return the controls."""
        session = self.host.session
        self._shown = self.answer()
        self._placing = self._landmarks.placing
        if self._shown.kind == "reading":
            return []
        asked = session is not None and self._edges.question
        acts = [self._undo(), *(self._edges.form() if asked else [self._act()])]
        return [
            self.progress(),
            Text("patients", self._different_patients(), tone="error"),
            row("acts", *acts),
            row("more_acts", *([] if asked else self._secondary_actions())),
            *(self._sections.export.receipt() if session is not None else []),
            *(self._uses() if self._shown.kind in VERDICTS else []),
            group("why", _("Why"), *texts("why", self._shown.why), self._retake(), open=False),
        ]

    def _different_patients(self) -> str:
        """Return the question about different patients if it is not yet answered, otherwise an empty string."""
        registration = self.host.registration
        if registration is None or not patients_in_doubt(registration):
            return ""
        return f"{DIFFERENT_PATIENTS}\n{patients_in_words(registration)}"

    def _secondary_actions(self) -> Form:
        """Return the secondary actions for a pose that needs checking."""
        if self._shown.kind not in VERDICTS:
            return []
        act = self._act()
        looks = self._edges.possible and act.key != "edges"
        exports = self._shown.kind in ("check", "checked") and act.key != self._export().key
        return [self._edges.button() if looks else None, self._export() if exports else None]

    def _uses(self) -> list[Text]:
        """Return a line with the verdict and the expected error of each use; none if there is only one use."""
        entry = self.session.history.current
        if entry is None or self.session.sequence.frame is not None or len(entry.uses) < 2:
            return []
        return [
            Text(use, f"{WORDS[assessed.verdict][0]} {USE_NAMES[use]}: {describe_use(assessed)}")
            for use, assessed in assessment.uses(self.session).items()
        ]

    def tick(self) -> bool:
        """Start automatic actions, and return whether the answer has changed."""
        if self._automatic is None or monotonic() - self._looked < LOOK_S:
            return False
        self._looked = monotonic()
        ready = not (self.host.waiting() or self._geometry.open or self._geometry.first_error())
        if ready and self._automatic.may_begin() and not self.host.missing_packages():
            self._begin(self._automatic)
            return True
        return self.answer() != self._shown or self._landmarks.placing != self._placing

    def _begin(self, automatic: AutomaticRegistration) -> None:
        self.host.stop_moving()
        try:
            automatic.begin()
        except InputError as error:
            self.host.show_message(str(error))

    def _kind_and_headline(self) -> tuple[str, str]:
        session = self.host.session
        if session is None:
            return "none", _("Open a CT and two X-rays of it.")
        if self.host.reading and assessment.verdict(session):
            return "reading", self.host.waiting()
        history = session.history
        run = session.running_registration
        if run is not None:
            return "running", _("looking for the CT in the X-rays")
        verdict = assessment.verdict(session)
        failed = session.ended == "failed" and session.message
        if verdict and (session.sequence.frame is not None or not failed):
            return verdict, assessment.headline(session)
        if session.sequence.frame is not None:
            return "moved", _("the CT or the geometry of an X-ray has changed since")
        if failed:
            return "failed", session.message
        if session.ended == "cancelled":
            return "none", _("Cancelled. The CT is where it was before.")
        player = session.sequence.player
        if player is not None and player.frame is not None and not player.at_frame:
            return "moved", _("the CT was moved away from its place in frame {number}").format(
                number=player.number
            )
        if not any(entry.inputs for entry in history.entries):
            return "none", self._missing()
        outdated = assessment.outdated_reason(session)
        entry = history.current
        if not outdated:
            return "moved", _("look at the overlays of every X-ray")
        if by_hand := session.bones.by_hand:
            names = ", ".join(by_hand)
            return "moved", _("{names}: not registered there").format(names=names)
        if change := assessment.change_since_registration(session):
            return "moved", within_sentence(change)
        if entry is not None and entry.inputs:
            return "moved", _("the CT, an X-ray or its geometry has changed since")
        return "moved", within_sentence(outdated)

    def _missing(self) -> str:
        """Return what is missing from a new case, or what it waits for."""
        return (
            self.host.waiting()
            or self._register.missing()
            or self.host.missing_packages()
            or _("Everything is there.")
        )

    def progress(self) -> ProgressBar | None:
        """Return the progress of the running registration; None without one."""
        run = None if self.host.session is None else self.host.session.running_registration
        if run is None:
            return None
        # Whole ones: the page draws all its forms again whenever the text changes.
        seconds = _("{seconds:.0f} s").format(seconds=run.seconds)
        return progress_bar("progress", run.task.progress, run.stage, seconds, run.task.left)

    def _undo(self) -> Control | None:
        if self.host.session is None:
            return None
        title = _("Undo")
        act = self._register.undo
        possible = self.session.history.can_undo and not self.session.running
        if self._landmarks.placing:
            title = _("Undo the last click")
            act = self._landmarks.undo
            possible = self._landmarks.can_undo
        keys = ("Ctrl+Z",)
        return Button("undo", title, act, enabled=possible, keys=keys, everywhere=True)

    # The next act

    def _act(self) -> Control:
        session = self.host.session
        if session is None or session.running_registration is None:
            return self.next_act()
        return Button(
            "cancel", _("Cancel"), session.cancel, tip=_("Put the CT back to where it was.")
        )

    def next_act(self) -> Control:
        """Return the primary control: the button for the next action."""
        registration = self.host.registration
        session = self.host.session
        if question := self.host.question():
            answer = partial(self.host.show_section, "files", question)
            return Button("question", _("Answer the question"), answer, primary=True)
        if registration is None or session is None or registration.ct is None:
            return self._files(
                "open_ct",
                _("Open CT\u2026"),
                CT,
                _("a CT: DICOM folder, NIfTI, NRRD, MHA"),
            )
        if patients_in_doubt(registration):
            return self._confirm_patient()
        used = registration.used_xrays
        verdict = assessment.verdict(session)
        if len(used) < MIN_XRAYS and not verdict:
            return self._add_xrays(
                _("Add X-rays\u2026") if not used else _("Add another X-ray\u2026")
            )
        if not all(view.placed for view in used):
            return self._button("geometry", _("Complete the geometry"), self.complete_geometry)
        if (
            missing_images(registration)
            or self._geometry.first_error()
            or any(session.problem(view) for view in used)
        ):
            return self._button("geometry", _("Correct the geometry"), self.complete_geometry)
        if assessment.overall_verdict(session) == "accept" or self._seen_to_be_right():
            return replace(self._export(), primary=True)
        if verdict:
            return self._settling()
        return replace(self._register.button(), primary=True, keys=())

    def _seen_to_be_right(self) -> bool:
        """Return whether the user confirmed the edges, and no other doubt remains."""
        said = self._shown.kind == "checked"
        return said and remedy(assessment.findings(self.session)) in SEEN_IN_EDGES

    def _settling(self) -> Control:
        """Return the action that would resolve the doubt about a pose."""
        session = self.session
        what = remedy(assessment.findings(self.session))
        entry = session.history.current
        used = self.registration.used_xrays
        if what == "calibration" and all(view.record.kind == "slot_scan" for view in used):
            what = "overlays"  # the geometry of a scanner is not calibrated by beads
        if what == "calibration" and self._has_readings and not self._geometry.beads.known:
            what = "xray" if proposed_view(assessment.findings(session)) else "overlays"
        elif entry is not None and len(entry.mismatched_views) == len(used):
            what = "start"
        if entry is None or session.sequence.frame is not None:
            what = (
                what if what in ("patient", "geometry", "calibration", "certainty") else "overlays"
            )
        elif what == "bones" and entry.bodies:
            what = "overlays"
        elif what == "overlays" and entry.assessment and entry.assessment.is_likely_wrong:
            if entry.method in PLACED and "good" not in entry.views.values():
                return self._button(
                    "search", _("Search for the pose"), self.search, needs=("rendering",)
                )
            what = "geometry"
        if what == "calibration" and not self._has_readings:
            what = "geometry"  # a calibration is what it has: it is looked at
        if what == "patient":
            return self._confirm_patient()
        if what in ("geometry", "certainty"):
            label = (
                _("Say how well it is calibrated")
                if what == "certainty"
                else _("Check the geometry")
            )
            return self._button("geometry", label, self.complete_geometry)
        if what == "calibration":
            return self._button("calibrate", _("Calibrate"), self.calibrate)
        if what == "xray":
            angles = proposed_view(assessment.findings(session))
            near = _("Add a view near {angles}\u2026").format(angles=angles)
            return self._add_xrays(near if angles else _("Add another X-ray\u2026"))
        if what == "register":
            return replace(self._register.button(), primary=True, keys=())
        if what == "bones":
            return self._bones()
        if what == "overlays" and self._edges.possible:
            return replace(self._edges.button(), primary=True)
        if what == "overlays":
            return self._button("edges", _("Show edges"), self.show_edges, needs=("rendering",))
        label, section = SECTIONS_TO_CHECK[what]
        return self._button("look", label, partial(self.host.show_section, section))

    def _confirm_patient(self) -> Control:
        named = patients_in_words(self.registration)
        question = "\n".join(filter(None, [named, PATIENTS]))
        say = self.session.notices.say_same_patient
        return self._button("patient", _("Check the patient"), say, question=question)

    def _bones(self) -> Control:
        if not self._sections.ct.bones.possible:
            show_ct = partial(self.host.show_section, "ct")
            return self._button("look", _("Add a segmentation of the bones"), show_ct)
        return self._button(
            "bones", _("Register the bones"), self.register_bones, needs=("rendering",)
        )

    def register_bones(self) -> None:
        """Register each bone of a segmentation separately, after the whole CT."""
        self.host.stop_moving()
        self._sections.ct.bones.choose_any()
        register_bones(self.session)

    def show_edges(self) -> None:
        """Show the CT's edges over the X-rays."""
        self._sections.check.overlays.choose("edges")
        self.host.show_section("check")

    def complete_geometry(self) -> None:
        """Show the geometry editor of the first X-ray whose geometry is missing, invalid or doubtful."""
        views = self.registration.used_xrays
        states = {view.name: view.state for view in self._shown.views}
        faults = (
            lambda view: not view.placed,
            self._geometry.error_of,
            self.session.problem,
            lambda view: states.get(view.name) == "bad",
            lambda view: states.get(view.name) == "check",
            lambda view: view.record.presumed,
        )
        faulty = chain(*(filter(fault, views) for fault in faults))
        self.host.show_geometry(next(faulty, None))

    def calibrate(self) -> None:
        """Show the calibration with beads, which replaces a C-arm's readings."""
        self.complete_geometry()
        self._geometry.beads.show()

    def search(self) -> None:
        """Search after a registration from the current pose has failed."""
        self.host.stop_moving()
        self.session.register("search")

    def _files(self, key: str, label: str, kind: str, hint: str) -> Files:
        take = partial(self.host.take_files, preferred=kind)
        return Files(key, label, take, hint=hint, several=True, folders=True, primary=True)

    def _add_xrays(self, label: str) -> Files:
        return self._files("add_xrays", label, XRAY, _("X-rays: DICOM, PNG, TIFF, MHA, NRRD"))

    def _export(self) -> Control:
        """Return the control that exports the pose, or the poses of the sequence that contains its frame."""
        alone = self.session.sequence.frame is None
        return self._sections.export.download() if alone else self._sections.sequence.download()

    def _button(self, key: str, label: str, action: Callable[[], object], **more: Any) -> Button:
        return Button(key, label, action, primary=True, enabled=not self.session.running, **more)


def _view(name: str, state: str) -> AnswerView:
    symbol, words = VIEW_WORDS[state]
    return AnswerView(name, state, symbol, _("{name} {words}").format(name=name, words=words))

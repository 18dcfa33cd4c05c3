"""The section Check: by what a person judges the pose, and whether edges lie on the outlines."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...mrml import manual_pose, overlay, source_view
from ...mrml.case import settings_of
from ...mrml.identity import true_pose
from ...mrml.nodes import drawn_at_the_end
from ...mrml.slice_view import pixel_box
from ...mrml.structures import (
    StructureOutlines,
    candidates,
    choose_structures,
    show_outlines,
    structures_of,
)
from ...mrml.xray import GreyRange, XRayView
from ...report import plot
from ...translation import _
from .. import assessment
from ..assessment import follow_similarity
from ..tasks import BackgroundValue
from .check_parts import BonesPresenter, CursorPresenter
from .form import (
    Button,
    Cell,
    Choice,
    Form,
    Option,
    Picture,
    Slider,
    Switch,
    Table,
    TableRow,
    Text,
    group,
    line,
    quiet,
    row,
)
from .section import Host, Presenter, State
from .start import move_button, verdict_state

if TYPE_CHECKING:
    from ...report.result import Result


class CheckPresenter(Presenter):
    """The step Check: similarity where the CT is, how it was found.

    With `overlays`, the `cursor`, and the `bones`.
    """

    TITLE = _("Check")

    def __init__(self, host: Host) -> None:
        self.overlays = OverlaysPresenter(host)
        self.cursor = CursorPresenter(host)
        self.bones = BonesPresenter(host)
        super().__init__(host)

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._similarity = BackgroundValue()
        self._left_out = ""
        self._changed = False
        self._maps = BackgroundValue()
        self.overlays.reset()
        self.cursor.reset()
        self.bones.reset()

    # The form

    @property
    def changing(self) -> bool:
        """Whether what it shows changes by itself now."""
        return self._changed or self.bones.changing

    def form(self) -> Form:
        """Return the controls."""
        self._changed = False
        session = self.session
        verdict = assessment.verdict(self.session)
        self._left_out = "" if verdict else self._left_out  # masks make a result stale
        return [
            *(self.overlays.form() if self.in_slicer else []),
            *self.bones.form(),
            Text("from_truth", self._from_truth()),
            row(
                "judge",
                Button(
                    "assess",
                    _("Assess this pose"),
                    partial(assessment.assess, session),
                    enabled=not session.running,
                    needs=("rendering",),
                    tip=_(
                        "Say how far the pose as it is can be trusted, without a registration. At "
                        "best it is to be checked: how often poses set by hand are wrong was not "
                        "measured."
                    ),
                ),
                Button(
                    "leave_out",
                    _("Leave out what does not fit"),
                    self.leave_out,
                    enabled=verdict in ("accept", "check")
                    and session.sequence.frame is None
                    and not session.running,
                    needs=("rendering",),
                    tip=_(
                        "Give the X-rays masks without the parts that disagree with the CT here, "
                        "as tools or what moved; they can be edited in X-rays, Image. A "
                        "registration with them is at best to be checked."
                    ),
                ),
            ),
            Text("left_out", self._left_out),
            Table(
                "similarity",
                _("Similarity, where the CT is now"),
                columns=(_("X-ray"), _("Similarity")),
                lines=tuple(self._similarity_line(view) for view in self.registration.xrays),
                tip=_(
                    "Local NCC of X-ray and DRR, 1 at best. A high value is no proof of a right "
                    "pose."
                ),
            ),
            group(
                "maps",
                _("Where they disagree, and how far off the targets may be"),
                *self._pictures(),
                open=False,
            ),
            *self.cursor.form(),
        ]

    def _from_truth(self) -> str:
        """Return how far a pose that was found is from the scanner's own, which scouts of the CT have, or from the case's truth.

        "" without.
        """
        scanner = true_pose(self.registration)
        truth = settings_of(self.registration).truth_world_from_ct if scanner is None else scanner
        if truth is None or self.session.history.current is None:
            return ""
        mm, degrees = manual_pose.distance_to(self.registration, truth)
        sentence = _(
            "The CT is {mm:.1f} mm (at its centre) and {degrees:.1f}\u00b0 from the case's truth."
        )
        if scanner is not None:
            sentence = _(
                "The CT is {mm:.1f} mm (at its centre) and {degrees:.1f}\u00b0 from the scanner's "
                "own pose, which is good to some 1.5 mm."
            )
        return sentence.format(mm=mm, degrees=degrees)

    def _similarity_line(self, view: XRayView) -> TableRow:
        value = (self._similarity.value or {}).get(view.name)
        cell: Cell | str = "" if view.used else _("skipped")
        if view.used and value is not None:
            cell = _("shows nothing of the CT")
            if np.isfinite(value):
                cell = Cell(f"{value:.2f}", share=min(max(float(value), 0.0), 1.0))
        return line(view.name, view.name, cell)

    @property
    def _result(self) -> Result | None:
        """The result that the CT is at."""
        return None if self.session.history.is_displaced else self.session.result

    def _pictures(self) -> Form:
        """Return the maps of the result that the CT is at, once they are made."""
        maps = self._maps.value_of(self._result) or ()
        legend = quiet(
            "map_legend", _("Orange: less alike than noise explains. Dark: not compared.")
        )
        pictures = (Picture(f"map.{name}", f"{name}: {text}", rgb=rgb) for name, text, rgb in maps)
        return [legend, *pictures] if maps else []

    def state(self) -> State:
        """Return how far this step is."""
        state = verdict_state(self.session)
        entry = self.session.history.current
        if state:
            return state
        if entry is None or not entry.inputs:
            return State("todo")
        if assessment.outdated_reason(self.session):
            return State("problem", _("assess again"))
        return State("ready", _("look at every X-ray"))

    def tick(self) -> bool:
        """Take what was measured and drawn, which only this section shows."""
        self._changed |= follow_similarity(self._similarity, self.session)
        there = self._result
        self._changed |= self._maps.update(
            there, lambda: None if there is None else partial(_maps, there)
        )
        self._changed |= self.cursor.tick()
        return False

    def update_views(self) -> None:
        """Keep true what the views show."""
        with suppress(InputError):  # of a scene that is not complete yet
            self.overlays.update_views()
        self.cursor.update_views()

    def deactivate(self) -> None:
        """Take away what would no longer be kept true, but for what is hidden with the registration."""
        if self.host.registration is not None and self.registration.scene is not None:
            self.cursor.clear()

    def exit(self) -> None:
        """End what only makes sense while the host is seen."""
        self.cursor.stop()

    # What a person does

    def leave_out(self) -> None:
        """Give the X-rays masks without what does not fit."""
        self._left_out = assessment.use_suggested_masks(self.session)


def _maps(result: Result) -> list[tuple[str, str, np.ndarray]]:
    """Return a picture of where each assessed view disagrees, with its name and how far off the targets may be."""
    within = ""
    if result.assessment and result.assessment.bound_is_known:
        within = _(
            "targets within {across:.1f} mm across the beam and {along:.1f} mm along it, in 95 of "
            "100 results"
        )
    maps = []
    for split, picture in plot.maps(result):
        said = within.format(across=split.in_plane_mm, along=split.depth_mm)
        maps.append((split.name, said, picture))
    return maps


#: Each overlay mode's name, and what its colours say.
OVERLAYS = {
    "blend": (
        _("Blend"),
        _(
            "The CT rendered as an X-ray (DRR), in the X-ray's greys. Where the CT ends, the X-ray "
            "alone is seen."
        ),
    ),
    "flicker": (_("Flicker"), _("X-ray and DRR by turns: nothing must jump.")),
    "checkerboard": (
        _("Checkerboard"),
        _("Tiles of X-ray and DRR by turns: lines of bone must run on from tile to tile."),
    ),
    "edges": (
        _("Edges"),
        _("Orange: edges of the CT's bones, or of the structure that is registered."),
    ),
    "colours": (_("Two colours"), _("X-ray in orange, DRR in blue: grey where they agree.")),
    "difference": (
        _("Difference"),
        _("Orange: the X-ray is brighter; blue: the DRR is brighter; dark: they agree."),
    ),
    "off": (_("X-ray alone"), ""),
}


class OverlaysPresenter(Presenter):
    """Overlay mode, projected structures, and the 3D view from a source.

    In Slicer it keeps overlays and projections true.
    """

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._structures: StructureOutlines | None = None

    def form(self) -> Form:
        """Return the controls."""
        registration = self.registration
        mode = overlay.mode_of(self.registration)
        chosen = structures_of(registration)
        share = _("Share of the DRR")
        structures = []
        for node in candidates(registration):
            show = partial(self.show_structure, node)
            key = f"structure.{node.GetID()}"
            structures.append(Switch(key, node.GetName(), show, on=node in chosen))
        return [
            Choice(
                "overlay",
                _("Overlay"),
                self.choose,
                value=mode,
                options=tuple(Option(mode, name) for mode, (name, _legend) in OVERLAYS.items()),
                needs=("rendering",),
                tip=_("How the CT, rendered as an X-ray (DRR), lies over each X-ray."),
            ),
            Slider("opacity", share, self.blend, value=overlay.opacity_of(registration))
            if mode == "blend"
            else None,
            quiet("legend", OVERLAYS[mode][1]),
            move_button(self.host),
            group("structures", _("Structures on the X-rays"), *structures, open=False),
            Choice(
                "source",
                _("3D view from"),
                self.look_from,
                value=self.source,
                options=self.sources(),
                enabled=self.host.views.camera() is not None,
                tip=_("Look at the scene from an X-ray source, along its beam."),
            ),
        ]

    @property
    def source(self) -> str:
        """The ID of the X-ray from whose source the 3D view looks; "" for none."""
        camera = self.host.views.camera()
        seen = camera and source_view.viewed_xray(camera)
        return seen.id if seen else ""

    def sources(self) -> tuple[Option, ...]:
        """Return the viewpoints of the 3D view, for `look_from`."""
        views = [view for view in self.registration.xrays if source_view.can_look(view)]
        named = (
            Option(view.id, _("the source of {name}").format(name=view.name)) for view in views
        )
        return Option("", _("anywhere")), *named

    def update_views(self) -> None:
        """Keep true what the views show."""
        if self.in_slicer:
            self.session.drawing.mode = overlay.mode_of(self.registration)
            overlay.lay(self.registration, monotonic())
            if self._structures is None:
                self._structures = StructureOutlines(self.registration)
            bones = self.session.bones.outlines
            structures = self._structures.take()
            with drawn_at_the_end():
                show_outlines(
                    self.registration, lambda detector: [*structures(detector), *bones(detector)]
                )
        camera = self.host.views.camera()
        seen = camera and source_view.viewed_xray(camera)
        resized = seen and source_view.size_of(camera) != self.host.views.size()
        if seen and resized and source_view.can_look(seen):
            self.look_from(seen.id)  # all of the detector also in a view of another size

    # What a person does

    def choose(self, mode: str) -> None:
        """Choose one of OVERLAYS."""
        if mode in overlay.MODES:
            self.registration.node.SetParameter(overlay.MODE, mode)

    def blend(self, opacity: float) -> None:
        """Blend from 0, the X-ray alone, to 1, the DRR alone."""
        share = round(min(max(float(opacity), 0.0), 1.0), 3)
        self.registration.node.SetParameter(overlay.OPACITY, str(share))

    def show_structure(self, node: Any, on: bool) -> None:
        """Project a segmentation, a model or markups, or do not."""
        others = [each for each in structures_of(self.registration) if each is not node]
        choose_structures(self.registration, [*others, node] if on else others)

    def look_from(self, node_id: str) -> None:
        """Look from the source of an X-ray, by the ID of its node; "" from anywhere."""
        camera = self.host.views.camera()
        chosen = [view for view in self.registration.xrays if view.id == node_id]
        if camera is not None and chosen:
            source_view.look(chosen[0], camera, self.host.views.size())
        elif camera is not None:
            source_view.restore(camera)


class EdgesPresenter(Presenter):
    """Shows each X-ray where its edges are decisive, and stores the user's answers."""

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._left: list[str] = []
        self._windows: list[tuple[Any, GreyRange]] = []

    @property
    def possible(self) -> bool:
        """Whether there is anything to look at: a pose that is to be checked, or a bone's."""
        return bool(assessment.edges_to_check(self.session))

    @property
    def _asked(self) -> tuple[str, str]:
        """The bone, "" for the whole, and the X-ray that are asked about; "" for none."""
        key = self._left[0] if self._left and self.possible else ""
        body, _between, view = key.rpartition("/")
        return body, view

    @property
    def question(self) -> str:
        """What is asked, a sentence; "" for nothing."""
        body, view = self._asked
        question = _("{view}: does the edge of {bone} lie on the orange line?")
        return view and question.format(view=view, bone=body or _("the bone"))

    def button(self) -> Button:
        """Return what begins to ask."""
        tip = _("Say of each X-ray, where its edges decide, whether they lie on the orange line.")
        return Button("edges", _("Look at the edges"), self.begin, needs=("rendering",), tip=tip)

    def form(self) -> Form:
        """Return the answers to choose from."""
        drawn = self.session.anatomy is not None and self.session.drawing.sharp
        asked: dict[str, Any] = {"everywhere": True, "enabled": drawn}
        return [
            Button("yes", _("Yes"), partial(self.answer, True), keys=("Y",), **asked),
            Button("no", _("No"), partial(self.answer, False), keys=("N",), **asked),
            Button("leave", _("Not now"), self.leave),
        ]

    # What a person does

    def begin(self) -> None:
        """Ask of what nobody has looked at, or of all again."""
        entry = self.session.history.current
        keys = assessment.edges_to_check(self.session)
        answered = entry.edge_checks if entry is not None else {}
        self._left = [key for key in keys if key not in answered] or keys
        self.registration.node.SetParameter(overlay.MODE, "edges")
        self._show()

    def answer(self, on_line: bool) -> None:
        """Keep the answer, and ask the next question."""
        assessment.store_edge_check(self.session, self._left[0], on_line)
        self._left = self._left[1:]
        self._show()

    def leave(self) -> None:
        """Ask no more; what was answered stays."""
        self._left = []
        self._show()

    def _show(self) -> None:
        """Show the X-ray that is asked about where its edges decide, in the greys that are there, and all of the others."""
        for display, window in self._windows:
            display.SetWindowLevelMinMax(*window)
        self._windows = []
        body, asked = self._asked
        extent = self.session.bones.extent(body) if body else None
        boxes = assessment.where_decisive(self.session)
        shown = {}
        for view in self.registration.used_xrays:
            box = boxes.get(view.name) if extent is None else pixel_box(view, extent)
            if view.name == asked and box is not None:
                self._windows = [(view.display, overlay.xray_window(view))]
                shown[view.name] = box
                overlay.show_greys_within(view, np.clip(box, 0, view.size).astype(int))
        self.host.views.show_in_xrays(shown)

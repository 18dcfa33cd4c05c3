"""What lies over the X-rays, and from where the 3D view looks."""

from __future__ import annotations

from functools import partial
from time import monotonic

from ...mrml import overlay, source_view
from ...mrml.structures import Projections, candidates, choose_structures, structures_of
from ..translation import _
from .form import QUIET, RENDERING, Choice, Control, Option, Slider, Switch, Text, group
from .section import Presenter

#: Each overlay mode's name, and what its colours say.
OVERLAYS = {
    "blend": (
        _("Blend"),
        _("The CT rendered as an X-ray (DRR), in the X-ray's greys. Where the CT ends, the X-ray alone is seen."),
    ),
    "flicker": (_("Flicker"), _("X-ray and DRR by turns: nothing must jump.")),
    "checkerboard": (
        _("Checkerboard"),
        _("Tiles of X-ray and DRR by turns: lines of bone must run on from tile to tile."),
    ),
    "edges": (_("Edges"), _("Orange: edges of the CT's bones, or of the structure that is registered.")),
    "colours": (_("Two colours"), _("X-ray in orange, DRR in blue: grey where they agree.")),
    "difference": (_("Difference"), _("Orange: the X-ray is brighter; blue: the DRR is brighter; dark: they agree.")),
    "off": (_("X-ray alone"), ""),
}


class OverlaysPresenter(Presenter):
    """Overlay mode, projected structures, and the 3D view from a source; in Slicer it keeps overlays and projections true."""

    def reset(self) -> None:
        self._projections: Projections | None = None

    def form(self) -> list[Control]:
        registration, mode = self.registration, overlay.mode_of(self.registration)
        chosen, share = structures_of(registration), _("Share of the DRR")
        structures = (
            Switch(f"structure.{node.GetID()}", node.GetName(), partial(self.show_structure, node), on=node in chosen)
            for node in candidates(registration)
        )
        return [
            Choice(
                "overlay",
                _("Overlay"),
                self.choose,
                value=mode,
                options=tuple(Option(mode, name) for mode, (name, _legend) in OVERLAYS.items()),
                needs=(RENDERING,),
                tip=_("How the CT, rendered as an X-ray (DRR), lies over each X-ray."),
            ),
            *(
                [Slider("opacity", share, self.blend, value=overlay.opacity_of(registration))]
                if mode == "blend"
                else []
            ),
            Text("legend", OVERLAYS[mode][1], tone=QUIET),
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
        return seen.node.GetID() if seen else ""

    def sources(self) -> tuple[Option, ...]:
        """From where the 3D view may look, as `look_from` takes it."""
        views = [view for view in self.registration.xrays if view.placed]
        named = (Option(view.node.GetID(), _("the source of {name}").format(name=view.name)) for view in views)
        return Option("", _("anywhere")), *named

    def follow(self) -> None:
        if self.host.in_slicer:
            self.session.drawing.mode = overlay.mode_of(self.registration)
            overlay.lay(self.registration, monotonic())
            if self._projections is None:
                self._projections = Projections(self.registration)
            self._projections.update()
        camera = self.host.views.camera()
        seen = camera and source_view.viewed_xray(camera)
        if seen and seen.placed and source_view.size_of(camera) != self.host.views.size():
            self.look_from(seen.node.GetID())  # all of the detector also in a view of another size

    def let_go(self) -> None:
        projections, self._projections = self._projections, None
        if self.registration is None or self.registration.scene is None:
            return
        if projections is not None:
            projections.remove()
        for view in self.registration.xrays:
            overlay.remove(view)

    # What a person does

    def choose(self, mode: str) -> None:
        """Choose one of OVERLAYS."""
        if mode in overlay.MODES:
            self.registration.node.SetParameter(overlay.MODE, mode)

    def blend(self, opacity: float) -> None:
        """Blend from 0, the X-ray alone, to 1, the DRR alone."""
        self.registration.node.SetParameter(overlay.OPACITY, str(round(min(max(float(opacity), 0.0), 1.0), 3)))

    def show_structure(self, node, on: bool) -> None:
        """Project a segmentation, a model or markups, or do not."""
        others = [each for each in structures_of(self.registration) if each is not node]
        choose_structures(self.registration, [*others, node] if on else others)

    def look_from(self, node_id: str) -> None:
        """Look from the source of an X-ray, by the ID of its node; "" from anywhere."""
        camera = self.host.views.camera()
        chosen = [view for view in self.registration.xrays if view.node.GetID() == node_id]
        if camera is not None and chosen:
            source_view.look(chosen[0], camera, self.host.views.size())
        elif camera is not None:
            source_view.restore(camera)

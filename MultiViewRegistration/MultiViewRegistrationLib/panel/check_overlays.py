"""What lies over the X-rays, and from where the 3D view looks."""

from __future__ import annotations

from time import monotonic

import qt
from slicer.i18n import tr as _

from ..mrml import overlay, source_view
from ..mrml.registration import Registration
from ..mrml.structures import Projections, choose_structures, structures_of
from . import packages, three_d
from .part import Part

#: Each mode's name, and what its colours say.
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
    "edges": (_("Edges of bones"), _("Orange: edges of the CT's bones, or of the structure that is registered.")),
    "colours": (_("Two colours"), _("X-ray in orange, DRR in blue: grey where they agree.")),
    "difference": (_("Difference"), _("Orange: the X-ray is brighter; blue: the DRR is brighter; dark: they agree.")),
    "off": (_("None, the X-ray alone"), ""),
}


class Overlays(Part):
    """Overlay mode, structures, and the source's eye."""

    def connect(self) -> None:
        ui = self.ui
        self._of: Registration | None = None
        self._projections: Projections | None = None
        for mode in overlay.MODES:
            ui.overlayComboBox.addItem(OVERLAYS[mode][0], mode)
        ui.overlayComboBox.connect("currentIndexChanged(int)", self._on_overlay)
        ui.opacitySlider.valueChanged.connect(self._on_opacity)
        ui.structuresComboBox.checkedNodesChanged.connect(self._on_structures)
        ui.beamComboBox.connect("activated(int)", self._on_beam)

    def adopt(self) -> None:
        self._of, self._projections = self.registration, Projections(self.registration)

    def let_go(self) -> None:
        self._projections.remove()
        for view in self._of.xrays:
            overlay.remove(view)

    def refresh(self) -> None:
        ui, mode = self.ui, overlay.mode_of(self.registration)
        ui.overlayComboBox.setCurrentIndex(overlay.MODES.index(mode))
        ui.opacitySlider.value = overlay.opacity_of(self.registration)
        for widget in (ui.opacityLabel, ui.opacitySlider):
            widget.setVisible(mode == "blend")
        ui.legendLabel.text = OVERLAYS[mode][1]
        ui.legendLabel.setVisible(bool(OVERLAYS[mode][1]))
        chosen = structures_of(self.registration)
        for node in [*ui.structuresComboBox.checkedNodes(), *ui.structuresComboBox.uncheckedNodes()]:
            ui.structuresComboBox.setCheckState(node, qt.Qt.Checked if node in chosen else qt.Qt.Unchecked)
        self._list_beams()

    def follow(self) -> None:
        self.session.drawing.mode = overlay.mode_of(self.registration)
        overlay.lay(self.registration, monotonic())
        self._projections.update()
        self._fit_beam()

    def _on_overlay(self, index: int) -> None:
        if self.section.asked:
            with self.panel.acting():
                if overlay.MODES[index] != "off":
                    packages.ensure(self.panel.resource_path("requirements.txt"))
                self.registration.node.SetParameter(overlay.MODE, overlay.MODES[index])

    def _on_opacity(self, value: float) -> None:
        if self.section.asked:
            self.registration.node.SetParameter(overlay.OPACITY, str(round(value, 3)))

    def _on_structures(self) -> None:
        if self.section.asked:
            with self.panel.acting():
                choose_structures(self.registration, list(self.ui.structuresComboBox.checkedNodes()))

    # The source's eye

    def _list_beams(self) -> None:
        box, views = self.ui.beamComboBox, [view for view in self.registration.xrays if view.placed]
        names = [_("anywhere"), *[_("the source of {name}").format(name=view.name) for view in views]]
        if [box.itemText(i) for i in range(box.count)] != names:
            box.clear()
            box.addItems(names)
        camera = three_d.camera()
        seen = camera and source_view.viewed_xray(camera)
        box.currentIndex = 1 + views.index(seen) if seen in views else 0
        box.enabled = camera is not None

    def _on_beam(self, index: int) -> None:
        if not self.section.asked or three_d.camera() is None:
            return
        with self.panel.acting():
            if index:
                source_view.look(
                    [view for view in self.registration.xrays if view.placed][index - 1],
                    three_d.camera(),
                    three_d.size(),
                )
            else:
                source_view.restore(three_d.camera())

    def _fit_beam(self) -> None:
        """Show all of the detector also in a view of another size."""
        camera = three_d.camera()
        seen = camera and source_view.viewed_xray(camera)
        if seen is not None and seen.placed and source_view.size_of(camera) != three_d.size():
            source_view.look(seen, camera, three_d.size())

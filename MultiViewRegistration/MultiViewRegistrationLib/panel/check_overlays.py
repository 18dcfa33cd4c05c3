"""What lies over the X-rays, and from where the 3D view looks."""

from __future__ import annotations

from time import monotonic

import qt

from ..mrml import overlay, source_view
from ..mrml.structures import Projections, choose_structures, structures_of
from ..session.presenters.check import OVERLAYS
from ..session.translation import _
from . import packages, three_d
from .part import Part


class Overlays(Part):
    """Overlay mode, structures, and the source's eye."""

    def connect(self) -> None:
        ui, presenter, do = self.ui, self.section.presenter, self.section.do
        self._projections: Projections | None = None
        for mode in overlay.MODES:
            ui.overlayComboBox.addItem(OVERLAYS[mode][0], mode)
        ui.overlayComboBox.connect("currentIndexChanged(int)", lambda index: do(self._choose, overlay.MODES[index]))
        ui.opacitySlider.valueChanged.connect(
            lambda value: presenter.set_opacity(value) if self.section.asked else None
        )
        ui.structuresComboBox.checkedNodesChanged.connect(lambda: do(self._choose_structures))
        ui.beamComboBox.connect("activated(int)", self._on_beam)

    def let_go(self) -> None:
        projections, self._projections = self._projections, None
        if self.registration is None or self.registration.scene is None:
            return
        if projections is not None:
            projections.remove()
        for view in self.registration.xrays:
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
        if self._projections is None:
            self._projections = Projections(self.registration)
        self._projections.update()
        self._fit_beam()

    def _choose(self, mode: str) -> None:
        if mode != "off":
            packages.ensure(self.panel.resource_path("requirements.txt"))
        self.section.presenter.choose_overlay(mode)

    def _choose_structures(self) -> None:
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

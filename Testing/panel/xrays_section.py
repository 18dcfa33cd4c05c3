"""A person at the X-rays section."""

from __future__ import annotations

from pathlib import Path

from little_xray import SHAPE, intensity
from phantom import make_ct

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration" / "MultiViewRegistration.py"
ROWS, COLUMNS = SHAPE
USE, NAME, GEOMETRY, CERTAINTY, SIMILARITY = range(5)


def open_module(host):
    """The module with a registration that has a CT and no X-rays."""
    from MultiViewRegistrationLib.mrml.loading import volume_node
    from MultiViewRegistrationLib.mrml.registration import Registration

    host.load_module(MODULE)
    widget = host.open_module(width=450)
    registration = Registration.create(host.scene, "Registration")
    ct = make_ct()
    registration.ct = volume_node(host.scene, "Phantom", ct.volume.values, ct.volume.ct_from_index)
    widget.setParameterNode(registration)
    host.process(0.05)
    return widget


def volume(host, name: str, seed: int = 0):
    import slicer

    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, intensity(seed)[None])
    return node


def add(host, section, name: str = "AP", seed: int = 0):
    """Add a volume by the selector and its button."""
    node = volume(host, name, seed)
    host.choose(section.ui.volumeSelector, name)
    host.click(section.ui.addVolumeButton)
    return node


def cell(section, row: int, column: int) -> str:
    return section.ui.xrayTable.item(row, column).text()


def rest(host, section) -> None:
    """Until all is read and looked at."""
    host.process(60, until=lambda: not section.presenter.reading and not section.presenter.readiness.step())
    host.process(0.1)


def place(host, section, *angles: float) -> None:
    """Give the X-rays these angles, without the widgets."""
    from MultiViewRegistrationLib.session.geometry import set_c_arm

    for view, angle in zip(section.registration.xrays, angles, strict=True):
        set_c_arm(
            view,
            {
                "source_to_detector_mm": 1020,
                "source_to_isocentre_mm": 700,
                "pixel_mm": [2, 2],
                "rao_lao_deg": angle,
                "cra_cau_deg": 10,
                "mirrored": False,
            },
        )
    section.panel.invalidate()
    host.process(0.05)


def enter_c_arm(host, section, angle="30", mirrored=False) -> None:
    ui = section.geometry.ui
    for spin, text in (
        (ui.raoLaoEdit, angle),
        (ui.craCauEdit, "10"),
        (ui.distanceEdit, "1020"),
        (ui.isocentreEdit, "700"),
        (ui.pixelColumnEdit, "2"),
        (ui.pixelRowEdit, "2"),
    ):
        host.type(spin, text)
    host.choose(ui.seenBox, "the detector (facing the patient)" if mirrored else "the source")

"""The X-rays: added from files and volumes, their order, image, mask, certainty."""

import numpy as np
import pytest
import slicer
from geometry_table import cell, put
from helpers.file_io import write_json, write_values
from helpers.phantom import write_ct_file
from helpers.phantom_scene import phantom_volume
from helpers.planted_dicom import write_xray
from helpers.refusals import refuses
from helpers.tiny_scene import READING, SHAPE, intensity
from numpy.testing import assert_array_equal
from presenter_host import PresenterHost, act, control, text

from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns
from MultiViewRegistrationLib.mrml.case import change_settings, settings_of, xray_of
from MultiViewRegistrationLib.mrml.image import segmentation_node
from MultiViewRegistrationLib.session.geometry import give_geometry

pytestmark = pytest.mark.usefixtures("no_picture")
ROWS, COLUMNS = SHAPE


@pytest.fixture
def host(scene, watch):
    return PresenterHost(scene)


@pytest.fixture
def section(host):
    return host.presenters.xrays


def volume(host, name, seed=0):
    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, intensity(seed)[None])
    return node


def add(section, *names):
    """Add volumes of the scene; returns them."""
    nodes = [volume(section.host, name, n) for n, name in enumerate(names, len(section.views))]
    for node in nodes:
        act(section, "volume", node.GetID())
    return nodes


def place(section, *angles):
    """Give the X-rays these angles, without the controls."""
    for view, angle in zip(section.views, angles, strict=True):
        reading = {**READING, "size": view.size, "rao_lao_deg": angle, "cra_cau_deg": 10}
        give_geometry(view, CArm(**reading))


def settled(section):
    """Until all is read and looked at."""
    section.host.wait(section, lambda: not (section.host.taking or section.session.check_next()))


def cells(section):
    return [[cell.text for cell in line.cells] for line in control(section, "xrays").lines]


def select(section, number):
    act(section, "xrays", section.views[number].node.GetID(), 0)


def picture(view):
    return slicer.util.arrayFromVolume(view.node)[0].copy()


def test_of_several_files_the_first_x_ray_is_selected_and_unusable_ones_are_listed(
    host, section, tmp_path
):
    for n in range(2):
        write_values(tmp_path / f"v{n}.png", intensity(n))
    (tmp_path / "text.png").write_text("no image")
    write_values(tmp_path / "flat.png", np.full(SHAPE, 9, np.uint8))
    act(section, "files", [tmp_path / f"{name}.png" for name in ("v0", "text", "flat", "v1")])
    settled(section)
    unreadable, flat = text(host.files, "refused").splitlines()
    assert unreadable.startswith("text.png: ") and flat.startswith("flat: has no contrast")
    assert [view.name for view in host.registration.xrays] == ["v0", "v1"]
    assert section.selected.name == "v0"


def test_x_rays_of_a_case_are_added_to_the_registration(host, section, tmp_path):
    """Values that the registration already has are kept."""
    write_ct_file(tmp_path / "ct.nrrd")
    views = []
    for n, name in enumerate(("AP", "LAT")):
        write_values(tmp_path / f"{name}.mha", intensity(n))
        c_arm = {**READING, "size": [COLUMNS, ROWS], "rao_lao_deg": 90 * n}
        views.append({"name": name, "image": f"{name}.mha", "c_arm": c_arm, "rotation_sd_deg": n})
    content = {"version": 1, "ct": "ct.nrrd", "views": views}
    unknowns = {"isocentre_sd_mm": 4, "source_to_detector_sd_mm": 9}
    write_json(tmp_path / "case.json", {**content, "shared_unknowns": unknowns})
    host.begin()
    shared = SharedUnknowns(source_to_detector_sd_mm=12)
    change_settings(host.registration, shared_unknowns=shared)
    host.registration.ct = phantom_volume(host.scene)
    act(section, "files", [tmp_path], None)
    settled(section)
    assert [row[1] for row in cells(section)] == [
        "LAO 0\u00b0, CRA 0\u00b0",
        "LAO 90\u00b0, CRA 0\u00b0",
    ]
    assert section.state().text == "2 views ready"
    unknowns = settings_of(host.registration).shared_unknowns
    assert (unknowns.isocentre_sd_mm, unknowns.source_to_detector_sd_mm) == (4, 12)
    assert host.registration.ct.GetName() == "Phantom"


def test_x_rays_are_renamed_sorted_excluded_and_removed(host, section):
    volume = add(section, "a", "b", "c")[2]

    def names():
        return [row[0] for row in cells(section)]

    select(section, 1)
    act(section, "name", "Lateral")
    with refuses("another view has the name"):
        act(section, "name", "A")
    control(section, "xrays").switch(section.views[0].node.GetID(), False)
    assert [view.used for view in section.views] == [False, True, True]
    select(section, 2)
    assert not control(section, "down").enabled
    act(section, "up")
    act(section, "up")
    assert names() == ["c", "a", "Lateral"] and not control(section, "up").enabled
    act(section, "remove")
    assert names() == ["a", "Lateral"] and section.selected.name == "a"
    assert host.scene.IsNodePresent(volume)
    control(section, "xrays").switch(section.views[1].node.GetID(), False)
    assert section.state().text == "none is used"


def test_what_cannot_be_added(host, section):
    add(section, "AP")
    host.registration.ct = ct = volume(host, "CT")
    assert ct.GetID() not in [option.value for option in control(section, "volume").options]
    for _ in range(7):
        host.registration.add_xray("more")
    with refuses("there are 8 views already"):
        act(section, "volume", volume(host, "LAT").GetID())
    assert len(cells(section)) == 8


def test_frame_and_orientation_of_the_image_are_selected(host, section):
    (node,) = add(section, "AP")
    assert control(section, "frames") is None
    slicer.util.updateVolumeFromArray(node, np.stack([intensity(n) for n in (0, 3, 5)]))
    settled(section)
    view, before = section.views[0], control(section, "picture").rgb
    assert control(section, "frame").text == "0" and not control(section, "frame_back").enabled
    assert control(section, "picture").rgb is before  # drawn again only after a change
    act(section, "frame", "1")
    second = picture(view)
    act(section, "frame_on")
    assert view.record.frame == 2 and not control(section, "frame_on").enabled
    with refuses("Frame: 12 is outside 0 to 2"):
        act(section, "frame", "12")
    act(section, "frame_back")
    act(section, "flipped", True)
    assert_array_equal(picture(view), second[:, ::-1])
    assert view.record.flipped is True and control(section, "picture").rgb is not before


def test_mask_is_selected_unless_it_excludes_everything(host, section):
    add(section, "AP")
    place(section, 30)
    view = section.views[0]
    act(section, "draw")
    assert host.drawn == ["AP"]
    field, half = xray_of(view).valid, np.zeros(SHAPE, bool)
    half[:, :40] = True
    good, _segment = segmentation_node(host.scene, "Half", half[None], view.node)
    empty, _segment = segmentation_node(host.scene, "Nothing", np.zeros_like(half)[None], view.node)
    act(section, "mask", good.GetID())
    assert_array_equal(xray_of(view).valid, field & half)
    with refuses("leaves nothing"):
        act(section, "mask", empty.GetID())
    assert control(section, "mask").value == good.GetID()
    act(section, "mask", "")
    assert view.mask is None


@pytest.fixture
def second_geometry(section):
    """The table of geometries of two placed X-rays, the second of them selected."""
    add(section, "AP", "LAT")
    place(section, 0, 90)
    select(section, 1)
    act(section, "geometry")
    return section.geometry


def test_uncertainty_of_a_geometry_is_entered(section, second_geometry):
    table, view, key = second_geometry, section.views[1], "rotation_sd_deg"
    assert control(table, "certainty_known").value == "usual" and key not in view.record.uncertainty
    act(table, "certainty_known", "typed")
    assert (text(table, key), text(table, "translation_sd_mm")) == ("1", "3")
    act(table, key, "0,25")
    assert view.record.uncertainty[key] == 0.25
    assert "Certainty of the angles: 200 is outside 0 to 180°" in control(table, key).problem("200")
    act(table, "certainty_known", "exactly")
    assert cells(section)[1][2] == "exact" and control(table, key) is None
    select(section, 0)
    offered = [option.value for option in control(table, "certainty_known").options]
    assert offered == ["usual", "exactly", "typed"]  # the reference is never unknown


def test_uncertainty_shared_by_all_x_rays_is_entered(section, second_geometry):
    table = second_geometry
    act(table, "certainty_known", "unknown")
    assert cells(section)[1][2] == "unknown"
    act(table, "shared0", "12")
    act(table, "shared1", "2,5")
    unknowns = settings_of(section.registration).shared_unknowns
    assert (unknowns.source_to_detector_sd_mm, unknowns.principal_point_sd_px) == (12, 2.5)
    act(table, "shared0", "0")
    unknowns = settings_of(section.registration).shared_unknowns
    assert unknowns.source_to_detector_sd_mm is None


SOME_TAGS = {
    "DistanceSourceToDetector": 1000,
    "DistanceSourceToPatient": 700,
    "ImagerPixelSpacing": [1, 1],
    "PositionerPrimaryAngle": -20,
}
ALL_TAGS = {**SOME_TAGS, "PositionerSecondaryAngle": 5, "FieldOfViewHorizontalFlip": "NO"}


def read(section, folder, **tags):
    """X-rays in DICOM, by their names, whose headers have these tags."""
    for name, said in tags.items():
        write_xray(folder / f"{name}.dcm", **said)
    act(section, "files", [folder / f"{name}.dcm" for name in tags], None)
    settled(section)


def test_geometry_is_filled_in_from_an_incomplete_header(section, tmp_path):
    read(section, tmp_path, ap=SOME_TAGS)
    act(section, "geometry")
    table, header = section.geometry, "DICOM header"
    assert "Not in the header: CRA/CAU angle" in text(table, "geometry_summary")
    shown = [cell(table, key) for key in ("rao_lao_deg", "cra_cau_deg", "pixel_mm")]
    assert [each.field.text for each in shown] == ["-20", "", "1"]
    assert [each.origin for each in shown] == [header, "", header]
    put(table, "mirrored", "yes")
    assert cell(table, "cra_cau_deg").missing and not section.views[0].placed  # not assumed to be 0
    put(table, "cra_cau_deg", "0")
    assert section.views[0].record.geometry.cra_cau_deg == 0


@pytest.mark.slow
def test_complete_header_places_the_x_ray_unless_it_is_of_another_machine(section, tmp_path):
    one, other = ({**ALL_TAGS, "DeviceSerialNumber": machine} for machine in "12")
    read(section, tmp_path, ap=one, lat=other)
    ap, lat = section.views
    assert ap.record.origin == "DICOM header" and section.state().text == "lat needs geometry"
    section.host.show_geometry()
    table = section.geometry
    assert cell(table, "mirrored").origin == "DICOM header"
    assert table.view == lat and "press Use this geometry" in cell(table, "kind", 1).caution
    act(table, "use")
    assert "machine" in cell(table, "kind", 1).error and not lat.placed
    assert "machine" in table.first_error()

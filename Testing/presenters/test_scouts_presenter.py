"""The scouts of a CT: found beside it, added as X-rays, completed where their headers do not say all."""

from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from geometry_table import cell, field, put
from helpers.eos_images import write_eos
from helpers.file_io import write_json
from helpers.phantom import slot_scan_of
from helpers.phantom_scene import settle
from helpers.phantom_study import write_scout, write_study, write_xrays
from helpers.planted_dicom import IDENTITY
from helpers.refusals import refuses
from numpy.testing import assert_allclose
from presenter_host import PresenterHost, act, control, text
from test_xrays_presenter import add, place

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import SlotScan
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.dicom_geometry import (
    AT_PATIENT,
    BY_TUBE_ANGLE,
    EOS_LATERAL,
    IN_IMAGE,
)
from MultiViewRegistrationLib.io.files import keep_within
from MultiViewRegistrationLib.mrml.identity import INSTANCES
from MultiViewRegistrationLib.session.result_files import case_content, write_case_folder

pytestmark = pytest.mark.usefixtures("no_picture")


@pytest.fixture
def host(scene, watch):
    host = PresenterHost(scene)
    host.slicer_tools = None
    return host


@pytest.fixture
def ct(host):
    return host.presenters.ct


@pytest.fixture
def xrays(host):
    return host.presenters.xrays


def made(folder, *names, **tags):
    """A study of the phantom with these of its scouts, with other tags.

    The folder of its slices.
    """
    write_study(folder)
    for name in ("AP", "LAT"):
        if names and name not in names:
            (folder / f"{name}.dcm").unlink()
        elif tags:
            write_scout(folder, name, **tags)
    return folder / "ct"


def read(section, *paths, folder=None):
    """Give a section files, until they are read.   folder: that they were sent into."""
    if folder is not None:
        keep_within(folder)
    act(section, "files", list(paths), folder)
    section.host.wait(section, lambda: not section.host.taking)


def opened(ct, xrays, folder):
    read(ct, folder)
    act(xrays, "scouts")


def as_described(view, degrees):
    return view.camera.same_as(SlotScan(**slot_scan_of(degrees)).camera())


@pytest.mark.slow
@pytest.mark.parametrize("source", ["study", "upload"])
def test_scouts_of_a_ct_become_its_xrays(host, ct, xrays, tmp_path, source):
    """Uploaded files are deleted once they are read; the scouts remain available."""
    slices = made(tmp_path / "study")
    if source == "upload":
        read(ct, *sorted(slices.parent.rglob("*.dcm")), folder=slices.parent)
        assert not slices.exists()
    else:
        read(ct, slices.parent)
    assert "Scouts of this CT lie in its folder: AP, LAT." in text(ct, "scouts")
    act(xrays, "scouts")
    assert control(xrays, "scouts") is None and [view.name for view in xrays.views] == ["AP", "LAT"]
    assert as_described(xrays.views[0], 0) and as_described(xrays.views[1], 90)
    host.wait(xrays, lambda: not host.session.check_next())
    assert xrays.state().text == "2 views ready"
    act(xrays, "remove")
    act(xrays, "scouts")
    assert [view.name for view in xrays.views] == ["LAT", "AP"]


@pytest.mark.slow
def test_scanner_pose_is_the_ground_truth_of_scouts_only(host, ct, xrays, tmp_path):
    opened(ct, xrays, made(tmp_path / "study"))
    assert "scouts of this CT" in text(xrays, "truth")
    assert np.array_equal(case_content(host.session)["truth"]["world_from_ct"], np.eye(4))
    motion = rigid.turn_and_shift(np.radians([0, 2.0, 0]), [3.0, 0, 4])
    settle(host.session, rigid.about(np.zeros(3), motion))
    assert "5.0 mm (at its centre) and 2.0\u00b0" in text(host.presenters.check, "from_truth")
    act(xrays, "geometry")
    put(xrays.geometry, "kind", "matrix")  # another world
    act(xrays.geometry, "matrix", "-900 80 0 40000 0 80 -900 35000 0 1 0 700")
    assert text(xrays, "truth") == "" and host.session.case().truth_world_from_ct is None
    xrays.use(xrays.views[0].node.GetID(), False)
    assert text(xrays, "truth") != ""


@pytest.mark.slow
def test_values_missing_from_a_scout_header_are_entered(ct, xrays, tmp_path):
    lacks = {"AngularPosition": None, "DistanceSourceToPatient": None}
    opened(ct, xrays, made(tmp_path / "study", "AP", **lacks))
    (view,) = xrays.views
    act(xrays, "geometry")
    table = xrays.geometry
    assert cell(table, "source_to_isocentre_mm").missing and not view.placed
    put(table, "source_to_isocentre_mm", "550")
    sides = {option.title: option.value for option in field(table, "isocentre_to_source").options}
    put(table, "isocentre_to_source", sides["tube: back"])
    assert as_described(view, 0) and text(xrays, "truth") != ""


@pytest.mark.slow
def test_slot_scan_geometry_is_corrected_and_restored(ct, xrays, tmp_path):
    opened(ct, xrays, made(tmp_path / "study", "AP"))
    (view,) = xrays.views
    act(xrays, "geometry")
    table, before, assumed = xrays.geometry, view.camera, view.record.assumptions
    assert "to the patient's left" in text(table, "slot_scan0")
    assert field(table, "source_to_isocentre_mm").text == "550"
    assert {AT_PATIENT, BY_TUBE_ANGLE, IN_IMAGE} < set(assumed)
    put(table, "isocentre_to_source", "A")
    put(table, "central_column", "70")
    assert np.allclose(view.camera.source, before.source * [1, -1, 1] + [(70 - 63.5) * 1.2, 0, 0])
    remaining = set(view.record.assumptions)
    assert AT_PATIENT in remaining and not {BY_TUBE_ANGLE, IN_IMAGE} & remaining
    put(table, "isocentre_to_source", "P")
    put(table, "central_column", "")
    assert view.camera.same_as(before) and view.record.assumptions == assumed


@pytest.mark.slow
def test_scouts_of_another_examination_are_excluded(ct, xrays, tmp_path):
    slices, more = made(tmp_path / "study"), tmp_path / "study" / "more"
    more.mkdir()
    other = write_scout(more, "AP", FrameOfReferenceUID="1.2.3.8")
    read(ct, slices)
    excluded = "AP.dcm is a localizer of another frame of reference than the CT"
    assert excluded in text(xrays, "scouts_left_out")
    act(xrays, "scouts")
    read(xrays, other)
    assert "is of another frame of reference" in xrays.host.files.refused[-1]
    assert len(xrays.views) == 2


@pytest.mark.slow
def test_eos_images_are_placed_by_their_headers(xrays, tmp_path):
    """The side of the frontal tube is requested if no header states it; other scans are refused."""
    unsaid = write_eos(tmp_path / "1.dcm", ViewPosition=None)
    read(xrays, unsaid, write_eos(tmp_path / "2.dcm", "lateral"))
    frontal, lateral = xrays.views
    assert np.allclose(lateral.camera.source, [918, 0, 0])
    assert EOS_LATERAL in lateral.record.assumptions
    xrays.host.show_geometry()
    assert xrays.geometry.view == frontal
    put(xrays.geometry, "central_column", "20")
    put(xrays.geometry, "isocentre_to_source", "A")
    assert np.allclose(frontal.camera.source, [0, -987, 0])
    assert np.allclose(frontal.camera.project([0, 0, 0]), [20, 29.5])
    read(xrays, write_eos(tmp_path / "3.dcm", "lateral", StudyInstanceUID="1.2.3.5"))
    assert "another study" in xrays.host.files.refused[-1] and len(xrays.views) == 2


@pytest.mark.slow
def test_eos_image_and_c_arm_image_are_not_combined(xrays, tmp_path):
    keys = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
    eos = write_eos(tmp_path / "eos.dcm", **{key: IDENTITY[key] for key in keys})
    read(xrays, write_xrays(tmp_path)[0])
    read(xrays, eos)
    refused = "eos is an EOS image and view1 is not, whose headers place them in different worlds"
    assert refused in xrays.host.files.refused[-1]


@pytest.mark.slow
def test_what_lies_above_a_sent_folder_is_not_looked_at(ct, xrays, tmp_path):
    """There may be what another person has sent."""
    slices = made(tmp_path / "study")
    read(ct, *slices.iterdir(), folder=slices)
    assert control(xrays, "scouts") is None


@pytest.mark.slow
def test_scouts_are_not_mixed_with_xrays_of_another_world(host, ct, xrays, tmp_path):
    read(ct, made(tmp_path / "study"))
    add(xrays, "C-arm")
    place(xrays, 0)
    with refuses("C-arm has a world of its own"):
        act(xrays, "scouts")
    act(xrays, "remove")
    act(xrays, "scouts")
    assert len(xrays.views) == 2


@pytest.mark.slow
def test_a_ct_of_slicers_dicom_module_has_its_scouts(host, ct, xrays, tmp_path, monkeypatch):
    """Where its database knows the files."""
    slices = made(tmp_path / "study")
    read(ct, slices)
    node, host.session._scouts = host.registration.ct, ("", None)
    act(ct, "ct", "")
    database = SimpleNamespace(fileForInstance=lambda uid: str(slices / uid))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    node.SetAttribute(INSTANCES, "000.dcm 001.dcm")
    act(ct, "ct", node.GetID())
    host.wait(ct, lambda: host.session.scouts is not None)
    act(xrays, "scouts")
    assert text(xrays, "truth") != ""


def test_image_of_a_bent_fan_is_flattened_once(host, ct, xrays, tmp_path):
    """The session, the command line and the exported case agree."""
    slices = made(tmp_path / "study", "AP", Manufacturer="Philips")
    opened(ct, xrays, slices)
    (view,) = xrays.views
    host.wait(xrays, lambda: not host.session.check_next())
    views = [{"name": "AP", "image": str(slices.parent / "AP.dcm")}]
    write_json(tmp_path / "case.json", {"version": 1, "ct": str(slices), "views": views})
    (written,) = write_case_folder(host.session, tmp_path / "written")()
    image = host.session.xray(view).line_integrals
    for path in (tmp_path / "case.json", written):
        (expected,) = Case.load(path).views
        assert view.camera.same_as(expected.camera)
        assert_allclose(image, expected.xray.line_integrals, atol=1e-5)
    assert not np.allclose(image, slicer.util.arrayFromVolume(view.source)[0], atol=1e-5)

"""The scouts of a CT: found beside it, added as X-rays, completed where their headers do not say all."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from geometry_table import cell, field, put
from helpers.eos_images import write_eos
from helpers.file_io import write_json
from helpers.phantom import slot_scan_of
from helpers.phantom_study import write_scout, write_study, write_xrays
from helpers.planted_dicom import IDENTITY
from helpers.refusals import refuses
from numpy.testing import assert_allclose
from presenter_host import PresenterHost, act, cells, control, text
from test_xrays_presenter import add, place

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import CArm, SlotScan
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.dicom_geometry import (
    AT_PATIENT,
    BY_TUBE_ANGLE,
    EOS_LATERAL,
    IN_IMAGE,
)
from MultiViewRegistrationLib.io.files import keep_within
from MultiViewRegistrationLib.mrml.identity import INSTANCES
from MultiViewRegistrationLib.session.geometry import reading_of, use_reading
from MultiViewRegistrationLib.session.result_files import case_content, write_case_folder


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
@pytest.mark.parametrize("given", ["study", "sent"])
def test_scouts_beside_a_ct_become_its_xrays(host, ct, xrays, tmp_path, given):
    """Also of a study whose files a page sends, which are gone once they are read."""
    slices = made(tmp_path / "study")
    assert control(xrays, "scouts") is None
    if given == "sent":
        read(ct, *sorted(slices.parent.rglob("*.dcm")), folder=slices.parent)
        assert not slices.exists()
    else:
        read(ct, slices.parent)
    assert "Scouts of this CT lie in its folder: AP, LAT." in text(ct, "scouts")
    assert xrays.state().text == "add X-rays, or use the CT's scouts"
    assert text(xrays, "scouts_left_out") == ""
    act(xrays, "scouts")
    assert control(xrays, "scouts") is None and [view.name for view in xrays.views] == ["AP", "LAT"]
    assert as_described(xrays.views[0], 0) and as_described(xrays.views[1], 90)
    host.wait(xrays, lambda: not host.session.check_next())
    assert xrays.state().text == "2 views ready" and text(xrays, "problem") == ""
    assert cells(xrays, "xrays")[0][1:3] == ["slot scan", "reference"]
    act(xrays, "remove")
    act(xrays, "scouts")
    assert [view.name for view in xrays.views] == ["LAT", "AP"]


@pytest.mark.slow
def test_the_scanners_own_pose_is_the_truth_of_scouts_alone(host, ct, xrays, tmp_path):
    opened(ct, xrays, made(tmp_path / "study"))
    assert "scouts of this CT" in text(xrays, "truth")
    assert np.array_equal(case_content(host.session)["truth"]["world_from_ct"], np.eye(4))
    host.registration.world_from_ct = rigid.turn_and_shift([0.05, 0, 0], [4, -3, 6.0])
    host.session.register("given")
    host.session.finish()
    assert host.session.error() < 0.3
    host.session.history.note("before")
    motion = rigid.turn_and_shift(np.radians([0, 2.0, 0]), [3.0, 0, 4])
    host.registration.world_from_ct = rigid.about(np.zeros(3), motion)
    told = text(host.presenters.check, "from_truth")
    assert told.startswith("The CT is 5.0 mm (at its centre) and 2.0\u00b0 from the scanner's own")
    act(xrays, "geometry")
    put(xrays.geometry, "mode", "matrix")  # another world
    act(xrays.geometry, "matrix", "-900 80 0 40000 0 80 -900 35000 0 1 0 700")
    assert text(xrays, "truth") == "" and host.session.case().truth_world_from_ct is None
    xrays.use(xrays.views[0].node.GetID(), False)
    assert text(xrays, "truth") != ""


@pytest.mark.slow
def test_what_a_header_lacks_is_asked_for(ct, xrays, tmp_path):
    lacks = {"AngularPosition": None, "DistanceSourceToPatient": None}
    opened(ct, xrays, made(tmp_path / "study", "AP", **lacks))
    (view,) = xrays.views
    assert xrays.state().text == "AP needs geometry" and text(xrays, "truth") == ""
    act(xrays, "geometry")
    table = xrays.geometry
    told = "Not in the header: side of the tube, source to isocentre."
    assert text(table, "geometry_summary") == told
    for key in ("source_to_isocentre_mm", "isocentre_to_source"):
        assert cell(table, key).missing
    put(table, "source_to_isocentre_mm", "550")
    assert not cell(table, "source_to_isocentre_mm").missing and not view.placed
    sides = {option.title: option.value for option in field(table, "isocentre_to_source").options}
    assert list(sides) == ["tube: ?", "tube: back", "tube: front"]
    put(table, "isocentre_to_source", sides["tube: back"])
    assert as_described(view, 0) and text(xrays, "truth") != "" and control(table, "use") is None


@pytest.mark.slow
def test_a_slot_scan_is_told_in_words_and_can_be_corrected(ct, xrays, tmp_path):
    opened(ct, xrays, made(tmp_path / "study", "AP"))
    (view,) = xrays.views
    act(xrays, "geometry")
    table, before, assumed = xrays.geometry, view.camera, view.record.assumptions
    told = "Columns run to the patient's left, rows to the patient's feet."
    assert text(table, "slot_scan0") == told
    assert text(table, "slot_scan1") == "Pixels: 1.200 mm wide at the isocentre, 1.000 mm high."
    assert "The CT's centre is" in text(table, "geometry_summary")
    keys = ("source_to_isocentre_mm", "central_column")
    assert [field(table, key).text for key in keys] == ["550", ""]
    assert field(table, "mode").options[0].title == "Slot scan"
    assert text(table, "assumed") == f"Assumed of the header ({len(assumed)})"
    assert {AT_PATIENT, BY_TUBE_ANGLE, IN_IMAGE} < set(assumed)
    put(table, "isocentre_to_source", "A")
    put(table, "central_column", "70")
    assert np.allclose(view.camera.source, before.source * [1, -1, 1] + [(70 - 63.5) * 1.2, 0, 0])
    pixels = np.array([[0.0, 0], [127, 159]])
    assert np.allclose(view.camera.at_depth(pixels, 550.0), before.at_depth(pixels, 550.0))
    left = set(view.record.assumptions)
    assert AT_PATIENT in left and not {BY_TUBE_ANGLE, IN_IMAGE} & left
    put(table, "isocentre_to_source", "P")
    put(table, "central_column", "")
    assert view.camera.same_as(before) and view.record.assumptions == assumed
    put(table, "mode", "c_arm")
    flipped = control(xrays, "flipped")
    assert not flipped.enabled and "which way its columns run" in flipped.tip


@pytest.mark.slow
def test_the_certainty_of_a_slot_scan_has_that_of_its_rows(ct, xrays, tmp_path):
    def known():
        return xrays.session.case().views[1].step_sd_percent

    opened(ct, xrays, made(tmp_path / "study"))
    act(xrays, "xrays", xrays.views[1].node.GetID(), 0)
    act(xrays, "geometry")
    table = xrays.geometry
    usual = control(table, "certainty_known").options[0].title
    assert usual == "\u00b10.1\u00b0, 0.3 mm, 0.42 px, 0.5 % (usual)"
    act(table, "certainty_known", "typed")
    keys = ("distance_sd_percent", "step_sd_percent")
    assert [text(table, key) for key in keys] == ["0.5", "0.1"] and known() == 0.1
    act(table, "step_sd_percent", "0.4")
    assert known() == 0.4
    act(table, "certainty_known", "exactly")
    assert known() == 0


@pytest.mark.slow
def test_scouts_that_are_not_of_the_ct_are_left_out(ct, xrays, tmp_path):
    slices, more = made(tmp_path / "study"), tmp_path / "study" / "more"
    more.mkdir()
    other = write_scout(more, "AP", FrameOfReferenceUID="1.2.3.8")
    broken = write_scout(more, "LAT", ImagePositionPatient=None)
    read(ct, slices)
    left_out = text(xrays, "scouts_left_out")
    assert "AP.dcm is a localizer of another frame of reference than the CT" in left_out
    assert "LAT.dcm: is a localizer without isocentre" in left_out
    act(xrays, "scouts")
    for path, why in (
        (other, "AP: is of another frame of reference .* than AP"),
        (broken, "ImagePositionPatient"),
    ):
        read(xrays, path)
        assert re.search(why, xrays.host.files.refused[-1])
    assert len(xrays.views) == 2
    act(ct, "ct", "")
    assert control(xrays, "scouts") is None and text(xrays, "scouts_left_out") == ""


@pytest.mark.slow
def test_eos_images_are_placed_by_their_headers(xrays, tmp_path):
    """The frontal tube is asked for where no view tells; images of another scan are refused."""
    unsaid = write_eos(tmp_path / "1.dcm", ViewPosition=None)
    read(xrays, unsaid, write_eos(tmp_path / "2.dcm", "lateral"))
    frontal, lateral = xrays.views
    assert np.allclose(lateral.camera.source, [918, 0, 0])
    assert EOS_LATERAL in lateral.record.assumptions
    table = xrays.geometry
    xrays.host.show_geometry()
    assert table.view == frontal
    assert text(table, "geometry_summary") == "Not in the header: side of the tube."
    put(table, "central_column", "20")
    put(table, "isocentre_to_source", "A")
    assert np.allclose(frontal.camera.source, [0, -987, 0])
    assert np.allclose(frontal.camera.project([0, 0, 0]), [20, 29.5])
    for plane, tags, why in (
        ("lateral", {"StudyInstanceUID": "1.2.3.5"}, "another study"),
        ("lateral", {"rows": 80}, "their rows cover 14 and 11 mm"),
        ("lateral", {"PatientOrientation": ["A", "F"]}, "lateral one at his left"),
        ("frontal", {"PixelSpacing": None}, "is an EOS image without pixel_mm"),
    ):
        read(xrays, write_eos(tmp_path / "3.dcm", plane, **tags))
        assert why in xrays.host.files.refused[-1]
    assert len(xrays.views) == 2


@pytest.mark.slow
def test_an_eos_image_beside_an_x_ray_that_its_header_places_by_a_c_arm(xrays, tmp_path):
    """In whichever order."""
    refused = "eos is an EOS image and view1 is not, whose headers place them in different worlds"
    keys = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
    eos = write_eos(tmp_path / "eos.dcm", **{key: IDENTITY[key] for key in keys})
    c_arm, _ = write_xrays(tmp_path)
    read(xrays, c_arm)
    read(xrays, eos)
    assert refused in xrays.host.files.refused[-1]
    registration = xrays.session.registration
    registration.remove_xray(xrays.views[0])
    read(xrays, eos, c_arm)
    placed, other = xrays.views
    assert placed.camera is not None and not other.placed
    with refuses(refused):
        use_reading(registration, other, CArm(**{**reading_of(other), "size": other.size}))


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


@pytest.mark.quick_variants("GE MEDICAL SYSTEMS-False")
@pytest.mark.parametrize("maker, bent", [("Philips", True), ("GE MEDICAL SYSTEMS", False)])
def test_the_image_of_a_bent_fan_is_flattened(host, ct, xrays, tmp_path, maker, bent):
    """As the command line does it; also in the case that is written, which is read back the same."""
    slices = made(tmp_path / "study", "AP", Manufacturer=maker)
    opened(ct, xrays, slices)
    (view,) = xrays.views
    host.wait(xrays, lambda: not host.session.check_next())
    views = [{"name": "AP", "image": str(slices.parent / "AP.dcm")}]
    write_json(tmp_path / "case.json", {"version": 1, "ct": str(slices), "views": views})
    (written,) = write_case_folder(host.session, tmp_path / "written")()
    found = host.session.xray(view)
    assert (view.record.geometry.fan == "equal_angles") is bent
    for path in (tmp_path / "case.json", written):
        (expected,) = Case.load(path).views
        assert view.camera.same_as(expected.camera)
        assert_allclose(found.line_integrals, expected.xray.line_integrals, atol=1e-5)
    flat = np.array(slicer.util.arrayFromVolume(view.source)[0])
    assert np.allclose(found.line_integrals, flat, atol=1e-5) is not bent

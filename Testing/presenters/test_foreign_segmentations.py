"""A segmentation of another patient, or of another frame of reference, is asked about, as the command line names it."""

import warnings

import numpy as np
import pytest
from helpers.file_io import read_json, write_json
from helpers.phantom import make_ct, write_phantom_case
from helpers.planted_dicom import write_ct
from helpers.segmentation_files import write_regions, write_seg
from presenter_host import PresenterHost, answer, drop, questions, settled, text

from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.dicom_identity import DAY, FRAMES, doubt_about_segmentation
from MultiViewRegistrationLib.mrml import identity
from MultiViewRegistrationLib.mrml.loading import read_case

A = {
    "PatientID": "A-1",
    "PatientName": "Alpha^Anna",
    "PatientBirthDate": "19500101",
    "FrameOfReferenceUID": "1.2.3.4",
}


def write_segmentation(kind, folder, tags):
    volume, path = make_ct().volume, folder / "bones.dcm"
    if kind == "SEG":
        masks = {"bone": volume.values > 300}
        return write_seg(path, masks, volume.ct_from_index, **{**A, **tags})
    middle = volume.ct_from_index[:3, 3] + 24 * np.diag(volume.ct_from_index)[:3]
    square = np.array([(-20, -20, 0), (20, -20, 0), (20, 20, 0), (-20, 20, 0)])
    contours = [middle + square + [0, 0, z] for z in range(-20, 21, 2)]
    return write_regions(path, {"bone": contours}, **{**A, **tags})


@pytest.fixture
def case(tmp_path):
    """A case.json of a CT in DICOM, of A."""
    path, ct = write_phantom_case(tmp_path), make_ct()
    write_ct(tmp_path / "ct", np.rint(ct.volume.values), ct.volume.ct_from_index, **A)
    write_json(path, {**read_json(path), "ct": "ct"})
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, tags, named",
    [
        ("SEG", {"PatientID": "B-2"}, "different patients"),
        ("SEG", {"FrameOfReferenceUID": "1.2.3.5"}, "different frames of reference"),
        ("RTSTRUCT", {"FrameOfReferenceUID": "1.2.3.5"}, "different frames of reference"),
        ("RTSTRUCT", {}, ""),
        ("SEG", dict.fromkeys(A, ""), ""),
    ],
)
def test_page_and_panel_ask_and_the_command_line_does_not_accept(
    scene, watch, case, tmp_path, kind, tags, named
):
    host = PresenterHost(scene, read_case(case)(scene))
    path = write_segmentation(kind, tmp_path, tags)
    labels = {"labels": path.name, "structures": "all"}
    write_json(case, {**read_json(case), **labels})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = Case.load(case)
    found = [each for each in loaded.mismatches if each.kind != DAY]
    assert [named in each.sentence for each in found] == [True] * bool(named)
    assert bool(loaded.identity_findings) == bool(named)
    drop(host, path)
    if named:
        assert named in text(host.files, "asked.title") and host.registration.segmentation is None
        assert questions(host.files) == {"mask0": "leave_out"}
        answer(host.files, mask0="use")
        settled(host)
    assert host.registration.segmentation is not None


def test_one_with_a_name_is_asked_about_where_nobody_knows_whose_the_ct_is(scene, watch, tmp_path):
    host = PresenterHost(scene, read_case(write_phantom_case(tmp_path))(scene))
    drop(host, write_segmentation("SEG", tmp_path, {}))
    assert "Nothing tells whether bones.dcm and the CT" in text(host.files, "asked.title")


@pytest.mark.slow
def test_a_ct_opened_again_is_known_by_its_digests(scene, watch, case, tmp_path, monkeypatch):
    host = PresenterHost(scene, read_case(case)(scene))
    monkeypatch.setattr(identity, "_identities", {})
    other = {"PatientID": "B-2", "PatientName": "Beta^Berta"}
    drop(host, write_segmentation("SEG", tmp_path, other))
    assert "of different patients" in text(host.files, "asked.title")


def test_one_in_the_cts_frame_is_not_asked_about(tmp_path):
    path = write_segmentation("SEG", tmp_path, {})
    assert doubt_about_segmentation({}, path)
    assert not doubt_about_segmentation({FRAMES: A["FrameOfReferenceUID"]}, path)

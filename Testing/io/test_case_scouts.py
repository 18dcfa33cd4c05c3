"""`mvreg case new --scouts`: the case of a CT's own scouts, what their headers lack, and scouts that are wrong."""

import json
import shutil

import numpy as np
import pydicom
import pytest
from helpers.phantom import slot_scan_of
from helpers.phantom_study import write_scout
from numpy.testing import assert_allclose, assert_array_equal
from tiny_case import run

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.geometry.machines import SlotScan

NEW = "case new --ct study --scouts --out new/case.json"


@pytest.fixture
def study(phantom_study, tmp_path, monkeypatch):
    """A copy of its own, in the folder where the program runs."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(phantom_study, tmp_path / "study")


def retagged(path, **tags):
    data = pydicom.dcmread(path)
    data.update(tags)
    data.save_as(path)


@pytest.mark.slow
def test_the_truth_is_the_frame_of_reference(study, capsys):
    run(f"{NEW} --json")
    report = json.loads(capsys.readouterr().out)
    assert not report["findings"] and report["start_pose"] == "given"
    case = Case.load("new/case.json")
    assert_array_equal(case.truth_world_from_ct, np.eye(4))
    points = np.array([[0.0, 0, 0], [20, -30, 10]])
    for view, degrees in zip(case.views, (0, 90), strict=True):
        expected = SlotScan(**slot_scan_of(degrees)).camera()
        assert_allclose(view.camera.project(points), expected.project(points), atol=1e-5)
        assert (view.distance_sd_percent, view.step_sd_percent) == (0.5, 0.1)


def test_any_image_may_be_a_slot_scan(study, refused):
    """As those of EOS: nothing of it is in the header."""
    scan = slot_scan_of(0)
    known = {key: value for key, value in scan.items() if key not in ("size", "rows_along")}
    given = [f"{key}={','.join(map(str, np.ravel(value)))}" for key, value in known.items()]
    plain = {"ImageType": ["ORIGINAL", "PRIMARY"], "PixelIntensityRelationship": "LOG"}
    retagged(study / "AP.dcm", Modality="DX", **plain)
    words = "case new --ct study/ct --view AP study/AP.dcm --intensity log --out new/case.json"
    words = f"{words} --slot-scan {' '.join(given)}"
    refused(words, "AP: is missing rows_along, expected all of a slot scan")
    run(f"{words} rows_along=0,0,-1 fan=flat")
    (view,) = Case.load("new/case.json").views
    assert view.camera.same_as(SlotScan(**scan).camera())


@pytest.mark.filterwarnings("always")
def test_scouts_of_another_examination_are_refused_or_left_out(study, refused, capsys):
    retagged(study / "AP.dcm", FrameOfReferenceUID="1.2.3.8")
    refused(f"{NEW} --view AP study/AP.dcm", "view AP: study/AP.dcm is no scout of this CT")
    run(NEW)
    left_out = "AP.dcm is a localizer of another frame of reference than the CT, and is left out"
    assert left_out in capsys.readouterr().err
    assert [view.name for view in Case.load("new/case.json").views] == ["LAT"]


@pytest.mark.parametrize(
    "turn, said",
    [
        (lambda image: image[::-1, ::-1], "LAT: the image is turned by 180 degrees"),
    ],
)
def test_a_scout_that_was_turned_without_its_header_is_refused(study, refused, turn, said):
    image = turn(pydicom.dcmread(study / "LAT.dcm").pixel_array)
    write_scout(study, "LAT", np.ascontiguousarray(image))
    refused(NEW, said, "Export it again")


@pytest.mark.slow
def test_the_scouts_of_a_lumbar_spine_are_not_suspicious(shared_data, tmp_path, capsys):
    """Edge-enhanced by a Toshiba scanner, the lateral stored as seen from the detector."""
    study = shared_data / "lumbar" / "study"
    scans = [
        f"--view {name} {study}/{name}.dcm --slot-scan source_to_isocentre_mm=600 isocentre_to_source={source}"
        for name, source in (("AP", "0,-1,0"), ("LAT", "1,0,0"))
    ]
    run(f"case new --ct {study} --scouts {' '.join(scans)} --out {tmp_path}/case.json --json")
    assert json.loads(capsys.readouterr().out)["findings"] == []


def test_a_scout_that_shows_the_ct_elsewhere_is_suspicious(study, capsys):
    """Cropped at the top, with the header left as it was."""
    write_scout(study, "LAT", pydicom.dcmread(study / "LAT.dcm").pixel_array[20:])
    run(NEW)
    assert (
        "Suspicious: LAT does not show the CT where the scanner has it (local NCC"
        in capsys.readouterr().out
    )

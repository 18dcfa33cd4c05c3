"""Landmark files, of all versions of Slicer, and as Slicer itself writes them."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tiny_case import refusal

from MultiViewRegistrationLib import Landmark
from MultiViewRegistrationLib.io.points import read_markups, with_ct_points

LPS = {"ASIS, left": (118.25, -64.0, 912.5), "tip": (-121.0, 61.5, 0.125)}

SLICER_3 = """# Fiducial List file C:/points.fcsv
# version = 2
# name = L
# numPoints = 2
# symbolScale = 5
# visibility = 1
# columns = label,x,y,z,sel,vis
"ASIS, left",-118.25,64,912.5,1,1
tip,121,-61.5,0.125,1,1
"""
SLICER_4 = """# Markups fiducial file version = 4.{minor}
# CoordinateSystem = {system}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
vtkMRMLMarkupsFiducialNode_0,{x},{y},912.5,0,0,0,1,1,1,0,"ASIS, left",,vtkMRMLScalarVolumeNode1
vtkMRMLMarkupsFiducialNode_1,{x2},{y2},0.125,0,0,0,1,1,1,0,tip,"a ""word"", or two",
"""


def slicer_4(system, minor=10):
    sign = 1 if system in ("LPS", "1") else -1
    return SLICER_4.format(
        minor=minor, system=system, x=sign * 118.25, y=sign * -64, x2=sign * -121, y2=sign * 61.5
    )


def markups(system, **changes):
    sign = [1, 1, 1] if system == "LPS" else [-1, -1, 1]
    points = [
        {"label": label, "position": np.multiply(sign, at).tolist(), "positionStatus": "defined"}
        for label, at in LPS.items()
    ]
    points.append({"label": "", "position": [0, 0, 0], "positionStatus": "undefined"})
    markup = {"type": "Fiducial", "coordinateSystem": system, "coordinateUnits": "mm"}
    return json.dumps({"markups": [markup | {"controlPoints": points} | changes]})


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.fcsv", SLICER_3),
        ("a.fcsv", slicer_4("0")),
        ("a.fcsv", slicer_4("LPS", 11)),
        ("a.fcsv", slicer_4("LPS").replace("\n", "\r\n")),
        ("a.mrk.json", markups("RAS")),
    ],
)
def test_all_versions_give_the_same_lps_points(file_of, name, content):
    found = read_markups(file_of(name, content))
    assert found.keys() == LPS.keys()
    for label, point in LPS.items():
        assert_allclose(found[label], point, atol=1e-12)


@pytest.mark.parametrize(
    "kind, ending", [("MarkupsFiducial", ".fcsv"), ("MarkupsJson", ".mrk.json")]
)
def test_what_slicer_itself_writes(slicer_storage, tmp_path, kind, ending):
    path = tmp_path / f"slicer{ending}"
    node, storage = slicer_storage("MarkupsFiducial", kind, path)
    for label, (x, y, z) in LPS.items():
        node.AddControlPoint((-x, -y, z), label)
    assert storage.WriteData(node)
    found = read_markups(path)
    assert_allclose([found[label] for label in LPS], list(LPS.values()), atol=1e-3)


@pytest.mark.parametrize(
    "name, content, word",
    [
        ("a.fcsv", slicer_4("LPS").replace("# CoordinateSystem = LPS\n", ""), "CoordinateSystem"),
        ("a.fcsv", slicer_4("LPS").replace("0,tip", '0,"ASIS, left"'), "twice"),
        ("a.fcsv", slicer_4("LPS").replace("912.5", "high"), "high"),
        ("a.fcsv", slicer_4("LPS").replace("tip", ""), "without a label"),
        ("a.mrk.json", markups("IJK"), "IJK"),
        ("a.mrk.json", markups("LPS", controlPoints=[{"label": "a"}]), "position"),
    ],
)
def test_missing_and_wrong_entries_are_refused(file_of, name, content, word):
    assert word in refusal(read_markups, file_of(name, content))


def test_points_go_to_the_landmarks_of_their_names(tmp_path):
    (tmp_path / "a.fcsv").write_text(slicer_4("0"))
    landmarks = [
        Landmark("tip", np.zeros(3), {"AP": np.zeros(2)}),
        Landmark("heel", np.ones(3), {}),
    ]
    tip, heel = with_ct_points(landmarks, tmp_path / "a.fcsv")
    assert_allclose(tip.ct, LPS["tip"])
    assert "AP" in tip.pixels and np.array_equal(heel.ct, np.ones(3))
    message = refusal(with_ct_points, [heel], tmp_path / "a.fcsv")
    assert "none of the case's landmarks" in message

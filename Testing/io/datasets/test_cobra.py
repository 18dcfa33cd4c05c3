"""COBRA2026's files: points of the CT fall where RTK's geometry has the voxels that its authors' turns of arrays make of them."""

import numpy as np
import pytest
from file_io import write_volume
from numpy.testing import assert_allclose
from refusals import refuses
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.datasets.cobra import read_cobra

#: By the file that tells the machine: how gc-tools' sample_reconstruction.py turns and flips arrays.
TURNED = {"reconstruction.yaml": ((1, 2, 0), (0,)), "Scan.xml": ((1, 0, 2), (0, 1))}
ANGLES, SID, SDD, SHIFT, MM, SIZE = (20.0, 110.0), 1000, 1536, 115.0, (3.0, 2.5), (40, 32)
ORIGIN = (-58.0, -39.0)
SIDE = 9  # voxels of 10 mm about the isocentre


@pytest.fixture(params=TURNED)
def folder(request, tmp_path):
    (tmp_path / request.param).touch()
    projections = "".join(
        f"<Projection><GantryAngle>{angle}</GantryAngle></Projection>" for angle in ANGLES
    )
    (tmp_path / "geometry.xml").write_text(
        '<?xml version="1.0"?><!DOCTYPE RTKGEOMETRY><RTKThreeDCircularGeometry version="3">'
        f"<SourceToIsocenterDistance>{SID}</SourceToIsocenterDistance>"
        f"<SourceToDetectorDistance>{SDD}</SourceToDetectorDistance>"
        f"<ProjectionOffsetX>{SHIFT}</ProjectionOffsetX>{projections}</RTKThreeDCircularGeometry>"
    )
    counts = np.random.default_rng(1).integers(1, 60000, (2, *SIZE[::-1])).astype(np.uint16)
    detector = rigid.translation([*ORIGIN, 0]) @ np.diag([*MM, 1, 1])
    write_volume(tmp_path / "projections.mha", counts, detector)
    ct = np.full((SIDE,) * 3, -1000, np.int16)
    ct[2:7, 3:7, 2:6] = 700
    for name in ("ct_original.mha", "ct_def.mha"):
        write_volume(tmp_path / name, ct, rigid.translation([-40.0] * 3) @ np.diag([10, 10, 10, 1]))
    return tmp_path, TURNED[request.param]


def test_points_fall_where_rtk_has_them(folder, tmp_path_factory):
    path, (order, flip) = folder
    case = Case.load(read_cobra(path, [1], deformed=True).write(tmp_path_factory.mktemp("case")))
    for index in ([1, 2, 5], [7, 3, 4]):  # z, y, x of a voxel in RTK's volume
        marked = np.zeros((SIDE,) * 3)
        marked[tuple(index)] = 1
        there = np.argwhere(np.flip(marked.transpose(order), flip))[0]
        x, y, z = 10.0 * np.array(index[::-1]) - 40
        turned = Rotation.from_euler("y", -ANGLES[1], degrees=True).apply([x, y, z])
        pixel = (turned[:2] * SDD / (SID - turned[2]) - [SHIFT, 0] - ORIGIN) / MM
        assert_allclose(case.views[0].camera.project(10.0 * there[::-1] - 40), pixel, atol=1e-6)
    assert_allclose(case.truth_world_from_ct, np.eye(4))
    assert_allclose(rigid.transform_points(case.world_from_ct, case.ct.centroid()), 0, atol=1e-9)
    assert case.views[0].xray.pixel_mm == MM


def test_the_planning_ct_has_no_truth(folder):
    imported = read_cobra(folder[0], [0, 1])
    assert "truth" not in imported.content and "no truth" in imported.notes[0]


def test_what_is_no_case_is_refused(folder):
    path, _ = folder
    with refuses("views"):
        read_cobra(path, [2])
    with refuses("neither"):
        read_cobra(path.parent, [0])

"""What page and panel show beside a registration: bone, pose in numbers, two poses side by side, an opened result, similarity at rest."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, off, write_phantom_case
from phantom_scene import phantom, phantom_registration, settled_session
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.imaging.ct import BONE_HU
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.mrml import ct_3d
from MultiViewRegistrationLib.mrml.structures import structures_of
from MultiViewRegistrationLib.report.result_page import save_result
from MultiViewRegistrationLib.session import assessment
from MultiViewRegistrationLib.session.assessment import SimilarityUpdater
from MultiViewRegistrationLib.session.history import Entry
from MultiViewRegistrationLib.session.presenters.start import pose_numbers, set_pose_number
from MultiViewRegistrationLib.session.result_files import read_result
from MultiViewRegistrationLib.session.session import Session


def test_the_bone_surface_lies_where_the_ct_has_that_value_and_moves_with_it(scene):
    registration = phantom_registration(scene)
    assert not ct_3d.surface_is_current(registration)
    ct_3d.put_surface(registration, ct_3d.take_surface(registration)())
    assert ct_3d.surface_is_current(registration) and ct_3d.surface_is_shown(registration)
    node = registration.node.GetNodeReference("bones")
    points = vtk_to_numpy(node.GetPolyData().GetPoints().GetData()) * [-1, -1, 1]
    volume = phantom()[0].volume
    index = np.rint((points - volume.ct_from_index[:3, 3]) / 2).astype(int)
    near = [volume.values[k - 2 : k + 3, j - 2 : j + 3, i - 2 : i + 3] for i, j, k in index[::50]]
    assert np.mean([cube.min() < BONE_HU < cube.max() for cube in near]) > 0.95
    assert node.GetParentTransformNode() is registration.ct_transform
    assert node not in structures_of(registration)
    ct_3d.show_surface(registration, False)
    assert not ct_3d.surface_is_shown(registration)


@pytest.mark.parametrize("which, value", [(0, 12.5), (2, -30.0), (3, 20.0), (5, -100.0)])
def test_one_number_of_the_pose_changes_and_the_others_stay(scene, which, value):
    registration = phantom_registration(scene)
    wanted = pose_numbers(registration)
    wanted[which] = value
    set_pose_number(registration, which, value)
    np.testing.assert_allclose(pose_numbers(registration), wanted, atol=1e-9)


def test_two_poses_side_by_side(scene):
    session = settled_session(scene)
    here, moved = session.registration.world_from_ct, session.registration.world_from_ct.copy()
    moved[0, 3] += 5.0
    with pytest.raises(InputError, match="not ready"):
        assessment.compare_poses(session, Entry.now("a", here), Entry.now("b", moved))
    session.prepare()
    while session.preparing:
        session.poll()
    found = assessment.compare_poses(session, Entry.now("a", here), Entry.now("b", moved))()
    assert found.mm == pytest.approx(5.0) and found.degrees == pytest.approx(0.0, abs=1e-6)
    assert [name for name, *_ in found.pictures] == ["view1", "view2"]
    _, one, other = found.pictures[0]
    assert one.shape == other.shape and (one != other).any()


def test_a_result_is_opened_again_as_it_stood(scene, tmp_path):
    case_file = write_phantom_case(tmp_path)
    result = register(Case.load(case_file), "given")
    save_result(result, tmp_path)
    session = Session(read_result(tmp_path)(scene))
    assert error_mm(session.registration.world_from_ct, TRUE_POSE) < 0.2
    assert session.history.current.verdict == result.verdict
    assert session.stale_reason() == ""
    session.history.undo()
    assert error_mm(session.registration.world_from_ct, TRUE_POSE) > 5

    case = json.loads(case_file.read_text())
    case["search"] = {"rotation_deg": 10, "translation_mm": 10}
    case_file.write_text(json.dumps(case))
    stale = Session(read_result(tmp_path)(scene))
    assert "has changed since" in " ".join(stale.history.current.reasons) and stale.stale_reason()
    case_file.unlink()
    with pytest.raises(InputError, match="found no case.json beside it"):
        read_result(tmp_path)


@pytest.fixture
def session(scene):
    session = Session(phantom_registration(scene))
    until = time.monotonic() + 30
    while not session.prepare() and time.monotonic() < until:
        session.poll()
    return session


def measured(similarity, seconds: float = 60.0) -> bool:
    """Whether something new was measured, while a timer polls, as in panel and page."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        similarity._session.poll()
        if similarity.update():
            return True
    return False


def test_it_is_measured_once_for_a_pose_and_again_for_another(session):
    similarity = SimilarityUpdater(session)
    assert similarity.values == {}
    session.drawing.step()  # while the CT moves nothing is measured
    assert not session.drawing.at_rest and not similarity.update() and similarity._measured._worker is None
    assert measured(similarity)
    before = dict(similarity.values)
    assert set(before) == {"view1", "view2"}
    assert not measured(similarity, 0.2)
    session.registration.world_from_ct = TRUE_POSE
    assert measured(similarity)
    assert all(similarity.values[name] > before[name] + 0.1 for name in before)
    session.registration.xrays[0].change(use=False)
    assert measured(similarity)
    assert set(similarity.values) == {"view2"}


def test_a_ct_in_no_view_has_none(session):
    similarity = SimilarityUpdater(session)
    assert measured(similarity)
    session.registration.world_from_ct = off(TRUE_POSE, [0, 0, 0], [0, 0, 900.0])
    assert measured(similarity)
    assert similarity.values == {}
    assert not measured(similarity, 0.2)
    session.registration.world_from_ct = TRUE_POSE
    assert measured(similarity)
    assert np.min(list(similarity.values.values())) > 0.9

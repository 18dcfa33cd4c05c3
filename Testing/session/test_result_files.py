"""What is handed on says what it is, reads back, and is refused where it should be; what is plotted of a registration."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import TRUE_POSE, make_views, off
from phantom_scene import remove

from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io import files
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.mrml.loading import read_case
from MultiViewRegistrationLib.registration.cameras import CALIBRATED
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.session import curves
from MultiViewRegistrationLib.session.result_files import write_case_folder, write_result
from MultiViewRegistrationLib.session.session import Session

CASE = "pelvis-lateral"


@pytest.fixture
def session(scene, shared_data):
    session = Session(read_case(shared_data / "sim" / CASE / "case.json")(scene))
    yield session
    remove(session.registration)


@pytest.fixture
def registered(session):
    session.registration.world_from_ct = off(session.case(placed=False).truth_world_from_ct, [1, -1, 0.5], [2, 1, -3])
    session.register("by hand")
    session.finish()
    return session


def test_a_result_is_handed_on(registered, tmp_path):
    write_result(registered, tmp_path)()
    told = json.loads((tmp_path / "result.json").read_text())
    assert "override" not in told
    assert told["errors"]["mtre_mm"] < 0.1
    assert set(told["inputs"]) == {"ct", "view1", "view2"}
    transform = sitk.ReadTransform(str(tmp_path / "world_from_ct.tfm"))
    point = np.array([10.0, -20.0, 30.0])
    expected = (registered.registration.world_from_ct @ [*point, 1.0])[:3]
    assert np.allclose(transform.TransformPoint(point.tolist()), expected, atol=1e-6)
    assert "Override" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def correct_geometry(registration):
    registration.xrays[0].change(rotation_sd_deg=1.0)


def skip_a_view(registration):
    registration.xrays[1].change(use=False)


def move_by_hand(registration):
    registration.world_from_ct = rigid.from_rotation_translation(np.eye(3), [1.0, 0, 0]) @ registration.world_from_ct


@pytest.mark.parametrize(
    "change, why",
    [
        pytest.param(correct_geometry, "stale", marks=pytest.mark.slow),
        pytest.param(skip_a_view, "stale", marks=pytest.mark.slow),
        (move_by_hand, "moved by hand"),
    ],
)
def test_what_has_changed_needs_an_override_which_the_files_carry(registered, tmp_path, change, why):
    change(registered.registration)
    with pytest.raises(InputError, match=f"{why}.*override"):
        write_result(registered, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    write_result(registered, tmp_path, override=True)()
    assert why in json.loads((tmp_path / "result.json").read_text())["override"]
    assert why in (tmp_path / "world_from_ct.tfm").read_text()
    assert why in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_pose_set_by_hand_is_no_result(session, tmp_path):
    session.registration.world_from_ct = session.case().truth_world_from_ct
    with pytest.raises(InputError, match="no result"):
        write_result(session, tmp_path)
    write_result(session, tmp_path, override=True)()
    assert json.loads((tmp_path / "result.json").read_text())["start"]["method"] == "by hand"


@pytest.mark.slow
def test_a_case_is_written_that_registers_alike(registered, tmp_path):
    there = registered.case()
    back = Case.load(write_case_folder(registered, tmp_path)()[0])
    assert np.allclose(back.world_from_ct, registered.registration.world_from_ct, atol=1e-9)
    assert np.array_equal(back.ct.volume.values, there.ct.volume.values)
    assert np.allclose(back.truth_world_from_ct, there.truth_world_from_ct)
    for a, b in zip(there.views, back.views, strict=True):
        assert np.allclose(a.camera.projection_matrix, b.camera.projection_matrix, rtol=1e-9)
        assert np.array_equal(a.xray.line_integrals, b.xray.line_integrals)
        assert np.array_equal(a.xray.valid, b.xray.valid)


def test_a_flipped_and_inverted_image_is_written_as_it_is_used(session, tmp_path):
    session.registration.xrays[0].change(flipped=True)
    session.registration.xrays[1].change(inverted=True)
    there, back = session.case(), Case.load(write_case_folder(session, tmp_path)()[0])
    for a, b in zip(there.views, back.views, strict=True):
        assert np.allclose(a.xray.line_integrals, b.xray.line_integrals, atol=1e-5)


@pytest.mark.slow
def test_a_full_disk_is_one_sentence(registered, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(InputError, match="No space left on device.*choose another folder"):
        write_result(registered, tmp_path)()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_case_is_written_from_the_picture_where_somebody_deleted_the_image(session, tmp_path):
    there = session.case()
    for view in session.registration.xrays:
        session.registration.scene.RemoveNode(view.source)
    back = Case.load(write_case_folder(session, tmp_path)()[0])
    for a, b in zip(there.views, back.views, strict=True):
        assert np.allclose(a.xray.line_integrals, b.xray.line_integrals, atol=1e-5)


NEAR = off(TRUE_POSE, [1.0, -1.0, 0.5], [4.0, 2.0, -3.0])


@pytest.fixture(scope="module")
def result(ct, anatomy):
    views = make_views(ct)
    found = refine(anatomy, views, NEAR)
    told = assess(anatomy, views, found, NEAR)
    return SimpleNamespace(
        case=SimpleNamespace(views=views, shared_unknowns=CALIBRATED),
        views=found.views,
        refinement=found,
        assessment=told,
        world_from_ct=found.world_from_ct,
    )


def test_similarity_ends_at_what_the_result_has(result):
    named = dict(curves.similarity(result))
    assert list(named) == ["view1", "view2"]
    assert [points[-1][1] for points in named.values()] == pytest.approx(list(result.refinement.fit.similarity))
    numbers = [number for number, _ in named["view1"]]
    assert numbers == list(range(1, 1 + sum(len(points) for _, points in curves.cost(result))))


def test_the_predicted_error_falls_to_that_of_the_result(result):
    expected, bound = (np.array(points)[:, 1] for _, points in curves.predicted(result))
    prediction = result.assessment.prediction
    last = result.refinement.levels[-1].steps[-1].world_from_ct
    assert np.allclose(last, result.world_from_ct)
    assert (expected[-1], bound[-1]) == (prediction.mean_mm, prediction.upper95_mm)
    first = result.refinement.levels[0].steps[0].world_from_ct
    way = np.linalg.norm(
        rigid.transform_points(first, result.assessment.targets)
        - rigid.transform_points(result.world_from_ct, result.assessment.targets),
        axis=1,
    )
    assert way.min() < expected[0] < np.hypot(way.max(), prediction.mean_mm) and (expected <= bound).all()


def test_nothing_is_told_of_what_was_not_assessed(result):
    result = SimpleNamespace(**{**vars(result), "assessment": replace(result.assessment, prediction=None)})
    assert curves.predicted(result) == []

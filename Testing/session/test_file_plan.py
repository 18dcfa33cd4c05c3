"""What becomes of files, as data: from files, answers and what is open to questions or actions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, make_ct, make_views
from helpers.refusals import refuses

from MultiViewRegistrationLib.io.recognise import CTFiles, FoundFiles
from MultiViewRegistrationLib.session.presenters.file_actions import (
    SCOUTS,
    CTs,
    Dropped,
    Keep,
    Open,
    OpenCase,
    OpenXRay,
    Part,
    PendingQuestion,
    ReadCT,
    ReadMask,
    ReadXRays,
    Step,
    UseLandmarks,
    UseXRayMask,
)
from MultiViewRegistrationLib.session.presenters.file_plan import plan, unused

AP, LAT = OpenXRay("n1", "AP", (128, 128), True), OpenXRay("n2", "LAT", (128, 128), True)
SOFT, BONE = (
    CTFiles((Path("soft.nrrd"),), "Soft", "48 slices"),
    CTFiles((Path("bone.nrrd"),), "Bone", "20 slices"),
)
NOTHING, WHOLE = OpenCase(), OpenCase(there=True, ct=True, xrays=(AP, LAT))


def found(*, cts=(), scouts=(), **files):
    """Files of kinds, as xray="a.png b.png"."""
    by_kind = {
        (kind.replace("_", " "),): [Path(name) for name in names.split()]
        for kind, names in files.items()
    }
    return FoundFiles(list(cts), list(scouts), by_kind)


def choices(asked):
    """The answers to its only question."""
    (question,) = asked.questions
    return [value for value, _label in question.choices]


def test_each_kind_of_a_drop_is_planned_for_itself():
    dropped = Dropped(
        found(cts=(SOFT,), xray="a.png b.png", mask="bone.nrrd", calibration="a.txt b.txt")
    )
    assert plan(dropped, {}, NOTHING) == (
        Step.BEGIN,
        ReadXRays((Path("a.png"), Path("b.png"))),
        Keep(
            (
                CTs((SOFT,)),
                Part(("mask",), (Path("bone.nrrd"),)),
                Part(("calibration",), (Path("a.txt"), Path("b.txt"))),
            )
        ),
    )
    assert plan(Dropped(found()), {}, NOTHING) == ()
    many = Dropped(found(xray=" ".join(f"{n}.png" for n in range(40))))
    with refuses("Found 40 X-rays, expected at most"):
        plan(many, {}, NOTHING)


def test_a_ct_with_x_rays_is_another_case_beside_one_that_has_both():
    dropped = Dropped(found(cts=(SOFT,), xray="a.png"))
    assert choices(plan(dropped, {}, WHOLE)) == ["new", "replace"]
    assert plan(dropped, {}, replace(WHOLE, ct=False))[0] is Step.BEGIN
    assert plan(replace(dropped, replacing=True), {}, WHOLE)[0] is Step.CLOSE
    kept = plan(dropped, {"how": "replace"}, WHOLE)[-1]
    assert plan(kept.files[0], {}, WHOLE) == (ReadCT(SOFT),)  # in place of the one that is there


@pytest.mark.parametrize(
    "opened, cts, answers, expected",
    [
        (NOTHING, CTs((SOFT,)), {}, (ReadCT(SOFT),)),
        (NOTHING, CTs((SOFT, BONE)), {}, "2 CT series were found. Which is to be registered?"),
        (NOTHING, CTs((SOFT, BONE)), {"ct": "1"}, (ReadCT(BONE),)),
        (WHOLE, CTs((SOFT,)), {}, "There is a CT already. Register this one in its place?"),
        (
            OpenCase(there=True, ct_coming=True),
            CTs((SOFT,)),
            {},
            "There is a CT already. Register this one in its place?",
        ),
        (WHOLE, CTs((SOFT,), preferred=True), {}, (ReadCT(SOFT),)),
    ],
)
def test_which_ct_is_read(opened, cts, answers, expected):
    planned = plan(cts, answers, opened)
    assert (planned.title if isinstance(planned, PendingQuestion) else planned) == expected


@pytest.mark.parametrize("scouts", [False, True])
def test_a_ct_may_begin_a_case_of_its_own_with_its_scouts(scouts):
    cts = CTs((SOFT, BONE), scouts=scouts)
    begun = plan(cts, {"ct": "new"}, WHOLE)
    more = (Part((SCOUTS,)),) if scouts else ()
    assert begun == (Step.CLOSE, Step.BEGIN, Keep((CTs((SOFT, BONE)), *more)))


def test_a_ct_in_the_place_of_another_may_bring_its_scouts():
    cts = CTs((SOFT, BONE), scouts=True)
    assert choices(plan(cts, {}, WHOLE)) == ["0", "1", "scouts.0", "scouts.1", "new"]
    taken = plan(cts, {"ct": "scouts.1"}, WHOLE)
    assert taken == (Step.REMOVE_XRAYS, ReadCT(BONE), Keep((Part((SCOUTS,)),)))


def test_another_patients_ct_takes_the_place_of_all_with_its_scouts():
    dropped = Dropped(found(cts=(SOFT,), scouts=(Path("ap.dcm"),)), doubt="other")
    removed, *_begin, kept = plan(dropped, {"how": "replace"}, WHOLE)
    assert removed is Step.REMOVE_XRAYS and kept.files[1] == Part((SCOUTS,))


def test_a_whole_registration_takes_the_place_of_what_is_open():
    dropped = Dropped(found(case="a/case.json b/case.json"))
    assert choices(plan(dropped, {}, NOTHING)) == ["0", "1"]
    opening = (Open(Path("b/case.json"), None),)
    assert plan(dropped, {"file": "1"}, NOTHING) == opening
    assert choices(plan(dropped, {"file": "1"}, WHOLE)) == ["open", "xrays"]
    assert plan(dropped, {"file": "1", "how": "open"}, WHOLE) == opening
    assert plan(dropped, {"file": "1", "how": "xrays"}, WHOLE) == (
        ReadXRays((Path("b/case.json"),)),
    )
    assert plan(dropped, {"file": "1"}, replace(WHOLE, replaces=False)) == opening
    assert choices(plan(Dropped(found(scene="a.mrb")), {}, WHOLE)) == ["open"]
    as_xrays = replace(dropped, preferred="xray")
    assert plan(as_xrays, {}, WHOLE) == (ReadXRays((Path("a/case.json"), Path("b/case.json"))),)


@pytest.mark.parametrize("other", ["ct", "slice"])
def test_what_is_unclear_is_asked_and_then_planned_anew(other):
    unclear = Part((other, "xray"), (Path("run.mha"),))
    offered = choices(plan(unclear, {}, NOTHING))
    assert "xray" in offered and "slice" not in offered
    assert plan(unclear, {"kind": "xray"}, NOTHING) == (
        Step.BEGIN,
        ReadXRays((Path("run.mha"),)),
        Keep(()),
    )


def test_masks_wait_for_what_they_cover():
    mask, xray_mask = (
        Part(("mask",), (Path("bone.nrrd"),)),
        Part(("xray mask",), (Path("used.png"),)),
    )
    assert (
        plan(mask, {}, NOTHING) is None and plan(mask, {}, replace(WHOLE, ct_coming=True)) is None
    )
    assert plan(mask, {}, WHOLE) == (ReadMask(Path("bone.nrrd")),)
    assert (
        plan(xray_mask, {}, NOTHING) is None
        and plan(xray_mask, {}, replace(WHOLE, xrays_coming=True)) is None
    )
    assert choices(plan(xray_mask, {}, WHOLE)) == ["n1", "n2"]
    assert plan(xray_mask, {"view": "n2"}, WHOLE) == (UseXRayMask(Path("used.png"), "n2"),)


def test_scouts_are_offered_where_there_is_no_x_ray():
    scouts, ready = Part((SCOUTS,)), OpenCase(there=True, ct=True, scouts=("AP",))
    kept = plan(Dropped(found(cts=(SOFT,), scouts=(Path("ap.dcm"),))), {}, NOTHING)[-1]
    assert kept == Keep((CTs((SOFT,), scouts=True), scouts))
    assert plan(scouts, {}, OpenCase(there=True, ct_coming=True)) is None
    assert plan(scouts, {}, ready).title == "The CT has scouts: AP."
    assert plan(scouts, {"use": "use"}, ready) == (Step.USE_SCOUTS,)
    assert (
        plan(scouts, {}, replace(ready, xrays=(AP,)))
        == ()
        == plan(scouts, {}, replace(ready, scouts=()))
    )


def test_a_pose_waits_for_the_ct_and_for_what_its_file_leaves_open(tmp_path):
    np.savetxt(tmp_path / "start.txt", TRUE_POSE)
    pose = Part(("pose",), (tmp_path / "start.txt",))
    assert (
        plan(pose, {}, NOTHING) is None
        and plan(pose, {}, replace(WHOLE, xrays_coming=True)) is None
    )
    assert [question.key for question in plan(pose, {}, WHOLE).questions] == ["frame", "direction"]
    (placed,) = plan(pose, {"frame": "lps", "direction": "forward"}, WHOLE)
    assert np.allclose(placed.world_from_ct, TRUE_POSE)
    (tmp_path / "start.txt").write_text("1 2 3")
    with refuses("start.txt"):
        plan(pose, {}, WHOLE)


def test_landmarks_are_of_the_ct_or_of_an_x_ray_with_a_geometry():
    marks = Part(("landmarks",), (Path("points.fcsv"),))
    placed = replace(WHOLE, xrays=(AP, replace(LAT, needs_geometry=False)))
    assert plan(marks, {}, NOTHING) is None
    assert plan(marks, {}, WHOLE) == (UseLandmarks(*marks.files, "ct"),)
    assert choices(plan(marks, {}, placed)) == ["ct", "n2"]


ANSWERS = {"unit": "mm", "axes": "lps", "first_pixel": "0"}


@pytest.fixture
def matrices(tmp_path):
    """Two calibration files, p.txt and lat.txt."""
    for name, view in zip(("p.txt", "lat.txt"), make_views(make_ct()), strict=True):
        np.savetxt(tmp_path / name, view.camera.projection_matrix)
    return Part(("calibration",), (tmp_path / "p.txt", tmp_path / "lat.txt"))


def given(actions):
    """The files that X-rays got their cameras from."""
    return {action.xray: action.path.name for action in actions}


def test_the_end_from_which_images_are_seen_is_asked_once_for_all_matrices(matrices):
    for path in matrices.files:
        np.savetxt(path, np.loadtxt(path) * [[-1], [1], [1]])
    *_others, last = plan(matrices, ANSWERS, WHOLE).questions
    assert [value for value, _label in last.choices] == ["source", "detector"]
    placed = plan(matrices, ANSWERS | {"seen_from": "detector"}, WHOLE)
    assert [each.camera.camera.intrinsics[0, 0] < 0 for each in placed] == [True, True]


def test_cameras_that_nothing_tells_apart_are_asked_for(matrices):
    three = replace(WHOLE, xrays=(AP, replace(AP, id="n3", name="other"), LAT))
    last = plan(matrices, ANSWERS, three).questions[-1]
    assert last.key == "camera.0" and [label for _value, label in last.choices] == [
        "AP",
        "other",
        "none of these",
    ]
    assert given(plan(matrices, ANSWERS | {"camera.0": "1"}, three)) == {
        "n3": "p.txt",
        "n2": "lat.txt",
    }
    assert given(plan(matrices, ANSWERS | {"camera.0": "none"}, three)) == {"n2": "lat.txt"}
    one_left = replace(WHOLE, xrays=(replace(AP, needs_geometry=False), LAT))
    assert given(plan(matrices, ANSWERS, one_left)) == {"n2": "lat.txt"}  # the other has a geometry
    placed = replace(WHOLE, xrays=tuple(replace(xray, needs_geometry=False) for xray in (AP, LAT)))
    assert [question.key for question in plan(matrices, ANSWERS, placed).questions[-2:]] == [
        "view.0",
        "view.1",
    ]


def test_files_of_no_use_are_named():
    nothing = FoundFiles(
        unknown=[Path(f"{n}.txt") for n in range(6)], problems=["a.mha: cannot be read."]
    )
    problem, *unknown = unused(nothing)
    assert problem == "a.mha: cannot be read."
    assert [each.partition(": not recognised")[0] for each in unknown] == [
        f"{n}.txt" for n in range(6)
    ]
    assert unused(FoundFiles(files={("case",): [Path("case.json")]}, unknown=[Path("a.txt")])) == []

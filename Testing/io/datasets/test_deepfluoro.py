"""DeepFluoro's files: the imported case puts each point where the layout's own formula puts it, and registers to its truth."""

import json
from functools import partial

import h5py
import numpy as np
import pytest
from dataset_layouts import (
    NAMES,
    SIZE,
    SPECIMEN,
    projected,
    rigid_matrix,
    with_other,
    write_deepfluoro,
)
from helpers.refusals import tells
from numpy.testing import assert_allclose, assert_array_equal
from tiny_case import refusal, run

from MultiViewRegistrationLib import Case, CaseFile
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.datasets.deepfluoro import (
    read_deepfluoro,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_deepfluoro(tmp_path_factory.mktemp("deepfluoro") / "full.h5")


@pytest.fixture(scope="module")
def case(written, tmp_path_factory):
    return Case.load(
        read_deepfluoro(written.path, SPECIMEN, [0, 1]).write(tmp_path_factory.mktemp("case"))
    )


def seen_at(case, points):
    return [
        view.camera.project(rigid.transform_points(case.truth_world_from_ct, points))
        for view in case.views
    ]


def test_cameras_put_points_where_the_layout_does(written, case):
    for nth, pixels in enumerate(seen_at(case, written.landmarks)):
        assert_allclose(pixels, written.pixels(nth), atol=2e-3)  # of float32 poses
    in_world = rigid.transform_points(case.truth_world_from_ct, written.landmarks[:4])
    for view in case.views:
        assert view.camera.intrinsics[0, 0] < 0  # stored as seen from the detector
        assert (view.camera.depth(in_world) > 0).all()
        assert view.xray.pixel_mm == (1.5, 1.4) and view.camera.size == SIZE


def test_the_case_has_its_truth_its_targets_and_their_origin(written, case):
    assert case.relative_geometry == "truth"
    by_name = np.argsort(NAMES)
    assert_array_equal(case.targets, written.landmarks[[nth for nth in by_name if nth != 4]])
    everything = read_deepfluoro(written.path, SPECIMEN, [0, 1], all_targets=True)
    assert_array_equal(everything.content["targets"], written.landmarks[by_name])
    assert "relative_geometry" not in read_deepfluoro(written.path, SPECIMEN, [1]).content


def test_a_cut_and_turned_image_shows_the_same_points(written, tmp_path):
    """And without these it is as stored."""
    with h5py.File(written.path) as file:
        stored = file[f"{SPECIMEN}/projections/001/image/pixels"][:]
    assert_array_equal(read_deepfluoro(written.path, SPECIMEN, [1]).images["001"].values, stored)
    cut = read_deepfluoro(written.path, SPECIMEN, [0, 1], crop=10, upright=True)
    assert_array_equal(cut.images["001"].values, stored[::-1, ::-1][10:-10, 10:-10])
    first, second = seen_at(Case.load(cut.write(tmp_path)), written.landmarks)
    assert_allclose(first, written.pixels(0) - 10, atol=2e-3)
    assert_allclose(second, np.array(SIZE) - 1 - written.pixels(1) - 10, atol=2e-3)


def test_initial_pose_is_frontal_with_left_at_the_right(written):
    imported = read_deepfluoro(written.path, SPECIMEN, [1], upright=True)
    start, camera = imported.content["world_from_ct"], imported.content["views"][0]["camera"]
    pixels = projected(
        np.array(camera["intrinsics"]),
        np.array(camera["camera_from_world"]) @ start,
        written.landmarks,
    )
    at = dict(zip(NAMES, pixels, strict=True))
    assert at["ASIS-l"][0] > at["ASIS-r"][0] and at["IPS-l"][1] > at["ASIS-l"][1]


def test_a_bone_has_its_own_mask_and_pose(written):
    pelvis = read_deepfluoro(written.path, SPECIMEN, [0]).content["truth"]["world_from_ct"]
    imported = read_deepfluoro(written.path, SPECIMEN, [0], bone="left-femur")
    moved = np.linalg.inv(pelvis) @ imported.content["truth"]["world_from_ct"]
    assert_allclose(moved, rigid_matrix([0, 0, 0], [1, 0, 0]), atol=1e-3)
    assert set(np.nonzero(imported.ct.mask)[2]) <= {*range(32, 40)} and imported.ct.mask.any()
    message = refusal(read_deepfluoro, written.path, SPECIMEN, [0], bone="right-femur")
    assert "projections/000/gt-poses/right-femur-good-fov" in message


@pytest.mark.parametrize(
    "path, value, parts",
    [
        ("proj-params/extrinsic", np.diag([1.0, 1, -1, 1]), "proj-params/extrinsic"),
        (f"{SPECIMEN}/projections/000/gt-poses/cam-to-pelvis-vol", np.eye(4), "projections/000"),
        (f"{SPECIMEN}/projections/000/rot-180-for-up", 7, "rot-180-for-up ... 0 or 1"),
    ],
)
def test_what_differs_from_the_layout_is_named_by_its_path(written, path, value, parts):
    message = refusal(read_deepfluoro, with_other(written.path, path, value), SPECIMEN, [0])
    assert tells(message, parts), message


def test_inverted_pose_is_detected_by_the_landmarks(written):
    key = f"{SPECIMEN}/projections/000/gt-poses/cam-to-pelvis-vol"
    with h5py.File(written.path) as file:
        inverted = np.linalg.inv(file[key][:])
    changed = with_other(written.path, key, inverted)
    assert "projections/000/gt-" in refusal(read_deepfluoro, changed, SPECIMEN, [0])


def test_names_that_are_not_there(written):
    refused = partial(refusal, read_deepfluoro, written.path)
    assert "17-1882" in refused("17-9999", [0])
    assert "projections/007 is missing" in refused(SPECIMEN, [7])
    assert "crop" in refused(SPECIMEN, [0], crop=50)


def test_the_program_writes_a_case_or_nothing(written, tmp_path, capsys):
    words = f"--specimen {SPECIMEN} --views 0,1 --crop 5 --upright --json --out {tmp_path}/case"
    broken = with_other(written.path, f"{SPECIMEN}/vol/spacing")
    assert main(f"import deepfluoro {broken} {words}".split()) == 2
    assert f"{SPECIMEN}/vol/spacing is missing" in capsys.readouterr().err
    assert not (tmp_path / "case").exists()
    run(f"import deepfluoro {written.path} {words}")
    output = capsys.readouterr()
    assert json.loads(output.out)["relative_geometry"] == "truth" and "true poses" in output.err
    assert [view.name for view in CaseFile.read(tmp_path / "case").views] == ["000", "001"]


def test_a_down_sampled_file_makes_no_case(tmp_path):
    with h5py.File(tmp_path / "small.h5", "w") as file:
        file["land-names/num-lands"] = 14
    message = refusal(read_deepfluoro, tmp_path / "small.h5", SPECIMEN, [0])
    assert "neither CT, intrinsics nor poses" in message and "no case" in message

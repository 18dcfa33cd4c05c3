"""Images that were cropped or resampled after they were taken."""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.file_io import read_json, write_json
from helpers.phantom import write_phantom_case
from helpers.refusals import refuses

from MultiViewRegistrationLib import Case, register
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.field import signs_of_cropping, signs_of_resampling
from MultiViewRegistrationLib.io.view_record import ViewRecord


def round_field(size=512, radius=250.0, middle=(255.5, 255.5)):
    v, u = np.mgrid[:size, :size]
    return np.hypot(u - middle[0], v - middle[1]) < radius


@pytest.mark.parametrize("rows", [504, 505, 506, 507])
def test_rows_cut_off_a_square_detector_show(rows):
    doubt = signs_of_cropping(np.ones((rows, 512), bool))
    assert doubt.off_px == 512 - rows and f"512 x {rows} pixels" in doubt.sentence


@pytest.mark.parametrize("size", [(512, 512), (1001, 1001), (1240, 960), (1920, 2480)])
def test_whole_detectors_raise_no_doubt(size):
    assert signs_of_cropping(np.ones(size[::-1], bool)) is None


def test_a_round_field_off_the_middle_shows_a_crop_to_a_square():
    assert signs_of_cropping(round_field()) is None
    doubt = signs_of_cropping(round_field()[8:, 8:])
    assert "4 px off" in doubt.sentence and doubt.off_px == pytest.approx(8, abs=0.5)


def test_a_round_field_that_is_whole_may_lie_off_the_middle():
    """As in the undistorted images of a calibrated image intensifier."""
    assert signs_of_cropping(round_field(radius=230.0, middle=(248.0, 260.0))) is None


def test_a_straight_field_raises_no_doubt():
    valid = np.zeros((512, 512), bool)
    valid[40:480, 90:420] = True
    assert signs_of_cropping(valid) is None


def test_a_resampled_image_contradicts_matrix_and_header():
    K, size = np.diag([2000.0, 2000.0, 1.0]), (512, 512)
    assert signs_of_resampling(K, (0.5, 0.5), 1000.0, size) is None
    assert signs_of_resampling(K, None, 1000.0, size) is None
    assert "by their height" in signs_of_resampling(K, (0.5, 0.6), None, size).sentence
    assert "by its header" in signs_of_resampling(K, (0.25, 0.25), 1000.0, size).sentence


@pytest.fixture
def cropped(tmp_path):
    """A case whose images lack their upper rows, the matrices as before."""
    path = write_phantom_case(tmp_path)
    content = read_json(path)
    for view in content["views"]:
        image = sitk.ReadImage(str(tmp_path / view["image"]))
        sitk.WriteImage(image[:, 6:], str(tmp_path / view["image"]))
    write_json(path, content)
    return path


@pytest.mark.slow
def test_a_cropped_image_makes_its_principal_point_less_certain(cropped):
    content = read_json(cropped)
    for view in content["views"]:
        del view["principal_point_sd_px"]
    write_json(cropped, content)
    case = Case.load(cropped)
    assert {view.principal_point_sd_px for view in case.views} == {6.0}
    result = register(case, start="given")
    assert result.uses["room"].verdict != "accept"
    # Cameras are solved for with the pose, so that in these images it is right all the same.
    true = rigid.transform_points(case.truth_world_from_ct, case.targets)
    found = rigid.transform_points(result.world_from_ct, case.targets)
    for given, solved in zip(case.views, result.views, strict=True):
        off_px = solved.camera.project(found) - (given.camera.project(true) - [0, 6])
        assert np.abs(off_px * given.camera.pixel_mm(true)).max() < 1


@pytest.mark.slow
def test_a_stated_certainty_of_a_cropped_image_holds_for_the_pose_but_not_in_the_room(cropped):
    case = Case.load(cropped)
    assert {view.principal_point_sd_px for view in case.views} == {0.5}
    assert {view.presumed_principal_point_sd_px for view in case.views} == {6.0}
    result = register(case, start="given")
    assert result.uses["room"].verdict != "accept"
    (reason,) = {
        each for each in result.reasons if each.code == "image-cropped" and "view1" in each
    }
    assert "128 x 122 pixels, unlike a detector" in reason and "View(size=(128, 122))" in reason
    assert "principal-point-unstated" not in {each.code for each in result.reasons}


def test_a_matrix_may_say_the_size_of_its_image(cropped):
    content = read_json(cropped)
    for view in content["views"]:
        view["size"] = [128, 122]
    write_json(cropped, content)
    assert {view.principal_point_sd_px for view in Case.load(cropped).views} == {0.5}
    content["views"][1]["size"] = [128, 128]
    write_json(cropped, content)
    with refuses(r"views\[1\].size is \[128, 128\], but the image has 128"):
        Case.load(cropped)


def test_the_size_stays_with_its_matrix():
    P = np.hstack([np.diag([2000.0, 2000.0, 1.0]), [[0], [0], [700.0]]])
    record = ViewRecord("AP", geometry=P, size=(512, 512))
    assert record.to_json()["size"] == [512, 512]
    assert record.camera((512, 512)).same_as(ViewRecord("AP", geometry=P).camera((512, 512)))

"""Images that were cropped or resampled after they were taken."""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.file_io import read_json, write_json
from helpers.phantom import write_phantom_case
from helpers.refusals import refuses

from MultiViewRegistrationLib import Case, register
from MultiViewRegistrationLib.imaging.field import signs_of_cropping, signs_of_resampling
from MultiViewRegistrationLib.report.messages import describe


def round_field(size=512, radius=250.0, middle=(255.5, 255.5)):
    v, u = np.mgrid[:size, :size]
    return np.hypot(u - middle[0], v - middle[1]) < radius


@pytest.mark.parametrize("rows", [504, 507])
def test_signs_of_cropping_reports_missing_rows(rows):
    doubt = signs_of_cropping(np.ones((rows, 512), bool))
    assert doubt.off_px == 512 - rows and f"512 x {rows} pixels" in doubt.sentence


@pytest.mark.parametrize("size", [(512, 512), (1240, 960)])
def test_signs_of_cropping_accepts_whole_detectors(size):
    assert signs_of_cropping(np.ones(size[::-1], bool)) is None


def test_signs_of_cropping_reports_decentred_round_field():
    assert signs_of_cropping(round_field()) is None
    assert signs_of_cropping(round_field(radius=230.0, middle=(248.0, 260.0))) is None  # whole
    doubt = signs_of_cropping(round_field()[8:, 8:])
    assert "4 px off" in doubt.sentence and doubt.off_px == pytest.approx(8, abs=0.5)


def test_signs_of_resampling_compares_pixel_size_with_matrix_and_header():
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


def test_cropped_image_has_uncertain_principal_point(cropped):
    content = read_json(cropped)
    for view in content["views"]:
        del view["principal_point_sd_px"]
    write_json(cropped, content)
    assert {view.principal_point_sd_px for view in Case.load(cropped).views} == {6.0}


@pytest.mark.slow
def test_stated_certainty_of_cropped_image_holds_for_overlay_only(cropped):
    case = Case.load(cropped)
    assert {view.principal_point_sd_px for view in case.views} == {0.5}
    assert {view.presumed_principal_point_sd_px for view in case.views} == {6.0}
    result = register(case, start="given")
    assert result.uses["position"].verdict != "accept"
    cropped = [finding for finding in result.findings if finding.code == "image-cropped"]
    assert [finding.views for finding in cropped] == [("view1",), ("view2",)]
    message = str(describe(cropped[0]))
    assert "128 x 122 pixels, unlike a detector" in message and "View(size=(128, 122))" in message
    assert not result.assessment.has("principal-point-unstated")


def test_view_size_must_match_its_image(cropped):
    content = read_json(cropped)
    for view in content["views"]:
        view["size"] = [128, 122]
    write_json(cropped, content)
    assert {view.principal_point_sd_px for view in Case.load(cropped).views} == {0.5}
    content["views"][1]["size"] = [128, 128]
    write_json(cropped, content)
    with refuses(r"views\[1\].size is \[128, 128\], but the image has 128"):
        Case.load(cropped)

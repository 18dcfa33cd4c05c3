"""Cases with their pixels."""

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.file_io import write_json, write_values
from helpers.refusals import warns
from numpy.testing import assert_allclose, assert_array_equal
from tiny_case import READING, REMOVED, SIZE, START, camera, changed, full, minimal, refusal

from MultiViewRegistrationLib import Case, CaseFile
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Distortion
from MultiViewRegistrationLib.io.case import changed_inputs
from MultiViewRegistrationLib.io.files import sha256

C_ARM_CASE = changed(minimal(), "views[0].projection_matrix", REMOVED)
C_ARM_CASE["views"][0]["c_arm"] = READING


def test_a_full_case(load, tmp_path):
    case = load(changed(full(), "ct", str(tmp_path / "ct.mha")))
    assert case.path == tmp_path / "case.json"
    assert [view.name for view in case.views] == ["AP", "LAT", "oblique", "C-arm 30°", "scout"]
    for view, angle in zip(case.views, (0, 90, 45, 30)):
        assert_allclose(view.camera.projection_matrix, camera(angle).projection_matrix, atol=1e-9)
    ap, lateral, _, c_arm, scout = case.views
    assert (lateral.rotation_sd_deg, lateral.translation_sd_mm) == (None, 2.5)
    assert c_arm.xray.pixel_mm == scout.xray.pixel_mm == (4, 4)
    assert_allclose(scout.camera.project([8, 0, 10]), [11.5, 5])
    assert case.ct.unit == "hu" and 0 < case.ct.mask.sum() < 100
    assert_array_equal(case.world_from_ct, START)
    valid = ap.xray.valid  # its mask leaves out what it has as zero
    assert not valid[:3].any() and valid[3:].all()
    files = "case.json ct.mha bone.mha ap.mha ap_mask.mha lat.mha oblique.mha c_arm.mha scout.mha"
    assert case.inputs == {file: sha256(tmp_path / file) for file in files.split()}
    assert Case.load(case.path, case).ct is case.ct


def test_a_ct_whose_header_stays_and_whose_voxels_change_is_another(write_case, tmp_path):
    image = sitk.ReadImage(str(tmp_path / "ct.mha"))
    sitk.WriteImage(image, str(tmp_path / "ct.mhd"))
    path = write_case(changed(minimal(), "ct", "ct.mhd"))
    before = Case.load(path)
    sitk.WriteImage(image + 1, str(tmp_path / "ct.mhd"))
    assert Case.load(path, before).ct is not before.ct
    assert changed_inputs(before.inputs, CaseFile.read(path)) == ["CT"]


def test_two_inputs_of_one_name_both_have_their_hash(load, tmp_path):
    (tmp_path / "a").mkdir()
    shutil.copy(tmp_path / "lat.mha", tmp_path / "a" / "ap.mha")
    case = load(changed(minimal(), "views[1].image", "a/ap.mha"))
    assert len(case.inputs) == 4 and len(set(case.inputs.values())) == 4


def moved(x, y, z):
    return rigid.translation([x, y, z]) @ START


@pytest.mark.parametrize(
    "content, path, value, part",
    [
        (C_ARM_CASE, "world_from_ct", moved(0, 1500.0, 0), "views[0].c_arm has the CT at its start pose behind"),
        (minimal(), "world_from_ct", moved(0, 0, 400.0), "world_from_ct has the CT outside every view"),
        (C_ARM_CASE, "views[0].c_arm.size", [16, 20], "views[0].c_arm.size is [16, 20], but the image has 20 columns and 16 rows"),
        (full(), "landmarks[0].views.AP", [25, 3], 'row 3 of "AP", outside its 20 x 16 pixels'),
        (minimal(), "ct", "ap.mha", "ap.mha"),
        (minimal(), "views[0].image", "broken.png", "broken.png"),
        (minimal(), "views[0].mask", "empty2d.mha", 'views[0].mask, "empty2d.mha", is empty'),
        (minimal(), "views[0].mask", "small2d.mha", '"small2d.mha", has 10 columns and 8 rows'),
        (minimal(), "views[1].image", "copy.mha", "views[1] has the same image as views[0]"),
    ],
)  # fmt: skip
def test_errors_that_depend_on_pixels_are_refused(write_case, tmp_path, content, path, value, part):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no image")
    shutil.copy(tmp_path / "ap.mha", tmp_path / "copy.mha")
    write_values(tmp_path / "empty2d.mha", np.zeros(SIZE[::-1], np.uint8))
    write_values(tmp_path / "small2d.mha", np.ones((8, 10), np.uint8))
    message = refusal(Case.load, write_case(changed(content, path, value)))
    assert part in message and message.count("broken.png") < 2


def test_only_the_masked_part_has_to_be_seen(load):
    """The bone of the mask is left of the narrow image, the CT's box reaches into it.

    What does not show it is only warned of.
    """
    content = changed(C_ARM_CASE, "views[0].c_arm.principal_point", [26, 8])
    case = load(content)
    write_json(case.path, {**content, "mask": "bone.mha"})
    with warns(r"views\[0\] does not show the CT at the start pose"):
        assert len(Case.load(case.path).views) == 2


def test_an_image_of_equal_angles_is_resampled_to_a_flat_detector(write_case, tmp_path):
    content, focal, columns = full(), 541 / 40, np.arange(SIZE[0])
    content["views"][4]["slot_scan"]["pixel_mm"] = [40, 4]
    content["views"][4]["intensity"] = "log"
    flat = 9.5 + focal * np.tan((columns - 9.5) / focal)
    write_values(tmp_path / "scout.mha", np.tile(flat, (SIZE[1], 1)).astype(np.float32))
    xray = Case.load(write_case(content)).views[4].xray
    used = xray.valid[0]
    assert used.sum() > 10
    assert_allclose(xray.line_integrals[:, used], np.tile(columns[used], (SIZE[1], 1)), atol=0.05)


def test_a_distorted_view_is_loaded_without_its_distortion(write_case, tmp_path):
    """Its image is a dot where OpenCV's formula shows a point.

    The dot and a landmark on it come to where the pinhole has them.
    """
    lens, size = Distortion([-3.0, 3, 0.02, -0.01]), (60, 48)
    intrinsics = [[110.0, 0, 28.5], [0, 110, 24], [0, 0, 1]]
    content = full()
    view = content["views"][2]
    view["camera"].update(intrinsics=intrinsics, size=list(size))
    view.update(distortion=lens.coefficients)
    ideal = np.array([45.0, 12])
    bent = lens.distort_pixels(np.array(intrinsics), ideal)
    assert np.linalg.norm(bent - ideal) > 2
    rows, columns = np.indices(size[::-1])
    dot = np.exp(-((columns - bent[0]) ** 2 + (rows - bent[1]) ** 2) / 8)
    path = write_case(changed(content, "landmarks[0].views", {"oblique": bent}))
    write_values(tmp_path / "oblique.mha", (1000 * np.exp(-dot)).astype(np.float32))
    case = Case.load(path)
    loaded = case.views[2]
    peak = np.unravel_index(np.argmax(loaded.xray.line_integrals), rows.shape)
    assert_allclose(peak[::-1], ideal, atol=1)
    assert_allclose(case.landmarks[0].pixels["oblique"], ideal, atol=1e-6)
    assert_array_equal(loaded.camera.intrinsics, intrinsics)

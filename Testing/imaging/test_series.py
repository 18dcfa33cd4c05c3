"""DICOM folders: what is read, and what must be refused rather than bent."""

import shutil
from functools import partial

import numpy as np
import pydicom
import pytest
from dicom_files import SERIES, write_dicom, write_series
from image_files import refusal
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.ct_series import ct_series

PIXELS = np.random.default_rng(0).integers(-1000, 1500, (7, 9, 11)).astype(np.int16)


refused = partial(refusal, load_ct)


def test_oblique_series_has_affine_of_its_tags(tmp_path, oblique):
    write_series(tmp_path, PIXELS, oblique)
    volume = load_ct(tmp_path).volume
    assert_array_equal(volume.values, PIXELS)
    assert_allclose(volume.ct_from_index, oblique, atol=2e-5)


def test_descending_slices_are_not_mirrored(tmp_path):
    """Slices stacked against the normal: SimpleITK must not mirror them."""
    against = np.diag([0.8, 0.8, -2.0, 1.0])
    write_series(tmp_path, PIXELS, against)
    volume = load_ct(tmp_path).volume
    at = np.linalg.inv(volume.ct_from_index) @ against @ [4, 5, 2, 1]
    i, j, k = np.rint(at[:3]).astype(int)
    assert_allclose(at[:3], [i, j, k], atol=1e-5)
    assert volume.values[k, j, i] == PIXELS[2, 5, 4]


def test_slope_and_intercept_are_applied_per_slice(tmp_path, oblique):
    folder = tmp_path / "ct"
    stored = np.arange(7 * 9 * 11).reshape(7, 9, 11).astype(np.uint16)
    for k in range(7):
        write_series(
            folder, stored[k : k + 1], oblique, positions=[(oblique @ [0, 0, k, 1])[:3]], prefix=f"{k}_",
            RescaleSlope=str(1 + k / 8), RescaleIntercept="-1024",
        )  # fmt: skip
    expected = stored * (1 + np.arange(7) / 8)[:, None, None] - 1024
    assert_allclose(load_ct(folder).volume.values, expected, atol=1e-3)


def test_rounded_slice_positions_are_accepted(tmp_path):
    affine = np.diag([0.5, 0.5, 0.625, 1.0])
    rounded = np.round([[0, 0, 0.625 * k] for k in range(42)], 1)
    write_series(tmp_path, np.repeat(PIXELS, 6, 0), affine, positions=rounded)
    assert_allclose(load_ct(tmp_path).volume.spacing_mm[2], 0.625, atol=2e-3)


def test_gantry_tilt_by_positions_is_rejected(tmp_path, oblique):
    tilted = oblique.copy()  # slices 2.5 mm apart
    tilted[:3, 2] += 2.5 * np.tan(np.radians(8)) * rigid.unit(oblique[:3, 1])
    positions = rigid.transform_points(tilted, np.outer(np.arange(7), [0, 0, 1]))
    write_series(tmp_path, PIXELS, oblique, positions=positions)
    assert "tilted gantry (8.0 degrees by the positions" in refused(tmp_path)


def test_real_tilted_series_is_rejected(tmp_path, shared_data):
    source = shared_data / "dicom" / "ct-gantry-tilt"
    assert "18.5 degrees by the header" in refused(source)
    for file in source.glob("*.dcm"):
        header = pydicom.dcmread(file)
        del header.GantryDetectorTilt
        header.save_as(tmp_path / file.name)
    assert "18.5 degrees by the positions" in refused(tmp_path)


def test_missing_slice_is_rejected(tmp_path, oblique):
    write_series(tmp_path, PIXELS, oblique)[3].unlink()
    said = refused(tmp_path)
    assert "5.00 mm between 002.dcm and 004.dcm, 2.50 mm elsewhere" in said


def test_duplicate_slices_are_rejected(tmp_path, oblique):
    shutil.copy(write_series(tmp_path, PIXELS, oblique)[2], tmp_path / "again.dcm")
    message = refused(tmp_path)
    assert "same position" in message and "002.dcm" in message and "again.dcm" in message


def test_several_series_must_be_chosen_from(tmp_path, oblique):
    write_series(tmp_path, PIXELS[:3], oblique, prefix="a")
    write_series(
        tmp_path, PIXELS, oblique, prefix="b", SeriesInstanceUID=SERIES + ".5", SeriesNumber=5
    )
    assert "2 CT series (5: 7 slices 2.5 mm apart; 2: 3 slices 2.5 mm apart)" in refused(tmp_path)
    assert len(load_ct(tmp_path, series=SERIES).volume.values) == 3
    assert_array_equal(load_ct(tmp_path, series=SERIES + ".5").volume.values, PIXELS)
    assert "no CT series 1.2" in refusal(partial(load_ct, series="1.2"), tmp_path)


def test_series_without_distinct_numbers_are_numbered(tmp_path, oblique):
    write_series(tmp_path, PIXELS[:3], oblique, prefix="a", SeriesDescription="thick")
    thin = {"SeriesInstanceUID": SERIES + ".5", "SeriesDescription": "thin"}
    write_series(tmp_path, PIXELS, oblique, prefix="b", **thin)
    found = [(each.number, each.description) for each in ct_series(tmp_path)]
    assert found == [("1", "thin"), ("2", "thick")]


def test_folder_without_ct_series_is_rejected(tmp_path, oblique):
    assert "no DICOM CT slices (0 other files)" in refused(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    write_dicom(tmp_path / "mr.dcm", PIXELS[0], "1.2.840.10008.5.1.4.1.1.4", Modality="MR")
    assert "no DICOM CT slices (2 other files)" in refused(tmp_path)
    file = write_series(tmp_path, PIXELS[:1], oblique)[0]
    assert "single CT slice" in refused(tmp_path)
    assert "name the folder" in refused(file)


@pytest.mark.parametrize(
    "tags",
    [{"ImagePositionPatient": None}, {"PixelSpacing": ["0.5"]}],
)
def test_slices_without_position_are_rejected(tmp_path, oblique, tags):
    write_series(tmp_path, PIXELS, oblique, **tags)
    assert f"{next(iter(tags))} is missing or invalid" in refused(tmp_path)


def test_multi_frame_files_are_rejected(tmp_path):
    write_dicom(tmp_path / "all.dcm", PIXELS, "1.2.840.10008.5.1.4.1.1.2.1", Modality="CT")
    for path in (tmp_path, tmp_path / "all.dcm"):
        assert "multi-frame" in refused(path)


def test_truncated_slice_is_rejected(tmp_path, oblique, capfd):
    files = write_series(tmp_path, PIXELS, oblique)
    files[3].write_bytes(files[3].read_bytes()[:-6])
    assert "of 198 bytes of pixel data" in refused(tmp_path)
    assert capfd.readouterr().err == ""


def test_localizers_and_other_files_are_skipped(tmp_path, oblique):
    write_series(tmp_path, PIXELS, oblique)
    scout = {"SeriesInstanceUID": SERIES + ".7", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    write_series(tmp_path, PIXELS[:1], oblique, prefix="scout", **scout)
    report = {"ImagePositionPatient": None, "SeriesInstanceUID": SERIES + ".9"}
    write_series(tmp_path, PIXELS[:1], oblique, prefix="report", **report)
    (tmp_path / "readme.txt").write_text("hello")
    assert load_ct(tmp_path).volume.values.shape == PIXELS.shape


def test_slices_on_different_grids_are_rejected(tmp_path, oblique):
    files = write_series(tmp_path, PIXELS, oblique)
    odd = pydicom.dcmread(files[4])
    odd.PixelSpacing = ["0.5", "0.5"]
    odd.save_as(files[4])
    assert "004.dcm of one series differ in PixelSpacing" in refused(tmp_path)

"""Reading CTs from files, and their attenuation. SimpleITK writes and places the volumes.

What it would read wrongly is refused.
"""

import struct
from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.file_io import placed
from helpers.file_io import write_volume as written
from helpers.refusals import warns
from image_files import refusal
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib.imaging.ct import CT, Volume, attenuation, load_ct


def body(shape=(12, 16, 20)):
    """int16 HU: air, a box of fat and in it a box of bone, off centre."""
    hu = np.full(shape, -1000, np.int16)
    hu[2:-1, 3:-2, 4:-3] = -100
    hu[4:9, 5:8, 6:15] = 900
    return hu


refused = partial(refusal, load_ct)


@pytest.mark.parametrize("name", "ct.nii.gz ct.nrrd ct.mhd".split())
def test_load_ct_places_volumes_as_simpleitk_does(tmp_path, oblique, name):
    path = written(tmp_path / name, body(), oblique)
    ct = load_ct(path)
    assert_array_equal(ct.volume.values, body())
    assert ct.volume.values.dtype == np.float32 and ct.unit == "hu" and ct.mask is None
    image = sitk.ReadImage(str(path))
    for index in ((0, 0, 0), (19, 3, 11)):
        assert_allclose(
            (ct.volume.ct_from_index @ [*index, 1])[:3],
            image.TransformIndexToPhysicalPoint(index),
            atol=1e-4,
        )
    assert_allclose(ct.volume.ct_from_index, oblique, atol=1e-3)


def test_attenuation_curve_of_hu():
    """Corner points by the docstring.

    Water by NIST's table between 60 (0.0206) and 80 keV (0.0184).
    """
    hu = np.array([-3000, -1000, -851, -850, -500, 0, 500, 1000, 3000, 9000], np.float32)
    mu = attenuation(CT(Volume(hu[None, None], np.eye(4)))).values.ravel()
    assert_allclose(
        mu, [0, 0, 0, 0.00288, 0.0096, 0.0192, 0.03825, 0.0573, 0.1335, 0.1335], atol=1e-6
    )
    assert 0.0184 < mu[5] < 0.0206


def test_attenuation_is_proportional_to_relative_values():
    values = np.array([-3, 0, 1024, 2048, 4096], np.float32)
    mu = attenuation(CT(Volume(values[None, None], np.eye(4)), "relative")).values.ravel()
    assert_allclose(mu, 0.0573 * np.array([0, 0, 0.25, 0.5, 1]), rtol=1e-6)


def test_centroid_is_of_mask_or_bone_or_everything(oblique):
    def centroid(values, *unit, mask=None):
        return CT(Volume(values, oblique), *unit, mask=mask).centroid()

    mask = np.zeros(body().shape, bool)
    mask[2:4, 7, 5:8] = True
    for found, index in (
        (centroid(body()), [10, 6, 6, 1]),
        (centroid(body(), mask=mask), [6, 7, 2.5, 1]),
        (centroid(np.minimum(body(), -100)), [10, 8, 6, 1]),
        (centroid(np.maximum(body(), 0), "relative"), [10, 6, 6, 1]),
    ):
        assert_allclose(found, (oblique @ index)[:3], atol=1e-6)


def test_mask_on_another_grid_is_resampled(tmp_path, oblique):
    """Twice as fine and cropped: every voxel of the CT finds the voxels of the mask that it was made of."""
    fine = np.kron((body() > 0).astype(np.uint8), np.ones((2, 2, 2), np.uint8))[2:, 4:, 6:]
    step = np.diag([0.5, 0.5, 0.5, 1.0])
    step[:3, 3] = [-0.25 + 3, -0.25 + 2, -0.25 + 1]
    path = written(tmp_path / "m.nrrd", fine, oblique @ step)
    mask = load_ct(written(tmp_path / "ct.nrrd", body(), oblique), mask=path).mask
    assert_array_equal(mask, body() > 0)


def test_label_map_as_mask_is_one_structure(tmp_path, oblique):
    ct, labels = written(tmp_path / "ct.nrrd", body(), oblique), (body() > 0).astype(np.uint8)
    labels[labels.shape[0] // 2 :] *= 31
    path = written(tmp_path / "labels.nrrd", labels, oblique)
    with warns(r"labels.nrrd: the mask has 2 labels, 1 to 31, and is taken as one structure"):
        mask = load_ct(ct, mask=path).mask
    assert_array_equal(mask, body() > 0)


def test_load_ct_rejects_mask_without_ct(tmp_path, oblique):
    ct = written(tmp_path / "ct.nrrd", body(), oblique)
    away = oblique.copy()
    away[:3, 3] += 500
    ones = np.ones(body().shape, np.uint8)
    for values, place, said in (
        (0 * ones, oblique, "mask is empty"),
        (ones, away, "wholly outside the CT"),
        ((body() < -900).astype(np.uint8), oblique, "inside the mask is nothing but air"),
    ):
        assert said in refused(ct, mask=written(tmp_path / "mask.nrrd", values, place))
    assert "three-dimensional mask" in refused(ct, mask=written(tmp_path / "flat.png", ones[0]))


def test_load_ct_rejects_missing_files_and_non_images(tmp_path, capfd):
    assert "no such file" in refused(tmp_path / "nowhere.nii.gz")
    for name, content in (("junk.nii", b"abc" * 200), ("empty.mha", b"")):
        (tmp_path / name).write_bytes(content)
        assert "cannot be read as an image" in refused(tmp_path / name)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", "ct.nii ct.nii.gz ct.mha".split())
def test_load_ct_rejects_truncated_files(tmp_path, name, capfd):
    """ITK fills a shortened NIfTI with zeros, and prints about a shortened MetaImage."""
    noise = np.random.default_rng(0).integers(-1000, 1000, (12, 40, 50)).astype(np.int16)
    path = written(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[:-4000])
    message = refused(path)
    assert "ends before its last voxel" in message or "cannot be read" in message
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("qform_code", [0, 1])
def test_load_ct_rejects_sheared_nifti(tmp_path, qform_code, capfd):
    """The sform shears by 0.1; ITK falls back on the qform, if there is one."""
    path = tmp_path / "ct.nii"
    header = bytearray(written(path, body()).read_bytes())
    header[252:256] = struct.pack("<2h", qform_code, 1)
    header[280:328] = struct.pack("<12f", 1, 0.1, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0)
    path.write_bytes(header)
    assert "right angles" in refused(path)
    assert capfd.readouterr().err == ""


def test_load_ct_rejects_sheared_metaimage_and_nrrd(tmp_path):
    (tmp_path / "ct.mha").write_text(
        "ObjectType = Image\nNDims = 3\nBinaryData = False\nTransformMatrix = 1 0 0 0.1 0.995 0 0 "
        "0 1\nOffset = 0 0 0\nElementSpacing = 1 1 2\nDimSize = 2 2 2\nElementType = "
        "MET_SHORT\nElementDataFile = LOCAL\n-1000 2 3 4 5 6 7 8\n"
    )
    (tmp_path / "ct.nrrd").write_text(
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\nspace "
        "directions: (1,0,0) (0.1,1,0) (0,0,2)\nkinds: domain domain domain\nendian: "
        "little\nencoding: ascii\nspace origin: (0,0,0)\n\n-1000 2 3 4 5 6 7 8\n"
    )
    for name in ("ct.mha", "ct.nrrd"):
        assert "right angles" in refused(tmp_path / name)


def test_load_ct_rejects_images_of_another_dimension(tmp_path):
    assert "20 x 16 pixels" in refused(written(tmp_path / "flat.png", body()[0].astype(np.uint8)))
    sitk.WriteImage(sitk.JoinSeries([placed(body(), np.eye(4))] * 3), str(tmp_path / "time.nii"))
    assert "20 x 16 x 12 x 3 pixels" in refused(tmp_path / "time.nii")


def test_load_ct_rejects_values_that_contradict_the_unit(tmp_path):
    hu = written(tmp_path / "hu.nrrd", body())
    assert 'set the unit to "hu"' in refused(hu, unit="relative")
    assert "expected hu or relative, of a surface one of titanium" in refused(hu, unit="HU")
    air = np.full((4, 4, 4), -1000, np.int16)
    assert "nothing but air" in refused(written(tmp_path / "air.nrrd", air))
    shifted = (body() + 1024).astype(np.uint16)
    assert "offset" in refused(written(tmp_path / "offset.nrrd", shifted))

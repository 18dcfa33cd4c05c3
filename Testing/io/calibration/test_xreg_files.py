"""xReg's HDF5 files, written with h5py by the layout of its own writer (lib/file_formats/xregH5CamModelIO.cpp)."""

import resource
import struct

import numpy as np
import pytest
from datasets.dataset_layouts import with_other
from known_points import POINTS, SIZE, K, R, check, pinhole
from numpy.testing import assert_allclose
from tiny_case import refusal

from MultiViewRegistrationLib.io.calibration.read import read_calibration

h5py = pytest.importorskip("h5py")
TOWARD_SOURCE = "origin-at-focal-pt-det-neg-z"
#: As xReg's MakeNaiveIntrins has them where z runs toward the source.
XREG_K = K * [[-1, 1, 1], [1, -1, 1], [1, 1, 1]]


def write(path, intrinsic=XREG_K, z=-700, frame=TOWARD_SOURCE, count=2):
    with h5py.File(path, "w") as file:
        file.attrs["xreg-type"] = "proj-data"
        file["num-projs"] = np.uint64(count)
        for i in range(count):
            cam = file.create_group(f"proj-{i:03d}/cam")
            cam["num-rows"], cam["num-cols"] = np.uint64(SIZE[1]), np.uint64(SIZE[0])
            cam["row-spacing"], cam["col-spacing"] = np.float32(0.194), np.float32(0.194)
            cam["cam-coord-frame-type"] = frame
            cam["intrinsic"] = np.asarray(intrinsic, np.float64)
            cam["extrinsic"] = np.vstack([np.c_[R, (5 + i, -3, z)], [0, 0, 0, 1]])
    return path


@pytest.mark.parametrize(
    "intrinsic, z, frame", [(XREG_K, -700, TOWARD_SOURCE), (K, 700, "origin-at-focal-pt-det-pos-z")]
)
def test_points_fall_where_xreg_has_them(tmp_path, intrinsic, z, frame):
    """phys_pt_to_ind_pt: intrins * (extrins * x), divided by its third number."""
    views = read_calibration(write(tmp_path / "a.h5", intrinsic, z, frame))
    assert [view.name for view in views] == ["proj-000", "proj-001"]
    for i, view in enumerate(views):
        check(view, POINTS, pinhole(POINTS, intrinsic, R, (5 + i, -3, z)))
        assert view.size == SIZE and (view.camera.intrinsics[0, 0] < 0) == (
            z < 0
        )  # x, y and toward the source: as seen from the detector
        assert_allclose(view.camera.source, -R.T @ (5 + i, -3, z), atol=1e-9)


def test_intrinsic_matrix_of_another_shape_is_refused(tmp_path):
    path = with_other(write(tmp_path / "a.h5", count=1), "proj-000/cam/intrinsic", np.eye(4))
    assert "shape 4 x 4, expected 3x3" in refusal(read_calibration, path)


def with_reference(path, reference, count):
    """The file, whose frame type is `count` times this reference to a text; None for its own."""
    text = "proj-000/cam/cam-coord-frame-type"
    with h5py.File(path, "a") as file:
        del file[text]
        values = file.create_dataset(text, (count,), h5py.string_dtype())
        values[0] = 97_000 * "x"
        at = values.id.get_offset()
    data = bytearray(path.read_bytes())
    reference = reference or bytes(data[at : at + 16])
    data[at : at + 16 * count] = count * (reference + data[at + len(reference) : at + 16])
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "reference, count, word",
    [
        (None, 2_000, "has the shape 2000"),  # 0.2 GB
        (struct.pack("<I", 2**32 - 16), 1, "cannot be unpacked"),  # 4 GB
    ],
)
def test_texts_that_claim_much_memory_are_refused(tmp_path, reference, count, word):
    path = with_reference(write(tmp_path / "a.h5", count=1), reference, count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert word in refusal(read_calibration, path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000

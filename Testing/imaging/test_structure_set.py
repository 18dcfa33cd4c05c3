"""RT Structure Sets: regions, their names, holes, and what is no structure set."""

import numpy as np
import pytest
from helpers.refusals import refuses
from helpers.segmentation_files import write_regions, write_seg
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib.imaging import dicom_segmentation
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.dicom_segmentation import fill
from MultiViewRegistrationLib.imaging.segmentation import read_structures


def circle(x, y, z, radius, count=60):
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack(
        [x + radius * np.cos(turn), y + radius * np.sin(turn), np.full(count, z)], axis=1
    )


@pytest.fixture
def ct():
    """80 x 70 x 20 voxels of 1, 1 and 2 mm, bone everywhere, its first voxel at (-30, -20, 10) mm."""
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = [-30, -20, 10]
    return CT(Volume(np.full((20, 70, 80), 800, np.float32), affine))


def test_read_structures_fills_regions_with_holes(tmp_path, ct):
    ring = [circle(0, 5, z, radius) for z in np.arange(14.0, 27.0, 2.0) for radius in (12.0, 6.0)]
    ball = [circle(30, 20, z, 8.0) for z in np.arange(20.0, 31.0, 2.0)]
    path = write_regions(tmp_path / "rs.dcm", {"vertebra": ring, "femur": ball})
    found = read_structures(path, [], ct)
    assert found.names == ("vertebra", "femur")
    k, j, i = np.nonzero(found.mask(0))
    x, y, z = i - 30.0, j - 20.0, 2.0 * k + 10
    radius = np.hypot(x, y - 5)
    assert radius.min() > 5 and radius.max() < 13 and (z.min(), z.max()) == (14, 26)
    assert found.mask(0)[4].sum() == pytest.approx(np.pi * (12**2 - 6**2), rel=0.05)
    assert found.mask(1).sum() == pytest.approx(np.pi * 8**2 * 6, rel=0.06)


def test_fill_follows_even_odd_rule():
    square = [[1.5, 0.5], [4.5, 0.5], [4.5, 3.5], [1.5, 3.5]]
    aside = (np.array(square) + [20, 0]).tolist()
    expected = np.zeros((4, 5, 7), bool)
    expected[:2, 1:4, 2:5] = True
    _, filled = fill([square, square[::-1], aside, square, square], [0, 1, 2, 3, 3], [4, 5, 7], 9)
    assert_array_equal(np.asarray(filled), 9 * expected)


def test_region_larger_than_a_body_is_rejected(tmp_path, ct):
    far = 1e300
    corners = np.array([[0, 0, 20.0], [far, 0, 20.0], [far, far, 20.0]])
    path = write_regions(tmp_path / "far.dcm", {"a": [corners]}, digits=".9g")
    with refuses("far.dcm: has a region of .* expected no more than a body"):
        read_structures(path, [], ct)
    corners[:, :2] = corners[:, :2].clip(0, 50)
    near = np.stack([corners, corners + [0, 0, 0.11], corners + [0, 0, 1e9]])
    path = write_regions(tmp_path / "high.dcm", {"a": near}, digits=".16g")
    with refuses("expected no more than a body"):
        read_structures(path, [], ct)


def test_contours_are_filled_within_memory_limit(tmp_path, ct, monkeypatch):
    monkeypatch.setattr(dicom_segmentation, "READING_BYTES", 1 << 20)
    zigzag = np.array([[x % 3, 900.0 * (x % 2), 20.0] for x in range(2001)])
    path = write_regions(tmp_path / "zigzag.dcm", {"a": [zigzag]})
    with refuses("take too long to fill, or too much memory"):
        read_structures(path, [], ct)


def test_open_and_oblique_contours_are_rejected(tmp_path, ct):
    open_ones = write_regions(tmp_path / "o.dcm", {"wire": [circle(0, 5, 20.0, 9)]}, "OPEN_PLANAR")
    with refuses("without closed planar contours"):
        read_structures(open_ones, [], ct)
    tilted = circle(0, 5, 20.0, 9.0)
    tilted[:, 2] += 0.2 * tilted[:, 0]
    path = write_regions(tmp_path / "tilted.dcm", {"a": [tilted]})
    with refuses("expected axial ones"):
        read_structures(path, [], ct)


@pytest.mark.parametrize(
    "count, said", [(2**31 - 1, "states 2147483647 frames"), (3, "3 frames, but describes 2. Exp")]
)
def test_segmentation_with_wrong_number_of_frames_is_rejected(tmp_path, ct, count, said):
    mask = np.zeros(ct.volume.values.shape, bool)
    mask[4:6, 20:30, 20:30] = True
    written = (tmp_path / "seg.dcm", {"femur": mask}, ct.volume.ct_from_index)
    assert read_structures(write_seg(*written), [], ct).mask(0).sum() == mask.sum()
    with refuses(said):
        read_structures(write_seg(*written, NumberOfFrames=count), [], ct)

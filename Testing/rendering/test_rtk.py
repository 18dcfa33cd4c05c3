"""RTK's Joseph projector (openrtk.org) gives the same image, through RTK's own geometry.

Its angles and offsets, its matrix.

Both sum the same planes in the same way, so the images agree to float32. One difference remains and
is kept out here by two layers of air around the body: where a ray enters or leaves the volume
sideways, through a face that its leading axis does not cross, RTK leaves out the last plane before
the face, and it does not fade the outermost voxels out into the air beyond.
"""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scenes import ct_from_index

from MultiViewRegistrationLib import Camera, Volume
from MultiViewRegistrationLib.rendering.drr import Projector

pytestmark = pytest.mark.slow

COLUMNS, ROWS, PIXEL_MM = 60, 50, np.array([1.3, 1.7])


@pytest.fixture(scope="module")
def rtk():
    """`from itk import RTK` loads every library of ITK, which takes 12 s.

    These two modules take 3 s.
    """
    reason = "needs RTK: pip install itk-rtk"
    itk = pytest.importorskip("itk", reason=reason)
    pytest.importorskip("itk.rtkJosephForwardProjectionImageFilterPython", reason=reason)
    joseph = import_module("itk.rtkJosephForwardProjectionImageFilterPython")
    geometry = import_module("itk.rtkThreeDCircularProjectionGeometryPython")
    return SimpleNamespace(
        itk=itk,
        joseph=joseph.rtkJosephForwardProjectionImageFilterIF3IF3,
        geometry=geometry.rtkThreeDCircularProjectionGeometry,
    )


def project_by_rtk(rtk, volume, geometry, detector_origin):
    spacing = volume.spacing_mm
    image = rtk.itk.image_from_array(volume.values)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(volume.ct_from_index[:3, 3].tolist())
    image.SetDirection(rtk.itk.matrix_from_array(volume.ct_from_index[:3, :3] / spacing))
    detector = rtk.itk.image_from_array(np.zeros((1, ROWS, COLUMNS), np.float32))
    detector.SetSpacing([*PIXEL_MM.tolist(), 1.0])
    detector.SetOrigin([*detector_origin.tolist(), 0.0])
    joseph = rtk.joseph.New()
    joseph.SetGeometry(geometry)
    joseph.SetInput(0, detector)
    joseph.SetInput(1, image)
    joseph.Update()
    return rtk.itk.array_from_image(joseph.GetOutput())[0]


@pytest.mark.parametrize("seed, left_handed", [(0, False), (1, True)])
def test_rtk_gives_the_same_image(rtk, seed, left_handed):
    rng = np.random.default_rng(seed)
    geometry = rtk.geometry.New()
    gantry, tilt, in_plane = rng.uniform(-170, 170), *rng.uniform(-20, 20, 2)
    detector_offset, source_offset = rng.uniform(-40, 40, 2), rng.uniform(-30, 30, 2)
    geometry.AddProjection(800.0, 1100.0, gantry, *detector_offset, tilt, in_plane, *source_offset)
    entries = geometry.GetMatrix(0).GetVnlMatrix()
    detector_mm_from_world = np.array([[entries.get(i, j) for j in range(4)] for i in range(3)])

    values = np.pad(rng.uniform(0, 0.03, (26, 36, 30)), 2)
    affine = ct_from_index(rng, [1.1, 0.9, 1.6], left_handed=left_handed)
    affine[:3, 3] = rng.uniform(-5, 5, 3) - affine[:3, :3] @ (np.array(values.shape[::-1]) - 1) / 2
    volume = Volume(values, affine)
    middle = detector_mm_from_world @ [0, 0, 0, 1]
    origin = middle[:2] / middle[2] - PIXEL_MM * (COLUMNS / 2, ROWS / 2) + rng.uniform(-5, 5, 2)
    theirs = project_by_rtk(rtk, volume, geometry, origin)

    pixel_from_detector_mm = np.diag([*1 / PIXEL_MM, 1])
    pixel_from_detector_mm[:2, 2] = -origin / PIXEL_MM
    camera = Camera.from_projection_matrix(
        pixel_from_detector_mm @ detector_mm_from_world, (COLUMNS, ROWS), in_front=np.zeros(3)
    )
    source = geometry.GetSourcePosition(0)
    assert_allclose(camera.source, [source[i] for i in range(3)], atol=1e-9)
    ours = Projector(volume).render(camera, np.eye(4)).image
    assert theirs.max() > 0.6 and 0.1 < np.mean(theirs == 0) < 0.6
    assert_allclose(ours, theirs, rtol=0, atol=1e-5 * theirs.max())

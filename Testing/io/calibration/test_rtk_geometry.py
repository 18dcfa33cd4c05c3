"""RTK geometries, written by RTK itself."""

from importlib import import_module

import numpy as np
import pytest
from known_points import POINTS, check, in_python
from numpy.testing import assert_allclose
from tiny_case import refusal

from MultiViewRegistrationLib.io.calibration.programs import matrix_of
from MultiViewRegistrationLib.io.calibration.read import read_calibration

SPACING, ORIGIN, SIZE = (0.8, 0.9), (-150.5, -120.25), (400, 300)
DETECTOR = {"detector_spacing_mm": SPACING, "detector_origin_mm": ORIGIN, "size": SIZE}
#: Source to isocentre, source to detector, gantry, projection offsets, out of plane, in plane,
#: source offsets, as AddProjection has them.
PROJECTIONS = [
    (700.0, 1020.0, 0.0, 0, 0, 0, 0, 0, 0),
    (700.0, 1020.0, 30.0, 5, -3, 10, 2, 1, -4),
    (690.0, 1000.0, 215.0, 0, 40, -7, 90, 0, 2),
]


@pytest.fixture(scope="module")
def rtk():
    """A function: RTK's class of a name, for images of a kind.

    `itk.RTK` would load every library of ITK, which takes 16 s.
    """
    pytest.importorskip(
        "itk.rtkThreeDCircularProjectionGeometryPython",
        reason="RTK is not installed (pip install itk-rtk)",
    )
    return lambda name, kind="": getattr(import_module(f"itk.rtk{name}Python"), f"rtk{name}{kind}")


@pytest.fixture(scope="module")
def written(rtk, tmp_path_factory):
    """A geometry of RTK's, and the file that RTK wrote of it."""
    geometry = rtk("ThreeDCircularProjectionGeometry").New()
    for projection in PROJECTIONS:
        geometry.AddProjection(*projection)
    path = tmp_path_factory.mktemp("rtk") / "geometry.xml"
    writer = rtk("ThreeDCircularProjectionGeometryXMLFileWriter").New()
    writer.SetFilename(str(path))
    writer.SetObject(geometry)
    writer.WriteFile()
    return geometry, path


@pytest.mark.slow
def test_points_fall_where_rtk_has_them(written):
    geometry, path = written
    views = read_calibration(path, **DETECTOR)
    assert [view.name for view in views] == ["projection 0", "projection 1", "projection 2"]
    for i, view in enumerate(views):
        rtk = geometry.GetMatrix(i)
        matrix = np.array([[rtk(row, column) for column in range(4)] for row in range(3)])
        check(view, POINTS, (in_python(matrix, POINTS) - ORIGIN) / SPACING)  # mm on the detector
        assert_allclose(view.camera.source, np.array(geometry.GetSourcePosition(i))[:3], atol=1e-6)


XML = """<?xml version="1.0"?><RTKThreeDCircularGeometry version="3">
<SourceToIsocenterDistance>700</SourceToIsocenterDistance><SourceToDetectorDistance>1000</SourceToDetectorDistance>
<Projection><GantryAngle>10</GantryAngle></Projection></RTKThreeDCircularGeometry>"""
NUMBERS = (
    matrix_of(SourceToIsocenterDistance=700, SourceToDetectorDistance=1000, GantryAngle=10)
    .ravel()
    .tolist()
)
MATRIX = " ".join(map(repr, NUMBERS))


def test_a_projection_with_parameters_or_a_matrix_alone(read_text):
    (by_parameters,) = read_text(XML, **DETECTOR)
    alone = XML.replace("<GantryAngle>10</GantryAngle>", f"<Matrix>{MATRIX}</Matrix>").replace(
        "1000<", "0<"
    )
    (by_matrix,) = read_text(alone, **DETECTOR)
    assert_allclose(
        by_matrix.projection_matrix, by_parameters.projection_matrix, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize(
    "change, word",
    [
        (("<GantryAngle>10", f"<Matrix>{MATRIX}</Matrix><GantryAngle>11"), "do not give"),
        (("1000<", "0<"), "no source at a finite"),
        (
            (
                "<Projection>",
                "<RadiusCylindricalDetector>9</RadiusCylindricalDetector><Projection>",
            ),
            "cylind",
        ),
    ],
)
def test_invalid_files_are_refused(read_text, change, word):
    assert change[0] in XML
    assert word in refusal(read_text, XML.replace(*change), **DETECTOR)


def test_missing_detector_origin_is_requested(read_text):
    message = refusal(read_text, XML, **{**DETECTOR, "detector_origin_mm": None})
    assert "set detector_origin_mm to" in message

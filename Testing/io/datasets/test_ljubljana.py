"""Ljubljana's file: the imported case puts each point where the layout's own formula puts it, and its volume where the points are."""

import numpy as np
import pytest
from dataset_layouts import projected, with_other, write_ljubljana
from helpers.refusals import tells
from numpy.testing import assert_allclose, assert_array_equal
from tiny_case import refusal

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.io.datasets.deepfluoro import read_ljubljana
from MultiViewRegistrationLib.rendering.drr import Projector


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_ljubljana(tmp_path_factory.mktemp("ljubljana") / "ljubljana.h5")


@pytest.fixture(scope="module")
def case(written, tmp_path_factory):
    return Case.load(
        read_ljubljana(written.path, 3, ["ap", "lat"]).write(tmp_path_factory.mktemp("case"))
    )


def test_cameras_put_points_where_the_layout_does(written, case):
    for view in case.views:
        world = rigid.transform_points(case.truth_world_from_ct, written.points)
        assert_allclose(view.camera.project(world), written.pixels(view.name), atol=1e-6)
        assert view.xray.pixel_mm == (1.5, 1.4)
    assert_array_equal(case.targets, written.points)
    assert case.relative_geometry == "truth" and case.ct.unit == "relative"


def test_the_volume_lies_where_its_x_rays_were_made(case):
    """Rendered at the truth, the volume looks as its X-ray: its axes are in their order."""
    projector = Projector(attenuation(case.ct))
    for view in case.views:
        drr = projector.render(view.camera, case.truth_world_from_ct).image
        assert np.corrcoef(drr.ravel(), view.xray.line_integrals.ravel())[0, 1] > 0.98


def test_a_cut_image_shows_the_same_points(written):
    content = read_ljubljana(written.path, 3, ["lat"], crop=7).content
    camera = {key: np.array(value) for key, value in content["views"][0]["camera"].items()}
    assert "relative_geometry" not in content
    pixels = projected(
        camera["intrinsics"],
        camera["camera_from_world"] @ content["truth"]["world_from_ct"],
        written.points,
    )
    assert_allclose(pixels, written.pixels("lat") - 7, atol=1e-6)


def test_voxels_below_a_threshold_are_nothing(written, case):
    values = read_ljubljana(written.path, 3, ["ap"], threshold=1500).ct.volume.values
    assert_array_equal(values, np.where(case.ct.volume.values < 1500, 0, case.ct.volume.values))


@pytest.mark.parametrize(
    "path, value, parts",
    [
        # Too small for the points.
        ("volume/pixels", np.ones((4, 4, 4)), "subject03/points ... in the volume"),
        ("proj-ap/extrinsic", np.eye(4), "proj-ap/extrinsic ... no point on the image"),
        ("proj-ap/extrinsic", np.diag([1.0, -1, -1, 1]), "proj-ap/extrinsic ... z = -"),
        ("proj-ap/intrinsic", np.diag([-700.0, -700, 1]), "intrinsic ... mm from the source"),
        ("volume/pixels", np.zeros((40, 48, 44), np.int16) - 500, "volume/pixels"),
    ],
)
def test_what_differs_from_the_layout_is_named_by_its_path(written, path, value, parts):
    changed = with_other(written.path, f"subject03/{path}", value)
    message = refusal(read_ljubljana, changed, 3, ["ap"])
    assert tells(message, parts), message


def test_names_that_are_not_there(written):
    assert "subject03" in refusal(read_ljubljana, written.path, 1, ["ap"])
    assert "subject03/proj-ap-max is missing" in refusal(
        read_ljubljana, written.path, 3, ["ap-max"]
    )

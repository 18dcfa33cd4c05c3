"""A case goes into the scene and comes back the same."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.file_io import read_json, write_json
from helpers.phantom import write_phantom_case, write_slot_scan_case
from helpers.running_session import nodes

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.mrml.loading import read_case
from MultiViewRegistrationLib.mrml.overlay import frustum_polydata
from MultiViewRegistrationLib.mrml.registration import CT_UNIT
from MultiViewRegistrationLib.mrml.xray import detectors
from MultiViewRegistrationLib.session.inputs import Inputs
from MultiViewRegistrationLib.session.session import Session
from MultiViewRegistrationLib.viewer.serving import preload_case


@pytest.fixture
def case_file(tmp_path):
    """A case of the phantom."""
    return write_phantom_case(tmp_path)


@pytest.fixture
def scouts(tmp_path):
    """A case of two slot scans of the phantom."""
    return write_slot_scan_case(tmp_path)


@pytest.mark.parametrize("name", ["case_file", "scouts"])
def test_a_case_is_the_same_in_the_scene(scene, name, request):
    path = request.getfixturevalue(name)
    loaded, back = Case.load(path), Inputs(read_case(path)(scene)).case()
    assert np.array_equal(loaded.ct.volume.values, back.ct.volume.values)
    assert np.allclose(loaded.ct.volume.ct_from_index, back.ct.volume.ct_from_index, atol=1e-9)
    assert np.allclose(loaded.world_from_ct, back.world_from_ct, atol=1e-12)
    assert np.allclose(loaded.truth_world_from_ct, back.truth_world_from_ct, atol=1e-12)
    assert loaded.search_range == back.search_range
    for a, b in zip(loaded.views, back.views, strict=True):
        assert (a.name, a.rotation_sd_deg, a.xray.pixel_mm) == (
            b.name,
            b.rotation_sd_deg,
            b.xray.pixel_mm,
        )
        assert a.step_sd_percent == b.step_sd_percent
        assert np.allclose(
            a.camera.linear_forms, b.camera.linear_forms, rtol=1e-12
        ) and a.camera.same_as(b.camera)
        assert np.array_equal(a.xray.line_integrals, b.xray.line_integrals)
        assert np.array_equal(a.xray.valid, b.xray.valid)


@pytest.mark.parametrize("stated", [{}, {"principal_point_sd_px": 0.5}])
def test_a_scene_keeps_whether_a_case_says_how_well_its_matrices_are_known(
    scene, case_file, stated
):
    content = read_json(case_file)
    for view in content["views"]:
        del view["principal_point_sd_px"]
        view |= stated
    write_json(case_file, content)
    registration = read_case(case_file)(scene)
    for view, loaded in zip(
        Inputs(registration).case().views, Case.load(case_file).views, strict=True
    ):
        assert bool(view.presumed_principal_point_sd_px) == (not stated)
        assert view.presumed_principal_point_sd_px == pytest.approx(
            loaded.presumed_principal_point_sd_px
        )
    assert [view.record.uncertainty for view in registration.xrays] == [stated] * 2


def test_slot_scans_lie_in_the_scene_where_their_rays_are_and_stay_when_they_are_corrected(
    scene, scouts
):
    registration = read_case(scouts)(scene)
    view, plane = registration.xrays[1], detectors(registration)[1]
    assert np.allclose(
        plane.pixels(plane.on_plane([[10.0, 20], [100, 150]])), [[10, 20], [100, 150]], atol=1e-6
    )
    camera = view.camera
    drawn = np.array(frustum_polydata(camera, view.detector_mm).GetBounds()).reshape(3, 2)
    sources = camera.sources(camera.corners)[:, 2]  # S is S in RAS
    assert drawn[2, 0] <= sources.min() + 1e-3 and drawn[2, 1] >= sources.max() - 1e-3
    moved = replace(camera, intrinsics=np.diag([1.01, 1, 1]) @ camera.intrinsics)
    view.change(corrected=moved)
    assert view.camera.same_as(moved) and not view.camera.same_as(camera)


def test_a_ct_that_is_already_being_prepared_is_used(scene, case_file):
    loading, prepared = preload_case(case_file.parent)
    read = read_case(case_file, loading.result_for(lambda progress: True), prepared)
    session = Session(read(scene))
    session.cache_case(read.case, read.ready)
    prepared.wait()
    session.poll()
    assert session.prepare() and session.anatomy is prepared.result
    session.registration.node.SetParameter(CT_UNIT, "relative")
    assert session.anatomy is None


def test_a_case_that_cannot_be_loaded_leaves_nothing_behind(scene, case_file):
    case_file.write_text(case_file.read_text().replace("view1.mha", "missing.mha"))
    before = nodes(scene)
    with pytest.raises(InputError):
        read_case(case_file)(scene)
    assert nodes(scene) == before

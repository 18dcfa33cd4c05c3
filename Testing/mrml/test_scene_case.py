"""A case goes into the scene and comes back the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
from phantom import write_phantom_case
from running_session import nodes

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.mrml.case import case_of
from MultiViewRegistrationLib.mrml.image import change_image
from MultiViewRegistrationLib.mrml.loading import read_case
from MultiViewRegistrationLib.mrml.registration import CT_UNIT
from MultiViewRegistrationLib.session.result_files import case_content
from MultiViewRegistrationLib.session.session import Session
from MultiViewRegistrationLib.viewer.serving import preload_case


@pytest.fixture
def case_file(tmp_path):
    """A case of the phantom."""
    return write_phantom_case(tmp_path)


@pytest.mark.parametrize("name", ["phantom", pytest.param("pelvis-three-views-wires", marks=pytest.mark.slow)])
def test_a_case_is_the_same_in_the_scene(scene, name, request):
    path = request.getfixturevalue("case_file")
    if name != "phantom":
        path = request.getfixturevalue("shared_data") / "sim" / name / "case.json"
    loaded, back = Case.load(path), case_of(read_case(path)(scene))
    assert np.array_equal(loaded.ct.volume.values, back.ct.volume.values)
    assert np.allclose(loaded.ct.volume.ct_from_index, back.ct.volume.ct_from_index, atol=1e-9)
    assert np.allclose(loaded.world_from_ct, back.world_from_ct, atol=1e-12)
    assert np.array_equal(loaded.truth_world_from_ct, back.truth_world_from_ct)
    assert loaded.search == back.search
    for a, b in zip(loaded.views, back.views, strict=True):
        assert (a.name, a.rotation_sd_deg, a.xray.pixel_mm) == (b.name, b.rotation_sd_deg, b.xray.pixel_mm)
        assert np.allclose(a.camera.projection_matrix, b.camera.projection_matrix, rtol=1e-12)
        assert np.array_equal(a.xray.line_integrals, b.xray.line_integrals)
        assert np.array_equal(a.xray.valid, b.xray.valid)


def test_the_case_of_a_scene_is_reused_until_it_changes(scene, case_file):
    read = read_case(case_file)
    session = Session(read(scene))
    session.cache_case(read.case)
    view = session.registration.xrays[0]
    assert session.ct() is read.case.ct and session.xray(view) is read.case.views[0].xray
    change_image(view, flipped=True)
    assert session.xray(view) is not read.case.views[0].xray


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


def test_ranges_to_train_on_are_kept_and_exported(scene, case_file):
    content = json.loads(case_file.read_text())
    content |= {"training": {"roll_deg": 30.5, "beam_mm": 0}, "relative_geometry": "truth"}
    case_file.write_text(json.dumps(content))
    session = Session(read_case(case_file)(scene))
    assert session.case().training == content["training"] == case_content(session)["training"]
    assert session.case().relative_geometry == "truth" == case_content(session)["relative_geometry"]


def test_a_case_that_cannot_be_loaded_leaves_nothing_behind(scene, case_file):
    case_file.write_text(case_file.read_text().replace("view1.mha", "missing.mha"))
    before = nodes(scene)
    with pytest.raises(InputError):
        read_case(case_file)(scene)
    assert nodes(scene) == before

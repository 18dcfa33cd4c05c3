"""A case goes into the scene and comes back the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
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

SIM = ("pelvis-lateral", "pelvis-three-views-wires")


@pytest.mark.parametrize("name", [SIM[0], pytest.param(SIM[1], marks=pytest.mark.slow)])
def test_a_case_comes_back_as_it_went_in(scene, shared_data, name):
    path = shared_data / "sim" / name / "case.json"
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


def test_what_a_scene_was_filled_from_is_not_made_again_until_it_changes(scene, shared_data):
    read = read_case(shared_data / "sim" / SIM[0] / "case.json")
    session = Session(read(scene))
    session.cache_case(read.case)
    view = session.registration.xrays[0]
    assert session.ct() is read.case.ct and session.xray(view) is read.case.views[0].xray
    change_image(view, flipped=True)
    assert session.xray(view) is not read.case.views[0].xray


def test_a_ct_that_is_being_made_ready_already_is_waited_for_until_it_changes(scene, shared_data):
    loading, prepared = preload_case(shared_data / "sim" / SIM[0])
    case = shared_data / "sim" / SIM[0] / "case.json"
    read = read_case(case, loading.result_for(lambda progress: True), prepared)
    session = Session(read(scene))
    session.cache_case(read.case, read.ready)
    prepared.wait()
    session.poll()
    assert session.prepare() and session.anatomy is prepared.result
    session.registration.node.SetParameter(CT_UNIT, "relative")
    assert session.anatomy is None


def test_ranges_to_train_on_are_kept_and_exported(scene, shared_data, tmp_path):
    folder = shared_data / "sim" / SIM[0]
    content = json.loads((folder / "case.json").read_text())
    content["ct"] = str((folder / content["ct"]).resolve())
    for view in content["views"]:
        view["image"] = str(folder / view["image"])
    content["training"] = {"roll_deg": 30.5, "beam_mm": 0}
    content["relative_geometry"] = "truth"
    (tmp_path / "case.json").write_text(json.dumps(content))
    session = Session(read_case(tmp_path)(scene))
    assert session.case().training == content["training"] == case_content(session)["training"]
    assert session.case().relative_geometry == "truth" == case_content(session)["relative_geometry"]


def test_a_case_that_cannot_be_loaded_leaves_nothing_behind(scene, shared_data, tmp_path):
    content = json.loads((shared_data / "sim" / SIM[0] / "case.json").read_text())
    content["views"][0]["image"] = "missing.mha"
    (tmp_path / "case.json").write_text(json.dumps(content))
    before = nodes(scene)
    with pytest.raises(InputError):
        read_case(tmp_path)(scene)
    assert nodes(scene) == before

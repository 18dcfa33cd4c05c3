"""What is handed on says what it is and reads back."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from helpers.file_io import read_json, write_json
from helpers.phantom import error_mm, write_phantom_case
from helpers.phantom_scene import settled_session
from helpers.refusals import refuses

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.io import files
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.navigation import POSE_FORMATS
from MultiViewRegistrationLib.io.result_json import RegistrationExport
from MultiViewRegistrationLib.mrml.case import change_settings
from MultiViewRegistrationLib.mrml.image import change_image
from MultiViewRegistrationLib.report.result_page import save_result
from MultiViewRegistrationLib.session.assessment import stale_reason
from MultiViewRegistrationLib.session.result_files import (
    read_result,
    write_case_folder,
    write_result,
)
from MultiViewRegistrationLib.session.session import Session


@pytest.fixture
def session(scene):
    return settled_session(scene)


def reference(session, matrix):
    change_settings(session.registration, reference_from_world=np.asarray(matrix))


@pytest.mark.slow
def test_a_result_is_handed_on_in_all_formats_with_the_reason_for_its_override(session, tmp_path):

    reference(session, np.diag([-1.0, -1, 1, 1]))  # the case has changed since
    with refuses(r"the result is stale.*override"):
        write_result(session, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    written = write_result(session, tmp_path, [*POSE_FORMATS, "cameras"], override=True)()
    some = "world_from_ct.forward.tfm reference_from_ct.resampling.h5 ct_from_reference.ras.txt"
    assert {path.name for path in written} >= {*some.split()}
    exported = RegistrationExport.read(tmp_path)
    header = pydicom.dcmread(tmp_path / "reference_from_ct.dcm")
    assert header.FrameOfReferenceUID == exported.uids["reference"]
    assert "NOT FOR USE" in header.SeriesDescription
    for name in ("world_from_ct.lps.txt", "report.html", "result.json"):
        assert "stale" in Path(tmp_path, name).read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_full_disk_is_one_sentence(session, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with refuses("No space left on device.*choose another folder"):
        write_result(session, tmp_path)()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", ["flipped and inverted", "image deleted"])
def test_a_case_is_written_that_is_the_same(session, tmp_path, change):
    first, second = session.registration.xrays
    if change == "flipped and inverted":
        change_image(first, flipped=True)
        change_image(second, inverted=True, intensity="linear")
    there = session.case()
    if change == "image deleted":  # the picture has its line integrals
        for view in (first, second):
            session.registration.scene.RemoveNode(view.source)
    back = Case.load(write_case_folder(session, tmp_path)()[0])
    assert np.allclose(back.world_from_ct, session.registration.world_from_ct, atol=1e-9)
    assert np.array_equal(back.ct.volume.values, there.ct.volume.values)
    for a, b in zip(there.views, back.views, strict=True):
        assert np.allclose(a.camera.projection_matrix, b.camera.projection_matrix, rtol=1e-9)
        assert np.allclose(a.xray.line_integrals, b.xray.line_integrals, atol=1e-5)
        assert np.array_equal(a.xray.valid, b.xray.valid)


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """(folder of a case with its result, the result)"""
    folder = tmp_path_factory.mktemp("registered")
    result = register(Case.load(write_phantom_case(folder)), "given")
    save_result(result, folder)
    return folder, result


@pytest.mark.slow
def test_a_result_is_opened_again_as_it_stood(scene, registered):
    folder, result = registered
    session = Session(read_result(folder)(scene))
    assert error_mm(session.registration.world_from_ct) < 0.2
    entry = session.history.current
    assert entry.verdict == result.verdict and stale_reason(session) == ""
    assert entry.uses == result.uses
    session.history.undo()
    assert error_mm(session.registration.world_from_ct) > 5


@pytest.mark.slow
def test_a_result_of_a_case_that_has_changed_since_is_stale(scene, registered, tmp_path):
    folder = Path(shutil.copytree(registered[0], tmp_path / "changed"))
    case = read_json(folder / "case.json")
    write_json(folder / "case.json", {**case, "search": {"rotation_deg": 10, "translation_mm": 10}})
    stale = Session(read_result(folder)(scene))
    assert "has changed since" in " ".join(stale.history.current.notes) and stale_reason(stale)
    (folder / "case.json").unlink()
    with refuses("found no case.json beside it"):
        read_result(folder)

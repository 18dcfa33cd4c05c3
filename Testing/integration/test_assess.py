"""A pose that a person set, as a result: its similarity, its errors, its files."""

from dataclasses import replace

import numpy as np
import phantom
import pytest
from file_io import read_json
from numpy.testing import assert_allclose
from program import mtre_mm
from refusals import refuses

from MultiViewRegistrationLib import Case, assess, register
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.transforms import read_transform
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.report import pdf
from MultiViewRegistrationLib.report.result_page import save_result

NEARBY = phantom.off(phantom.TRUE_POSE, [0.5, -1.0, 0.4], [1.0, -0.5, 2.0])


@pytest.fixture(scope="module")
def case(case_file) -> Case:
    return Case.load(case_file)


@pytest.fixture(scope="module")
def prepared(case) -> PreparedCT:
    return PreparedCT(case.ct)


def test_a_registered_pose_has_the_similarity_of_its_registration(case, prepared):
    registered = register(case, anatomy=prepared)
    assessed = assess(
        case, registered.world_from_ct, prepared, method="kept from an earlier session"
    )
    assert_allclose(
        assessed.refinement.fit.similarity, registered.refinement.fit.similarity, atol=1e-6
    )
    assert_allclose(assessed.world_from_ct, registered.world_from_ct, atol=1e-12)
    assert assessed.errors.mtre_mm == pytest.approx(registered.errors.mtre_mm, abs=1e-9)
    first, second = case.views
    said = replace(second, assumptions=("The central axis meets the middle of the image.",))
    assumed = replace(case, views=[first, said])
    worse = assess(assumed, NEARBY, prepared)
    assert max(worse.refinement.fit.similarity) < min(assessed.refinement.fit.similarity) - 0.1
    assert worse.reasons[-1] == "Assumed: view2: The central axis meets the middle of the image."
    assert assess(case, phantom.TRUE_POSE, prepared).verdict == "check"  # at best


def test_a_saved_result_says_that_nothing_was_refined_and_carries_an_override(
    case, case_file, prepared, tmp_path, monkeypatch
):
    result, sentence = (
        assess(case, NEARBY, prepared),
        "The X-ray <LAT> was replaced after this result.",
    )
    save_result(result, tmp_path, override=sentence)
    assert read_json(tmp_path / "result.json")["override"] == sentence
    assert (
        "The X-ray &lt;LAT&gt; was replaced after this result."
        in (tmp_path / "report.html").read_text()
    )
    for name in ("world_from_ct.tfm", "world_from_ct.slicer.tfm"):
        assert (tmp_path / name).read_text().splitlines()[1] == f"# Override: {sentence}"
    assert_allclose(read_transform(tmp_path / "world_from_ct.tfm"), NEARBY, atol=1e-9)
    save_result(result, tmp_path)
    assert not [
        file
        for file in tmp_path.glob("*.*")
        if file.suffix != ".png" and "verride:" in file.read_text()
    ]
    saved = read_json(tmp_path / "result.json")
    assert_allclose(saved["world_from_ct"], NEARBY, atol=1e-12)
    assert saved["refinement"] is None and saved["alternative"] is None and "override" not in saved
    assert (saved["start"]["method"], saved["start"]["candidates"], saved["start"]["refined"]) == (
        "by hand",
        1,
        0,
    )
    assert saved["reasons"][0] == "The pose was not refined; it is as given (by hand)."
    assert saved["verdict"] == "reject" and "transforms were not written" in saved["withheld"]
    assert any("set, not registered" in reason for reason in saved["reasons"])
    assert "upper95" not in saved["predicted_tre_mm"]  # its X-rays disagree
    assert saved["errors"]["mtre_mm"] == pytest.approx(
        mtre_mm(NEARBY, read_json(case_file)), abs=1e-9
    )
    assert saved["seconds"]["refine"] == 0 < saved["seconds"]["assess"] < saved["seconds"]["total"]
    pictures = {
        f"view{n}_{kind}_after.png"
        for n in (1, 2)
        for kind in ("edges", "checkerboard", "difference")
    }
    others = {"result.json", "report.html"}
    assert {file.name for file in tmp_path.iterdir()} == pictures | others
    said = []
    monkeypatch.setattr(pdf, "write_pdf", lambda *drawn: said.extend(drawn[4]))
    save_result(result, tmp_path, override=sentence, pdf=True)
    assert said[0] == f"Override: {sentence}"


def test_an_unusable_view_is_named(case, prepared):
    aside = rigid.translation([0, 300, 0])
    second = case.views[1]
    moved = second.with_camera(camera_from_world=aside @ second.camera.camera_from_world)
    result = assess(replace(case, views=[case.views[0], moved]), phantom.TRUE_POSE, prepared)
    assert [
        reason.split(" was not used")[0] for reason in result.reasons if "was not used" in reason
    ] == ["view2"]
    assert result.refinement.fit.similarity[0] > 0.9
    unknown = replace(second, rotation_sd_deg=None, translation_sd_mm=None)
    result = assess(replace(case, views=[case.views[0], unknown]), phantom.TRUE_POSE, prepared)
    assert result.views[1].camera is second.camera  # it stays as it is
    sentence = "The geometry of view2 is unknown: its camera was not corrected, and its similarity means little."
    assert sentence in result.reasons


@pytest.mark.parametrize(
    "pose, found",
    [
        (phantom.off(phantom.TRUE_POSE, [0, 0, 0], [0, 0, 300]), "show too little of the CT"),
        (phantom.off(phantom.TRUE_POSE, [0, 0, 0], [0, 750, 0]), "show too little of the CT"),
        (
            phantom.off(phantom.TRUE_POSE, [0, 0, 0], [-750, 750, 0]),
            "behind the source of every view",
        ),
        (np.diag([1.0, 1.0, 2.0, 1.0]), "world_from_ct: "),
        (np.full((4, 4), np.nan), "world_from_ct: "),
    ],
    ids=["beside", "behind a source", "behind both sources", "scaled", "not finite"],
)
def test_poses_that_cannot_be_assessed(case, prepared, pose, found):
    with refuses(found) as caught:
        assess(case, pose, prepared)
    assert str(caught.value).count(". ") == 0

"""`mvreg demo` to its end: what README promises first."""

from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.file_io import read_json
from helpers.program import mvreg

from MultiViewRegistrationLib.assessment.bodies import JointResult
from MultiViewRegistrationLib.cli import demo
from MultiViewRegistrationLib.cli.demo import ERRORS, bone_errors
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.datasets.chest import bent_spine_truth
from MultiViewRegistrationLib.report.details import BEFORE_AFTER, PICTURE_ROWS

NO_NETWORK = "No network was trained, as PyTorch is not installed: "


def check_spine(content, out, printed):
    """Vertebrae that the whole CT has up to 4 mm elsewhere are found, and shown.

    In the table, the report and the picture.
    """
    bones = {each["name"]: each for each in content["bones"]}
    assert list(bones) == list(content["results"][-1]["bodies"])[1:] == list(bent_spine_truth())
    assert max(each["whole_ct_mm"] for each in bones.values()) > 4
    assert bones["T10"]["whole_ct_mm"] < 0.5
    assert all(each["own_mm"] < 0.5 and each["verdict"] != "reject" for each in bones.values())
    displaced = content["results"][-1]["findings"][0]
    assert (displaced["code"], displaced["values"]["bone"]) == ("bone-displaced", "T12")
    report = (out / "report.html").read_text(encoding="utf-8")
    for name, each in bones.items():
        assert f"{name:3}  {each['whole_ct_mm']:.2f} mm, {each['own_mm']:.2f} mm" in printed
    assert ERRORS in report and ERRORS in printed and BEFORE_AFTER in report
    picture = sitk.ReadImage(str(out / "spine" / "bones.jpg"))
    assert picture.GetSize()[1] == PICTURE_ROWS and str(out / "spine" / "bones.jpg") in printed
    truth = read_json(out / "spine" / "truth.json")["structures"]
    assert list(truth) == list(bones)


def demonstrated(folder):
    """What `mvreg demo` gives, and what it says."""
    said = mvreg(f"demo --out {folder} --json")
    return said.json, said.err


@pytest.mark.slow
def test_without_pytorch_it_does_the_rest_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "missing_packages", lambda: ["torch"])
    content, said = demonstrated(tmp_path)
    results = content["results"]
    assert [(each["start"]["method"], each["verdict"]) for each in results] == [
        ("given", "accept"),
        ("search", "accept"),
        ("given", "check"),
    ]
    check_spine(content, tmp_path, said)
    assert said.count(NO_NETWORK) == 1 and said.index(NO_NETWORK) < said.index("Report: ")
    assert "needs PyTorch, which is not installed" in (tmp_path / "report.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Only")
def test_the_demo_registers_and_writes_all_cases(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason='trains a network: pip install -e ".[torch]"')
    monkeypatch.setattr(demo, "MINUTES", 0.1)
    content, said = demonstrated(tmp_path)
    results = content["results"]
    assert [each["start"]["method"] for each in results] == [
        "given",
        "search",
        "regressor",
        "given",
    ]
    assert [each["verdict"] for each in results[:2]] == ["accept", "accept"]
    assert all(each["errors"]["mtre_mm"] < 0.2 for each in results[:2])
    for name, result in zip(
        ("chest", "chest-search", "chest-regressor", "spine"), results, strict=True
    ):
        assert (
            read_json(tmp_path / name / "result.json")["world_from_ct"] == result["world_from_ct"]
        )
        assert (tmp_path / name / "AP_edges_after.png").stat().st_size > 10_000
    assert said.count("Report: ") == 1 and NO_NETWORK not in said


def test_the_error_of_a_bone_is_that_of_its_own_pose_and_its_own_truth():
    shifted = lambda x: rigid.translation([x, 0.0, 0.0])  # noqa: E731
    shape = SimpleNamespace(surface=np.random.default_rng(0).normal(size=(30, 3)))
    bones = [
        SimpleNamespace(name=name, verdict="check", bone=shape, world_from_ct=shifted(x))
        for name, x in (("T8", 1.0), ("T9", 5.0))
    ]
    result = SimpleNamespace(world_from_ct=shifted(0.0), together=SimpleNamespace(bodies=bones))
    errors = bone_errors(result, {"T8": shifted(3.0), "T9": shifted(5.5)})
    assert [each.name for each in errors] == ["T8", "T9"]
    assert [each.whole_ct_mm for each in errors] == pytest.approx([3.0, 5.5])
    assert [each.own_mm for each in errors] == pytest.approx([2.0, 0.5])
    assert bone_errors(SimpleNamespace(world_from_ct=np.eye(4), together=JointResult()), {}) == []

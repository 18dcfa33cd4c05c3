"""Files of other programs: what they do not say is asked for, and names in them are text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import phantom
from planted_dicom import write_xray
from scipy.spatial.transform import Rotation
from served import mtre_mm

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.c_arm import CArm


def choose(tab, box: str, option: str) -> None:
    """Choose from a box by its label."""
    tab.page.get_by_label(box, exact=True).first.click(force=True)
    tab.page.get_by_role("option", name=option).click()
    tab.page.get_by_role("option", name=option).wait_for(state="hidden")


def send(tab, hint: str, *paths) -> None:
    """Pick files where the page asks for these."""
    tab.page.get_by_label(f"Choose files: {hint}").set_input_files(list(paths))


def test_geometry_comes_from_a_calibration_file(tab, tmp_path):
    cameras = {
        name: CArm(
            source_to_detector_mm=1000,
            source_to_isocentre_mm=700,
            pixel_mm=(1.25, 1.25),
            size=(128, 128),
            rao_lao_deg=angle,
            cra_cau_deg=5,
        ).camera()
        for name, angle in (("left", 10), ("{{3+4}}<b>", 100))
    }
    (tmp_path / "<i>rig{{1+1}}.json").write_text(
        json.dumps(
            {
                name: {
                    "camera_matrix": camera.intrinsics.tolist(),
                    "R": camera.camera_from_world[:3, :3].tolist(),
                    "t": (camera.camera_from_world[:3, 3] / 10).tolist(),
                    "image_size": [128, 128],
                }
                for name, camera in cameras.items()
            }
        )
    )
    tab.open_step("X-rays")
    tab.page.get_by_role("button", name="view1").first.click()
    choose(tab, "Given as", "Calibration file")
    tab.page.get_by_text("Calibration file: none is chosen").wait_for()
    send(tab, "a calibration", tmp_path / "<i>rig{{1+1}}.json")
    tab.page.get_by_text("<i>rig{{1+1}}.json").wait_for()
    tab.page.get_by_text(
        "The file does not say, and nothing is assumed: First pixel at, World axes, Lengths in."
    ).wait_for()
    tab.shot("asked")
    assert tab.button("Apply").is_disabled()
    for box, option in (("First pixel at", "0 (OpenCV)"), ("World axes", "LPS (DICOM, ITK)"), ("Lengths in", "cm")):
        choose(tab, box, option)
    tab.page.get_by_text("The file has 2 cameras: choose that of view1.").wait_for()
    choose(tab, "Camera", "{{3+4}}<b>")
    tab.page.get_by_text("A camera of 128 × 128 pixels.").wait_for()
    tab.shot("chosen")
    tab.button("Apply").click()
    tab.wait_state("!c('xrays', 'reset').enabled && c('xrays', 'mode').value === 'matrix'")
    found = np.array(tab.control("xrays", "matrix")["text"].split(), float).reshape(3, 4)
    np.testing.assert_allclose(found, cameras["{{3+4}}<b>"].projection_matrix, rtol=1e-5, atol=1e-4)
    tab.page.get_by_role("button", name="view2").first.click()  # the next X-ray begins with the same file
    choose(tab, "Given as", "Calibration file")
    tab.page.get_by_text("<i>rig{{1+1}}.json").wait_for()
    choose(tab, "Camera", "left")
    tab.page.get_by_text("A camera of 128 × 128 pixels.").wait_for()
    tab.button("Reset").click()
    tab.wait_state("!c('xrays', 'reset').enabled")


def test_a_case_is_made_of_files_alone(open_tab, serve, case_file, tmp_path):
    """A CT, two images and the matrices of their cameras, as a person has them who comes with data of their own."""
    case, folder = json.loads(case_file.read_text()), case_file.parent
    tab = open_tab(serve())
    tab.button("Begin with an empty case").click()
    send(tab, "a CT", folder / "ct.nii.gz")
    tab.wait_state("s.ct_form.state.kind === 'ready'")
    send(tab, "X-rays", folder / "view1.mha", folder / "view2.mha")
    tab.wait_state("xrays().length === 2 && c('xrays', 'name').text === 'view1'")
    for view in case["views"]:
        np.savetxt(tmp_path / f"{view['name']}.txt", np.array(view["projection_matrix"]))
        tab.button(view["name"]).click()
        tab.wait_state(f"c('xrays', 'name').text === '{view['name']}'")
        choose(tab, "Given as", "Calibration file")
        send(tab, "a calibration", tmp_path / f"{view['name']}.txt")
        for box, option in (("First pixel at", "0 (OpenCV)"), ("World axes", "LPS (DICOM, ITK)"), ("Lengths in", "mm")):
            choose(tab, box, option)
        tab.button("Apply").click()
        tab.wait_state("!c('xrays', 'reset').enabled && c('xrays', 'mode').value === 'matrix'")
    tab.ready()
    tab.shot("own-files")
    tab.open_step("Start")
    tab.button("Centre the CT in the X-rays").click()
    choose(tab, "How far", "Poorly known (45°, 100 mm)")
    tab.open_step("Register")
    tab.register()
    assert tab.registered(), tab.state("message")
    tab.shot("own-registered")
    assert mtre_mm(tab.exported(tmp_path), case) < 1.0


def test_an_angle_that_a_header_lacks_is_asked_for(open_tab, serve, tmp_path):
    """And images of two patients are told, in the X-rays that a page sent as in a case."""
    for name, patient in (("front", "P-1"), ("side", "P-2")):
        write_xray(
            tmp_path / f"{name}.dcm",
            np.random.default_rng(1).integers(2000, 4000, (64, 64)),
            DistanceSourceToDetector=1000,
            DistanceSourceToPatient=700,
            ImagerPixelSpacing=[1, 1],
            PositionerPrimaryAngle=30,
            PatientID=patient,
        )
    tab = open_tab(serve())
    tab.button("Begin with an empty case").click()
    send(tab, "X-rays", tmp_path / "front.dcm", tmp_path / "side.dcm")
    tab.page.get_by_text("are of different patients (PatientID)").wait_for()
    assert "P-2" not in tab.page.content()
    tab.wait_state("c('xrays', 'rao_lao_deg').text === '30' && c('xrays', 'cra_cau_deg').text === ''")
    tab.page.get_by_text("Not in the header: CRA/CAU angle, seen from source or detector.").wait_for()
    choose(tab, "Image seen from", "the source")
    tab.page.get_by_text("CRA/CAU angle: none is given").wait_for()
    tab.shot("lacking")
    assert tab.button("Apply").is_disabled()
    tab.page.get_by_label("CRA (+) / CAU (−)").fill("0")
    tab.page.get_by_label("CRA (+) / CAU (−)").press("Enter")
    tab.button("Apply").click()
    tab.wait_state(
        "!c('xrays', 'reset').enabled && !c('xrays', 'geometry_problem') && c('xrays', 'cra_cau_deg').text === '0'"
    )


def test_the_ct_is_put_where_a_file_has_it_and_back(tab, case_file, tmp_path):
    ras_from_lps, pose = np.diag([-1.0, -1, 1, 1]), rigid.inverse(phantom.TRUE_POSE)
    np.savetxt(tmp_path / "resampling.txt", ras_from_lps @ pose @ ras_from_lps)
    np.savetxt(tmp_path / "scaled.txt", np.diag([2.0, 2, 2, 1]))
    before = tab.numbers()
    tab.page.get_by_text("A pose from a file").click()
    for name, pick, problem in (("scaled.txt", "LPS", True), ("resampling.txt", "RAS", False)):
        send(tab, "an ITK", tmp_path / name)
        tab.page.get_by_text(name).wait_for()
        assert tab.button("Put the CT there").is_disabled()
        choose(tab, "Axes", pick)
        choose(tab, "Direction", "the world to the CT")
        tab.wait_state(
            f"!!c('start', 'pose_problem') === {json.dumps(problem)} && !!(c('start', 'put') || {{}}).enabled === {json.dumps(not problem)}"
        )
        assert "/" not in (tab.control("start", "pose_problem") or {"label": ""})["label"]
    tab.shot("pose")
    tab.button("Put the CT there").click()
    tab.wait_state(f"n().join() !== '{','.join(before)}'")
    start = np.array(json.loads(case_file.read_text())["world_from_ct"])
    centre = rigid.inverse(start) @ [*map(float, before[:3]), 1]
    turned = Rotation.from_matrix(phantom.TRUE_POSE[:3, :3]).as_euler("xyz", degrees=True)
    np.testing.assert_allclose(np.array(tab.numbers(), float), [*(phantom.TRUE_POSE @ centre)[:3], *turned], atol=0.016)
    tab.page.keyboard.press("Control+z")
    tab.wait_state(f"n().join() === '{','.join(before)}'")


def write_markups(path, points: dict) -> Path:
    path.write_text(
        json.dumps(
            {
                "markups": [
                    {
                        "type": "Fiducial",
                        "coordinateSystem": "LPS",
                        "controlPoints": [
                            {"label": name, "position": list(map(float, point))} for name, point in points.items()
                        ],
                    }
                ]
            }
        )
    )
    return path


def test_landmarks_of_the_ct_and_of_an_xray_come_from_files(tab, tmp_path):
    name = "{{5+5}}<i>tip"
    tab.page.get_by_label("Landmarks", exact=True).check(force=True)
    tab.page.get_by_text("Landmarks from a file").click()
    send(tab, "landmarks", write_markups(tmp_path / "ct.mrk.json", {name: (1, 2, 3), "b": (-10, 5, 0)}))
    tab.page.locator("td", has_text=name).wait_for()
    choose(tab, "Landmarks of", "view1")
    tab.page.get_by_text("Say first where the points lie.").wait_for()
    choose(tab, "Points lie", "on the image's own volume")
    tab.wait_state("c('start', 'markups').enabled")
    beside = write_markups(tmp_path / "beside.mrk.json", {"b": (-500, 5, 0)})
    send(tab, "landmarks", beside)
    tab.wait_state("s.message.includes('falls beside the image of view1')")
    assert tab.state("message").startswith("beside.mrk.json: ")
    send(tab, "landmarks", write_markups(tmp_path / "view1.mrk.json", {"b": (20, 30, 0)}))
    of_b = "c('start', 'landmarks').lines.find(line => line.id === 'b').cells"
    tab.wait_state(f"!s.message && {of_b}.slice(1, 3).map(cell => cell.text).join() === '✔,✔'")
    tab.shot("landmarks")
    for each in ("b", name):
        tab.button(each).click()
        tab.button("Remove").first.click()
    tab.wait_state("c('start', 'landmarks').lines.length === 1")
    tab.page.get_by_label("Search", exact=True).check(force=True)
    tab.wait_state("c('start', 'start').value === 'search'")

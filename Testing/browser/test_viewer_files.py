"""Files of other programs: what they do not say is asked for, and names in them are text."""

from __future__ import annotations

import json

import numpy as np

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
    cameras = {name: CArm(source_to_detector_mm=1000, source_to_isocentre_mm=700, pixel_mm=(1.25, 1.25), size=(128, 128),
                          rao_lao_deg=angle, cra_cau_deg=5).camera() for name, angle in (("left", 10), ("{{3+4}}<b>", 100))}
    (tmp_path / "<i>rig{{1+1}}.json").write_text(json.dumps({name: {
        "camera_matrix": camera.intrinsics.tolist(), "R": camera.camera_from_world[:3, :3].tolist(),
        "t": (camera.camera_from_world[:3, 3] / 10).tolist(), "image_size": [128, 128]} for name, camera in cameras.items()}))
    tab.open_step("X-rays")
    tab.page.get_by_role("button", name="view1").first.click()
    tab.button("File").click()
    tab.page.get_by_text("Calibration file: none is chosen").wait_for()
    send(tab, "a calibration", tmp_path / "<i>rig{{1+1}}.json")
    tab.page.get_by_text("<i>rig{{1+1}}.json").wait_for()
    tab.page.get_by_text("The file does not say, and nothing is assumed: First pixel at, World axes, Lengths in.").wait_for()
    tab.shot("asked")
    assert tab.button("Apply").is_disabled()
    for box, option in (("First pixel at", "0 (OpenCV)"), ("World axes", "LPS (DICOM, ITK)"), ("Lengths in", "cm")):
        choose(tab, box, option)
    tab.page.get_by_text("The file has 2 cameras: choose that of view1.").wait_for()
    choose(tab, "Camera", "{{3+4}}<b>")
    tab.page.get_by_text("A camera of 128 × 128 pixels.").wait_for()
    tab.shot("chosen")
    tab.button("Apply").click()
    tab.wait_state("!s.xrays.geometry.changed && s.xrays.geometry.mode === 'matrix'")
    found = np.array(tab.state("xrays.geometry.fields.matrix").split(), float).reshape(3, 4)
    np.testing.assert_allclose(found, cameras["{{3+4}}<b>"].projection_matrix, rtol=1e-5, atol=1e-4)
    tab.page.get_by_role("button", name="view2").first.click()  # the next X-ray begins with the same file
    tab.button("File").click()
    tab.page.get_by_text("<i>rig{{1+1}}.json").wait_for()
    choose(tab, "Camera", "left")
    tab.page.get_by_text("A camera of 128 × 128 pixels.").wait_for()
    tab.button("Reset").click()
    tab.wait_state("!s.xrays.geometry.changed")

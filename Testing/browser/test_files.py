"""Files that a page sends: what they do not say is asked for, what is wrong is refused in plain words, and names in them are text."""

from __future__ import annotations

import base64
import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import phantom
import planted_file
import pytest
import SimpleITK as sitk
from phantom import write_phantom_case
from planted_dicom import write_xray
from scipy.spatial.transform import Rotation
from served import MVREG, mtre_mm

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.c_arm import CArm

RELATIVE = "Relative (0 is nothing, larger is denser)"
DROP = """([hint, files]) => { const data = new DataTransfer();
    for (const [name, content] of files) data.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name));
    const place = [...document.querySelectorAll('.mv-files')].find(e => e.innerText.includes(hint));
    place.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })); }"""


def drop(tab, hint: str, *files: tuple[str, bytes] | Path) -> None:
    """Drop files where a hint says what is expected."""
    named = [(file.name, file.read_bytes()) if isinstance(file, Path) else file for file in files]
    tab.page.evaluate(DROP, [hint, [(name, base64.b64encode(content).decode()) for name, content in named]])


def begin_empty(open_tab, serve):
    tab = open_tab(serve())
    tab.button("Begin with an empty case").click()
    return tab


# What files do not say is asked for


def test_geometry_comes_from_a_calibration_file(tab, tmp_path):
    given = {"source_to_detector_mm": 1000, "source_to_isocentre_mm": 700, "pixel_mm": (1.25, 1.25), "size": (128, 128)}
    cameras = {
        name: CArm(**given, rao_lao_deg=angle, cra_cau_deg=5).camera()
        for name, angle in (("left", 10), ("{{3+4}}<b>", 100))
    }
    rig = {
        name: {
            "camera_matrix": camera.intrinsics.tolist(),
            "R": camera.camera_from_world[:3, :3].tolist(),
            "t": (camera.camera_from_world[:3, 3] / 10).tolist(),
            "image_size": [128, 128],
        }
        for name, camera in cameras.items()
    }
    (tmp_path / "<i>rig{{1+1}}.json").write_text(json.dumps(rig))
    seen = tab.page.get_by_text
    tab.open_step("X-rays")
    tab.page.get_by_role("button", name="view1").first.click()
    tab.choose("Given as", "Calibration file")
    seen("Calibration file: none is chosen").wait_for()
    tab.pick("a calibration", tmp_path / "<i>rig{{1+1}}.json")
    seen("<i>rig{{1+1}}.json").wait_for()
    seen("The file does not say, and nothing is assumed: First pixel at, World axes, Lengths in.").wait_for()
    assert tab.button("Apply").is_disabled()
    for box, option in (("First pixel at", "0 (OpenCV)"), ("World axes", "LPS (DICOM, ITK)"), ("Lengths in", "cm")):
        tab.choose(box, option)
    seen("The file has 2 cameras: choose that of view1.").wait_for()
    tab.choose("Camera", "{{3+4}}<b>")
    seen("A camera of 128 × 128 pixels.").wait_for()
    tab.shot("chosen")
    tab.button("Apply").click()
    tab.wait_state("!c('xrays', 'reset').enabled && c('xrays', 'mode').value === 'matrix'")
    found = np.array(tab.control("xrays", "matrix")["text"].split(), float).reshape(3, 4)
    np.testing.assert_allclose(found, cameras["{{3+4}}<b>"].projection_matrix, rtol=1e-5, atol=1e-4)
    tab.page.get_by_role("button", name="view2").first.click()  # the next X-ray begins with the same file
    tab.choose("Given as", "Calibration file")
    seen("<i>rig{{1+1}}.json").wait_for()
    tab.choose("Camera", "left")
    seen("A camera of 128 × 128 pixels.").wait_for()
    tab.button("Reset").click()
    tab.wait_state("!c('xrays', 'reset').enabled")


def test_a_case_is_made_of_files_alone(open_tab, serve, case_file, tmp_path):
    """A CT, two images and the matrices of their cameras, as a person has them who comes with data of their own."""
    case, folder = json.loads(case_file.read_text()), case_file.parent
    tab = begin_empty(open_tab, serve)
    tab.pick("a CT", folder / "ct.nii.gz")
    tab.wait_state("s.ct_form.state.kind === 'ready'")
    tab.pick("X-rays", folder / "view1.mha", folder / "view2.mha")
    tab.wait_state("xrays().length === 2 && c('xrays', 'name').text === 'view1'")
    for view in case["views"]:
        np.savetxt(tmp_path / f"{view['name']}.txt", np.array(view["projection_matrix"]))
        tab.button(view["name"]).click()
        tab.wait_state(f"c('xrays', 'name').text === '{view['name']}'")
        tab.choose("Given as", "Calibration file")
        tab.pick("a calibration", tmp_path / f"{view['name']}.txt")
        for box, option in (("First pixel at", "0 (OpenCV)"), ("World axes", "LPS (DICOM, ITK)"), ("Lengths in", "mm")):
            tab.choose(box, option)
        tab.button("Apply").click()
        tab.wait_state("!c('xrays', 'reset').enabled && c('xrays', 'mode').value === 'matrix'")
    tab.ready()
    tab.open_step("Start")
    tab.button("Centre the CT in the X-rays").click()
    tab.choose("How far", "Hardly known (45°, 100 mm)")
    tab.open_step("Register")
    tab.register()
    assert tab.registered(), tab.state("message")
    tab.shot("own-registered")
    assert mtre_mm(tab.exported(tmp_path), case) < 1.0


def test_a_missing_angle_is_asked_for_and_two_patients_are_reported(open_tab, serve, tmp_path):
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
    tab = begin_empty(open_tab, serve)
    tab.pick("X-rays", tmp_path / "front.dcm", tmp_path / "side.dcm")
    tab.page.get_by_text("are of different patients (PatientID)").wait_for()
    assert "P-2" not in tab.page.content()
    tab.wait_state("c('xrays', 'rao_lao_deg').text === '30' && c('xrays', 'cra_cau_deg').text === ''")
    tab.page.get_by_text("Not in the header: CRA/CAU angle, seen from source or detector.").wait_for()
    tab.choose("Image seen from", "the source")
    tab.page.get_by_text("CRA/CAU angle: none is given").wait_for()
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
    for name, axes, problem in (("scaled.txt", "LPS", True), ("resampling.txt", "RAS", False)):
        tab.pick("an ITK", tmp_path / name)
        tab.page.get_by_text(name).wait_for()
        assert tab.button("Put the CT there").is_disabled()
        tab.choose("Axes", axes)
        tab.choose("Direction", "the world to the CT")
        tab.wait_state(
            f"!!c('start', 'pose_problem') === {json.dumps(problem)} && !!(c('start', 'put') || {{}}).enabled === {json.dumps(not problem)}"
        )
        assert "/" not in (tab.control("start", "pose_problem") or {"label": ""})["label"]
    tab.button("Put the CT there").click()
    tab.wait_state(f"n().join() !== '{','.join(before)}'")
    start = np.array(json.loads(case_file.read_text())["world_from_ct"])
    centre = rigid.inverse(start) @ [*map(float, before[:3]), 1]
    turned = Rotation.from_matrix(phantom.TRUE_POSE[:3, :3]).as_euler("xyz", degrees=True)
    np.testing.assert_allclose(np.array(tab.numbers(), float), [*(phantom.TRUE_POSE @ centre)[:3], *turned], atol=0.016)
    tab.page.keyboard.press("Control+z")
    tab.wait_state(f"n().join() === '{','.join(before)}'")


def write_markups(path, points: dict) -> Path:
    placed = [{"label": name, "position": list(map(float, point))} for name, point in points.items()]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": placed}
    path.write_text(json.dumps({"markups": [markup]}))
    return path


def test_landmarks_of_the_ct_and_of_an_xray_come_from_files(tab, tmp_path):
    name = "{{5+5}}<i>tip"
    tab.page.get_by_label("Landmarks", exact=True).check(force=True)
    tab.page.get_by_text("Landmarks from a file").click()
    tab.pick("landmarks", write_markups(tmp_path / "ct.mrk.json", {name: (1, 2, 3), "b": (-10, 5, 0)}))
    tab.page.locator("td", has_text=name).wait_for()
    tab.choose("Landmarks of", "view1")
    tab.page.get_by_text("Say first where the points lie.").wait_for()
    tab.choose("Points lie", "on the image's own volume")
    tab.wait_state("c('start', 'markups').enabled")
    tab.pick("landmarks", write_markups(tmp_path / "beside.mrk.json", {"b": (-500, 5, 0)}))
    tab.wait_state("s.message.includes('falls beside the image of view1')")
    assert tab.state("message").startswith("beside.mrk.json: ")
    tab.pick("landmarks", write_markups(tmp_path / "view1.mrk.json", {"b": (20, 30, 0)}))
    of_b = "c('start', 'landmarks').lines.find(line => line.id === 'b').cells"
    tab.wait_state(f"!s.message && {of_b}.slice(1, 3).map(cell => cell.text).join() === '✔,✔'")
    for each in ("b", name):
        tab.button(each).click()
        tab.button("Remove").first.click()
    tab.wait_state("c('start', 'landmarks').lines.length === 1")
    tab.page.get_by_label("Search", exact=True).check(force=True)
    tab.wait_state("c('start', 'start').value === 'search'")


def test_a_ct_without_hounsfield_units_is_asked_for_its_unit(open_tab, serve, case_file, tmp_path):
    image = sitk.ReadImage(str(case_file.parent / "ct.nii.gz"))
    values = sitk.GetArrayFromImage(image).astype(float)
    other = sitk.GetImageFromArray(np.interp(values, (values.min(), values.max()), (0, 4095)).astype(np.uint16))
    other.CopyInformation(image)
    sitk.WriteImage(other, str(tmp_path / "grey.nii.gz"))
    tab = begin_empty(open_tab, serve)
    for wanted in (False, True):
        tab.pick("a CT", tmp_path / "grey.nii.gz")
        tab.page.get_by_text("grey.nii.gz: has no voxel below 0 (values 0 to 4095)").wait_for()
        tab.button(f"Read as: {RELATIVE}" if wanted else "Cancel").last.click()
        tab.wait_state("!c('ct', 'mismatch')", 10)
        tab.wait_state("s.ct_form.state.kind === " + ("'ready' && c('ct', 'preview')" if wanted else "'todo'"), 30)
    assert tab.evaluate("[ct(), c('ct', 'unit').value]") == ["grey", "relative"] and not tab.state("message")
    tab.pick("a CT", case_file.parent / "ct.nii.gz")
    tab.button("Read as: Hounsfield units (HU)").click()
    tab.wait_state("ct() === 'ct' && c('ct', 'unit').value === 'hu' && c('ct', 'preview')", 30)


# What is refused


@pytest.fixture(scope="module")
def evil(serve, tmp_path_factory):
    """A server with a case whose views and CT have names that mean something in HTML and in a page's template."""
    path = write_phantom_case(tmp_path_factory.mktemp("evil"), ct_name="{{2+3}}<b>ct<b>")
    case = json.loads(path.read_text())
    case["views"][0]["name"], case["views"][1]["name"] = "{{3+4}}", "view & co"
    path.write_text(json.dumps(case))
    return serve(path)


def test_names_are_text_and_what_is_wrong_is_refused_while_the_work_is_kept(open_tab, evil, tmp_path):
    tab = open_tab(evil)
    tab.ready()
    tab.open_step("2. X-rays")
    text = tab.page.locator("body").inner_text()
    assert all(name in text for name in ("{{3+4}}", "{{2+3}}<b>ct<b>", "view & co"))
    assert not tab.page.locator("b", has_text="ct").count()
    for name in ("../evil.nrrd", "/etc/evil.nrrd", "a/../../evil.nrrd", "C:\\evil.nrrd", "a/..\\evil.nrrd"):
        status, answer = evil.send("ct/files", (name, b"x"))
        assert status == 400 and "stays in its folder" in answer, name
    assert evil.send("elsewhere", ("ct.nrrd", b"x"))[0] == 400
    assert evil.ask("upload?target=ct/files", b"x", Content_Type="text/plain")[0] == 400
    case = json.dumps({"views": [{"name": "a", "image": "/etc/hostname"}]}).encode()
    with zipfile.ZipFile(tmp_path / "slip.mrb", "w") as archive:
        archive.writestr("../../evil.txt", "x")
    for file, message in ((("case.json", case), "case.json"), (tmp_path / "slip.mrb", "stays in its folder")):
        assert evil.send("open", file)[0] == 200
        tab.wait_state(f"s.message.includes({json.dumps(message)})")
    (tmp_path / "broken.nii.gz").write_bytes(b"not a volume")
    tab.open_step("1. CT")
    tab.page.locator(".mv-files input[type=file]").first.set_input_files(tmp_path / "broken.nii.gz")
    tab.wait_state("s.message.includes('broken.nii.gz')")
    assert tab.state("has_registration") and tab.evaluate("ct()").startswith("{{2+3}}")
    assert "Traceback" not in evil.output


def test_a_port_in_use_is_refused_in_a_sentence(server):
    done = subprocess.run(
        [*MVREG, "view", "--no-browser", "--port", str(server.port)],
        capture_output=True,
        text=True,
        timeout=90,
        env=server.environment,
    )
    assert done.returncode == 2
    assert f"127.0.0.1:{server.port}: cannot be served on" in done.stderr and "Traceback" not in done.stderr


def test_header_and_voxels_are_dropped_together_and_no_other_file_is_read(open_tab, serve, tmp_path):
    target, folder = planted_file.plant(tmp_path / "elsewhere"), tmp_path / "detached"
    folder.mkdir()
    write_phantom_case(folder)
    for name, ending, header in (("ct", "nii.gz", "mhd"), ("view1", "mha", "mhd"), ("view2", "mha", "nhdr")):
        sitk.WriteImage(sitk.ReadImage(str(folder / f"{name}.{ending}")), str(folder / f"{name}.{header}"))
    tab = begin_empty(open_tab, serve)
    tab.open_step("CT")
    drop(tab, "a CT", folder / "ct.mhd", folder / "ct.raw")
    tab.wait_state("s.ct_form.state.kind === 'ready' || s.message", 20)
    assert tab.evaluate("ct()") == "ct", tab.state("message")
    tab.open_step("X-rays")
    drop(tab, "X-rays", *(folder / name for name in ("view1.mhd", "view1.raw", "view2.nhdr", "view2.raw")))
    tab.wait_state("xrays().length === 2 || s.message", 20)
    assert not tab.state("message")
    for name, content in (
        ("a.mhd", f"{planted_file.META}ElementDataFile = {target}\n"),
        ("a.nhdr", f"{planted_file.NRRD}data file: {target}\n"),
        ("b.mhd", f"{planted_file.META}ElementDataFile = LIST\n{target}\n"),
    ):
        drop(tab, "X-rays", (name, content.encode()))
        message = "several files with the voxels" if "LIST" in content else "outside its own folder"
        tab.wait_state(f"s.message.includes('{name}') && s.message.includes('{message}')", 20)
        assert tab.evaluate("xrays().length") == 2
    with zipfile.ZipFile(tab.download("Save", tmp_path)) as archive:
        assert not any(planted_file.WORD in archive.read(name) for name in archive.namelist())
    assert planted_file.WORD.decode() not in tab.page.content() + tab.server.output


def test_no_message_title_report_or_file_shows_a_temporary_path(open_tab, serve, case_file, tmp_path):
    server = serve()
    tab = open_tab(server)

    def hidden(text: str) -> bool:
        return not any(part in text for part in (server.environment["TMPDIR"], "mvreg-", "/tmp"))

    assert server.send("open", *sorted(case_file.parent.iterdir()))[0] == 200
    tab.ready()
    assert tab.state("views.case") == "Dropped files" == tab.page.locator(".mv-3d .mv-case").inner_text()
    assert all("Dropped files" in title for title in tab.page.locator(".mvx-title").all_inner_texts())
    tab.register()
    tab.open_step("Export")
    exported, saved = tab.download("Export", tmp_path), tab.download("Save", tmp_path)
    assert "Dropped files" in zipfile.ZipFile(exported).read("registration/report.html").decode()
    assert saved.name == "Dropped_files.mrb"
    for kept in (zipfile.ZipFile(exported), zipfile.ZipFile(saved)):
        for name in kept.namelist():
            if name.endswith((".html", ".json", ".txt", ".tfm", ".mrml")):
                assert hidden(kept.read(name).decode()), name

    (tmp_path / "broken.mha").write_text("nothing")
    (tmp_path / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 50)
    sitk.WriteImage(sitk.Image(20, 20, sitk.sitkUInt8), str(tmp_path / "flat.png"))
    sitk.WriteImage(sitk.Image(20, 20, 20, sitk.sitkInt16), str(tmp_path / "ct.mha"))
    (tmp_path / "case.json").write_text(case_file.read_text())
    (tmp_path / "two.mrb").write_text("nothing")
    for target, names in (
        ("ct/files", ["broken.mha"]),
        ("ct/files", ["cut.dcm"]),
        ("ct/files", ["broken.mha", "flat.png"]),
        ("xrays/files", ["broken.mha"]),
        ("xrays/files", ["ct.mha"]),
        ("xrays/files", ["case.json"]),
        ("open", ["case.json"]),
        ("open", ["two.mrb"]),
        ("open", ["flat.png"]),
    ):
        tab.page.evaluate("window.trame.state.set('message', '')")
        tab.wait_state("s.message === ''")
        status, message = server.send(target, *(tmp_path / name for name in names))
        if status == 200:
            tab.wait_state("s.message && !s.opening && !reading()", 30)
            message = tab.state("message")
        assert hidden(message) and (len(names) > 1 or Path(names[0]).stem in message), message
        assert hidden(tab.page.locator("body").inner_text())

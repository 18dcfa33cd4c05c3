"""Files that a page sends: a case is made of them, what is wrong is refused in plain words, and names in them are text."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import planted_file
import pytest
import SimpleITK as sitk
from file_io import read_json, write_json
from phantom import write_phantom_case
from served import MVREG, mtre_mm


def empty_page(open_tab, serve):
    tab = open_tab(serve())
    tab.page.wait_for_selector(".mv-welcome")
    return tab


def test_a_case_is_made_of_files_alone(open_tab, serve, case_file, tmp_path):
    """A CT, two images and the matrices of their cameras, as a person has them who comes with data of their own."""
    case, folder = read_json(case_file), case_file.parent
    tab = empty_page(open_tab, serve)
    for view in case["views"]:
        np.savetxt(tmp_path / f"{view['name']}.txt", np.array(view["projection_matrix"]))
    names = ("ct.nii.gz", "view1.mha", "view2.mha")
    tab.pick("CT, X-rays", *(folder / name for name in names), *sorted(tmp_path.glob("*.txt")))
    tab.wait_state("ct() && xrays().length === 2")
    for box, option in (
        ("Coordinates of the first pixel's centre", "0 (OpenCV)"),
        ("World axes", "lps (DICOM, ITK)"),
        ("Unit of its lengths", "mm"),
    ):
        tab.choose(box, option)
    tab.wait_state("s.xrays_form.state.kind === 'ready'")
    tab.ready()  # it is centred and registered by itself
    if not tab.registered():
        tab.open_step("Start")
        tab.open_group("More")
        tab.choose("How far", "Poorly known (45°, 100 mm)")
        tab.register()
    assert tab.registered(), tab.state("message")
    tab.shot("own-registered")
    assert mtre_mm(tab.exported(tmp_path), case) < 1.0


@pytest.fixture(scope="module")
def evil(serve, tmp_path_factory):
    """A server with a case whose views and CT have names that mean something in HTML and in a page's template."""
    path = write_phantom_case(tmp_path_factory.mktemp("evil"), ct_name="{{2+3}}<b>ct<b>")
    case = read_json(path)
    case["views"][0]["name"], case["views"][1]["name"] = "{{3+4}}", "view & co"
    write_json(path, case)
    return serve(path)


def test_names_are_text_and_what_is_wrong_is_refused_while_the_work_is_kept(
    open_tab, evil, tmp_path
):
    tab = open_tab(evil)
    tab.ready()
    tab.open_step("2. X-rays")
    text = tab.page.locator("body").inner_text()
    assert all(name in text for name in ("{{3+4}}", "{{2+3}}<b>ct<b>", "view & co"))
    assert not tab.page.locator("b", has_text="ct").count()
    for name in (
        "../evil.nrrd",
        "/etc/evil.nrrd",
        "a/../../evil.nrrd",
        "C:\\evil.nrrd",
        "a/..\\evil.nrrd",
    ):
        status, answer = evil.send("ct/files", (name, b"x"))
        assert status == 400 and "stays in its folder" in answer, name
    assert evil.send("elsewhere", ("ct.nrrd", b"x"))[0] == 400
    assert evil.ask("upload?target=ct/files", b"x", Content_Type="text/plain")[0] == 400
    case = json.dumps({"views": [{"name": "a", "image": "/etc/hostname"}]}).encode()
    with zipfile.ZipFile(tmp_path / "slip.mrb", "w") as archive:
        archive.writestr("../../evil.txt", "x")
    for file, message in (
        (("case.json", case), "case.json"),
        (tmp_path / "slip.mrb", "stays in its folder"),
    ):
        assert evil.send("open", file)[0] == 200
        tab.wait_state(f"s.message.includes({json.dumps(message)})")
    (tmp_path / "broken.nii.gz").write_bytes(b"not a volume")
    tab.open_step("1. CT")
    tab.page.locator(".mv-files input[type=file]").first.set_input_files(tmp_path / "broken.nii.gz")
    tab.wait_state("c('files', 'unused') && c('files', 'unused').label.includes('broken.nii.gz')")
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
    assert (
        f"127.0.0.1:{server.port}: cannot be served on" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_header_and_voxels_are_dropped_together_and_no_other_file_is_read(
    open_tab, serve, tmp_path
):
    target, folder = planted_file.plant(tmp_path / "elsewhere"), tmp_path / "detached"
    folder.mkdir()
    write_phantom_case(folder)
    for name, ending, header in (
        ("ct", "nii.gz", "mhd"),
        ("view1", "mha", "mhd"),
        ("view2", "mha", "nhdr"),
    ):
        sitk.WriteImage(
            sitk.ReadImage(str(folder / f"{name}.{ending}")), str(folder / f"{name}.{header}")
        )
    tab = empty_page(open_tab, serve)
    tab.drop(folder / "ct.mhd", folder / "ct.raw")
    tab.wait_state("s.ct_form.state.kind === 'ready' || s.message", 20)
    assert tab.evaluate("ct()") == "ct", tab.state("message")
    tab.drop(*(folder / name for name in ("view1.mhd", "view1.raw", "view2.nhdr", "view2.raw")))
    tab.wait_state("xrays().length === 2 || s.message", 20)
    assert not tab.state("message")
    for name, content in (
        ("a.mhd", f"{planted_file.META}ElementDataFile = {target}\n"),
        ("a.nhdr", f"{planted_file.NRRD}data file: {target}\n"),
        ("b.mhd", f"{planted_file.META}ElementDataFile = LIST\n{target}\n"),
    ):
        tab.drop((name, content.encode()))
        message = "several files with the voxels" if "LIST" in content else "outside its own folder"
        unused = "(c('files', 'unused') || { label: '' }).label"
        tab.wait_state(f"{unused}.includes('{name}') && {unused}.includes('{message}')", 20)
        assert tab.evaluate("xrays().length") == 2
    with zipfile.ZipFile(tab.download("Save", tmp_path)) as archive:
        assert not any(planted_file.WORD in archive.read(name) for name in archive.namelist())
    assert planted_file.WORD.decode() not in tab.page.content() + tab.server.output


def test_no_message_title_report_or_file_shows_a_temporary_path(
    open_tab, serve, case_file, tmp_path
):
    server = serve()
    tab = open_tab(server)

    def hidden(text: str) -> bool:
        return not any(part in text for part in (server.environment["TMPDIR"], "mvreg-", "/tmp"))

    assert server.send("open", *sorted(case_file.parent.iterdir()))[0] == 200
    tab.ready()
    assert (
        tab.state("views.case")
        == "Dropped files"
        == tab.page.locator(".mv-3d .mv-case").inner_text()
    )
    assert all(
        "Dropped files" in title for title in tab.page.locator(".mvx-title").all_inner_texts()
    )
    exported, saved = tab.download("Export", tmp_path, ".mv-answer"), tab.download("Save", tmp_path)
    assert (
        "Dropped files"
        not in zipfile.ZipFile(exported).read(f"{exported.stem}/report.html").decode()
    )
    for file, what in (
        (exported, "registration"),
        (saved, "scene"),
    ):  # names tell the case by its X-rays alone
        assert re.fullmatch(what + r"-[0-9a-f]{6}-\d{8}-\d{6}\.(zip|mrb)", file.name)
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
            said = "s.message + (c('files', 'unused') || { label: '' }).label"
            tab.wait_state(
                f"({said}).includes({json.dumps(Path(names[0]).stem)}) && !s.opening && !reading()",
                30,
            )
            message = tab.evaluate(said)
        assert hidden(message) and (len(names) > 1 or Path(names[0]).stem in message), message
        assert hidden(tab.page.locator("body").inner_text())

"""What a server of the viewer refuses, in plain words; and names out of files, which are shown as they are written."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from urllib.parse import quote

import pytest
from phantom import write_phantom_case
from served import MVREG


def form(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    """A form with files by their names, written as the page does, and its content type."""
    parts = [
        f'--xyz\r\nContent-Disposition: form-data; name="file"; filename="{quote(name, safe="")}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join([*parts, b"--xyz--\r\n"]), "multipart/form-data; boundary=xyz"


@pytest.fixture(scope="module")
def case_file(tmp_path_factory) -> Path:
    """A case whose views and CT have names that mean something in HTML and in a page's template."""
    folder = tmp_path_factory.mktemp("evil")
    path = write_phantom_case(folder, ct_name="{{2+3}}<b>ct<b>")
    case = json.loads(path.read_text())
    case["views"][0]["name"] = "{{3+4}}"
    case["views"][1]["name"] = "view & co"
    path.write_text(json.dumps(case))
    return path


def test_files_that_would_leave_their_folder_are_refused(open_tab, server):
    open_tab(server).ready()
    for name in ("../evil.nrrd", "/etc/evil.nrrd", "a/../../evil.nrrd", "C:\\evil.nrrd", "a/..\\evil.nrrd"):
        body, kind = form((name, b"x"))
        status, text, _ = server.ask("upload?target=ct/files", body, Content_Type=kind)
        assert status == 400 and "stays in its folder" in text, name
    body, kind = form(("ct.nrrd", b"x"))
    assert server.ask("upload?target=elsewhere", body, Content_Type=kind)[0] == 400
    assert server.ask("upload?target=ct/files", b"x", Content_Type="text/plain")[0] == 400


def test_only_offered_files_are_sent(server):
    for path in (
        "download/x/y",
        "download/..%2f..%2fetc%2fpasswd/passwd",
        "../etc/passwd",
        "__mvreg_page/../serving.py",
    ):
        assert server.ask(path)[0] in (403, 404), path


def test_a_case_that_was_sent_names_no_other_files(open_tab, server, case_file):
    tab = open_tab(server)
    tab.ready()
    case = json.loads(case_file.read_text())
    case["views"][0]["image"] = "/etc/hostname"
    body, kind = form(("case.json", json.dumps(case).encode()))
    assert server.ask("upload?target=open", body, Content_Type=kind)[0] == 200
    tab.wait_state("s.message.includes('outside the folder')")
    assert tab.state("has_registration")  # the work is kept


def test_a_scene_that_would_leave_its_folder_is_refused(open_tab, server, tmp_path):
    tab = open_tab(server)
    tab.ready()
    for name, files, told in (
        ("slip.mrb", {"../../evil.txt": "x", "a/a.mrml": "<MRML></MRML>"}, "stays in its folder"),
        ("bomb.mrb", {"a/a.mrml": '<!DOCTYPE x [<!ENTITY a "b">]><MRML></MRML>'}, "is no scene"),
        (
            "else.mrb",
            {"a/a.mrml": '<MRML><VolumeArchetypeStorage fileName="/etc/hostname"/></MRML>'},
            "outside its own folder",
        ),
        ("none.mrb", {"a.txt": "x"}, "holds no .mrml"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        body, kind = form((name, (tmp_path / name).read_bytes()))
        server.ask("upload?target=open", body, Content_Type=kind)
        tab.wait_state(f"s.message.includes({json.dumps(told)})")
        assert tab.state("has_registration")


def test_a_broken_file_is_told_of_and_the_work_is_kept(open_tab, server, tmp_path):
    tab = open_tab(server)
    tab.ready()
    (tmp_path / "broken.nii.gz").write_bytes(b"not a volume")
    tab.open_step("1. CT")
    tab.page.locator(".mv-files input[type=file]").first.set_input_files(tmp_path / "broken.nii.gz")
    tab.wait_state("s.message.includes('broken.nii.gz')")
    tab.shot("broken")
    assert tab.evaluate("ct()").startswith("{{2+3}}")
    assert "Traceback" not in server.output


def test_names_out_of_files_are_text(open_tab, server):
    tab = open_tab(server)
    tab.ready()
    tab.open_step("2. X-rays")
    body = tab.page.locator("body")
    assert (
        "{{3+4}}" in body.inner_text() and "{{2+3}}<b>ct<b>" in body.inner_text() and "view & co" in body.inner_text()
    )
    assert tab.page.evaluate("window.evil") is None
    assert not tab.page.locator("b", has_text="ct").count()


def test_a_port_in_use_is_told_of_in_a_sentence(server):
    done = subprocess.run(
        [*MVREG, "view", "--no-browser", "--port", str(server.port)],
        capture_output=True,
        text=True,
        timeout=90,
        env=server.environment,
    )
    assert done.returncode == 2
    assert f"127.0.0.1:{server.port}: cannot be served on" in done.stderr and "Traceback" not in done.stderr


def test_ctrl_c_ends_it_and_nothing_is_left(serve, tmp_path):
    server = serve()
    folder = Path(server.environment["TMPDIR"])
    assert any(folder.iterdir())
    assert server.end() == 0
    assert not any(folder.iterdir())
    assert "Traceback" not in server.output

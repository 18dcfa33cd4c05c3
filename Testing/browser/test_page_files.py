"""Files that a page sends: a case is made of them, what is wrong is refused in plain words, and names in them are text."""

import json
import re
import subprocess
import zipfile

import pytest
import SimpleITK as sitk
from helpers import planted_file
from helpers.file_io import read_json, write_json
from helpers.phantom import write_phantom_case
from served import MVREG

pytestmark = pytest.mark.slow


def empty_page(open_tab, serve):
    tab = open_tab(serve())
    tab.page.wait_for_selector(".mv-welcome")
    return tab


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
    for name in ("../evil.nrrd", "/etc/evil.nrrd", "C:\\evil.nrrd"):
        status, answer = evil.send("ct/files", (name, b"x"))
        assert status == 400 and "stays in its folder" in answer, name
    assert evil.send("elsewhere", ("ct.nrrd", b"x"))[0] == 400
    assert evil.ask("upload?target=ct/files", b"x", Content_Type="text/plain")[0] == 400
    case = json.dumps({"views": [{"name": "a", "image": "/etc/hostname"}]}).encode()
    assert evil.send("open", ("case.json", case))[0] == 200
    tab.wait_state("c('files', 'refused') && c('files', 'refused').label.includes('case.json')")
    (tmp_path / "broken.nii.gz").write_bytes(b"not a volume")
    tab.open_step("1. CT")
    tab.page.locator(".mv-files input[type=file]").first.set_input_files(tmp_path / "broken.nii.gz")
    tab.wait_state("c('files', 'refused').label.includes('broken.nii.gz')")
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
    sitk.WriteImage(sitk.ReadImage(str(folder / "ct.nii.gz")), str(folder / "ct.mhd"))
    tab = empty_page(open_tab, serve)
    tab.drop(folder / "ct.mhd", folder / "ct.raw")
    tab.wait_state("s.ct_form.state.kind === 'ready' || s.message", 20)
    assert tab.evaluate("ct()") == "ct", tab.state("message")
    tab.drop(("a.mhd", f"{planted_file.META}ElementDataFile = {target}\n".encode()))
    refused = "(c('files', 'refused') || { label: '' }).label"
    tab.wait_state(f"{refused}.includes('outside its own folder')", 20)
    assert planted_file.WORD.decode() not in tab.page.content() + tab.server.output


def test_no_message_title_or_file_shows_a_temporary_path(open_tab, serve, case_file, tmp_path):
    server = serve()
    tab = open_tab(server)

    def hidden(text):
        return not any(part in text for part in (server.environment["TMPDIR"], "mvreg-", "/tmp"))

    assert server.send("open", *sorted(case_file.parent.iterdir()))[0] == 200
    tab.ready()
    titles = tab.page.locator(".mvx-title, .mv-3d .mv-case").all_inner_texts()
    assert len(titles) == 3 and all("Dropped files" in title for title in titles)
    for button, place in (("Export", ".mv-answer"), ("Save", "body")):
        file = tab.download(button, tmp_path, place)  # named by the case's X-rays alone
        assert re.fullmatch(r"(registration|scene)-[0-9a-f]{6}-\d{8}-\d{6}\.(zip|mrb)", file.name)
        kept = zipfile.ZipFile(file)
        for name in kept.namelist():
            if name.endswith((".html", ".json", ".txt", ".tfm", ".mrml")):
                assert hidden(kept.read(name).decode()), name

    assert server.send("ct/files", ("broken.mha", b"nothing"))[0] == 200
    said = "s.message + (c('files', 'refused') || { label: '' }).label"
    tab.wait_state(f"({said}).includes('broken') && !s.opening && !reading()", 30)
    assert hidden(tab.evaluate(said)) and hidden(tab.page.locator("body").inner_text())

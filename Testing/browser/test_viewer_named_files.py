"""In the page a header leads to nothing but what was dropped with it."""

from __future__ import annotations

import base64
import zipfile
from pathlib import Path

import planted_file
import pytest
import SimpleITK as sitk
from phantom import write_phantom_case

DROP = """([hint, files]) => { const data = new DataTransfer();
    for (const [name, content] of files) data.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name));
    const place = [...document.querySelectorAll('.mv-files')].find(e => e.innerText.includes(hint));
    place.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })); }"""


@pytest.fixture(scope="module")
def case_file(tmp_path_factory) -> Path:
    """The phantom's case with CT and images in two files each."""
    folder = tmp_path_factory.mktemp("detached")
    path = write_phantom_case(folder)
    for name, ending, header in (("ct", "nii.gz", "mhd"), ("view1", "mha", "mhd"), ("view2", "mha", "nhdr")):
        sitk.WriteImage(sitk.ReadImage(str(folder / f"{name}.{ending}")), str(folder / f"{name}.{header}"))
    return path


def drop(tab, hint: str, *files: tuple[str, bytes] | Path) -> None:
    """Drop files where a hint says what is expected."""
    named = [(file.name, file.read_bytes()) if isinstance(file, Path) else file for file in files]
    tab.page.evaluate(DROP, [hint, [(name, base64.b64encode(content).decode()) for name, content in named]])


def test_header_and_voxels_are_dropped_together_and_no_other_file_is_read(open_tab, serve, case_file, tmp_path):
    target, folder = planted_file.plant(tmp_path / "elsewhere"), case_file.parent
    server = serve()
    tab = open_tab(server)
    tab.button("Begin with an empty case").click()
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
        ("b.mha", f"{planted_file.META}ElementDataFile = ../../{target.name}\n"),
        ("b.mhd", f"{planted_file.META}ElementDataFile = LIST\n{target}\n"),
        ("c.nrrd", f"{planted_file.NRRD}data file: ~/{target}\n"),
    ):
        drop(tab, "X-rays", (name, content.encode()))
        told = "several files with the voxels" if "LIST" in content else "outside its own folder"
        tab.wait_state(f"s.message.includes('{name}') && s.message.includes('{told}')", 20)
        assert tab.evaluate("xrays().length") == 2
    tab.open_step("CT")
    drop(tab, "a CT", ("d.mhd", f"{planted_file.META}ElementDataFile = {target}\n".encode()))
    tab.wait_state("s.message.includes('d.mhd')", 20)
    assert tab.evaluate("ct()") == "ct"
    with tab.page.expect_download() as download:
        tab.button("Save").click()
    download.value.save_as(tmp_path / "scene.mrb")
    with zipfile.ZipFile(tmp_path / "scene.mrb") as archive:
        assert not any(planted_file.WORD in archive.read(name) for name in archive.namelist())
    assert planted_file.WORD.decode() not in tab.page.content() + server.output

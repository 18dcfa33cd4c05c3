"""A case from the start to an exported transform, as a person does it in the page."""

from __future__ import annotations

import json
import socket
import zipfile

import numpy as np
import pyigtl
import pytest
from served import mtre_mm

from MultiViewRegistrationLib.io.navigation.igtl import DEVICES

MODES = ("Flicker", "Checkerboard", "Edges", "Two colours", "Difference", "X-ray", "Blend")


@pytest.fixture
def fresh(tab):
    """The page at the case's own start, whatever the tests before did."""
    if len(tab.history()):
        tab.page.get_by_role("table", name="Poses so far").get_by_role("button").first.click()
        tab.wait_state("c('register', 'history').selected === '0'")
        tab.drawn()
    return tab


def test_from_a_case_to_a_transform(tab, case_file, tmp_path):
    case = json.loads(case_file.read_text())
    tab.shot("1-opened")
    tab.register()
    tab.shot("2-registered")
    assert tab.registered()
    tab.open_step("Check")
    tab.page.get_by_text("Predicted error at the targets", exact=True).click()
    target = tab.page.get_by_role("cell", name="target 1").first
    target.scroll_into_view_if_needed()
    tab.shot("2-predicted")
    _name, expected, bound = (cell["text"] for cell in tab.control("check", "expected")["lines"][0]["cells"])
    assert 0 < float(expected) < float(bound) < 1
    tab.page.get_by_text("How the refinement went").click()
    plot = tab.page.get_by_role("img", name="How far each step moved the CT")
    plot.scroll_into_view_if_needed()
    tab.shot("2-curves")
    assert plot.evaluate("e => e.naturalWidth") == 360 and ">view2<" in tab.control("check", "plot0")["svg"]
    tab.open_step("Export")
    with tab.page.expect_download() as download:
        tab.button("Export").click()
    download.value.save_as(tmp_path / "all.zip")
    assert download.value.suggested_filename == "registration.zip"
    assert "registration/report.html" in zipfile.ZipFile(tmp_path / "all.zip").namelist()
    assert mtre_mm(tab.exported(tmp_path), case) < 1.0
    tab.shot("3-exported")


def test_files_for_other_programs_and_a_link_to_navigation(tab, tmp_path):
    """The last pose goes into a matrix that NumPy reads, and to a client of OpenIGTLink that is not ours."""
    if tab.control("export", "doubt"):
        tab.register()
    tab.open_step("Export")
    tab.page.get_by_text("Files for other programs").click()
    tab.page.get_by_label("4×4 matrix, text (.txt)").click()
    tab.wait_state("c('export', 'format.txt').on")
    with tab.page.expect_download() as download:
        tab.button("Export").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as packed:
        matrix = np.loadtxt(packed.open("registration/world_from_ct.lps.txt"))
        told = json.loads(packed.read("registration/result.json"))
    np.testing.assert_allclose(matrix, told["world_from_ct"], atol=1e-9)

    tab.page.get_by_text("OpenIGTLink, to navigation").click()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    field = tab.page.get_by_label("Port", exact=True)
    field.fill(str(port))
    field.press("Enter")
    tab.wait_state(f"c('export', 'port').text === '{port}'")
    tab.page.get_by_role("combobox", name="How", exact=True).click(force=True)
    tab.page.get_by_role("option", name="Offer to clients").click()
    tab.button("Offer").click()
    tab.wait_state("c('export', 'disconnect').enabled")
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
    try:
        message = client.wait_for_message(DEVICES["world_from_ct"], timeout=20)
        assert message is not None
        turn = np.diag([-1.0, -1, 1, 1])
        np.testing.assert_allclose(message.matrix, turn @ matrix @ turn, atol=1e-3)
    finally:
        client.stop()
    tab.shot("4-linked")
    tab.button("Disconnect").click()
    tab.wait_state("!c('export', 'disconnect').enabled")


def test_the_ct_is_moved_by_mouse_and_brought_back(fresh):
    before = fresh.numbers()
    picture = fresh.picture(0)
    fresh.drag(0, (0.5, 0.45), (0.56, 0.5))
    assert np.abs(fresh.picture(0).astype(int) - picture.astype(int)).mean() > 1.0
    fresh.wait_state("c('register', 'history').lines.at(-1).cells[1].text === 'By hand'")
    moved = fresh.numbers()
    assert moved != before
    fresh.page.keyboard.press("Control+z")
    fresh.wait_state(f"n().join() === '{','.join(before)}'")
    fresh.page.keyboard.press("Control+y")
    fresh.wait_state(f"n().join() === '{','.join(moved)}'")


def test_a_pose_by_hand_is_assessed_and_where_it_does_not_fit_is_shown(fresh):
    fresh.register()
    fresh.page.get_by_label("L", exact=True).fill("14")
    fresh.page.keyboard.press("Tab")
    fresh.wait_state(
        "c('register', 'history').lines.at(-1).cells[1].text === 'By hand' && c('check', 'verdict').label.includes('not assessed')"
    )
    fresh.open_step("Check")
    fresh.button("Assess this pose").click()
    fresh.wait_state("c('check', 'verdict').label.startsWith('Verdict: reject') && c('check', 'map.view2')")
    assert not fresh.control("check", "leave_out")["enabled"]
    fresh.page.get_by_text("Where each X-ray disagrees, and how far off the targets may be").click()
    fresh.page.get_by_role("img", name="view2: targets within").scroll_into_view_if_needed()
    fresh.shot("assessed")


def test_numbers_can_be_typed(fresh):
    fresh.page.get_by_label("L", exact=True).fill("12.5")
    fresh.page.keyboard.press("Tab")
    fresh.wait_state("n()[0] === '12.50'")
    assert fresh.history()[-1][1] == "By hand"


def test_every_overlay_is_another_picture(fresh):
    pictures = {}
    for mode in MODES:
        fresh.page.get_by_role("button", name=f"Overlay: {mode}").click()
        fresh.page.wait_for_timeout(400)
        fresh.drawn()
        pictures[mode] = fresh.picture(0).astype(int)
        fresh.shot(f"overlay-{mode}")
    for one, other in (
        ("Blend", "X-ray"),
        ("Edges", "X-ray"),
        ("Checkerboard", "Blend"),
        ("Difference", "Two colours"),
    ):
        assert np.abs(pictures[one] - pictures[other]).mean() > 0.3, (one, other)


def test_two_poses_are_compared(tab):
    tab.register()
    tab.page.get_by_role("combobox", name="Compare with").click(force=True)
    tab.page.get_by_role("option").first.click()
    tab.wait_state(
        "(c('register', 'compared') || {label: ''}).label.includes('mm apart') && c('register', 'pictures1')"
    )
    tab.shot("compared")
    tab.button("Close the comparison").click()
    tab.wait_state("!c('register', 'compared')")


def test_the_page_fits_into_1280_pixels_and_has_names_for_all_buttons(open_tab, server):
    tab = open_tab(server, width=1280, height=720)
    tab.ready()
    tab.shot("narrow")
    assert tab.page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth && document.body.scrollWidth <= innerWidth"
    )
    hidden = tab.page.evaluate("""() => [...document.querySelectorAll('button, input:not([type=file])')].filter(e => e.offsetParent
        && !(e.textContent.trim() || e.title || e.getAttribute('aria-label') || e.labels?.length)).map(e => e.outerHTML.slice(0, 200))""")
    assert not hidden

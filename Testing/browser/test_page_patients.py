"""Nothing of one patient is left once another is open.

B over A in every way there is, each pane against B's X-rays.
"""

import json
import shutil
import socket

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.file_io import read_json, write_json
from helpers.phantom import write_phantom_case
from numpy.testing import assert_array_equal
from served import FORM, Tab, form

from MultiViewRegistrationLib.cli.main import main

pytestmark = pytest.mark.slow

NAMES = {"A": ("view1", "view2"), "B": ("front", "side")}
OPENABLE = "CT, X-rays, calibration, case or scene"


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Two case.json with as many X-rays.

    B's have other names, angles and pictures, and its CT another name.
    """
    cases = {}
    for name, views in NAMES.items():
        folder = tmp_path_factory.mktemp("cases") / name
        folder.mkdir()
        cases[name] = write_phantom_case(folder, names=views, ct_name=f"ct{name}")
    case = read_json(cases["B"])
    matrices = [view["projection_matrix"] for view in case["views"]]
    for view, matrix in zip(case["views"], reversed(matrices), strict=True):
        view["projection_matrix"] = matrix
        file = str(cases["B"].parent / view["image"])
        image = sitk.ReadImage(file)
        turned = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(image)[::-1], 40, axis=1))
        turned.CopyInformation(image)
        sitk.WriteImage(turned, file)
    write_json(cases["B"], case)
    return cases


@pytest.fixture(scope="module")
def server(serve, cases):
    return serve(cases["A"])


@pytest.fixture(scope="module")
def alone(browser, serve, cases, tmp_path_factory):
    """What the panes show of B in a server that has seen no other."""
    tab = Tab(browser, serve(cases["B"]), tmp_path_factory.mktemp("pictures"))
    tab.ready()
    shown = panes(tab)
    tab.close()
    return shown


@pytest.fixture
def tab(open_tab, server, cases):
    """A page with A open, whose X-rays it shows."""
    tab = open_tab(server)
    tab.wait_state("s.views && s.views.xrays")
    before = [xray["template"] for xray in tab.state("views.xrays")]  # which may show A already
    send_folder(server, cases["A"].parent)
    tab.wait_state(
        f"s.views.xrays.length && !{json.dumps(before)}.includes(s.views.xrays[0].template)"
    )
    wait_for(tab, "A")
    assert_shows(tab, cases["A"])
    return tab


def send_folder(server, folder, target="open"):
    assert server.send(target, *sorted(folder.iterdir()), folder=f"{folder.name}/")[0] == 200


def wait_for(tab, which):
    """Until the X-rays of A or B are open, and drawn."""
    tab.wait_state(f"!s.opening && xrays().join() === '{','.join(NAMES[which])}'")
    tab.ready()


def panes(tab):
    """Of each X-ray what is written at it, and its picture without anything over it, uint8 (rows, columns, 3)."""
    tab.page.get_by_role("button", name="Overlay: X-ray").click()
    tab.page.mouse.move(5, 5)
    tab.page.wait_for_function("""() => [...document.querySelectorAll('.mvx')].every(e => e.xray && e.xray.view.mode === 'off'
        && e.xray.picture.film && !e.xray.stale() && !e.xray.scheduled)""")
    titles = tab.page.locator(".mvx-title").all_inner_texts()
    return [
        {"title": title.splitlines(), "picture": tab.picture(number)}
        for number, title in enumerate(titles)
    ]


def assert_shows(tab, case, alone=None):
    """Assert that each pane is named after an X-ray of `case`.

    alone: the panes of a server that has opened no other case; each picture equals theirs.
    """
    found, named = panes(tab), case.parent.name
    names = [view["name"] for view in read_json(case)["views"]]
    assert [pane["name"] for pane in tab.state("views.xrays")] == names
    for number, pane in enumerate(found):
        assert pane["title"][0] == f"{names[number]} \u2013 {named}"
        if alone is not None:
            assert pane["title"][1:] == alone[number]["title"][1:]
            assert_array_equal(pane["picture"], alone[number]["picture"], err_msg=names[number])
    assert tab.state("views.case") == tab.page.locator(".mv-3d .mv-case").inner_text() == named


def test_a_case_over_another_in_all_tabs(tab, open_tab, cases, alone):
    other = open_tab(tab.server)
    other.ready()
    tab.button("Open").click()
    tab.pick(OPENABLE, cases["B"].parent, kind="a folder")
    for each in (tab, other):
        wait_for(each, "B")
        assert_shows(each, cases["B"], alone)
        assert each.evaluate("ct()") == "ctB"


def test_a_scene_and_a_result_over_a_case(tab, cases, alone, open_tab, serve, tmp_path):
    fresh = open_tab(serve(cases["B"]))
    fresh.ready()
    scene, result = fresh.download("Save", tmp_path), tmp_path / "B"
    shutil.copytree(cases["B"].parent, result)
    assert main(["register", str(result / "case.json"), "--out", str(result)]) == 0
    judged = open_tab(serve(result))  # its answer leaves another room to the panes
    judged.ready()
    for file, kind, shown in ((scene, "files", alone), (result, "a folder", panes(judged))):
        tab.button("Open").click()
        tab.pick(OPENABLE, file, kind=kind)
        wait_for(tab, "B")
        tab.ready()
        assert len(tab.history()) == 2  # its own
        assert_shows(tab, cases["B"], shown)
        send_folder(tab.server, cases["A"].parent)
        wait_for(tab, "A")
        tab.ready()
        assert len(tab.history()) == 2


def test_what_was_under_way_for_one_patient_does_not_reach_the_next(tab, cases):
    """X-rays that are read, an upload, a download, clicks that place points."""
    tab.open_step("Check")
    tab.button("Click in the slices").click()
    tab.wait_state("c('check', 'place_cursor').on")
    tab.page.locator(".mv-3d").get_by_label("Look from the source of an X-ray").click()
    tab.page.get_by_text("From the source of view1").click()
    tab.wait_state("!!s.in_3d.along")
    with tab.page.expect_download() as download:
        tab.button("Save").click()
    address = download.value.url.removeprefix(tab.server.root)
    assert tab.server.ask(address)[0] == 200

    image = (cases["A"].parent / "view1.mha").read_bytes()
    many = form([(f"{n:03}.mha", image) for n in range(6)])
    half = socket.create_connection(("127.0.0.1", tab.server.port), timeout=60)
    head = [
        "POST /upload?target=xrays/files HTTP/1.1",
        f"Host: 127.0.0.1:{tab.server.port}",
        f"Cookie: {tab.server.cookie}",
        f"Content-Type: {FORM}",
        f"Content-Length: {len(many)}",
    ]
    half.sendall("\r\n".join([*head, "", ""]).encode() + many[: len(many) // 2])
    assert tab.server.ask("upload?target=xrays/files", many, Content_Type=FORM)[0] == 200
    send_folder(tab.server, cases["B"].parent)
    tab.wait_state("!s.opening && s.views.case === 'B'")
    half.sendall(many[len(many) // 2 :])
    answer = half.recv(4096).decode()
    half.close()
    assert answer.startswith("HTTP/1.1 400") and "was closed; send them again" in answer
    tab.ready()
    tab.page.wait_for_timeout(2000)
    assert tab.evaluate("xrays()") == list(NAMES["B"])
    assert not tab.evaluate("reading()") and not tab.control("check", "place_cursor")["on"]
    assert not tab.state("in_3d.along")
    assert tab.server.ask(address)[0] == 404

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
from MultiViewRegistrationLib.io.case import Case

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


def at_pixels(tab, number, picture, size):
    """The grey (rows, columns) that the picture of a pane has at each of so many (columns, rows) pixels of the X-ray; NaN beside it."""
    (left, top), (right, bottom), ratio = tab.page.evaluate(
        """([n, size]) => { const e = document.querySelectorAll('.mvx')[n].xray;
        return [e.frame.toView([0, 0]), e.frame.toView(size.map(side => side - 1)), e.ratio]; }""",
        [number, size],
    )
    columns, rows = (
        np.floor(ratio * np.linspace(*ends, count)).astype(int)
        for ends, count in (((left, right), size[0]), ((top, bottom), size[1]))
    )
    inside = (
        (rows[:, None] >= 0)
        & (rows[:, None] < len(picture))
        & (columns >= 0)
        & (columns < picture.shape[1])
    )
    return np.where(
        inside,
        picture[rows.clip(0, len(picture) - 1)][:, columns.clip(0, picture.shape[1] - 1)],
        np.nan,
    )


def likeness(shown, line_integrals, window):
    seen = np.isfinite(shown)
    return float(np.corrcoef(shown[seen], np.clip(line_integrals, *window)[seen])[0, 1])


def assert_shows(tab, case, alone=None, named=""):
    """That each pane shows the X-ray of a case, as its file has it, with its name.

    alone: the panes as a server shows them that has no other case.   named: the registration's name where it is not the case's.
    """
    found, views, named = panes(tab), Case.load(case).views, named or case.parent.name
    names = [view.name for view in views]
    assert [pane["name"] for pane in tab.state("views.xrays")] == names
    for number, pane in enumerate(found):
        assert pane["title"][0] == f"{names[number]} \u2013 {named}"
        window = tab.page.evaluate("(n) => document.querySelectorAll('.mvx')[n].xray.greys", number)
        xray = views[number].xray
        shown = at_pixels(tab, number, pane["picture"][..., 0], xray.line_integrals.shape[::-1])
        assert likeness(np.where(xray.valid, shown, np.nan), xray.line_integrals, window) > 0.99, (
            names[number]
        )
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


def test_the_same_names_over_another(tab, cases, tmp_path):
    """The one that is open is known by its pictures and the case's name alone."""
    folder = tmp_path / "C"
    shutil.copytree(cases["B"].parent, folder)
    case = read_json(folder / "case.json")
    for view, name in zip(case["views"], NAMES["A"], strict=True):
        view["name"] = name
    write_json(folder / "case.json", case)
    tab.button("Open").click()
    tab.pick(OPENABLE, folder, kind="a folder")
    tab.wait_state("!s.opening && s.views.case === 'C'")
    tab.ready()
    assert_shows(tab, folder / "case.json")


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


def test_files_added_to_an_empty_case_over_another(tab, cases, alone):
    tab.button("Open").click()
    tab.button("New case").click()
    tab.wait_state(
        "!s.has_registration && !(xrays().length + s.views.xrays.length + s.in_3d.sources.length) && !ct()"
    )
    assert not tab.page.locator(".mvx").count()
    tab.pick("CT, X-rays", cases["B"].parent / "ctB.nii.gz")
    tab.wait_state("ct() && !reading()")
    send_folder(tab.server, cases["B"].parent, "xrays/files")
    wait_for(tab, "B")
    assert_shows(tab, cases["B"], alone, named="ctB")


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

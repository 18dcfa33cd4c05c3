"""Nothing of one patient is left once another is open: B over A in every way there is, each pane against B's X-rays."""

from __future__ import annotations

import base64
import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import write_phantom_case
from served import Served, Tab

from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case

NAMES = {"A": ("view1", "view2"), "B": ("front", "side")}
OPENABLE = "case.json, result.json or scene (.mrb), with all its files"


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> dict[str, Path]:
    """Two case.json with as many X-rays: B's have other names, angles and pictures, and its CT another name."""
    cases = {}
    for name, views in NAMES.items():
        folder = tmp_path_factory.mktemp("cases") / name
        folder.mkdir()
        cases[name] = write_phantom_case(folder, names=views, ct_name=f"ct{name}")
    case = json.loads(cases["B"].read_text())
    matrices = [view["projection_matrix"] for view in case["views"]]
    for view, matrix in zip(case["views"], reversed(matrices), strict=True):
        view["projection_matrix"] = matrix
        file = str(cases["B"].parent / view["image"])
        image = sitk.ReadImage(file)
        turned = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(image)[::-1], 40, axis=1))
        turned.CopyInformation(image)
        sitk.WriteImage(turned, file)
    cases["B"].write_text(json.dumps(case))
    return cases


@pytest.fixture(scope="module")
def server(serve, cases) -> Served:
    return serve(cases["A"])


@pytest.fixture(scope="module")
def alone(browser, serve, cases, tmp_path_factory) -> list[dict]:
    """What the panes show of B in a server that has seen no other."""
    tab = Tab(browser, serve(cases["B"]), tmp_path_factory.mktemp("pictures"))
    tab.ready()
    shown = panes(tab)
    tab.close()
    return shown


@pytest.fixture
def tab(open_tab, server, cases) -> Tab:
    """A page with A open, whose X-rays it shows."""
    tab = open_tab(server)
    tab.wait_state("s.views && s.views.xrays")
    before = [xray["template"] for xray in tab.state("views.xrays")]  # which may show A already
    send_folder(server, cases["A"].parent)
    tab.wait_state(f"s.views.xrays.length && !{json.dumps(before)}.includes(s.views.xrays[0].template)")
    wait_for(tab, NAMES["A"])
    return tab


def send_folder(server: Served, folder: Path, target: str = "open") -> int:
    """What a page sends when a folder is dropped on it; the status of the answer."""
    parts = [
        f'--xyz\r\nContent-Disposition: form-data; name="file"; filename="{folder.name}%2F{file.name}"\r\n\r\n'.encode()
        + file.read_bytes()
        + b"\r\n"
        for file in sorted(folder.iterdir())
    ]
    return server.ask(
        f"upload?target={target}", b"".join([*parts, b"--xyz--\r\n"]), Content_Type="multipart/form-data; boundary=xyz"
    )[0]


def wait_for(tab: Tab, names: tuple[str, ...]) -> None:
    """Until the X-rays with these names are open, and drawn."""
    tab.wait_state(f"!s.opening && xrays().join() === '{','.join(names)}'")
    tab.ready()


def panes(tab: Tab) -> list[dict]:
    """Of each X-ray what is written at it, and its picture without anything over it, uint8 (rows, columns, 3)."""
    tab.page.get_by_role("button", name="Overlay: X-ray").click()
    tab.page.mouse.move(5, 5)
    tab.page.wait_for_function("""() => [...document.querySelectorAll('.mvx')].every(e => e.xray && e.xray.view.mode === 'off'
        && e.xray.picture.film && !e.xray.stale() && !e.xray.scheduled)""")
    titles = tab.page.locator(".mvx-title").all_inner_texts()
    return [{"title": title.splitlines(), "picture": tab.picture(number)} for number, title in enumerate(titles)]


def at_pixels(tab: Tab, number: int, picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
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
    inside = (rows[:, None] >= 0) & (rows[:, None] < len(picture)) & (columns >= 0) & (columns < picture.shape[1])
    return np.where(inside, picture[rows.clip(0, len(picture) - 1)][:, columns.clip(0, picture.shape[1] - 1)], np.nan)


def likeness(shown: np.ndarray, line_integrals: np.ndarray, window: tuple[float, float]) -> float:
    seen = np.isfinite(shown)
    return float(np.corrcoef(shown[seen], np.clip(line_integrals, *window)[seen])[0, 1])


def assert_shows(
    tab: Tab, case: Path, alone: list[dict] | None = None, *, named: str | None = None, other: Path | None = None
) -> None:
    """That each pane shows the X-ray of a case, as its file has it, with its name.

    alone: the panes as a server shows them that has no other case.   other: a case whose X-rays nothing may look like.
    named: the registration's name where it is not the case's; "" for any.
    """
    found = panes(tab)
    loaded = {path: Case.load(path).views for path in (case, other) if path is not None}
    names = [view.name for view in loaded[case]]
    assert [pane["name"] for pane in tab.state("views.xrays")] == names
    assert [
        view["label"] for view in tab.page.evaluate("[...document.querySelectorAll('.mvx')].map(e => e.xray.view)")
    ] == names
    registration = named if named is not None else case.parent.name
    for number, pane in enumerate(found):
        begin = f"{names[number]} \u2013 {registration}"
        assert pane["title"][0] == begin or (registration == "" and pane["title"][0].startswith(begin))
        xray, window = (
            loaded[case][number].xray,
            tab.page.evaluate("(n) => document.querySelectorAll('.mvx')[n].xray.greys", number),
        )
        shown = at_pixels(tab, number, pane["picture"][..., 0], xray.line_integrals.shape[::-1])
        same = likeness(np.where(xray.valid, shown, np.nan), xray.line_integrals, window)
        assert same > 0.99, (names[number], same)
        if other is not None:
            former = loaded[other][number].xray.line_integrals
            assert former.shape != shown.shape or likeness(shown, former, window) < same - 0.1
        if alone is not None:
            assert pane["title"][1:] == alone[number]["title"][1:]
            np.testing.assert_array_equal(pane["picture"], alone[number]["picture"], err_msg=names[number])
    assert tab.state("views.case") == tab.page.locator(".mv-3d .mv-case").inner_text()
    assert tab.state("views.case") == registration or registration == ""


def pick_files(tab: Tab, case: Path) -> None:
    tab.page.get_by_label(f"Choose files: {OPENABLE}").set_input_files(sorted(case.parent.iterdir()))


def pick_folder(tab: Tab, case: Path) -> None:
    tab.page.get_by_label(f"Choose a folder: {OPENABLE}").set_input_files(case.parent)


def drop(tab: Tab, case: Path) -> None:
    files = {file.name: base64.b64encode(file.read_bytes()).decode() for file in case.parent.iterdir()}
    dropped = tab.page.evaluate_handle(
        """(files) => { const data = new DataTransfer();
        for (const [name, content] of Object.entries(files))
            data.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name));
        return data; }""",
        files,
    )
    tab.page.get_by_role("dialog").locator(".mv-files").dispatch_event("drop", {"dataTransfer": dropped})


@pytest.mark.parametrize(
    ("way", "named"), [(pick_folder, None), (pick_files, "Dropped files"), (drop, "Dropped files")]
)
def test_a_case_over_another(tab, cases, alone, way, named):
    assert_shows(tab, cases["A"])
    tab.button("Open").click()
    way(tab, cases["B"])
    wait_for(tab, NAMES["B"])
    tab.shot(way.__name__)
    assert_shows(tab, cases["B"], alone, named=named, other=cases["A"])
    assert tab.evaluate("ct()") == "ctB"


def test_the_same_names_over_another(tab, cases, tmp_path):
    """The one that is open is told by its pictures and the case's name alone."""
    folder = tmp_path / "C"
    shutil.copytree(cases["B"].parent, folder)
    case = json.loads((folder / "case.json").read_text())
    for view, name in zip(case["views"], NAMES["A"], strict=True):
        view["name"] = name
    (folder / "case.json").write_text(json.dumps(case))
    assert_shows(tab, cases["A"])
    tab.button("Open").click()
    pick_folder(tab, folder / "case.json")
    tab.wait_state("!s.opening && s.views.case === 'C'")
    tab.ready()
    assert_shows(tab, folder / "case.json", other=cases["A"])


def test_a_scene_and_a_result_over_a_case(tab, cases, alone, open_tab, serve, tmp_path):
    fresh = open_tab(serve(cases["B"]))
    fresh.ready()
    with fresh.page.expect_download() as download:
        fresh.button("Save").click()
    download.value.save_as(tmp_path / "B.mrb")
    result = tmp_path / "B"
    shutil.copytree(cases["B"].parent, result)
    assert main(["register", str(result / "case.json"), "--out", str(result)]) == 0
    for file in ([tmp_path / "B.mrb"], result):
        assert_shows(tab, cases["A"])
        tab.button("Open").click()
        kind = "a folder" if file is result else "files"
        tab.page.get_by_label(f"Choose {kind}: {OPENABLE}").set_input_files(file)
        wait_for(tab, NAMES["B"])
        assert bool(tab.history()) == (file is result)
        assert_shows(tab, cases["B"], alone, other=cases["A"])
        send_folder(tab.server, cases["A"].parent)
        wait_for(tab, NAMES["A"])
        assert not tab.history()


def test_files_added_to_an_empty_case_over_another(tab, cases, alone):
    assert_shows(tab, cases["A"])
    tab.button("Open").click()
    tab.button("Begin with an empty case").click()
    tab.wait_state("!xrays().length && !s.views.xrays.length && !ct()")
    assert not tab.page.locator(".mvx").count()
    folder = cases["B"].parent
    assert send_folder(tab.server, folder, "xrays/files") == 200
    tab.wait_state("xrays().length === 2 && !reading()")
    tab.page.get_by_label("Choose files: a CT").set_input_files(folder / "ctB.nii.gz")
    wait_for(tab, NAMES["B"])
    assert_shows(tab, cases["B"], alone, named="Registration", other=cases["A"])


def test_cases_over_the_demo(open_tab, serve, cases, alone, shared_data):
    """A real wrist, and then the phantom."""
    from MultiViewRegistrationLib.simulation.cases import demo_at_hand

    try:
        demo = demo_at_hand()
    except InputError as error:
        pytest.skip(f"needs the demo's CT: {error}")
    tab = open_tab(serve())
    tab.button("Open the demo").click()
    tab.ready()
    assert_shows(tab, demo)
    wrist = shared_data / "wrist" / "radius_0099.json"
    case, folder = json.loads(wrist.read_text()), cases["A"].parent.parent / "wrist"
    folder.mkdir()
    for name in (case["ct"], *(view["image"] for view in case["views"])):
        shutil.copy(wrist.parent / name, folder)
    (folder / "case.json").write_text(json.dumps(case))
    for path in (folder / "case.json", cases["B"]):
        tab.button("Open").click()
        pick_folder(tab, path)
        tab.wait_state(f"!s.opening && s.views.case === '{path.parent.name}'")
        tab.ready()
        tab.shot(f"{path.parent.name}-over")
        assert_shows(tab, path, alone if path == cases["B"] else None, other=demo)


def test_two_tabs_follow(tab, open_tab, cases, alone):
    other = open_tab(tab.server)
    other.ready()
    send_folder(tab.server, cases["B"].parent)
    for each in (tab, other):
        wait_for(each, NAMES["B"])
        assert_shows(each, cases["B"], alone, other=cases["A"])


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
    many = (
        b"".join(
            f'--xyz\r\nContent-Disposition: form-data; name="file"; filename="{n:03}.mha"\r\n\r\n'.encode()
            + image
            + b"\r\n"
            for n in range(150)
        )
        + b"--xyz--\r\n"
    )
    form = {"Content_Type": "multipart/form-data; boundary=xyz"}
    half = socket.create_connection(("127.0.0.1", tab.server.port), timeout=60)
    head = {
        "Host": f"127.0.0.1:{tab.server.port}",
        "Cookie": tab.server.cookie,
        "Content-Type": form["Content_Type"],
        "Content-Length": len(many),
    }
    half.sendall(
        "".join(
            [
                "POST /upload?target=xrays/files HTTP/1.1\r\n",
                *(f"{key}: {value}\r\n" for key, value in head.items()),
                "\r\n",
            ]
        ).encode()
        + many[: len(many) // 2]
    )
    assert tab.server.ask("upload?target=xrays/files", many, **form)[0] == 200
    send_folder(tab.server, cases["B"].parent)
    tab.wait_state("!s.opening && s.views.case === 'B'")
    half.sendall(many[len(many) // 2 :])
    answer = half.recv(4096).decode()
    half.close()
    assert answer.startswith("HTTP/1.1 400") and "was closed meanwhile" in answer
    tab.ready()
    tab.page.wait_for_timeout(2000)
    assert tab.evaluate("xrays()") == list(NAMES["B"])
    assert not tab.evaluate("reading()") and not tab.control("check", "place_cursor")["on"]
    assert not tab.state("in_3d.along")
    assert tab.server.ask(address)[0] == 404

"""Starts that a person makes in the page: landmarks, clicked in slices and X-rays, and a regressor, trained on the spot."""

from __future__ import annotations

import json

import numpy as np
import pytest
from served import mtre_mm

#: Where a person clicks in a slice, in shares of its width and height.
CLICKS = {"Axial": ((0.35, 0.4), (0.62, 0.62)), "Coronal": ((0.4, 0.6), (0.66, 0.4)), "Sagittal": ((0.42, 0.35),)}


def triangulated(cameras: list[np.ndarray], pixels: list) -> np.ndarray:
    """(3,) the point that projection matrices (3, 4) see on pixels (2,): linear, least squares (Hartley and Zisserman, section 12.2)."""
    rows = [pixel[axis] * P[2] - P[axis] for P, pixel in zip(cameras, pixels, strict=True) for axis in (0, 1)]
    point = np.linalg.svd(np.array(rows))[2][-1]
    return point[:3] / point[3]


def test_landmarks_are_clicked_in_slices_and_x_rays(tab, case_file, tmp_path):
    """In the X-rays they are clicked where the truth has them; what was clicked in the CT is read off the X-rays, which show it, too."""
    case = json.loads(case_file.read_text())
    cameras = [np.array(view["projection_matrix"]) for view in case["views"]]
    true_from_now = np.array(case["truth"]["world_from_ct"]) @ np.linalg.inv(np.array(case["world_from_ct"]))
    page = tab.page
    tab.open_step("Start")
    page.get_by_label("Landmarks", exact=True).check(force=True)
    tab.button("Click landmarks").click()
    for slice_name, places in CLICKS.items():
        box = page.locator(".mv-cell", has=page.get_by_text(slice_name, exact=True)).bounding_box()
        for x, y in places:
            count = len(tab.control("start", "landmarks")["lines"])
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
            page.wait_for_timeout(100)
            page.mouse.down()
            page.wait_for_timeout(60)
            page.mouse.up()
            tab.wait_state(f"c('start', 'landmarks').lines.length === {count + 1}")
    marks = [
        page.evaluate("(n) => document.querySelectorAll('.mvx')[n].xray.view.landmarks", number) for number in (0, 1)
    ]
    assert [[mark["of"] for mark in seen] for seen in marks] == [["ct"] * 5] * 2
    for name in [mark["name"] for mark in marks[0]]:
        seen = [next(mark["at"] for mark in among if mark["name"] == name) for among in marks]
        truth = (true_from_now @ np.append(triangulated(cameras, seen), 1))[:3]
        for number, P in enumerate(cameras):
            u, v, w = P @ np.append(truth, 1)
            at = page.evaluate(
                "([n, pixel]) => document.querySelectorAll('.mvx')[n].xray.frame.toView(pixel)",
                [number, [u / w, v / w]],
            )
            page.locator(".mvx-surface").nth(number).click(position={"x": at[0], "y": at[1]})
            tab.wait_state(
                f"c('start', 'landmarks').lines.find(line => line.id === '{name}').cells[{number + 2}].text === '\u2714'"
            )
    tab.button("Stop clicking").click()
    tab.register()
    assert tab.registered()
    residuals = [
        float(cell["text"].split()[0])
        for line in tab.control("start", "landmarks")["lines"]
        for cell in line["cells"]
        if "mm" in cell["text"]
    ]
    assert len(residuals) == 10 and max(residuals) < 2.0
    assert mtre_mm(tab.exported(tmp_path), case) < 1.0


@pytest.fixture
def own_store(tmp_path_factory, monkeypatch):
    """A store of regressors for the server that is started next."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("store")))


def test_a_regressor_is_trained_stopped_resumed_and_used(own_store, open_tab, serve, case_file, tmp_path):
    pytest.importorskip("torch", reason="needs torch")
    case = json.loads(case_file.read_text())
    tab = open_tab(serve(case_file))
    tab.ready()
    tab.open_step("Start")
    assert "auto" in tab.control("start", "start")["refused"]
    tab.page.locator("summary", has_text="Regressor").click()
    minutes = tab.page.get_by_label("Train for")
    minutes.fill("0.2")
    minutes.press("Enter")
    tab.wait_state("c('start', 'minutes').text === '0.2'")
    tab.button("Train").click()
    tab.wait_state("(c('start', 'training') || {}).percent > 0")
    tab.button("Stop").click()
    tab.wait_state("!c('start', 'training') && c('start', 'resume')")
    assert "Resume goes on" in tab.control("start", "ended")["label"]
    tab.button("Resume").click()
    tab.wait_state("c('start', 'training')")
    before = tab.picture(0).astype(int)
    tab.drag(0, (0.5, 0.45), (0.6, 0.52))  # the page is alive meanwhile
    assert np.abs(tab.picture(0).astype(int) - before).mean() > 1.0
    tab.wait_state("!c('start', 'training') && c('start', 'models').lines.length === 1")
    assert tab.control("start", "models")["lines"][0]["cells"][4]["text"] == "in use"
    tab.page.get_by_label("Automatic", exact=True).check(force=True)
    tab.register()
    assert tab.registered() and tab.history()[-1][1] == "Automatic"
    assert mtre_mm(tab.exported(tmp_path), case) < 1.0
    tab.page.once("dialog", lambda dialog: dialog.accept())
    tab.page.locator(".mv-details", has=tab.page.get_by_label("Train for")).get_by_role("button", name="Remove").click()
    tab.wait_state("!c('start', 'models') && c('start', 'start').refused.includes('regressor')")

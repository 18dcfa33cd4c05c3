"""A case from the start to an exported transform in the page, undo, reloads, and the access token."""

import numpy as np
import pytest
from helpers.file_io import read_json
from served import HANDSHAKE, mtre_mm

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.datasets.chest import SAMPLE_FOLDER, chest_ct

#: Of every kind of answer: the page, scripts, files that come and go, the websocket, what is not
#: there.
PATHS = (
    "",
    "index.html",
    "vue.global.js",
    "download/x/y",
    "upload?target=ct/files",
    "ws",
    "nothing",
)


@pytest.mark.slow
def test_a_case_is_registered_when_opened_and_its_transform_exported(tab, case_file, tmp_path):
    assert tab.registered() and [row[1] for row in tab.history()] == ["Before", "From here"]
    tab.shot("answer")
    assert tab.page.locator("h1").inner_text() in tab.page.title()
    words = tab.page.locator(".mv-answer-words").inner_text().split()
    assert words[:3] == ["\u2714", "ACCEPT", "expected"] and words[-4:] == [
        "\u2714",
        "view1",
        "\u2714",
        "view2",
    ]
    assert mtre_mm(tab.exported(tmp_path), read_json(case_file)) < 1.0
    assert list(tmp_path.glob("*/report.html"))


def test_nothing_is_answered_without_the_token(server):
    shake = {name.replace("-", "_"): value for name, value in HANDSHAKE.items()}
    own, token = f"mvreg_{server.port}", server.token
    other = f"mvreg_{server.port + 1}={token}"
    bytes_of_none = f"{own}=".encode() + b"\xff\xfe"
    for path in PATHS:
        more, data = shake if path == "ws" else {}, b"x" if path.startswith("upload") else None
        for cookie in ("", f"{own}=wrong", f"{own}=", other, f"mvreg_token={token}", bytes_of_none):
            status, text, _ = server.ask(path, data, cookie=cookie, **more)
            assert status == 403 and "The token is missing or wrong" in text, (path, cookie)
    wrong = "token=", "token=wrong", f"token={token}x", f"token=x&token={token}", "token=%ff"
    # The token in the address opens the page alone.
    beside = (f"{path}?token={token}" for path in ("vue.global.js", "upload", "download/x/y"))
    for path in (*(f"index.html?{query}" for query in wrong), *beside):
        assert server.ask(path, cookie="")[0] == 403, path
    assert server.ask(f"ws?token={token}", cookie="", **shake)[0] == 403
    assert server.ask("index.html")[0] == 200 and server.ask("ws", **shake)[0] == 101
    for path in ("download/x/y", "download/..%2f..%2fetc%2fpasswd/passwd", "../etc/passwd"):
        assert server.ask(path)[0] in (403, 404), path


@pytest.mark.slow
def test_a_drag_of_the_ct_is_undone_and_redone_by_keys(tab):
    before = tab.numbers()
    tab.page.keyboard.press("m")
    tab.page.locator(".mvx .ring").first.wait_for()
    tab.drag(0, (0.5, 0.45), (0.56, 0.5))
    tab.wait_state("c('register', 'history').lines.at(-1).cells[1].text === 'By hand'")
    moved = tab.numbers()
    assert moved != before
    for key, numbers in (("Control+z", before), ("Control+y", moved)):
        tab.page.keyboard.press(key)
        tab.wait_state(f"n().join() === '{','.join(numbers)}'")


# Pages come and go, and the work in the server goes on


def begin_long_search(tab):
    """A registration that takes half a second or more."""
    tab.open_step("Start")
    tab.page.locator(".mv-steps").get_by_role("radio", name="Search", exact=True).click(force=True)
    tab.open_group("More")
    tab.choose("How far", "Anywhere (90°, 150 mm)")
    tab.wait_state("(c('start', 'rotation_deg') || {}).text === '90'")
    tab.open_step("Register")
    tab.page.locator(".mv-steps").get_by_role("button", name="Register", exact=True).click()
    tab.wait_state("c('answer', 'cancel')")


ENDED = "c('register', 'register').enabled && ['accept', 'check', 'reject'].includes(s.answer.kind)"


@pytest.mark.slow
def test_two_pages_show_the_same_and_one_may_be_reloaded_or_closed(tab, open_tab, server):
    other = open_tab(server)
    other.ready()
    other.page.get_by_role("button", name="Overlay: Edges").click()
    tab.wait_state("s.overlay.mode === 'edges'")
    poses = len(tab.history())
    begin_long_search(other)
    tab.wait_state(
        f"c('answer', 'progress') || c('register', 'history').lines.length > {poses}"
    )  # or it has ended
    tab.reload()
    other.close()
    tab.wait_state(f"c('answer', 'progress') || {ENDED}")
    tab.wait_state(ENDED)
    tab.page.get_by_role("button", name="Overlay: Blend").click()
    tab.wait_state("s.overlay.mode === 'blend'")


@pytest.mark.slow
def test_the_demo_from_the_start_page_to_a_transform(open_tab, serve, tmp_path):
    try:
        chest_ct()
    except InputError as error:
        pytest.skip(f"needs the demo's CT: {error}")
    sample = read_json(SAMPLE_FOLDER / "case.json")
    tab = open_tab(serve())
    tab.button("Open the demo").click()
    tab.ready()
    assert tab.registered()
    truth = np.array(sample["truth"]["world_from_ct"])
    corners = rigid.inverse(truth)[:3, 3] + 100 * (np.indices((2, 2, 2)).reshape(3, -1).T - 0.5)
    targets = {"targets": corners.tolist(), "truth": sample["truth"]}
    assert mtre_mm(tab.exported(tmp_path), targets) < 1.0

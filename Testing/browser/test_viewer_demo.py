"""From the start page: the demo by one click, registered and exported; then something else, without losing work by mistake."""

from __future__ import annotations

import json

import numpy as np
import pytest

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid


@pytest.fixture(scope="module")
def demo() -> dict:
    """The demo's case.json, whose CT is in the user's cache from now on."""
    pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")
    from MultiViewRegistrationLib.simulation.cases import demo_at_hand

    try:
        return json.loads(demo_at_hand().read_text())
    except InputError as error:
        pytest.skip(f"needs the demo's CT: {error}")


def test_the_demo_from_the_start_page_to_a_transform(demo, open_tab, serve, tmp_path):
    tab = open_tab(serve())
    tab.shot("1-start")
    tab.button("Open the demo").click()
    tab.ready()
    tab.shot("2-opened")
    tab.register()
    assert tab.registered()
    tab.open_step("Check")
    tab.shot("3-registered")
    transform, truth = tab.exported(tmp_path), np.array(demo["truth"]["world_from_ct"])
    corners = rigid.inverse(truth)[:3, 3] + 100 * (np.indices((2, 2, 2)).reshape(3, -1).T - 0.5)
    found = np.array([transform.TransformPoint(corner.tolist()) for corner in corners])
    assert np.linalg.norm(found - rigid.transform_points(truth, corners), axis=1).max() < 1.0

    entries = len(tab.history())
    tab.button("Open").click()
    tab.page.get_by_text("What is open now will be closed.").wait_for()
    tab.shot("4-open")
    tab.button("Keep what is open").click()
    tab.page.get_by_text("What is open now will be closed.").wait_for(state="hidden")
    assert len(tab.history()) == entries
    tab.button("Open").click()
    tab.button("Begin with an empty case").click()
    tab.wait_state("!xrays().length && !c('register', 'history').lines.length")
    tab.page.get_by_text("What is open now will be closed.").wait_for(state="hidden")

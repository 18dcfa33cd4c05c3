"""A case with structures in the page.

What does not fit is outlined and told, and the poses of all are exported.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from bent_spine import NAMES, POSE, write_case

from MultiViewRegistrationLib.geometry import rigid

#: The names of the outlines, and where they are: x and y of the ends of each, from and to, CSS
#: pixels.
OUTLINES = """() => [...document.querySelectorAll('.mvx')].map(view => [...view.querySelectorAll('.misfit')].map(one => {
    const box = one.querySelector('path').getBBox();
    return [one.querySelector('text').textContent, box.x, box.y, box.x + box.width, box.y + box.height]; }))"""


@pytest.fixture(scope="module")
def spine(tmp_path_factory) -> tuple[Path, list[np.ndarray]]:
    """(folder, motions of the vertebrae)"""
    folder = tmp_path_factory.mktemp("spine")
    return folder, write_case(folder)


@pytest.fixture(scope="module")
def server(serve, spine):
    return serve(spine[0])


def test_structures_that_lie_elsewhere_are_outlined_and_told_and_exported(tab, spine, tmp_path):
    assert tab.state("answer.kind") == "check" and tab.state("answer.headline").startswith(
        "L3 lies "
    )
    tab.page.wait_for_function("() => document.querySelectorAll('.misfit').length === 4")
    for outlines in tab.page.evaluate(OUTLINES):
        assert [name for name, *_ in outlines] == ["L2", "L3"]
        (_, *l2), (_, *l3) = outlines
        assert l2[3] - l2[1] > 10 and l3[1] > l2[1]  # L3 is below
    tab.page.locator(".mv-answer summary").click()
    tab.page.get_by_text("T12 on L1: ").wait_for()
    tab.shot("why")
    tab.page.locator(".mv-answer summary").click()
    tab.open_step("CT")
    tab.page.get_by_text("Each to a pose of its own: T12, L1, L2, L3.").wait_for()
    tab.shot("ct")
    tab.page.locator(".mv-answer").get_by_role(
        "button", name="Look at the overlays", exact=True
    ).click()
    tab.page.get_by_text("Red outlines: L2, L3, where the X-rays show them").wait_for()
    tab.shot("check")
    archive = tab.download("Export", tmp_path, ".mv-answer")
    zipfile.ZipFile(archive).extractall(tmp_path)
    for name, motion in zip(NAMES, spine[1], strict=True):
        found = sitk.ReadTransform(str(tmp_path / archive.stem / f"{name}_world_from_ct.tfm"))
        truth = rigid.transform_points(POSE @ motion, np.zeros(3))
        assert found.TransformPoint((0.0, 0.0, 0.0)) == pytest.approx(truth, abs=1.0)

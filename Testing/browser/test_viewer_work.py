"""A case from the start to an exported transform, as a person does it in the page."""

from __future__ import annotations

import json

import numpy as np
import SimpleITK as sitk

from MultiViewRegistrationLib.geometry import rigid


def test_from_a_case_to_a_transform(tab, case_file, tmp_path):
    case = json.loads(case_file.read_text())
    tab.shot("opened")
    tab.register()
    tab.shot("registered")
    assert tab.state("register.ended") == "done"
    tab.open_step("Export")
    with tab.page.expect_download() as download:
        tab.button("Export").click()
    download.value.save_as(tmp_path / "all.zip")
    assert download.value.suggested_filename == "registration.zip"
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="world_from_ct.tfm").click()
    download.value.save_as(tmp_path / "world_from_ct.tfm")
    tab.shot("exported")
    transform = sitk.ReadTransform(str(tmp_path / "world_from_ct.tfm"))
    targets = np.array(case["targets"])
    found = np.array([transform.TransformPoint(point.tolist()) for point in targets])
    true = rigid.transform_points(np.array(case["truth"]["world_from_ct"]), targets)
    assert np.linalg.norm(found - true, axis=1).mean() < 1.0

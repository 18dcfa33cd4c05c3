"""Geometry by DICOM headers in the scene: the same cameras as a case's, and nothing assumed that is not told."""

from __future__ import annotations

import numpy as np
import pytest
from imaging.xray_files import enhanced, item, pixels, write_enhanced, write_xa

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.dicom_geometry import SAME_TABLE, TABLE_MOVED, HeaderView, complete
from MultiViewRegistrationLib.mrml.image import change_image
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session.adding import read
from MultiViewRegistrationLib.session.geometry import header_proposals, matrix_of, reading_of, set_matrix, use_reading


@pytest.fixture
def registration(scene):
    return Registration.create(scene)


def add(registration, path, frame=0):

    (view,) = read(path)(registration)
    change_image(view, frame=frame)
    return view


def use(registration, view, **changes):
    use_reading(registration, view, {**reading_of(view), **changes})


def two_frames(tmp_path, **tags):
    """A run during which the table moved by 9 mm left, 6 down, 3 to its head."""
    names = ("TableTopVerticalPosition", "TableTopLongitudinalPosition", "TableTopLateralPosition")
    before, after = (
        {"TablePositionSequence": item(**dict(zip(names, place, strict=True)))} for place in ("000", "693")
    )
    return write_enhanced(tmp_path / "run.dcm", [{**enhanced(0, 0), **before}, {**enhanced(90, 10), **after}], **tags)


def test_a_view_is_carried_after_the_patient_as_in_a_case(scene, registration, tmp_path):
    path = two_frames(tmp_path, PatientPosition="FFS")
    first, second = (add(registration, path, frame) for frame in (0, 1))
    assert not any(TABLE_MOVED in told for told in header_proposals(registration, second))
    use(registration, first)
    assert any(TABLE_MOVED in told and first.name in told for told in header_proposals(registration, second))
    use(registration, second)
    expected = complete("case.json", [HeaderView(f"views[{n}]", f"{n}", path, n) for n in (0, 1)])
    for view, (reading, _) in zip((first, second), expected, strict=True):
        kept = view.content["c_arm"]
        for key in ("isocentre_offset_mm", "source_to_isocentre_mm", "rao_lao_deg", "principal_point"):
            np.testing.assert_allclose(kept.get(key, 0), reading.get(key, 0), atol=1e-9)
    assert TABLE_MOVED in second.content["assumptions"] and TABLE_MOVED not in first.content["assumptions"]
    use(registration, second, cra_cau_deg=11.0)  # it was carried once
    assert second.content["c_arm"]["isocentre_offset_mm"] == kept["isocentre_offset_mm"]
    third = add(registration, path, 1)
    use(registration, third, isocentre_offset_mm=[1.0, 2.0])  # a person says that it is off
    assert third.content["c_arm"]["isocentre_offset_mm"] == [1.0, 2.0]
    assert TABLE_MOVED not in third.content["assumptions"]


def test_a_moved_table_without_the_patient_position_is_refused(scene, registration, tmp_path):
    path = two_frames(tmp_path, PatientPosition="")
    first, second = (add(registration, path, frame) for frame in (0, 1))
    use(registration, first)
    with pytest.raises(InputError, match="the table moved between .* lacks PatientPosition"):
        use(registration, second)
    assert not second.placed


@pytest.mark.parametrize("other", [False, True], ids=["one machine", "two machines"])
def test_that_the_table_stood_still_is_assumed_of_one_machine_alone(scene, registration, tmp_path, other):
    """Until a matrix is given."""
    paths = [
        write_xa(
            tmp_path / f"{n}.dcm",
            90 * n,
            0,
            pixels(n + 1),
            PatientOrientation=["PL"[n == 0], "F"],
            **({"DeviceSerialNumber": f"SECRET-{n}"} if other else {}),
        )
        for n in (0, 1)
    ]
    first, second = (add(registration, path) for path in paths)
    use(registration, first)
    if other:
        with pytest.raises(InputError, match="taken by different machines") as caught:
            use(registration, second)
        assert "SECRET" not in str(caught.value) + first.node.GetAttribute("MultiViewRegistration.view")
        return
    use(registration, second)
    assert SAME_TABLE in second.content["assumptions"] and SAME_TABLE not in first.content["assumptions"]
    set_matrix(registration, second, matrix_of(second))
    assert "assumptions" not in second.content

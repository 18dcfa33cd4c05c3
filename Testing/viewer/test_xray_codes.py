"""What goes to the page as numbers, and what comes from it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")


def test_line_integrals_become_codes_and_nothing_is_0():
    from MultiViewRegistrationLib.viewer.xray_view.film import FIRST, LAST, coded

    values = np.array([[0.5, 1.5, 2.5], [np.nan, -1e9, 1e9]])
    codes = coded(values, 0.5, 2.5)
    assert codes.dtype == np.uint16
    assert codes.tolist() == [[FIRST, (FIRST + LAST) // 2, LAST], [0, FIRST, LAST]]
    fine = np.linspace(0, 4, 1000)
    back = (coded(fine, 0.0, 4.0).astype(float) - FIRST) / (LAST - FIRST) * 4
    assert np.abs(back - fine).max() < 4 / 60000


@pytest.mark.parametrize(
    "movement",
    [
        {"shift": [1.0, -2]},
        {"turn": [0.1], "beam": [3]},
        {},
    ],
)
def test_movements_are_taken(movement):
    from MultiViewRegistrationLib.viewer.xray_view.movement import checked

    assert checked(movement) == movement


@pytest.mark.parametrize(
    "movement",
    [
        {"shift": [1.0]},
        {"shift": [1.0, float("nan")]},
        {"turn": 3},
        {"turn": ["1"]},
        {"turn": [True]},
        {"beam": [1e6]},
        {"jump": [1]},
        [1],
        None,
        "shift",
    ],
)
def test_others_are_refused(movement):
    from MultiViewRegistrationLib.errors import InputError
    from MultiViewRegistrationLib.viewer.xray_view.movement import checked

    with pytest.raises(InputError, match="Movement"):
        checked(movement)

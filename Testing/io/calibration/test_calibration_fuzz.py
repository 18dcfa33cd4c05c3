"""Whatever a file holds, it is a calibration or refused in a sentence."""

from __future__ import annotations

import io
import json
import warnings

import numpy as np
import opencv_files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_points import POSE, SIZE, K, R, T, rows
from test_matrix_files import plus
from test_mayacam import text_of, text_of_1
from test_rtk_geometry import XML
from tiny_case import refusal

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.calibration.read import read_calibration

GIVEN = {
    "unit": "mm",
    "axes": "ras",
    "first_pixel": 0.5,
    "projects_to": "opengl",
    "size": SIZE,
    "detector_spacing_mm": (1, 1),
    "detector_origin_mm": (0, 0),
    "intrinsics": K,
    "camera_frame": "Camera",
    "world_frame": "Reference",
    "direction": "forward",
    "fixed_transforms": "none",
}


TRANSFORM = (
    "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\nParameters: 1 0 0 0 1 0 0 0 1 5 6 7\n"
    "FixedParameters: 0 0 0\n"
)


def _npz():
    file = io.BytesIO()
    np.savez(file, K=K, R=R, t=T)
    return file.getvalue()


SEEDS = [
    text.encode()
    for text in (
        opencv_files.YAML,
        opencv_files.XML,
        opencv_files.JSON,
        XML,
        plus(),
        text_of(),
        text_of_1(),
        TRANSFORM,
        rows(K @ POSE[:3]),
        json.dumps({"K": K.tolist(), "R": R.tolist(), "t": T.tolist()}),
        "views:\n- name: AP\n  P: [[1, 2, 3, 4], [5, 6, 7, 9], [9, 8, 1, 2]]\n- - a\n  - {b: [c]}\n",
    )
] + [_npz(), _npz()[60:]]
WORDS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b"- ",
    b"\n",
    b"\n  ",
    b"nan",
    b"1e999",
    b"-1",
    b"0",
    b"&a ",
    b"*a",
    b"!!",
    b'"',
    b"<",
    b"/>",
    b"\0",
    b"\xff",
    b", ",
    b"data",
    b"rows: 9",
]


@st.composite
def spoilt(draw):
    """A good file with some parts replaced, repeated, or cut out."""
    data = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        a, b = sorted(draw(st.tuples(st.integers(0, len(data)), st.integers(0, len(data)))))
        b = min(b, a + draw(st.sampled_from([0, 1, 3, 10, 1000])))
        data = data[:a] + draw(st.sampled_from([*WORDS, data[a:b] * 2, b""])) + data[b:]
    return data


def read_or_refuse(path, data):
    path.write_bytes(data)
    try:
        views = read_calibration(path, **GIVEN)
    except InputError as error:
        assert str(error).splitlines() == [str(error)] and str(error).endswith((".", "?"))
    else:
        assert views and all(np.isfinite(view.projection_matrix).all() for view in views)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(spoilt())
def test_spoilt_files(tmp_path_factory, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        read_or_refuse(tmp_path_factory.getbasetemp() / "spoilt.tfm", data)  # as ITK tells its transforms by that


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.text("[]{}:-, \n\"'#a1.e&*!|>?%", max_size=60))
def test_any_text(tmp_path_factory, text):
    read_or_refuse(tmp_path_factory.getbasetemp() / "any", text.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"- " * 1000 + b"1",
        b"a: " + b"[" * 5000 + b"]" * 5000,
        b"<opencv_storage>" + b"<a>" * 3000 + b"</a>" * 3000 + b"</opencv_storage>",
        b"\x1f\x8b\x08\0",
    ],
)
def test_deep_and_strange_files(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    refusal(read_calibration, tmp_path / "a", **GIVEN)


def test_a_file_that_is_not_there_or_of_another_format(tmp_path):
    assert "does not exist" in refusal(read_calibration, tmp_path / "nothing")
    assert "is not a file" in refusal(read_calibration, tmp_path)
    (tmp_path / "a.txt").write_text(text_of())
    assert "is of the format mayacam, expected rtk" in refusal(read_calibration, tmp_path / "a.txt", "rtk")
    assert "format: found 'stl'" in refusal(read_calibration, tmp_path / "a.txt", "stl")

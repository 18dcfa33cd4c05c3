"""Whatever a small file of any format holds, it is read or refused in a sentence."""

import io
import json
import warnings

import numpy as np
import opencv_files
import pytest
from handed_result import write_result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from known_points import POSE, SIZE, K, R, T, rows
from test_markups import SLICER_3, markups, slicer_4
from test_matrix_files import plus
from test_mayacam import text_of, text_of_1
from test_rtk_geometry import XML
from tiny_case import refusal, result_or_refusal

from MultiViewRegistrationLib.io.calibration.read import read_calibration
from MultiViewRegistrationLib.io.datasets.autoscoper import read_autoscoper, read_tra
from MultiViewRegistrationLib.io.navigation.registration_export import RegistrationExport
from MultiViewRegistrationLib.io.points import read_markups, read_pixels, read_targets
from MultiViewRegistrationLib.io.transforms import read_named_matrix

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
    "#Insight Transform File V1.0\n#Transform 0\nTransform: "
    "AffineTransform_double_3_3\nParameters: 1 0 0 0 1 0 0 0 1 5 6 7\nFixedParameters: 0 0 0\n"
)
TRIAL = """Version 1.1
mayaCam_csv a.tfm
CameraRootDir radiographs
VolumeFile radius.tif
VolumeFlip 1 0 1
VoxelSize 0.4 0.5 0.6
RenderResolution 512 512
"""
CALIBRATIONS = [
    opencv_files.YAML,
    opencv_files.XML,
    opencv_files.JSON,
    XML,
    plus(),
    text_of(),
    text_of_1(),
    TRANSFORM,
]
CALIBRATIONS += [
    rows(K @ POSE[:3]),
    json.dumps({"K": K.tolist(), "R": R.tolist(), "t": T.tolist()}),
]
CALIBRATIONS += [
    "views:\n- name: AP\n  P: [[1, 2, 3, 4], [5, 6, 7, 9], [9, 8, 1, 2]]\n- - a\n  - {b: [c]}\n"
]


def saved(save, *arrays, **named) -> bytes:
    stream = io.BytesIO()
    save(stream, *arrays, **named)
    return stream.getvalue()


#: Of each format: the ending of its files, what reads them into arrays, and good files.
FORMATS = {
    # The ending is that by which ITK knows its transforms.
    "calibration": (
        ".tfm",
        lambda path: [view.projection_matrix for view in read_calibration(path, **GIVEN)],
        [*CALIBRATIONS, saved(np.savez, K=K, R=R, t=T)],
    ),
    "matrix": (".txt", lambda path: [read_named_matrix(path).matrix], [rows(POSE)]),
    "numpy": (".npy", lambda path: [read_named_matrix(path).matrix], [saved(np.save, POSE)]),
    "json": (
        ".json",
        lambda path: [read_named_matrix(path).matrix],
        [json.dumps({"world_from_ct": POSE.tolist()})],
    ),
    "tracked poses": (
        ".tra",
        lambda path: [read_tra(path, 0, 1, 2, 1.0)],
        [",".join(map(str, [*range(32)]))],
    ),
    "trial": (".cfg", lambda path: [read_autoscoper(path, 0, "linear", "mm").images], [TRIAL]),
    "targets": (
        ".txt",
        lambda path: [read_targets(path, "ras")],
        ["# RAS\n1, 2, 3\n-4 5 6  # hip\n"],
    ),
    "pixels": (
        ".csv",
        lambda path: list(read_pixels(path).values()),
        ['# name, column, row\ntip, 9.5, 7\n"heel", 8, 6\n'],
    ),
    "fcsv": (".fcsv", lambda path: list(read_markups(path).values()), [SLICER_3, slicer_4("LPS")]),
    "markups": (".mrk.json", lambda path: list(read_markups(path).values()), [markups("RAS")]),
    "result": (
        ".json",
        lambda path: [RegistrationExport.read(path).poses["world_from_ct"]],
        ["RESULT"],
    ),
}
WORDS = [
    *b"[]{}:\n\0\xff<",
    b"- ",
    b"\n  ",
    b"nan",
    b"1e999",
    b"-1",
    b"null",
    b"&a ",
    b"*a",
    b"!!",
    b'"',
    b"/>",
    b", ",
    b"data",
]
WORDS = [bytes([word]) if isinstance(word, int) else word for word in WORDS] + [
    b"rows: 9",
    b'"x"',
    b"{}",
    b"[[]]",
]


@st.composite
def damaged(draw, good):
    """A good file with some parts replaced, repeated, or cut out; or any text or bytes."""
    if draw(st.integers(0, 4)) == 0:
        return draw(
            st.binary(max_size=100)
            | st.text("[]{}:-, \n\"'#a1.e&*!|>?%", max_size=60).map(str.encode)
        )
    data = draw(st.sampled_from(good))
    for _ in range(draw(st.integers(1, 4))):
        a, b = sorted(draw(st.tuples(st.integers(0, len(data)), st.integers(0, len(data)))))
        b = min(b, a + draw(st.sampled_from([0, 1, 3, 10, 1000])))
        data = data[:a] + draw(st.sampled_from([*WORDS, data[a:b] * 2, b""])) + data[b:]
    return data


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(tmp_path, name):
    ending, read, good = FORMATS[name]
    good = [each.encode() if isinstance(each, str) else each for each in good]
    if name == "result":
        good = [write_result(tmp_path / "good").read_bytes()]
    path = tmp_path / f"damaged{ending}"

    @settings(
        max_examples=200 if name == "calibration" else 60, suppress_health_check=[*HealthCheck]
    )
    @given(damaged(good))
    def try_one(data):
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of unknown keys
            warnings.simplefilter("error", RuntimeWarning)
            found = result_or_refusal(read, path)
        assert found is None or all(np.isfinite(array).all() for array in found)

    try_one()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"- " * 1000 + b"1",
        b"a: " + b"[" * 2000 + b"]" * 2000,
        b"<opencv_storage>" + b"<a>" * 3000 + b"</a>" * 3000 + b"</opencv_storage>",
        b"\x1f\x8b\x08\0",
    ],
)
def test_a_deeply_nested_or_foreign_file_is_refused(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    refusal(read_calibration, tmp_path / "a", **GIVEN)


def test_a_missing_file_or_another_format_is_named(tmp_path):
    assert "does not exist" in refusal(read_calibration, tmp_path / "nothing")
    assert "is not a file" in refusal(read_calibration, tmp_path)
    (tmp_path / "a.txt").write_text(text_of())
    assert "is of the format mayacam, expected rtk" in refusal(
        read_calibration, tmp_path / "a.txt", "rtk"
    )
    assert "format: found 'stl'" in refusal(read_calibration, tmp_path / "a.txt", "stl")


def test_a_number_that_no_float_holds_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(rows(POSE).replace("700.0", "1e999"))
    assert '"1e999"' in refusal(read_named_matrix, tmp_path / "a.txt")

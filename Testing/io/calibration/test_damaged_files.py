"""Whatever a small file of any format holds, it is read or refused in a sentence."""

import io
import json
import random
import warnings

import numpy as np
import opencv_files
import pytest
from handed_result import write_result
from helpers.refusals import refusal, result_or_refusal
from imaging.damaged_files import damaged
from known_points import POSE, SIZE, K, R, T, rows
from test_markups import SLICER_3, markups, slicer_4
from test_matrix_files import plus
from test_mayacam import text_of, text_of_1
from test_rtk_geometry import XML

from MultiViewRegistrationLib.io.calibration.read import read_calibration
from MultiViewRegistrationLib.io.datasets.autoscoper import read_autoscoper, read_tra
from MultiViewRegistrationLib.io.points import read_markups, read_pixels, read_targets
from MultiViewRegistrationLib.io.result_json import RegistrationExport
from MultiViewRegistrationLib.io.transforms import read_start_pose

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
VIEWS = "views:\n- name: AP\n  P: [[1, 2, 3, 4], [5, 6, 7, 9], [9, 8, 1, 2]]\n- - a\n  - {b: [c]}\n"
CALIBRATIONS = [opencv_files.YAML, opencv_files.XML, opencv_files.JSON, XML, plus(), text_of(), text_of_1(), TRANSFORM,
                rows(K @ POSE[:3]), json.dumps({"K": K.tolist(), "R": R.tolist(), "t": T.tolist()}), VIEWS]  # fmt: skip


def saved(save, *arrays, **named):
    stream = io.BytesIO()
    save(stream, *arrays, **named)
    return stream.getvalue()


def read_matrix(path):
    return [read_start_pose(path, "lps", "forward")]


#: Of each format: the ending of its files, what reads them into arrays, and good files.
FORMATS = {
    # The ending is that by which ITK knows its transforms.
    "calibration": (
        ".tfm",
        lambda path: [view.projection_matrix for view in read_calibration(path, **GIVEN)],
        [*CALIBRATIONS, saved(np.savez, K=K, R=R, t=T)],
    ),
    "matrix": (".txt", read_matrix, [rows(POSE)]),
    "numpy": (".npy", read_matrix, [saved(np.save, POSE)]),
    "json": (".json", read_matrix, [json.dumps({"world_from_ct": POSE.tolist()})]),
    "tracked poses": (
        ".tra",
        lambda path: [read_tra(path, 0, 1, 2, 1.0)],
        [",".join(map(str, range(32)))],
    ),
    "trial": (".cfg", lambda path: [read_autoscoper(path, 0, "linear", "mm").images], [TRIAL]),
    "targets": (
        ".txt",
        lambda path: [read_targets(path, "ras")],
        ["# RAS\n1, 2, 3\n-4 5 6 # hip\n"],
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


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(tmp_path, name):
    ending, read, good = FORMATS[name]
    if name == "result":
        good = [write_result(tmp_path / "good").read_text()]
    path, rng = tmp_path / f"damaged{ending}", random.Random(name)
    for _ in range(80 * (1 + len(good) // 4)):
        whole = rng.choice(good)
        path.write_bytes(damaged(whole.encode() if isinstance(whole, str) else whole, ending, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of unknown keys
            warnings.simplefilter("error", RuntimeWarning)
            found = result_or_refusal(read, path)
        assert found is None or all(np.isfinite(array).all() for array in found)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"- " * 1000 + b"1",
        b"a: " + b"[" * 1000 + b"]" * 1000,
        b"<opencv_storage>" + b"<a>" * 3000 + b"</a>" * 3000 + b"</opencv_storage>",
        b"\x1f\x8b\x08\0",
    ],
)
def test_a_deeply_nested_or_foreign_file_is_refused(file_of, data):
    refusal(read_calibration, file_of("a", data), **GIVEN)


def test_a_missing_file_or_another_format_is_named(file_of, tmp_path):
    assert "does not exist" in refusal(read_calibration, tmp_path / "nothing")
    assert "is not a file" in refusal(read_calibration, tmp_path)
    path = file_of("a.txt", text_of())
    said = refusal(read_calibration, path, "rtk")
    assert "is of the format mayacam, expected rtk" in said
    assert "format: found 'stl'" in refusal(read_calibration, path, "stl")

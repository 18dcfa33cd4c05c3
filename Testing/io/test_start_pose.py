"""Start poses from files of other programs: every direction and frame is proved by a point, and none is guessed."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import SimpleITK as sitk
from handed_result import pose
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_case import refusal

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.transforms import (
    NamedMatrix,
    read_named_matrix,
    read_start_pose,
    write_h5_transform,
    write_json,
    write_npy,
    write_text,
    write_transform,
)

POSE = pose(5)
POINT_LPS = np.array([120.0, -340.0, 77.0, 1.0])
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def text(path, matrix):
    np.savetxt(path, matrix, fmt="%.17g")


def npy(path, matrix):
    np.save(path, matrix)


def bare_json(path, matrix):
    path.write_text(json.dumps(matrix.tolist()))


WRITERS = {".txt": text, ".npy": npy, ".json": bare_json}


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("frame", ["lps", "ras"])
@pytest.mark.parametrize("direction", ["forward", "resampling"])
def test_a_matrix_takes_a_point_where_its_frame_and_direction_say(tmp_path, ending, frame, direction):
    path = tmp_path / f"pose{ending}"
    to_frame = RAS_FROM_LPS if frame == "ras" else np.eye(4)
    in_frame, world = to_frame @ POINT_LPS, POSE @ POINT_LPS
    matrix = to_frame @ POSE @ to_frame
    np.testing.assert_allclose(matrix @ in_frame, to_frame @ world)
    WRITERS[ending](path, matrix if direction == "forward" else np.linalg.inv(matrix))
    np.testing.assert_allclose(read_start_pose(path, frame, direction) @ POINT_LPS, world, atol=1e-9)


@pytest.mark.parametrize("ending", [".tfm", ".txt", ".h5"])
@pytest.mark.parametrize("direction", ["forward", "resampling"])
def test_an_itk_transform_about_a_centre_is_carried_as_it_acts(tmp_path, ending, direction):
    transform = sitk.Euler3DTransform((100.0, -250.0, 75.0), 0.3, -0.2, 0.5, (1.0, 2.0, 3.0))
    sitk.WriteTransform(transform, str(tmp_path / f"centred{ending}"))
    found = read_start_pose(tmp_path / f"centred{ending}", "lps", direction)
    acts = transform if direction == "forward" else transform.GetInverse()
    np.testing.assert_allclose((found @ POINT_LPS)[:3], acts.TransformPoint(POINT_LPS[:3].tolist()), atol=1e-9)


def test_what_a_file_does_not_say_is_asked_for(tmp_path):
    text(tmp_path / "a.txt", POSE)
    assert "--frame lps or --frame ras" in refusal(read_start_pose, tmp_path / "a.txt", None, "forward")
    assert "--direction forward or --direction resampling" in refusal(read_start_pose, tmp_path / "a.txt", "lps", None)
    write_transform(tmp_path / "a.tfm", POSE)
    assert "--direction" in refusal(read_start_pose, tmp_path / "a.tfm", "lps", None)
    assert "--frame" in refusal(read_start_pose, tmp_path / "a.tfm", None, "forward")


@pytest.mark.parametrize("write, ending", [(write_text, ".txt"), (write_npy, ".npy"), (write_json, ".json")])
@pytest.mark.parametrize("axes", ["lps", "ras"])
@pytest.mark.parametrize("name", ["world_from_ct", "ct_from_world"])
def test_what_a_file_says_itself_need_not_be_given_and_is_not_contradicted(tmp_path, write, ending, axes, name):
    path = tmp_path / f"named{ending}"
    matrix = POSE if name == "world_from_ct" else np.linalg.inv(POSE)
    write(path, NamedMatrix(matrix, name, "lps").in_axes(axes), "not for use: √ 1 2 3")
    direction = "forward" if name == "world_from_ct" else "resampling"
    np.testing.assert_allclose(read_start_pose(path), POSE, atol=1e-9)
    np.testing.assert_allclose(read_start_pose(path, axes, direction), POSE, atol=1e-9)
    assert axes in refusal(read_start_pose, path, "ras" if axes == "lps" else "lps", None)
    assert direction in refusal(read_start_pose, path, None, "resampling" if direction == "forward" else "forward")


def test_our_matrices_are_read_by_what_is_not_ours(tmp_path):
    named = NamedMatrix(POSE, "world_from_ct", "ras")
    write_text(tmp_path / "a.txt", named, "two\nlines")
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "a.txt"), POSE)
    write_npy(tmp_path / "a.npy", named, "a warning")
    record = np.load(tmp_path / "a.npy", allow_pickle=False)
    np.testing.assert_array_equal(record["world_from_ct_ras_mm"], POSE)
    assert str(record["override"]) == "a warning"
    write_json(tmp_path / "a.json", named, "a warning")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["axes"] == "RAS" and content["override"] == "a warning" and content["world_from_ct"] == POSE.tolist()


def test_the_words_of_an_h5_file_leave_its_data_alone(tmp_path):
    h5py = pytest.importorskip("h5py", reason="needs h5py: pip install h5py")
    for comment in ("short", "a long one: " + "√" * 1500):
        write_h5_transform(tmp_path / "a.h5", POSE, comment)
        by_itk = sitk.ReadTransform(str(tmp_path / "a.h5"))
        np.testing.assert_allclose(by_itk.TransformPoint(POINT_LPS[:3].tolist()), (POSE @ POINT_LPS)[:3], atol=1e-9)
        with h5py.File(tmp_path / "a.h5") as file:
            head = (tmp_path / "a.h5").read_bytes()[: file.userblock_size]
        assert head.rstrip(b"\0").decode() == comment + "\n"
        assert len(list(tmp_path.iterdir())) == 1


def stretched(*diagonal):
    return POSE @ np.diag(diagonal)


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    return stream.getvalue()


def claiming(shape) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return stream.getvalue() + b"\0" * 128


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.npy", pickled()),
        ("a.npy", claiming((100_000, 100_000))),
        ("a.npy", claiming((4, 4))[:-30]),
        ("a.npy", b"PK\3\4"),
        ("a.npy", b""),
        ("a.npy", b"\x93NUMPY\1\0\x10\0{'descr': ['<f8',\n"),
        ("a.txt", b"1 2 3"),
        ("a.txt", b"\xff\xfe"),
        ("a.txt", b"nan " * 16),
        ("a.txt", b"__import__('os')"),
        ("a.txt", None),
        ("a.json", b"{}"),
        ("a.json", b"[[1]]"),
        ("a.json", b'{"world_from_ct": 3, "ct_from_world": 4}'),
        ("a.json", b'{"matrix": 1, "axes": "IJK"}'),
        ("a.h5", b"\x89HDF\r\n\x1a\n"),
        ("a.tfm", b"#Insight Transform File V1.0\n"),
        ("a.txt", b"#Insight Transform File V1.0\n"),
    ],
)
def test_what_is_no_matrix_is_refused_in_a_sentence(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert name in refusal(read_start_pose, tmp_path / name, "lps", "forward")


def test_a_pose_in_another_frame_is_no_start(tmp_path):
    write_json(tmp_path / "a.json", NamedMatrix(POSE, "reference_from_ct", "lps"))
    assert "reference_from_ct" in refusal(read_start_pose, tmp_path / "a.json")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([".txt", ".npy", ".json"]),
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
        st.binary(max_size=60).map(lambda tail: b"\x93NUMPY\1\0v\0" + tail),
        st.lists(st.floats(), min_size=15, max_size=17).map(lambda numbers: " ".join(map(str, numbers)).encode()),
    ),
)
def test_any_bytes_are_a_matrix_or_refused(tmp_path, ending, content):
    path = tmp_path / f"fuzz{ending}"
    path.write_bytes(content)
    try:
        assert read_named_matrix(path).matrix.shape == (4, 4)
    except InputError as error:
        assert len(str(error).splitlines()) == 1

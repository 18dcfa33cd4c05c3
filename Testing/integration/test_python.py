"""The library as a program uses it.

A case from arrays is the case of its files, wrong use is a sentence, a checker accepts it.
"""

import logging
import os
import pickle
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.array_case import case_of
from helpers.file_io import read_values
from helpers.phantom import START, TRUE_POSE, error_mm, make_views
from helpers.program import result_in
from helpers.refusals import refuses
from numpy.testing import assert_allclose, assert_array_equal

import MultiViewRegistrationLib
from MultiViewRegistrationLib import (
    Body,
    Cancelled,
    CArm,
    Case,
    View,
    Volume,
    register,
    train,
)
from MultiViewRegistrationLib.errors import InputError, install_command

LIBRARY = Path(MultiViewRegistrationLib.__file__).parents[1]
TO_METRES = np.diag([1000.0, 1000, 1000, 1])


class Arrays(dict):
    """What `case_file` has, as arrays; `more` changes arguments by name, a function makes one of what it was."""

    def case(self, **more):
        made = {key: value(self[key]) if callable(value) else value for key, value in more.items()}
        return case_of(**self | made)


@pytest.fixture(scope="module")
def file(case_file):
    return Case.load(case_file)


@pytest.fixture(scope="module")
def result(case_file):
    """That of the files, by their path. Not to be changed by a test."""
    return register(str(case_file))


@pytest.fixture(scope="module")
def arrays(file, case_file):
    ct = file.ct.volume
    return Arrays(
        ct=ct.values.transpose(2, 1, 0),
        ct_from_index=ct.ct_from_index,
        view_image=[read_values(case_file.with_name(f"view{n}.mha")) for n in (1, 2)],
        view_projection=[view.camera.projection_matrix for view in file.views],
        targets=file.targets,
    )


def as_torch(arguments, folder):
    torch = pytest.importorskip("torch", reason="needs torch: pip install torch")
    images = [torch.from_numpy(image.astype(np.int32)) for image in arguments["view_image"]]
    ct = torch.tensor(arguments["ct"], requires_grad=True)
    return Body(ct, torch.from_numpy(arguments["ct_from_index"])), images


def as_nibabel(arguments, folder):
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel: pip install nibabel")
    for n in (1, 2):
        sitk.WriteImage(sitk.ReadImage(str(folder / f"view{n}.mha")), str(folder / f"view{n}.nii"))
    ct, *images = map(nibabel.load, (folder / "ct.nii.gz", *sorted(folder.glob("view?.nii"))))
    return Body(ct), images


def as_numpy(arguments, folder):
    return Body(arguments["ct"], arguments["ct_from_index"]), arguments["view_image"]


def as_simpleitk(arguments, folder):
    ct, *images = map(sitk.ReadImage, (folder / "ct.nii.gz", *sorted(folder.glob("view?.mha"))))
    return Body(ct), images


def as_paths(arguments, folder):
    return Body(folder / "ct.nii.gz"), [str(folder / "view1.mha"), folder / "view2.mha"]


@pytest.mark.parametrize("kind", [as_numpy, as_torch, as_nibabel, as_simpleitk, as_paths])
def test_a_case_from_arrays_is_that_of_its_files(arrays, file, case_file, kind):
    body, images = kind(arrays, case_file.parent)
    projections = arrays["view_projection"]
    views = [View(*each, intensity="linear") for each in zip(images, projections, strict=True)]
    case = Case.from_arrays(body, *views)
    assert_array_equal(case.ct.volume.values, file.ct.volume.values)
    assert_allclose(case.ct.volume.ct_from_index, file.ct.volume.ct_from_index, atol=1e-9)
    assert case.world_from_ct is None and case.assumptions == {}
    for ours, theirs in zip(case.views, file.views, strict=True):
        assert_array_equal(ours.xray.line_integrals, theirs.xray.line_integrals)
        assert_array_equal(ours.xray.valid, theirs.xray.valid)
        assert_array_equal(ours.camera.projection_matrix, theirs.camera.projection_matrix)
        assert ours.name == theirs.name
        assert ours.principal_point_sd_px == theirs.principal_point_sd_px
        assert ours.xray.pixel_mm == (
            None if kind in (as_numpy, as_torch) else theirs.xray.pixel_mm
        )


def test_it_is_registered_as_its_files_are(arrays, file, registered):
    saved = result_in(registered[0])
    known = {"world_from_ct": file.world_from_ct.tolist(), "view_intensity": "linear"}
    with warnings.catch_warnings(action="error"):  # everything is said
        case = arrays.case(**known, view_uncertainty={"principal_point_sd_px": 0.5})
    ours = register(case)
    assert ours.method == saved["start"]["method"] == "given"
    assert_allclose(ours.world_from_ct, saved["world_from_ct"], rtol=0, atol=1e-9)
    assert (ours.verdict, ours.reasons) == (saved["verdict"], saved["reasons"])


@pytest.mark.slow
def test_false_of_numpy_cancels(file):
    asked = []
    with pytest.raises(Cancelled):
        register(file, progress=lambda _: asked.append(0) or np.False_)
    assert len(asked) == 1
    with pytest.raises(Cancelled):
        train(file, progress=lambda *_: np.False_)


@pytest.mark.slow
@pytest.mark.parametrize(
    "option, wrong, expected",
    [
        ("seed", ("1", -1, 1.5, None, True, float("nan")), "a whole number from 0"),
        ("minutes", ("2", -1, 0, None, float("nan"), float("inf")), "a number above 0"),
    ],
)
def test_an_option_that_is_none_is_a_sentence(case_file, option, wrong, expected):
    for value in wrong:
        for function in (register, train):
            with refuses(f"{option}: found .*, expected {expected}"):
                function(str(case_file), **{option: value})
    with refuses("case: found a?.*int, expected a Case or the path"):
        train(5)


@pytest.mark.parametrize(
    "search",
    ["wide", {"rotation_deg": 15}, {"rotation_deg": 15, "translation_mm": "a"}],
    ids=str,
)
def test_a_search_that_is_none_is_a_sentence(file, search):
    with refuses(r"search.* expected (an object|mm|degrees)"):
        register(replace(file, search=search), "search")


def test_a_search_may_be_in_numbers_of_numpy(file):
    case = replace(file, search={"rotation_deg": np.int64(15), "translation_mm": np.float32(45)})
    assert case.search_range == {"rotation_deg": 15, "translation_mm": 45}


@pytest.mark.slow
def test_it_is_searched_for_without_a_start(arrays):
    """As README has it, without a warning."""
    with warnings.catch_warnings(action="error"):
        result = register(arrays.case())
    assert result.method == "search" and error_mm(result.world_from_ct) < 0.1
    assert "range" not in result.to_json()["start"]
    assert result.reasons[-1] == "Assumed: view1, view2: Bone is taken to be dark in the image."


@pytest.mark.slow
def test_verdict_is_that_of_the_3d_position(file):
    readings = {"rotation_sd_deg": 1.0, "translation_sd_mm": 3.0, "distance_sd_percent": 1.0}
    case = replace(file, views=[replace(view, **readings) for view in file.views])
    unsure = register(case, "given")
    assert unsure.verdict == unsure.uses["position"].verdict == "check"
    assert unsure.uses["overlay"].verdict == "accept"


@pytest.mark.slow
def test_an_affine_in_ras_is_named_where_no_x_ray_shows_the_ct(arrays):
    away = np.eye(4)
    away[:2, 3] = 100.0
    place, start = away @ arrays["ct_from_index"], START @ np.linalg.inv(away)
    assert arrays.case(ct_from_index=place, world_from_ct=start)
    ras = "if the CT's matrix is in RAS, as nibabel's affine is, put it into LPS"
    with refuses(ras):
        arrays.case(ct_from_index=np.diag([-1.0, -1, 1, 1]) @ place, world_from_ct=start)
    with refuses("which images show it; correct it or the geometry"):
        arrays.case(ct_from_index=away @ place, world_from_ct=START)


@pytest.mark.slow
def test_a_result_shows_itself(arrays):
    case = arrays.case(
        world_from_ct=START,
        truth_world_from_ct=TRUE_POSE,
        name="<b>",
        view_uncertainty={"principal_point_sd_px": 0.5},
    )
    result = register(case)
    assert repr(result).startswith("Result('<b>': accept, mTRE 0.0")
    assert "48 x 48 x 48 voxels of 2 x 2 x 2 mm" in repr(result.case)
    assert max(len(repr(each)) for each in (result, result.case)) < 300
    html = result._repr_html_()
    assert "&lt;b&gt;" in html and ">accept<" in html and "mTRE 0.0" in html
    assert html.count('src="data:image/png;base64,') == 2
    assert "<style" not in html and "<script" not in html


def test_cameras_and_masks_may_be_said_in_other_ways(arrays, ct):
    reading = {"source_to_detector_mm": 1000, "source_to_isocentre_mm": 700, "cra_cau_deg": 0}
    reading |= {"pixel_mm": (1.25, 1.25), "size": (128, 128)}
    arms = [CArm(**reading, rao_lao_deg=angle) for angle in (0, 90)]
    used = np.zeros((128, 128), bool)
    used[20:, 30:] = True
    read = arrays.case(view_projection=arms, view_mask=[None, used], view_name=["AP", "LAT"])
    for view, expected in zip(read.views, make_views(ct), strict=True):
        assert_allclose(view.camera.projection_matrix, expected.camera.projection_matrix, atol=1e-6)
        assert (view.rotation_sd_deg, view.principal_point_sd_px) == (1.0, 2.4)
        assert view.xray.pixel_mm == (1.25, 1.25)
    assert read.views[0].xray.valid.all() and (read.views[1].xray.valid == used).all()
    bone = arrays.case(mask=ct.volume.values.T > 300)
    assert_array_equal(bone.ct.mask, ct.volume.values > 300)


def transposed_anisotropic(_):
    ct = np.full((20, 48, 48), -1000)
    ct[5:15, 10:40, 10:40] = 300
    return ct


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"ct": lambda ct: ct[0]}, "ct: found a numpy.ndarray of shape (48, 48), expected a volume of shape (I, J, K)"),
        ({"ct": lambda ct: ct.astype(complex)}, "values of type complex128, expected numbers"),
        ({"ct": [[1, 2], [3]]}, "ct: found a list that NumPy cannot read"),
        ({"ct": lambda ct: ct + 2000}, "ct: has no voxel below 0"),
        ({"ct": lambda ct: ct / 1000}, "ct: has values from -1 to 0.898, expected Hounsfield units"),
        ({"ct": transposed_anisotropic, "ct_from_index": np.diag([0.7, 0.7, 2.5, 1])}, "pass ct.transpose(2, 1, 0)"),

        ({"ct_from_index": None}, "ct_from_index: is missing"),
        ({"ct_from_index": lambda place: place @ [[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "ct: its axes"),
        ({"ct_from_index": lambda place: place / 1000 + np.diag([0, 0, 0, 0.999])}, "multiply its upper three rows by 1000"),
        ({"view_image": lambda images: [images[0], images[1][0]]}, "views[1]: has the shape 128"),
        ({"view_image": lambda images: [image - image.mean() for image in images]}, "views[0]: has values below 0"),
        ({"view_image": lambda images: [image * np.nan for image in images]}, "views[0]: has no contrast"),

        ({"view_projection": None}, "views[0].projection: is missing"),
        ({"view_projection": lambda P: [P[0].T, P[1]]}, "views[0].projection: found 4x3 numbers, expected 3x4 numbers"),
        ({"view_projection": lambda P: [each @ TO_METRES for each in P]}, "if it is in metres, divide its first three columns by 1000"),
        ({"view_name": ["a", "A"]}, 'views[1].name: found "A" twice'),
        ({"view_name": ["a/b", "c"]}, 'views[0].name is "a/b"'),

        ({"view_intensity": "auto"}, "views[0]: whether bone is bright or dark cannot be seen"),

        ({"view_uncertainty": {"angle": 1}}, 'uncertainty: found "angle", expected rotation_sd_deg'),
        ({"view_size": (128, 122)}, "views[0].size is [128, 122], but the image has 128 columns and 128 rows"),
        ({"mask": np.ones((5, 6, 7))}, "mask: the mask has 5 x 6 x 7 voxels"),

    ],
)  # fmt: skip
def test_bad_arrays_are_a_sentence_each(arrays, changes, sentence):
    with refuses(re.escape(sentence)) as caught:
        arrays.case(**changes)
    assert str(caught.value)[-1] in ".?" and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values, ct_from_index, sentence",
    [
        (np.zeros((2, 3, 4)), np.eye(3), "ct_from_index: found 3x3 numbers, expected 4x4 numbers"),
        (np.zeros((2, 3)), np.eye(4), "values: found a numpy.ndarray of shape (2, 3)"),
    ],
)
def test_what_is_no_volume_is_a_sentence(values, ct_from_index, sentence):
    with refuses(re.escape(sentence)):
        Volume(values, ct_from_index)


@pytest.mark.parametrize(
    "parts, found", [([], "0 bodies and 0 views"), ([np.eye(4)], "a numpy.ndarray of shape (4, 4)")]
)
def test_what_is_no_part_of_a_case_is_a_sentence(parts, found):
    with refuses(re.escape(f"found {found}, expected the CT and X-rays")):
        Case.from_arrays(*parts)


def test_what_looks_otherwise_than_it_is_taken_is_a_warning(arrays, views):
    with pytest.warns(UserWarning, match=r"ct: has the shape \(20, 48, 48\)"):
        arrays.case(ct=transposed_anisotropic)
    aside = np.array([[1, 0, 128], [0, 1, 0], [0, 0, 1]])
    wide = [aside @ view.camera.projection_matrix for view in views]
    images = arrays["view_image"]
    tall = [np.pad(image, ((0, 256), (0, 0)), mode="edge") for image in images]
    said = r"views\[0\].projection: its principal point \(192, 64\) is far off the middle"
    with pytest.warns(UserWarning, match=said):
        arrays.case(view_projection=wide, view_image=tall)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ((5,), "case: found an int, expected a Case or the path of a case.json; Case.from_arrays("),
        (("no such case.json",), "no such case.json does not exist"),
        (
            (None, np.eye(4)),
            "start: found a numpy.ndarray of shape (4, 4), but a pose is the case's world_from_ct",
        ),
        ((None, "given"), "world_from_ct: the case has no start pose"),
    ],
)
def test_wrong_use_says_what_is_expected(arrays, arguments, sentence):
    case, *start = arguments
    with refuses(re.escape(sentence)):
        register(arrays.case() if case is None else case, *start)


def test_a_pose_that_was_set_afterwards_is_checked(arrays):
    case = arrays.case()
    case.world_from_ct = (2 * np.eye(4)).tolist()
    with refuses("world_from_ct: last row"):
        register(case)


USE = """
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from MultiViewRegistrationLib import Body, Camera, CArm, Case, DifferentiableRenderer, Result, View
from MultiViewRegistrationLib import assess, register, render, save_result

case: Case = Case.from_arrays(Body(np.zeros((2, 3, 4)), np.eye(4)), View(np.zeros((5, 6)), np.zeros((3, 4)), name="AP"))
result: Result = register("case.json")
result = register(Path("case.json"), "search", seed=3)
pose: np.ndarray = result.world_from_ct
verdict: str | None = result.verdict
mm: float = result.errors.mtre_mm if result.errors else 0.0
masks: dict[str, np.ndarray] = result.suggested_masks
camera: Camera = case.cameras["AP"]
image: np.ndarray = render(case.ct, camera, pose)
tensor: torch.Tensor = render(case.ct, camera, torch.eye(4))
tensor = DifferentiableRenderer(case.ct, device="cpu")(camera, torch.eye(4))
save_result(assess(case, pose), "out")
"""


def run_python(*words, cwd=None, **environment):
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=550
    )


@pytest.mark.slow
def test_a_checker_reads_the_hints(tmp_path):
    pytest.importorskip("mypy", reason="needs mypy: pip install mypy")
    pytest.importorskip("torch", reason="needs torch: pip install torch")
    wrong = {
        "register(5)": "arg-type",
        "case.nothing": "attr-defined",
        "text: str = render(case.ct, camera, pose)": "assignment",
    }
    (tmp_path / "use.py").write_text(USE + "\n".join(wrong) + "\n")
    words = "-m mypy --strict --config-file= --follow-imports=silent use.py".split()
    said = run_python(*words, cwd=tmp_path, MYPYPATH=str(LIBRARY), PATH="/usr/bin:/bin").stdout
    found = re.findall(r"use\.py:(\d+): error: .*\[([\w-]+)\]$", said, re.MULTILINE)
    first = USE.count("\n") + 1
    assert found == [(str(first + n), kind) for n, kind in enumerate(wrong.values())], said
    assert (LIBRARY / "MultiViewRegistrationLib" / "py.typed").is_file()


def test_the_package_shows_what_it_offers_and_loads_it_when_used():
    listed = dir(MultiViewRegistrationLib)
    assert listed == MultiViewRegistrationLib.__all__ and {"Case", "register"} < set(listed)
    for name in {*listed} - {"DifferentiableRenderer"}:
        assert getattr(MultiViewRegistrationLib, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        MultiViewRegistrationLib.nothing  # noqa: B018
    script = (
        "import sys, MultiViewRegistrationLib as m; dir(m); m.InputError; sys.modules['torch'] = "
        "None\nassert not {'numba', 'numpy', 'SimpleITK'} & set(sys.modules)\ntry: "
        "m.DifferentiableRenderer\nexcept ImportError as error: print(error)"
    )
    done = run_python("-c", script, PYTHONPATH=str(LIBRARY))
    assert done.stdout == f"DifferentiableRenderer needs PyTorch: {install_command('torch')}\n", (
        done.stderr
    )


def test_the_library_has_the_name_of_its_program_and_is_there_once():
    code = """
import mvreg
from mvreg import InputError, train
print(mvreg.Case.__module__, mvreg.__version__)
try:
    import mvreg.io.case
except ModuleNotFoundError:  # or each class would be there twice
    print("once")
"""
    done = run_python("-c", code, **{**os.environ, "PYTHONPATH": str(LIBRARY)})
    version = MultiViewRegistrationLib.__version__
    assert done.stdout.split() == ["MultiViewRegistrationLib.io.case", version, "once"]


@pytest.mark.slow
def test_a_result_can_be_pickled(result):
    again = pickle.loads(pickle.dumps(result))
    assert again.to_json() == result.to_json()
    assert again.similarity(again.world_from_ct) == result.similarity(result.world_from_ct)


@pytest.mark.slow
def test_logging_tells_of_a_registration_without_a_name(case_file, caplog):
    caplog.set_level(logging.INFO, "MultiViewRegistrationLib")
    result = register(case_file)
    (told,) = caplog.messages
    assert f"2 views, start given: {result.verdict}" in told and case_file.parent.name not in told


@pytest.mark.parametrize(
    "content, code, key",
    [('{"version": 1}', "missing", "views"), ('{"version": 99}', "value", "version"), ("[", "input", "")],
)  # fmt: skip
def test_an_error_has_a_code_for_programs(tmp_path, content, code, key):
    (tmp_path / "case.json").write_text(content)
    with pytest.raises(InputError) as caught:
        register(tmp_path)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.code, error.key) == (code, key)

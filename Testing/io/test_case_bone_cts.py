"""A case whose structures have a CT each.

What is read, written, hashed and made anonymous, and what is wrong with it.
"""

import numpy as np
import pytest
from helpers.file_io import read_json, read_values, write_volume
from helpers.refusals import warns
from numpy.testing import assert_allclose, assert_array_equal
from test_case_schema import VALIDATOR
from tiny_case import (
    DISTANCE,
    REMOVED,
    START,
    case_of_arrays,
    changed,
    images_of,
    minimal,
    refusal,
    registered_case,
    run,
)

from MultiViewRegistrationLib import Body
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.case_writer import anonymise
from MultiViewRegistrationLib.io.case_writer import write_case as write_case_folder
from MultiViewRegistrationLib.io.transforms import write_transform

#: Each CT has its first voxel at its own frame's origin.
PLACE = np.diag([4.0, 4, 4, 1])
OTHER = rigid.translation([6.0, 0, 2]) @ START


def own_frame(pose):
    """The pose of a CT whose first voxel lies at (0, 0, 0) rather than at (-22, -22, -22)."""
    return pose @ rigid.translation([-22.0] * 3)


def two_bones():
    """A case of two bones, as parsed JSON."""
    radius = {"name": "radius", "ct": "radius.mha", "world_from_ct": own_frame(START).tolist()}
    ulna = {"name": "ulna", "ct": "ulna.mha", "world_from_ct": own_frame(OTHER).tolist()}
    content = {
        **minimal(),
        "ct_unit": "relative",
        "structures": [radius, {**ulna, "ct_unit": "hu"}],
    }
    del content["ct"], content["world_from_ct"]
    return content


def write_bone(path, values):
    write_volume(path, values.astype(np.int16), PLACE)


@pytest.fixture(autouse=True)
def folder(write_case, tmp_path, monkeypatch):
    """The tiny case's files, and two CTs of bones: relative values and Hounsfield units."""
    write_bone(tmp_path / "radius.mha", np.where(DISTANCE < 3, 4000 - 300 * DISTANCE, 0))
    write_bone(tmp_path / "ulna.mha", np.where(DISTANCE < 2.5, 900, -1000))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_same(case, other):
    for one, two in zip(case.bodies, other.bodies, strict=True):
        assert one.ct.unit == two.ct.unit
        assert_array_equal(one.ct.volume.values, two.ct.volume.values)
        assert_allclose(one.ct.volume.ct_from_index, two.ct.volume.ct_from_index)
        assert_allclose(one.world_from_ct, two.world_from_ct)


def test_each_bone_has_its_ct_unit_and_start(load):
    case = load(two_bones())
    assert case.bone_names == ("radius", "ulna") and not case.structures.names
    radius, ulna = case.bodies
    assert radius.ct.unit == "relative" and radius.ct.mask is None
    assert_allclose(case.world_from_ct, own_frame(START))
    assert ulna.ct.unit == "hu" and ulna.ct.volume.values[ulna.ct.mask].min() == 900
    assert_allclose(ulna.world_from_ct, own_frame(OTHER))
    assert radius.uid != ulna.uid
    assert VALIDATOR.is_valid(two_bones())


def test_initial_pose_of_the_case_is_that_of_bones_without_one(load):
    content = {**two_bones(), "world_from_ct": own_frame(OTHER).tolist()}
    del content["structures"][0]["world_from_ct"]
    assert_allclose(load(content).world_from_ct, own_frame(OTHER))
    del content["world_from_ct"]
    first, second = load(content).bodies
    assert first.world_from_ct is None and second.world_from_ct is not None


def test_truths_are_those_of_bones(load, write_case):
    content = {**two_bones(), "truth": {"structures": {"ulna": START.tolist()}}}
    assert VALIDATOR.is_valid(content)
    assert_allclose(load(content).structure_truths["ulna"], START)
    content["truth"]["structures"]["femur"] = START.tolist()
    assert 'truth.structures has "femur"' in refusal(Case.load, write_case(content))


@pytest.mark.filterwarnings("default")
def test_a_rendering_adds_up_the_bones_that_have_a_pose_and_says_which(write_case, capsys):
    write_case(two_bones())
    write_transform("radius.tfm", own_frame(START))
    drawn = {}
    for pose in ("start", "radius.tfm"):
        run(f"render case.json --pose {pose} --out drr")
        drawn[pose] = read_values("drr/AP_drr.mha")
    ulna = drawn["start"] - drawn["radius.tfm"]
    assert ulna.max() > 0.1 and ulna.min() > -1e-5
    assert "only radius is taken, not ulna" in capsys.readouterr().err


AWAY = rigid.translation([0, 0, 2000.0]).tolist()
SQUEEZED = np.diag([0.5, 1, 1, 1]).tolist()
#: Where a value is changed, and the sentence. A schema can tell the first ones.
WRONG = [
    ("structures[1].mask", "bone.mha", "structures[1].mask stands beside a CT of its own"),
    (
        "structures[1]",
        {"name": "ulna", "label": 3},
        "structures[1].ct is missing, but another structure",
    ),
    ("ct", "ct.mha", 'structures[0].ct_unit is "relative", expected one of titanium'),
    ("truth", {"world_from_ct": START.tolist()}, "truth.world_from_ct stands beside structures"),
    ("structures[0].ct_unit", "nan/mm", "structures[0].ct_unit is"),
    ("structures[0].name", REMOVED, "structures[0].name is missing"),
]
SCHEMA_TELLS = len(WRONG)
WRONG += [
    ("structures[1].ct", "nowhere.mha", 'structures[1].ct is "nowhere.mha", which does not exist'),
    ("structures[1].name", "Radius", 'found the name "Radius" twice'),
    ("structures[1].world_from_ct", SQUEEZED, "structures[1].world_from_ct"),
    ("structures[1].ct", "soft.mha", "soft.mha: has nothing above 200 HU, expected a bone"),
    (
        "structures[1].world_from_ct",
        AWAY,
        'structure "ulna": world_from_ct has the CT outside every',
    ),
]


@pytest.mark.parametrize("nth", range(len(WRONG)))
def test_invalid_bones_are_refused(folder, write_case, nth):
    write_bone(folder / "soft.mha", 60 * np.indices((12, 12, 12))[0] - 600)
    path, value, part = WRONG[nth]
    content = changed(two_bones(), path, value)
    assert part in refusal(Case.load, write_case(content))
    assert VALIDATOR.is_valid(content) == (nth >= SCHEMA_TELLS)


@pytest.fixture
def written(folder):
    """A function: the case that is written of a loaded one, read again."""

    def write(content, case):
        path = write_case_folder(folder / "copy", content, case.bodies, images_of(folder))
        assert VALIDATOR.is_valid(read_json(path))
        return Case.load(path)

    return write


def test_an_anonymised_case_has_the_same_bones_and_only_usual_names(folder, load):
    case = load(changed(two_bones(), "structures[1].name", "Plantagenet"))
    copy = anonymise(case.path, folder / "anonymous")
    found = Case.load(copy.path)
    assert found.bone_names == ("radius", "structure 2")
    assert_same(found, case)
    assert "Plantagenet" not in copy.path.read_text() and "numbers" in " ".join(copy.changes)
    assert {each.name for each in copy.path.parent.iterdir()} >= {"bone1.mha", "bone2.mha"}


def test_a_case_of_arrays(load):
    radius = read_values("radius.mha").transpose(2, 1, 0)
    case = case_of_arrays(
        Body(radius, PLACE, "radius", "relative", own_frame(START)),
        Body("ulna.mha", name="ulna", world_from_ct=own_frame(OTHER)),
    )
    assert_same(case, load(two_bones()))


@pytest.mark.parametrize(
    "bone, part",
    [
        ({"ct": np.ones((3, 3, 3))}, 'structure "ulna": ct_from_index: is missing'),
        ({"labels": np.ones((2, 2, 2))}, "labels: stands beside a bone with a CT of its own"),
        ({"unit": "mm"}, 'structure "ulna":'),
    ],
)
def test_invalid_arguments_are_refused(bone, part):
    assert part in refusal(case_of_arrays, Body(**{"ct": "ulna.mha", "name": "ulna", **bone}))


STEM = {"name": "stem", "ct": "stem.mha", "ct_unit": "0.5/mm", "world_from_ct": START.tolist()}
WITH_IMPLANT = {**minimal(), "structures": [STEM, {"name": "bone", "mask": "bone.mha"}]}


def test_implants_are_read_with_a_ct_and_its_bones(folder, load, written):
    write_bone(folder / "stem.mha", np.ones((3, 3, 3)))
    assert VALIDATOR.is_valid(WITH_IMPLANT)
    case = load(WITH_IMPLANT)
    assert case.bone_names == ("bone", "stem") and case.structures.names == ("bone",)
    assert case.bodies[1].ct.unit == "0.5/mm"
    assert_same(written(WITH_IMPLANT, case), case)
    with warns("only CT is taken, not stem"):
        case.warn_of_other_bones()


def test_options_choose_among_the_bones(write_case):
    write_case(two_bones())
    case = registered_case("--structures ulna")
    assert case.bone_names == ("ulna",) and case.ct.unit == "hu"
    assert_allclose(case.world_from_ct, own_frame(OTHER))
    assert registered_case("--structures all").bone_names == ("radius", "ulna")
    assert '"femur", which is no structure' in refusal(registered_case, "--structures femur")
    words = "--ct-labels bone.mha --structures ulna"
    assert "the structures of the case have a CT each" in refusal(registered_case, words)

"""A case whose structures have a CT each.

What is read, written, hashed and made anonymous, and what is wrong with it.
"""

import warnings

import numpy as np
import pytest
from file_io import read_json, read_values
from numpy.testing import assert_allclose, assert_array_equal
from test_case_schema import VALIDATOR
from tiny_case import (
    REMOVED,
    START,
    case_of_arrays,
    changed,
    minimal,
    refusal,
    registered_case,
    write_image,
)

from MultiViewRegistrationLib import Body
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.imaging.xray import load_image
from MultiViewRegistrationLib.io.case import Case, changed_inputs
from MultiViewRegistrationLib.io.case_anonymise import anonymise
from MultiViewRegistrationLib.io.case_file import BodySource, CaseFile
from MultiViewRegistrationLib.io.case_writer import write_case as write_case_folder

#: Each CT has its first voxel at its own frame's origin.
PLACE = np.diag([4.0, 4, 4, 1])
OTHER = START.copy()
OTHER[:3, 3] += [6, 0, 2]


def own_frame(pose):
    """The pose of a CT whose first voxel lies at (0, 0, 0) rather than at (-22, -22, -22)."""
    shift = np.eye(4)
    shift[:3, 3] = -22
    return pose @ shift


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
    write_image(path, values.astype(np.int16), (4, 4, 4), (0, 0, 0))


@pytest.fixture
def folder(write_case, tmp_path, monkeypatch):
    """The tiny case's files, and two CTs of bones: relative values and Hounsfield units."""
    distance = np.linalg.norm(np.indices((12, 12, 12)) - 5.5, axis=0)
    write_bone(tmp_path / "radius.mha", np.where(distance < 3, 4000 - 300 * distance, 0))
    write_bone(tmp_path / "ulna.mha", np.where(distance < 2.5, 900, -1000))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(write_case, content, **more):
    """A case that loads without a warning."""
    with warnings.catch_warnings(action="error"):
        return Case.load(write_case(content), **more)


def assert_same(case, other):
    assert case.bone_names == other.bone_names
    assert_same_bodies(case, other)


def assert_same_bodies(case, other):
    for one, two in zip(case.bodies, other.bodies, strict=True):
        assert one.ct.unit == two.ct.unit
        assert_array_equal(one.ct.volume.values, two.ct.volume.values)
        assert_allclose(one.ct.volume.ct_from_index, two.ct.volume.ct_from_index)
        assert_allclose(one.world_from_ct, two.world_from_ct)


def test_each_bone_has_its_ct_unit_and_start(folder, write_case):
    case = load(write_case, two_bones())
    assert case.bone_names == ("radius", "ulna") and not case.structures.names
    radius, ulna = case.bodies
    assert case.ct is radius.ct and radius.ct.unit == "relative" and radius.ct.mask is None
    assert_allclose(case.world_from_ct, own_frame(START))
    assert ulna.ct.unit == "hu" and ulna.ct.volume.values[ulna.ct.mask].min() == 900
    assert_allclose(ulna.world_from_ct, own_frame(OTHER))
    assert radius.uid != ulna.uid
    assert ", bones radius and 1 more;" in repr(case)
    assert VALIDATOR.is_valid(two_bones())


def test_unit_and_start_of_the_case_are_those_of_bones_without_their_own(folder, write_case):
    content = {**two_bones(), "world_from_ct": own_frame(OTHER).tolist()}
    for entry, key in zip(content["structures"], ("world_from_ct", "ct_unit"), strict=True):
        del entry[key]
    write_bone(folder / "ulna.mha", np.ones((12, 12, 12)))
    case = load(write_case, content)
    assert [bone.ct.unit for bone in case.bodies] == ["relative", "relative"]
    assert_allclose(case.world_from_ct, own_frame(OTHER))
    del content["world_from_ct"]
    first, second = load(write_case, content).bodies
    assert first.world_from_ct is None and second.world_from_ct is not None


def test_truths_are_those_of_bones(folder, write_case):
    content = {**two_bones(), "truth": {"structures": {"ulna": START.tolist()}}}
    assert VALIDATOR.is_valid(content)
    assert_allclose(load(write_case, content).structure_truths["ulna"], START)
    content["truth"]["structures"]["femur"] = START.tolist()
    assert 'truth.structures has "femur"' in refusal(Case.load, write_case(content))


@pytest.mark.filterwarnings("default")
def test_commands_that_take_one_ct_say_which(folder, write_case, capsys):
    write_case(two_bones())
    assert main(["render", "case.json", "--out", "drr"]) == 0
    assert "only radius is taken, not ulna" in capsys.readouterr().err


AWAY = np.eye(4)
AWAY[2, 3] = 2000


FIRST = ["structures", 0]


SECOND = ["structures", 1]


#: Where a value is changed, and the sentence. A schema can tell the first ones.
WRONG = [
    ([*FIRST, "label"], 3, "structures[0].label stands beside a CT of its own"),
    ([*SECOND, "mask"], "bone.mha", "structures[1].mask stands beside a CT of its own"),
    ([*SECOND, "ct"], REMOVED, "structures[1].ct is missing, but another structure has one"),
    (SECOND, {"name": "ulna", "label": 3}, "structures[1].ct is missing, but another structure"),
    (["ct"], "ct.mha", 'structures[0].ct_unit is "relative", expected one of titanium'),
    (["labels"], "ct.mha", "labels stands beside structures with a CT each"),
    (["targets"], [[1, 2, 3]], "targets stands beside structures with a CT each"),
    (["truth"], {"world_from_ct": START.tolist()}, "truth.world_from_ct stands beside structures"),
    ([*FIRST, "ct_unit"], "mm", "structures[0].ct_unit is"),
    ([*FIRST, "name"], REMOVED, "structures[0].name is missing"),
]
SQUEEZED = np.diag([0.5, 1, 1, 1])
SQUEEZED[0, 0] = 0.5


SCHEMA_TELLS = len(WRONG)
WRONG += [
    ([*SECOND, "ct"], "nowhere.mha", 'structures[1].ct is "nowhere.mha", which does not exist'),
    ([*SECOND, "name"], "Radius", 'found the name "Radius" twice'),
    ([*SECOND, "world_from_ct"], SQUEEZED.tolist(), "structures[1].world_from_ct"),
    ([*SECOND, "ct"], "soft.mha", "soft.mha: has nothing above 200 HU, expected a bone"),
    ([*FIRST, "world_from_ct"], AWAY.tolist(), "world_from_ct has the CT outside every view"),
    (
        [*SECOND, "world_from_ct"],
        AWAY.tolist(),
        'structure "ulna": world_from_ct has the CT outside every view',
    ),
]


@pytest.mark.parametrize("nth", range(len(WRONG)))
def test_each_mistake_has_its_sentence(folder, write_case, nth):
    write_bone(folder / "soft.mha", 60 * np.indices((12, 12, 12))[0] - 600)
    keys, value, part = WRONG[nth]
    content = changed(two_bones(), keys, value)
    assert part in refusal(Case.load, write_case(content))
    assert VALIDATOR.is_valid(content) == (nth >= SCHEMA_TELLS)


def test_every_ct_is_an_input(folder, write_case):
    path = write_case(two_bones())
    case = Case.load(path)
    assert {"radius.mha", "ulna.mha"} < case.inputs.keys() and "ct.mha" not in case.inputs
    write_bone(folder / "ulna.mha", np.full((12, 12, 12), 400))
    assert changed_inputs(case.inputs, CaseFile.read(path)) == ["CT of ulna"]


def test_cts_that_are_known_are_not_read_again(folder, write_case, monkeypatch):
    first = load(write_case, two_bones())
    monkeypatch.setattr(BodySource, "read", lambda _self: pytest.fail("read again"))
    content = changed(two_bones(), [*SECOND, "world_from_ct"], own_frame(START).tolist())
    again = load(write_case, content, last=first)
    assert all(one.ct is two.ct for one, two in zip(first.bodies, again.bodies, strict=True))
    assert_allclose(again.bodies[1].world_from_ct, own_frame(START))


def test_the_written_case_has_the_same_bones(folder, write_case):
    case = load(write_case, two_bones())
    images = {name: load_image(folder / f"{name.lower()}.mha") for name in ("AP", "LAT")}
    path = write_case_folder(folder / "copy", two_bones(), case.bodies, images)
    assert VALIDATOR.is_valid(read_json(path))
    assert_same(Case.load(path), case)


def test_an_anonymised_case_has_the_same_bones_and_only_usual_names(folder, write_case):
    path = write_case(changed(two_bones(), [*SECOND, "name"], "Plantagenet"))
    written, notes = anonymise(path, folder / "anonymous")
    found = Case.load(written)
    assert found.bone_names == ("radius", "structure 2")
    assert_same_bodies(found, Case.load(path))
    assert "Plantagenet" not in written.read_text() and any("numbers" in note for note in notes)
    assert {each.name for each in written.parent.iterdir()} >= {"bone1.mha", "bone2.mha"}


def test_a_case_of_arrays(folder, write_case):
    radius = read_values("radius.mha").transpose(2, 1, 0)
    case = case_of_arrays(
        Body(radius, PLACE, "radius", "relative", own_frame(START)),
        Body("ulna.mha", name="ulna", world_from_ct=own_frame(OTHER)),
    )
    assert_same(case, load(write_case, two_bones()))
    whole = refusal(case_of_arrays, Body("ulna.mha", name="ulna"), targets=[[1, 2, 3]])
    assert "targets: stands beside a bone" in whole


@pytest.mark.parametrize(
    "bone, part",
    [
        ({"name": "a/b"}, 'Body: name is "a/b"'),
        ({"ct": np.ones((3, 3, 3))}, 'structure "ulna": ct_from_index: is missing'),
        ({"labels": np.ones((2, 2, 2))}, "labels: stands beside a bone with a CT of its own"),
        ({"unit": "mm"}, 'structure "ulna":'),
    ],
)
@pytest.mark.usefixtures("folder")
def test_each_wrong_argument_has_its_sentence(bone, part):
    given = Body(**{"ct": "ulna.mha", "name": "ulna", **bone})
    assert part in refusal(case_of_arrays, given)


def test_implants_lie_beside_a_ct_and_its_bones(folder, write_case):
    write_bone(folder / "stem.mha", np.ones((3, 3, 3)))
    stem = {"name": "stem", "ct": "stem.mha", "ct_unit": "0.5/mm", "world_from_ct": START.tolist()}
    content = {**minimal(), "structures": [stem, {"name": "bone", "mask": "bone.mha"}]}
    assert VALIDATOR.is_valid(content)
    case = load(write_case, content)
    assert case.bone_names == ("bone", "stem") and case.structures.names == ("bone",)
    assert case.bodies[1].ct.unit == "0.5/mm"
    images = {name: load_image(folder / f"{name.lower()}.mha") for name in ("AP", "LAT")}
    path = write_case_folder(folder / "copy", content, case.bodies, images)
    assert VALIDATOR.is_valid(read_json(path))
    assert_same(Case.load(path), case)
    with pytest.warns(UserWarning, match="only CT is taken, not stem"):
        case.warn_of_other_bones()
    twice = changed(content, ["structures", 1, "name"], "Stem")
    assert 'found the name "stem" twice' in refusal(Case.load, write_case(twice))
    for unit in ("0/mm", "-1/mm", "nan/mm", "mm", "50/mm"):
        assert "ct_unit" in refusal(
            Case.load, write_case(changed(content, [*FIRST, "ct_unit"], unit))
        )


def test_options_choose_among_the_bones(folder, write_case):
    write_case(two_bones())
    case = registered_case("--structures ulna")
    assert case.bone_names == ("ulna",) and case.ct.unit == "hu"
    assert_allclose(case.world_from_ct, own_frame(OTHER))
    assert registered_case("--structures all").bone_names == ("radius", "ulna")
    for words, said in (
        ("--structures femur", 'found "femur", which is no structure'),
        ("--ct-labels bone.mha --structures ulna", "the structures of the case have a CT each"),
    ):
        assert said in refusal(registered_case, words)

"""The structures of a case: label volumes, Slicer's .seg.nrrd, DICOM segmentations and masks, and what is wrong with them."""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.file_io import read_json, write_volume
from helpers.planted_dicom import write_ct
from helpers.refusals import warns
from helpers.segmentation_files import write_seg, write_seg_nrrd
from numpy.testing import assert_array_equal
from test_case_schema import VALIDATOR
from tiny_case import (
    PLACE,
    REMOVED,
    case_of_arrays,
    changed,
    minimal,
    refusal,
    registered_case,
    run,
)

from MultiViewRegistrationLib.errors import collect_warnings
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.segmentation import read_structures
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.case_writer import anonymise

SHAPE = (12, 12, 12)


def block(*ranges):
    """bool, True in a block of voxels k, j, i."""
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*each) for each in ranges)] = True
    return mask


L1, L2 = block((7, 9), (3, 8), (4, 8)), block((3, 6), (4, 8), (3, 7))
LABELS = (31 * L1 + 30 * L2).astype(np.uint8)


def structured(labels="labels.mha", structures="all"):
    """A case with structures, as parsed JSON."""
    return {**minimal(), "labels": labels, "structures": structures}


def listed(*entries):
    """Entries of "structures" from names, and labels if they are given."""
    return [
        {"name": each} if isinstance(each, str) else dict(zip(("name", "label"), each))
        for each in entries
    ]


NUMBERED = {"30": L2, "31": L1}
NAMED_LABELS = listed(("L1", 31), ("L2", 30))
MASKS = [{"name": "L1", "mask": "l1.mha"}, {"name": "L2", "mask": "l2.mha"}]


def write_labels(path, values):
    write_volume(path, values, PLACE)


@pytest.fixture(autouse=True)
def folder(write_case, tmp_path, monkeypatch):
    """The tiny case's files, a label volume and two masks of the same structures, where the program runs."""
    for name, values in (("labels", LABELS), ("l1", L1), ("l2", L2)):
        write_labels(tmp_path / f"{name}.mha", values.astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_structures(case, **masks):
    assert case.structures.names == tuple(masks)
    assert case.structures.labels.dtype == np.uint8 and case.structures.labels.shape == SHAPE
    for n, mask in enumerate(masks.values()):
        assert_array_equal(case.structures.mask(n), mask)
    assert_array_equal(case.structures.labels > 0, np.any(list(masks.values()), 0))


def test_structures_from_masks_with_and_without_labels(load):
    case = load({**minimal(), "structures": MASKS})
    assert_structures(case, L1=L1, L2=L2)
    assert {"l1.mha", "l2.mha"} < set(case.inputs)
    mixed = load(structured(structures=[MASKS[1], *listed(("L1", 31))]))
    assert_structures(mixed, L2=L2, L1=L1)


SEGMENTS = [("L1 vertebra", 1, 0), ("Wirbel – L2", 2, 0)]


def test_slicers_segmentation_by_its_names(folder, load):
    write_seg_nrrd(folder / "s.seg.nrrd", [(L1 + 2 * L2).astype(np.uint8)], PLACE, SEGMENTS)
    for structures, masks in (
        ("all", {"L1 vertebra": L1, "Wirbel – L2": L2}),
        (listed("l1 VERTEBRA"), {"l1 VERTEBRA": L1}),
        (listed(("bone", 2)), {"bone": L2}),
    ):
        assert_structures(load(structured("s.seg.nrrd", structures)), **masks)


def test_the_layers_of_slicers_segmentation(folder, load, write_case):
    """Segments that overlap lie in layers of their own, under one value.

    What is chosen may not overlap.
    """
    both = L1 | L2
    layers, segments = [L1.astype(np.uint8), both.astype(np.uint8)], [("L1", 1, 0), ("both", 1, 1)]
    write_seg_nrrd(folder / "s.seg.nrrd", layers, PLACE, segments)
    assert_structures(load(structured("s.seg.nrrd", listed("L1"))), L1=L1)
    for entry in ("both", ("both", 1)):
        assert_structures(load(structured("s.seg.nrrd", listed(entry))), both=both)
    message = refusal(Case.load, write_case(structured("s.seg.nrrd", listed(("L2", 1)))))
    assert "in 2 layers" in message and '"L1", "both"' in message
    message = refusal(Case.load, write_case(structured("s.seg.nrrd")))
    assert 'structures "L1" and "both": overlap in 40 voxels, 100% of the smaller' in message


def test_a_cropped_segmentation_is_on_the_grid_of_the_ct(folder, load):
    """As Slicer saves them: the same voxels, fewer of them; nothing is said."""
    cropped = PLACE.copy()
    cropped[:3, 3] += [8, 8, 12]
    part = L1[3:10, 2:9, 2:9].astype(np.uint8)
    write_seg_nrrd(folder / "s.seg.nrrd", [part], cropped, [("L1", 1, 0)])
    assert_structures(load(structured("s.seg.nrrd")), L1=L1)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_read_dicom_segmentation(folder, load, kind):
    """Its frames are the slices in which a segment is.

    Bits run on over the ends of frames of 144 pixels.
    """
    write_seg(folder / "seg.dcm", {"L1": L1, "L2 body": L2}, PLACE, kind)
    assert_structures(load(structured("seg.dcm")), **{"L1": L1, "L2 body": L2})
    assert_structures(load(structured("seg.dcm", listed(("bone", 2), "L1"))), bone=L2, L1=L1)


def test_segments_of_a_dicom_segmentation_may_overlap(folder, load, write_case):
    write_seg(folder / "seg.dcm", {"L1": L1, "both": L1 | L2, "L2": L2}, PLACE)
    assert_structures(load(structured("seg.dcm", listed("both"))), both=L1 | L2)
    assert '"L1" and "both": overlap' in refusal(Case.load, write_case(structured("seg.dcm")))


def test_frames_of_odd_size_begin_within_a_byte(tmp_path):
    masks = np.random.default_rng(3).random((5, 7, 9)) < 0.5
    write_seg(tmp_path / "seg.dcm", {"bone": masks}, np.eye(4))
    ct = CT(Volume(np.full(masks.shape, 500.0), np.eye(4)))
    with warns('structure "bone" is cut off by the end of the CT'):
        found = read_structures(tmp_path / "seg.dcm", [], ct)
    assert_array_equal(found.mask(0), masks)


def test_a_dicom_segmentation_of_another_patient_is_one(folder, write_case):
    write_ct(folder / "ct", np.where(LABELS > 0, 900, -500), PLACE)
    write_seg(folder / "seg.dcm", {"L1": L1}, PLACE, PatientID="somebody else")
    with warns("the labels and CT are of different patients"):
        case = Case.load(write_case(changed(structured("seg.dcm"), "ct", "ct")))
    assert case.identity_findings


#: What takes the place of labels "labels.mha" and structures "all", and the sentence.
#: A schema can tell the first ones.
WRONG = [
    ({"structures": REMOVED}, 'structures is missing beside labels, expected "all"'),
    ({"labels": REMOVED}, 'labels is missing, but structures is "all"'),
    ({"structures": [{"label": 31}]}, "structures[0].name is missing"),
    ({"structures": listed(("../L1", 31))}, 'structures[0].name is "../L1"'),
    ({"structures": listed(("L1", 70000))}, "structures[0].label is 70000"),
    ({"structures": [MASKS[0] | {"label": 31}]}, "structures[0].label stands beside mask"),
    ({"labels": REMOVED, "structures": listed("L1")}, "structures[0].mask is missing, and the"),
    ({"structures": listed(*((f"L{n}", n) for n in range(1, 257)))}, "found 256"),
    ({"mask": "bone.mha", "structures": NAMED_LABELS}, "mask stands beside structures, expected"),
]
SCHEMA_TELLS = len(WRONG)
WRONG += [
    ({"structures": listed(("Ct", 31))}, 'the name "Ct" twice'),
    ({"structures": listed(("L3", 29))}, "has not; choose one of its labels, 30, 31."),
    ({"structures": listed("L1")}, 'structure "L1": has no label'),
    ({"structures": listed(("L1", 31), ("L2", 31))}, '"L2": is the same segment as "L1"'),
    ({"labels": "ct.mha"}, "ct.mha: has values from -1000 to 900, expected labels"),
    ({"labels": "ap.mha"}, "three-dimensional label volume is expected"),
    ({"labels": "zero.mha"}, "zero.mha: has no label above 0"),
    ({"labels": "smooth.mha"}, "smooth.mha: has values that are no whole numbers"),
    ({"labels": "away.mha"}, "has no voxel within the CT"),
    ({"labels": "air.mha"}, 'structure "1": has nothing but air inside'),
    ({"labels": "s.seg.nrrd", "structures": listed("femur")}, 'one of its segments, "L1", "L2".'),
    ({"labels": "twice.seg.nrrd", "structures": listed("L1")}, "its label, too, one of 1, 2"),
    ({"labels": "slash.seg.nrrd"}, 'the name "L1/L2"'),
    ({"structures": [*listed(("also", 31)), MASKS[0]]}, '"also" and "L1": overlap'),
]


@pytest.fixture
def wrong_files(folder):
    for name, values in (
        ("zero", np.zeros(SHAPE, np.uint8)),
        ("smooth", (0.5 * LABELS).astype(np.float32)),
        ("air", block((0, 2), (0, 2), (0, 2)).astype(np.uint8)),
    ):
        write_labels(folder / f"{name}.mha", values)
    write_volume(folder / "away.mha", LABELS, rigid.translation([522.0] * 3) @ PLACE)
    both = [(L1 + 2 * L2).astype(np.uint8)]
    for name, first, second in (("s", "L1", "L2"), ("twice", "L1", "L1"), ("slash", "L1/L2", "L3")):
        write_seg_nrrd(folder / f"{name}.seg.nrrd", both, PLACE, [(first, 1, 0), (second, 2, 0)])


@pytest.mark.parametrize("nth", range(len(WRONG)))
def test_invalid_structures_are_refused(wrong_files, write_case, nth):
    content = structured()
    changes, part = WRONG[nth]
    for key, value in changes.items():
        content = changed(content, key, value)
    with collect_warnings():
        assert part in refusal(Case.load, write_case(content))
    assert VALIDATOR.is_valid(content) == (nth >= SCHEMA_TELLS)


@pytest.mark.parametrize(
    "tags, part",
    [
        ({"SegmentationType": "OTHER"}, "unknown SegmentationType"),
        ({"NumberOfFrames": 5000}, "ends early"),
        ({"PixelData": b"\0\0"}, "ends early: its header claims"),
        ({"SegmentSequence": []}, "without segments"),
    ],
)
def test_damaged_dicom_segmentation_is_refused(folder, write_case, tags, part):
    write_seg(folder / "seg.dcm", {"L1": L1}, PLACE, **tags)
    message = refusal(Case.load, write_case(structured("seg.dcm")))
    assert message.startswith(str(folder / "seg.dcm")) and part in message, message


def test_dicom_segmentation_with_unevenly_spaced_frames_is_refused(folder, write_case):
    file = pydicom.dcmread(write_seg(folder / "seg.dcm", {"L2": L2}, PLACE))
    place = file.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    place.ImagePositionPatient = [*map(float, np.add(place.ImagePositionPatient, [0, 0, 1.7]))]
    file.save_as(folder / "seg.dcm")
    assert "not evenly spaced" in refusal(Case.load, write_case(structured("seg.dcm")))


def test_few_shared_voxels_belong_to_the_first_structure(folder, load):
    one, other = block((2, 10), (2, 10), (2, 6)), block((2, 10), (2, 10), (6, 10))
    write_labels(folder / "l1.mha", one.astype(np.uint8))
    other[2, 2, 5] = True
    write_labels(folder / "l2.mha", other.astype(np.uint8))
    assert_structures(load({**minimal(), "structures": MASKS}), L1=one, L2=other & ~one)


def of_arrays(**named):
    """A case of the tiny case's files, but for what it is given."""
    return case_of_arrays(**{"ct": "ct.mha", **named})


def test_structures_from_arrays():
    labels = LABELS.transpose(2, 1, 0).astype(int)
    ras = nibabel.Nifti1Image(labels.astype(np.uint8), np.diag([-1, -1, 1, 1]) @ PLACE)
    named = {"L1": 31, "L2": np.int64(30)}
    assert_structures(of_arrays(labels=labels, structures=named), L1=L1, L2=L2)
    for given in (ras, "labels.mha", sitk.ReadImage("labels.mha")):
        assert_structures(of_arrays(labels=given), **NUMBERED)
    assert_structures(of_arrays(labels=labels, structures=["31"]), **{"31": L1})


@pytest.mark.parametrize(
    "named, part",
    [
        ({"structures": {"L1": 31}}, "labels: is missing beside structures"),
        ({"labels": np.ones((3, 4, 5), int)}, "has 3 x 4 x 5 voxels, expected the CT's 12 x 12"),
        ({"labels": LABELS.T, "structures": {"L1": "31"}}, "structures: found a str as a label"),
        ({"labels": LABELS.T, "structures": "L1"}, "structures: found a str, expected"),
        ({"labels": LABELS.T, "structures": ["a/b"]}, "structures: structures[0].name"),
        ({"labels": LABELS.T, "mask": LABELS.T}, "mask: stands beside labels"),
    ],
)
def test_invalid_arguments_are_refused(named, part):
    assert part in refusal(of_arrays, **named)


CASE_NEW = (
    "case new --ct ct.mha --out new --view AP ap.mha --projection-matrix ap.txt --intensity log"
)


def test_case_new_stores_the_structures_of_its_options():
    np.savetxt("ap.txt", minimal()["views"][0]["projection_matrix"])
    run(f"{CASE_NEW} --ct-labels labels.mha --structures L1=31 L2=30")
    content = read_json(Path("new/case.json"))
    assert content["labels"] == "../labels.mha" and content["structures"] == NAMED_LABELS
    assert_structures(Case.load("new"), L1=L1, L2=L2)


@pytest.mark.parametrize(
    "words, said",
    [
        ("--structures L1", "--ct-labels: is missing beside --structures"),
        ("--ct-labels labels.mha --ct-mask bone.mha", "--ct-mask: stands beside --ct-labels"),
        ("--ct-labels label.mha", "label.mha does not exist"),
        ("--ct-labels .", ". is a folder"),
        ("--ct-labels labels.mha --structures all L1", "found all among other names"),
    ],
)
def test_case_new_refuses_invalid_structure_options(refused, words, said):
    np.savetxt("ap.txt", minimal()["views"][0]["projection_matrix"])
    refused(f"{CASE_NEW} {words}", said)


OF_MASKS = {**minimal(), "structures": MASKS}


@pytest.mark.parametrize(
    "content, words, masks",
    [
        (structured(structures=listed(("L1", 31))), "--structures all", NUMBERED),
        (OF_MASKS, "--structures all", {"L1": L1, "L2": L2}),
        (OF_MASKS, "--ct-labels labels.mha --structures L1 two=30", {"L1": L1, "two": L2}),
        (structured("l1.mha"), "--ct-labels labels.mha --structures 30", {"30": L2}),
    ],
)
def test_register_options_extend_and_override_the_structures(write_case, content, words, masks):
    write_case(content)
    case = registered_case(words)
    assert_structures(case, **masks)
    assert ("labels.mha" in case.inputs) == ("labels.mha" in f"{content} {words}")


def test_an_anonymised_case_and_its_truths_keep_only_the_usual_names(folder, write_case):
    truth = {"structures": {"Smith": np.eye(4), "L2": np.diag([-1, -1, 1, 1])}}
    content = structured(structures=listed(("Smith", 31), ("L2", 30)))
    copy = anonymise(write_case({**content, "truth": truth}), folder / "plain")
    case = Case.load(copy.path)
    assert_structures(case, **{"structure 1": L1, "L2": L2})
    assert set(case.structure_truths) == {"structure 1", "L2"}
    assert_array_equal(case.structure_truths["L2"], np.diag([-1, -1, 1, 1]))
    assert "Smith" not in copy.path.read_text() and "numbers" in " ".join(copy.changes)


@pytest.mark.parametrize(
    "words, said",
    [
        ("--structures all", "--structures: the case has no labels"),
        ("--ct-labels labels.mha", "mask stands beside structures"),
    ],
)
def test_register_refuses_structure_options_that_do_not_fit_the_case(write_case, words, said):
    write_case(minimal() | {"mask": "bone.mha"})
    assert said in refusal(registered_case, words)

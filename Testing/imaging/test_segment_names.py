"""What labels are called: by TotalSegmentator's own table, by its numbering, and which are bones."""

import nibabel
import numpy as np
import pytest
from helpers.phantom import make_ct
from helpers.refusals import refuses

from MultiViewRegistrationLib.errors import collect_warnings
from MultiViewRegistrationLib.imaging.body import StructureSource
from MultiViewRegistrationLib.imaging.bone_names import (
    TOTAL_SEGMENTATOR,
    follows_total_segmentator,
    is_bone,
    is_soft,
    nifti_names,
)
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.segmentation import (
    read_segments,
    read_structures,
    structures_of_array,
)

TABLE = (
    "<CaretExtension><VolumeInformation><LabelTable>"
    '<Label Key="1" Red="0.0" Green="1.0" Blue="0.0" Alpha="1"><![CDATA[vertebrae_L3]]></Label>\n'
    '<Label Key="2" Red="0.0" Green="1.0" Blue="0.0" Alpha="1">bone &amp; plate</Label>'
    "</LabelTable></VolumeInformation></CaretExtension>"
)


def stacked(*labels):
    """Labels on the phantom's grid, (i, j, k) as `Case.from_arrays` has them, each above the one before."""
    values = np.zeros(make_ct().volume.values.shape, np.uint8)
    bone = np.argwhere(make_ct().volume.values > 300)
    for label, voxels in zip(labels, np.array_split(bone, len(labels)), strict=True):
        values[tuple(voxels.T)] = label
    return values


def test_total_segmentator_numbers_get_its_names():
    with collect_warnings() as warnings:
        found = structures_of_array(stacked(28, 29, 30), None, [], make_ct())
    assert found.names == ("vertebrae_L4", "vertebrae_L3", "vertebrae_L2") and found.numbered
    assert any("28 is vertebrae_L4" in sentence for sentence in warnings)


@pytest.mark.parametrize(
    "labels",
    [
        (30, 29, 28),  # upside down
        (29, 30),  # no more than a chance
        (22, 23, 24, 25, 26, 27),  # the spine of version 1
        (28, 29, 30, 200),  # a number that it does not have
    ],
)
def test_other_numberings_keep_their_numbers(labels):
    with collect_warnings():
        found = structures_of_array(stacked(*labels), None, [], make_ct())
    assert set(found.names) == set(map(str, labels))


@pytest.mark.parametrize(("left_mm", "follows"), [(90.0, True), (-90.0, False)])
def test_follows_total_segmentator_compares_left_and_right(left_mm, follows):
    hips = {77: np.array([left_mm, 0.0, 0.0]), 78: np.array([-left_mm, 0.0, 0.0])}
    femurs = {75: np.array([left_mm, 0.0, -80.0]), 76: np.array([-left_mm, 0.0, -80.0])}
    assert follows_total_segmentator(hips | femurs) == follows


def test_structure_l3_matches_vertebrae_l3():
    wanted = [StructureSource("L3"), StructureSource("vertebrae_L2")]
    with collect_warnings():
        found = structures_of_array(stacked(28, 29, 30), None, wanted, make_ct())
    assert found.names == ("L3", "vertebrae_L2")
    assert (found.labels == 1).sum() == (stacked(28, 29, 30) == 29).sum()


@pytest.mark.parametrize(
    "kind, ending", [(nibabel.Nifti1Image, "nii"), (nibabel.Nifti2Image, "nii.gz")]
)
def test_nifti_names_reads_label_table(tmp_path, kind, ending):
    image = kind(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, TABLE.encode()))
    nibabel.save(image, tmp_path / f"labels.{ending}")
    assert nifti_names(tmp_path / f"labels.{ending}") == {1: "vertebrae_L3", 2: "bone & plate"}


def test_numbering_equals_total_segmentators_table(shared_data):
    written = nifti_names(shared_data / "labels" / "torso.nii.gz")
    assert written == {label: TOTAL_SEGMENTATOR[label] for label in range(1, 118)}


def test_read_segments_lists_bones_first(shared_data):
    ct = load_ct(shared_data / "ct" / "torso_3mm.nii.gz", "hu")
    with collect_warnings():
        found = read_segments(shared_data / "labels" / "torso.nii.gz", ct)
        bones = read_structures(shared_data / "labels" / "torso.nii.gz", [], ct)
    assert len(found.names) == 61 and found.names[:25] == bones.names
    assert all(is_bone(name, "") for name in bones.names)
    assert not any(is_bone(name, "") for name in found.names[25:])


def test_is_soft_reads_name_of_organ():
    assert is_soft("kidney_left") and is_soft("left kidney") and is_soft("Liver")
    assert not is_soft("hip_left") and not is_soft("Segment_1") and not is_soft("fragment")


def test_labels_outside_the_ct_are_excluded_or_rejected_if_named():
    ct = make_ct()
    values = stacked(28, 29, 30)
    place = ct.volume.ct_from_index.copy()
    far = np.concatenate([np.full_like(values, 31), values])
    place[:3, 3] -= place[:3, 2] * len(values)
    with collect_warnings() as warnings:
        found = structures_of_array(far, place, [], ct)
    assert len(found.names) == 3 and found.labels.max() == 3
    assert any('"31" have no voxel within the CT' in sentence for sentence in warnings)
    with refuses("has no voxel within the CT"), collect_warnings():
        structures_of_array(far, place, [StructureSource("L1", 31)], ct)

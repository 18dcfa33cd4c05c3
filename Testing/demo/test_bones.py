"""Bones are told apart as they were put in, and one that moves is projected where it went."""

from __future__ import annotations

import numpy as np
import pytest
from phantom import BONES, SPACING, write_bony_ct

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.volume import Volume
from MultiViewRegistrationLib.simulation.body import Body, single_bones
from MultiViewRegistrationLib.simulation.cases import random_cameras
from MultiViewRegistrationLib.simulation.projector import MovedBone, Projector


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return load_ct(write_bony_ct(tmp_path_factory.mktemp("bony") / "ct.nii.gz")).volume


def test_bones_are_found_the_largest_first_and_contrast_agent_is_none(ct):
    masks = single_bones(ct)
    assert len(masks) == 2
    for mask, (centre, axes) in zip(masks, BONES, strict=True):
        np.testing.assert_allclose(np.argwhere(mask).mean(axis=0)[::-1], centre, atol=0.7)
        volume = 4 / 3 * np.pi * np.prod(axes)
        assert mask.sum() == pytest.approx(volume, rel=0.15)
    assert not (masks[0] & masks[1]).any()
    assert len(single_bones(ct, most=1)) == 1
    assert single_bones(Volume(np.minimum(ct.values, 100), ct.ct_from_index)) == []


def test_a_bone_that_moves_is_projected_where_it_went(ct):
    """By whole voxels, so that the same can be done to the CT itself."""
    pytest.importorskip(
        "itk.rtkJosephForwardProjectionImageFilterPython",
        reason='needs itk-rtk: pip install "multiview-registration[demo]"',
    )
    mask = single_bones(ct)[0]
    camera = random_cameras(np.random.default_rng(0), 1, (0, 0))[0]
    pose = rigid.from_rotation_translation(
        np.eye(3), -rigid.transform_points(ct.ct_from_index, np.array([46.0, 35, 30]))
    )
    moved = MovedBone(Projector(Body.from_hu(ct, 0)), ct, mask)
    whole = Projector(Body.from_hu(ct, 0)).project(camera, pose)
    np.testing.assert_allclose(moved.project(camera, pose), whole, atol=1e-4)

    # All else goes two voxels to the patient's left; seen from there, the bone has gone two to the right.
    moved.rest_from_bone = rigid.from_rotation_translation(np.eye(3), np.array([2 * SPACING[0], 0, 0]))
    soft = np.where(mask, np.float32(40), ct.values)
    soft = np.roll(soft, 2, axis=2)
    soft[mask] = ct.values[mask] + soft[mask] - 40  # one over the other where they overlap, as line integrals add up
    expected = Projector(Body.from_hu(Volume(soft, ct.ct_from_index), 0)).project(camera, pose)
    shown = moved.project(camera, pose)
    assert np.abs(shown - whole).max() > 1
    # Attenuation is made of HU by a line with a corner: where bones overlap the sum is not quite that of the summed HU.
    assert np.percentile(np.abs(shown - expected), 99) < 0.1 * np.percentile(np.abs(shown - whole), 99)

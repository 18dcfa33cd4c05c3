"""One structure among others, registered before the rest of its CT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from phantom import TRUE_POSE, cut_tube, error_mm, make_views, misplaced, off
from scipy import ndimage

from MultiViewRegistrationLib.assessment.metrics import target_errors
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume, attenuation, masked
from MultiViewRegistrationLib.registration import variants
from MultiViewRegistrationLib.registration.objective import PoseFit
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.refinement import Refinement
from MultiViewRegistrationLib.registration.variants import register_structure
from MultiViewRegistrationLib.rendering.drr import Projector

#: Where the largest blob lies against all others.
MOVED = off(TRUE_POSE, [3.0, -2.0, 4.0], [3.0, 2.0, -3.0])
START = off(TRUE_POSE, [2.0, -2.0, 1.0], [6.0, -5.0, 4.0])


@pytest.fixture(scope="module")
def bone_ct(ct) -> CT:
    """The phantom with its largest blob of bone as the structure."""
    labels, _ = ndimage.label(ct.volume.values > 300)
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return masked(ct, ndimage.binary_dilation(largest, iterations=1))


@pytest.fixture(scope="module")
def bone(bone_ct) -> PreparedCT:
    return PreparedCT(bone_ct)


def xrays(ct, bone_ct, bone_pose=MOVED):
    """Views of the phantom with soft tissue for the blob, and of what the blob attenuates beyond that, at its own pose: two volumes."""
    hu, mask, place = ct.volume.values, bone_ct.mask, ct.volume.ct_from_index
    rest = CT(Volume(np.where(mask & (hu > 0), np.float32(0), hu), place))
    above = np.maximum(attenuation(ct).values - np.float32(0.0192), 0)
    beyond, found = Projector(Volume(np.where(mask, above, 0), place)), []
    for view in make_views(rest):
        bone = np.float32(1.3) * beyond.render(view.camera, bone_pose).image
        xray = replace(view.xray, line_integrals=view.xray.line_integrals + bone)
        found.append(replace(view, xray=xray))
    return found


def found_in(anatomy, views, start=START, progress=lambda report: None, starts=()):
    def find(of, some, progress):
        return refine(of, some, start, progress)

    return register_structure(anatomy, views, find, progress, starts)


def error_of(bone_ct, pose, true):
    """mm, root mean square over the structure."""
    index = np.argwhere(bone_ct.mask)[:, ::-1]
    points = rigid.transform_points(bone_ct.volume.ct_from_index, index)
    return float(np.sqrt(np.mean(target_errors(pose, true, points) ** 2)))


@pytest.fixture(scope="module")
def moved_views(ct, bone_ct):
    return xrays(ct, bone_ct)


def test_structure_and_background_add_up_to_the_whole_ct(views, bone):
    before = bone.with_background(TRUE_POSE)
    level = before.levels(views, TRUE_POSE)[-1]
    objective = before.objective(views, level, TRUE_POSE)
    projections = objective.project(TRUE_POSE)
    for projection, rest, view in zip(projections, objective.rest, objective.views, strict=True):
        whole = bone.full_ct.projector(level.volume).render(view.camera, TRUE_POSE).image
        assert_allclose(projection.image + rest, whole, atol=1e-4)
    assert 0.05 < projections[0].image.max() < 0.9 * whole.max()


def test_the_whole_ct_corrects_the_cameras_and_both_registrations_count(bone, ct, monkeypatch):
    """Of registrations that end at once.

    What the structure is registered with, and what becomes of it.
    """
    views = [replace(view, rotation_sd_deg=2.0) for view in make_views(ct, size=64)]
    corrected = [replace(view, name=f"{view.name} corrected") for view in views]
    nothing = PoseFit(
        cost=0.3, by_view=(), pixels=(900, 900), shown=(900, 900), similarity=(0.9, 0.6)
    )
    counted = {"search_seconds": 2.0, "selected_start": 3}
    whole = Refinement(TRUE_POSE, nothing, [], corrected, np.ones(6), 100, 7, **counted)
    asked = []

    class AtOnce:
        def __init__(self, anatomy, views, *options):
            asked.extend([anatomy, views])

        def refinement(self, others):
            asked.append(others)
            return Refinement(MOVED, nothing, [], asked[1], np.zeros(6), 10, 5, search_seconds=1.0)

    def find(anatomy, views, progress):
        return whole if anatomy is bone.full_ct else "the structure by itself"

    monkeypatch.setattr(variants, "_StructurePipeline", AtOnce)
    own, near = off(TRUE_POSE, [0, 0, 0], [8, 0, 0]), off(TRUE_POSE, [0, 0, 0], [3, 0, 0])
    found = register_structure(bone, views, find, starts=[own, near])
    anatomy, exact, others = asked
    assert anatomy.world_from_background is TRUE_POSE
    assert others == [own], "a start near the whole CT's pose is none"
    assert [view.name for view in exact] == [view.name for view in corrected]
    assert all(view.rotation_sd_deg == 0 for view in exact)
    assert found.views is corrected and found.corrections is whole.corrections
    assert found.world_from_ct is MOVED and found.selected_start == 3
    assert (found.candidates, found.refined, found.search_seconds) == (110, 12, 3.0)
    whole = replace(whole, fit=replace(nothing, similarity=(0.9, 0.49)))
    assert register_structure(bone, views, find) == "the structure by itself"


def test_rays_through_a_cut_end_of_the_whole_ct_are_not_compared():
    """A tube that goes on beyond its CT, with a block of it as the structure."""
    tube = cut_tube()
    block = np.zeros(tube.volume.values.shape, bool)
    block[4:20, 10:18, 12:20] = True
    structure = PreparedCT(replace(tube, mask=block)).with_background(TRUE_POSE)
    views = make_views(tube, ((0, 0),), size=64)
    level = structure.levels(views, TRUE_POSE)[-1]
    (view,) = structure.objective(views, level, TRUE_POSE, margin_mm=40.0).views
    seen = structure.full_ct.projector(level.volume).seen(view.camera, TRUE_POSE) > 0
    assert_array_equal(view.xray.valid, seen)
    assert 0.05 < seen.mean() < 0.95


def test_a_moved_bone_is_found_among_similar_neighbours(bone, bone_ct, moved_views):
    """The progress covers both registrations."""
    reports = []
    alone = refine(bone, moved_views, START)
    found = found_in(bone, moved_views, progress=reports.append)
    assert error_mm(found.world_from_background) < 1.5, "the rest lies where it is, nearly"
    assert error_of(bone_ct, found.world_from_ct, MOVED) < 0.3
    assert error_of(bone_ct, alone.world_from_ct, MOVED) > 0.3
    assert min(found.fit.similarity) > 0.9 and found.candidates > 1
    fractions = [each.fraction for each in reports]
    of_whole = [each.stage.startswith("the whole CT: ") for each in reports]
    assert fractions == sorted(fractions) and 0 < fractions[0] < fractions[-1] <= 1
    assert of_whole == sorted(of_whole, reverse=True) and of_whole[0] and not of_whole[-1]


@pytest.mark.slow
def test_a_bone_moved_far_is_found_from_its_own_start(ct, bone, bone_ct):
    motion = off(np.eye(4), [0, 0, 35.0], [9.0, 9.0, 9.0])
    far = rigid.about(rigid.transform_points(TRUE_POSE, bone.centroid), motion) @ TRUE_POSE
    views, near = xrays(ct, bone_ct, far), off(far, [0, 0, 0], [1.0, -1.0, 1.0])
    found = found_in(bone, views, TRUE_POSE, starts=[near])
    assert error_of(bone_ct, found.world_from_ct, far) < 0.5
    assert error_of(bone_ct, found_in(bone, views, TRUE_POSE).world_from_ct, far) > 2


@pytest.mark.slow
def test_cameras_are_corrected_by_the_whole_ct(bone, bone_ct, moved_views):
    first, second = moved_views
    wrong = misplaced(second, [2.0, 0.0, 3.0], [0.0, 4.0, 4.0])
    uncertain = replace(wrong, rotation_sd_deg=2.0, translation_sd_mm=4.0)
    found, as_given = (found_in(bone, [first, view]) for view in (uncertain, wrong))
    assert error_of(bone_ct, found.world_from_ct, MOVED) < 0.7
    assert error_of(bone_ct, as_given.world_from_ct, MOVED) > 1.4
    assert found.views[1].rotation_sd_deg == 2.0, "what was said of it stays"


@pytest.mark.parametrize("of", ["the whole CT", "relative values"])
def test_without_a_background_the_structure_is_the_ct(ct, bone_ct, of):
    values = np.maximum(ct.volume.values, 0) * bone_ct.mask
    anatomy = PreparedCT(
        ct if of == "the whole CT" else CT(Volume(values, ct.volume.ct_from_index), "relative")
    )
    assert anatomy.full_ct is None and anatomy.with_background(None) is anatomy


def test_the_second_registration_can_be_cancelled(bone, moved_views):
    with pytest.raises(Cancelled):
        found_in(bone, moved_views, progress=lambda each: each.stage.startswith("the whole CT"))

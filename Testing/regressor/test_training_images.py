"""Training images: what is random in them, what is not, and whether another simulator's X-rays are of their family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, make_ct, make_views, off

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, load_ct
from MultiViewRegistrationLib.imaging.volume import Volume
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.regressor import sample_layout
from MultiViewRegistrationLib.regressor.detector_model import capsule
from MultiViewRegistrationLib.regressor.images import TrainingImages
from MultiViewRegistrationLib.regressor.poses import key_of
from MultiViewRegistrationLib.regressor.randomise import BODY, BONE, CLEAN, HARD_BODY, Randomisation, draw, hardened
from MultiViewRegistrationLib.regressor.window import Window, prepare


@pytest.fixture(scope="module")
def windows():
    return [Window.of(view.camera) for view in make_views(make_ct())]


@pytest.fixture(scope="module")
def maker():
    return TrainingImages(make_ct(), 1.75)


@pytest.fixture(scope="module")
def clean():
    """Without any chance."""
    return TrainingImages(make_ct(), 1.75, CLEAN, variants=1)


def poses(count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.stack([off(TRUE_POSE, rng.uniform(-20, 20, 3), rng.uniform(-15, 15, 3)) for _ in range(count)])


def with_only(**changes) -> Randomisation:
    return CLEAN._replace(**changes)


def made(how: Randomisation, windows, count: int = 24, seed: int = 0, ct: CT | None = None) -> np.ndarray:
    """Images (count, 2, 64, 64) of one pose in the first view."""
    maker = TrainingImages(ct or make_ct(), 1.75, how, variants=1)
    return maker.batch(np.repeat(TRUE_POSE[None], count, axis=0), windows[:1], key_of(seed))[:, 0]


def test_one_seed_gives_one_batch_on_any_number_of_threads(maker, windows, monkeypatch):
    batches = {}
    for threads, seed in (("1", 5), ("2", 5), ("3", 5), ("1", 6)):
        monkeypatch.setenv("MVREG_THREADS", threads)
        batches[threads, seed] = maker.batch(poses(21), windows, key_of(seed))
    first = batches["1", 5]
    assert first.shape == (21, 2, 2, 64, 64) and first.dtype == np.float32
    np.testing.assert_array_equal(batches["2", 5], first)
    np.testing.assert_array_equal(batches["3", 5], first)
    assert not np.array_equal(batches["1", 6], first)
    assert np.isfinite(first).all()


def test_no_two_images_of_a_batch_are_alike(maker, windows):
    images = maker.batch(np.repeat(TRUE_POSE[None], 8, axis=0), windows, key_of(0))
    flat = images[:, :, 0].reshape(16, -1)
    assert np.abs(flat[:, None] - flat[None]).max(axis=-1)[~np.eye(16, dtype=bool)].min() > 0.5


def test_a_clean_image_is_the_prepared_drr(clean, windows):
    """The renderer's own image of the finest volume, prepared as an X-ray is."""
    for view, window, image in zip(
        make_views(make_ct(), noise=0.0), windows, clean.batch(TRUE_POSE[None], windows, key_of(0))[0], strict=True
    ):
        expected = prepare(view.xray, view.camera, window)
        assert np.corrcoef(image[0].ravel(), expected[0].ravel())[0, 1] > 0.98


def test_each_view_may_have_a_pose_of_its_own(clean, windows):
    two = poses(2)
    both = clean.batch(np.stack([[two[0], two[1]], [two[1], two[0]]]), windows, key_of(0))
    straight = clean.batch(two, windows, key_of(0))
    np.testing.assert_array_equal(both[0, 0], straight[0, 0])
    np.testing.assert_array_equal(both[0, 1], straight[1, 1])
    np.testing.assert_array_equal(both[1, 0], straight[1, 0])


@pytest.mark.parametrize(
    "changes",
    [
        dict(bone=(0.3, 2.0)),
        dict(soft=(0.3, 2.0)),
        dict(dense=(0.3, 2.0)),
        dict(soft_removed_share=1.0),
        dict(hardening=(0.5, 0.6)),
        dict(scatter=(1.0, 2.0)),
        dict(glare=(0.5, 1.0)),
        dict(photons=(50.0, 100.0)),
        dict(shading=0.5),
        dict(blur=(0.5, 1.0)),
        dict(blur=(-1.0, -0.5)),
        dict(saturation_share=1.0, saturation=(-0.5, 0.2)),
        dict(darkest_share=1.0, darkest=(-0.5, 0.2)),
        dict(metal_share=1.0),
        dict(bones_share=1.0),
        dict(tissue_share=1.0),
        dict(ghost_share=1.0),
    ],
    ids=lambda changes: "-".join(changes),
)
def test_all_that_may_change_an_image_does(changes, windows):
    clean = made(CLEAN, windows, count=1)[0]
    images = made(with_only(**changes), windows)
    assert (images[:, 1] == 1).all()
    differences = np.abs(images[:, 0] - clean[0]).max(axis=(1, 2))
    assert (differences > 0.02).mean() > 0.8
    assert (np.abs(images[1:, 0] - images[:-1, 0]).max(axis=(1, 2)) > 0.003).mean() > 0.8


def test_the_images_of_a_body_can_be_hardened(windows):
    """Half of the way is halfway; one bone is as hard as it is."""
    half = hardened(BODY, 0.5)
    assert (
        half.scatter == (0.0, 2.0)
        and half.bone == (0.4, 1.5)
        and half.metal_share == pytest.approx(0.45)
        and half.soft == BODY.soft
    )
    assert hardened(BODY, 0.0) == BODY and hardened(BONE, 1.0) == BONE
    maker = TrainingImages(make_ct(), 1.75, variants=1)
    maker.harden(1.0)
    hard = maker.batch(np.repeat(TRUE_POSE[None], 24, axis=0), windows[:1], key_of(0))[:, 0]
    np.testing.assert_array_equal(hard, made(HARD_BODY, windows))
    assert not np.array_equal(hard, made(BODY, windows))


@pytest.mark.parametrize("field", ["straight_share", "round_share", "text_share"])
def test_fields_leave_out_pixels(field, windows):
    image, valid = np.moveaxis(made(with_only(**{field: 1.0}), windows, count=200), 1, 0)
    assert set(np.unique(valid)) == {0, 1}
    assert not image[valid == 0].any()
    shares = valid.mean(axis=(1, 2))
    assert shares.min() > 0.03 and (shares < 1).mean() > 0.7
    # A border that is not recognised stays in the image, and is dense.
    image, all_valid = np.moveaxis(made(with_only(**{field: 1.0}, border_share=1.0), windows, count=200), 1, 0)
    assert all_valid.all()
    assert np.median(image[valid == 0]) > 0.3


def test_shares_are_kept(windows):
    valid = made(
        BODY._replace(straight_share=0.0, round_share=0.25, text_share=0.0, border_share=0.0), windows, count=400
    )[:, 1]
    assert 0.17 < (valid.min(axis=(1, 2)) == 0).mean() < 0.33


def test_metal_is_dense_and_thin_bars_keep_their_mass():
    def bar(mm, radius, size=64):
        image = np.zeros((size, size), np.float32)
        capsule(image, mm, -20.0, -8.0, 20.0, 8.0, radius, radius, 0.0, 0.5)
        return image

    # The volume of a cylinder with round ends, whatever the pixels.
    for radius in (0.2, 1.0, 4.0):
        volume = np.pi * radius**2 * np.hypot(40, 16) + 4 / 3 * np.pi * radius**3
        for mm, size in ((2.0, 64), (0.5, 256)):
            assert bar(mm, radius, size).sum() * mm**2 == pytest.approx(0.5 * volume, rel=0.08)
    assert bar(1.0, 4.0).max() == pytest.approx(0.5 * 8.0, rel=0.02)


def test_what_can_be_drawn_has_room():
    """As many capsules as the shapes may have, and no more than there are rows."""
    capsules = np.empty((sample_layout.MAX_CAPSULES + 50, sample_layout.CAPSULE))
    sample = sample_layout.Sample(np.empty(sample_layout.NUMBERS), capsules)
    how = Randomisation(
        *(
            tuple(map(float, v)) if isinstance(v, tuple) else float(v)
            for v in with_only(metal_share=1.0, bones_share=1.0, tissue_share=1.0)
        )
    )
    most = 0
    for seed in range(20_000):
        draw(how, 64, 64, 2.0, np.array([seed], np.uint64), sample)
        most = max(most, int(sample.numbers[sample_layout.METAL_END]))
    assert 60 < most <= sample_layout.MAX_CAPSULES


def test_only_the_neighbours_of_a_structure_move(windows):
    """A mask of the upper half: with nothing else random, the images change below and nowhere else."""
    ct = make_ct()
    k = np.indices(ct.volume.values.shape)[0]
    half = replace(ct, mask=k > 26)
    images = made(with_only(neighbour_deg=15.0, neighbour_mm=6.0, bone=(1, 1)), windows, ct=half, count=12)[:, 0]
    spread = images.std(axis=0)
    top, bottom = spread[:18].mean(), spread[40:].mean()  # the head is up
    assert bottom > 0.1 and top < 0.3 * bottom
    assert made(CLEAN, windows, ct=half, count=1)[0, 0][40:].std() > 0.1  # what surrounds it is there at all


def test_a_structure_gets_surroundings_that_are_made_up():
    hu = make_ct().volume
    relative = CT(Volume(np.maximum(hu.values, 0), hu.ct_from_index), "relative")
    assert TrainingImages(relative, 1.75, variants=1).how.ghost_share == BONE.ghost_share > 0
    assert TrainingImages(make_ct(), 1.75, variants=1).how.ghost_share == BODY.ghost_share == 0


@pytest.mark.parametrize("name", ["pelvis-lateral", "pelvis-oblique-1", "pelvis-oblique-2", "pelvis-three-views-wires"])
def test_x_rays_of_another_simulator_look_like_the_clean_images(pelvis, shared_data, name):
    """RTK's: with scatter, noise, other curves, a body that goes on beyond the CT; one case with round fields and wires."""
    case = Case.load(shared_data / "sim" / name / "case.json")
    truth = case.truth_world_from_ct
    near = (
        rigid.about(
            rigid.transform_points(truth, pelvis.centroid),
            rigid.from_rotation_translation(rigid.exp_so3(np.radians([6, -6, 8])), [12, -10, 9]),
        )
        @ truth
    )
    windows = [Window.of(view.camera) for view in case.views]
    right, wrong = pelvis.batch(np.stack([truth, near]), windows, key_of(0))
    for view, window, at_truth, beside in zip(case.views, windows, right, wrong, strict=True):
        image, valid = prepare(view.xray, view.camera, window)
        used = valid > 0
        used[np.indices(used.shape)[0] % 64 < 8] = False  # above and below, the body goes on otherwise
        used[56:] = False
        likeness = np.corrcoef(image[used], at_truth[0][used])[0, 1]
        assert likeness > 0.6
        assert likeness > np.corrcoef(image[used], beside[0][used])[0, 1] + 0.15


@pytest.fixture(scope="module")
def pelvis(shared_data):
    return TrainingImages(load_ct(shared_data / "pelvis" / "pelvis_2mm.nii.gz"), 3.2, CLEAN, variants=1)

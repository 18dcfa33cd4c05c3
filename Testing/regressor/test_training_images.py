"""Training images: what is random in them, what is not, and whether another simulator's X-rays are of their family."""

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, make_slot_scan, make_views, off
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.regressor.images import TrainingImages, Window, prepare
from MultiViewRegistrationLib.regressor.randomise import BODY, Randomisation

pytestmark = pytest.mark.slow

#: The CT as it is, without any chance; the attenuation of half the quanta is about that at their
#: mean.
CLEAN = Randomisation(
    *((0.0, 0.0) if isinstance(value, tuple) else 0.0 for value in BODY)
)._replace(
    soft=(1.0, 1.0), bone=(1.0, 1.0), dense=(1.0, 1.0), hardening=(0.4, 0.4), photons=(1e12, 1e12)
)


@pytest.fixture(scope="module")
def maker(ct):
    return TrainingImages(ct, 1.75)


@pytest.fixture(scope="module")
def made(ct, windows):
    """A function: images (count, 2, 64, 64) of one pose in the first view."""
    of_phantom = TrainingImages(ct, 1.75, variants=1)

    def make(how, count=24, of=of_phantom):
        of.how = how
        return of.batch(
            np.repeat(TRUE_POSE[None], count, axis=0), windows[:1], np.random.default_rng(1)
        )[:, 0]

    return make


def poses(count):
    rng = np.random.default_rng(1)
    return np.stack(
        [off(TRUE_POSE, rng.uniform(-20, 20, 3), rng.uniform(-15, 15, 3)) for _ in range(count)]
    )


def test_one_seed_gives_one_batch_on_any_number_of_threads(maker, windows, monkeypatch):
    def batch(threads, seed):
        monkeypatch.setenv("MVREG_THREADS", threads)
        return maker.batch(poses(21), windows, np.random.default_rng(seed))

    first = batch("1", 5)
    assert first.shape == (21, 2, 2, 64, 64) and first.dtype == np.float32
    assert np.isfinite(first).all()
    for threads in "23":
        assert_array_equal(batch(threads, 5), first)
    assert not np.array_equal(batch("1", 6), first)


def assert_prepared(images, views, windows):
    """The images are what the renderer makes of the finest volume, prepared as an X-ray is."""
    for view, window, image in zip(views, windows, images, strict=True):
        expected = prepare(view.xray, view.camera, window.camera)
        assert_array_equal(image[1], expected[1])
        assert np.corrcoef(image[0].ravel(), expected[0].ravel())[0, 1] > 0.98


def test_a_clean_image_is_the_prepared_drr(ct, windows):
    """Each view may have a pose of its own."""
    clean = TrainingImages(ct, 1.75, CLEAN, variants=1)
    both = np.stack([TRUE_POSE, *poses(1)])
    straight = clean.batch(both, windows, np.random.default_rng(0))
    assert_prepared(straight[0], make_views(ct, noise=0.0), windows)
    crossed = clean.batch(both[None], windows, np.random.default_rng(0))
    assert_allclose(crossed[0], [straight[0, 0], straight[1, 1]], atol=1e-4)


def test_a_clean_image_of_a_slot_scan_is_the_prepared_drr(ct):
    """Beside a C-arm's view in one batch."""
    views = [make_slot_scan(ct, 20), make_views(ct)[1]]
    corners = rigid.transform_points(TRUE_POSE, 47 * np.stack([-np.ones(3), np.ones(3)]))
    windows = [Window.of(view.camera, corners) for view in views]
    clean = TrainingImages(ct, 1.75, CLEAN, variants=1)
    assert_prepared(
        clean.batch(TRUE_POSE[None], windows, np.random.default_rng(0))[0], views, windows
    )


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
        dict(ghost_share=1.0),
        dict(machine_share=1.0),
    ],
)
def test_every_random_effect_changes_the_image(changes, made):
    clean, images = made(CLEAN, count=1)[0], made(CLEAN._replace(**changes))
    assert (images[:, 1] == 1).all()
    assert (np.abs(images[:, 0] - clean[0]).max(axis=(1, 2)) > 0.02).mean() > 0.8
    assert (np.abs(images[1:, 0] - images[:-1, 0]).max(axis=(1, 2)) > 0.003).mean() > 0.8


@pytest.mark.parametrize("field", ["straight_share", "round_share", "text_share"])
def test_fields_leave_out_pixels(field, made):
    image, valid = np.moveaxis(made(CLEAN._replace(**{field: 1.0}), count=200), 1, 0)
    assert set(np.unique(valid)) == {0, 1}
    assert not image[valid == 0].any()
    shares = valid.mean(axis=(1, 2))
    assert shares.min() > 0.03 and (shares < 1).mean() > 0.7
    # A border that is not recognised stays in the image, and is dense.
    image, all_valid = np.moveaxis(
        made(CLEAN._replace(**{field: 1.0}, border_share=1.0), count=200), 1, 0
    )
    assert all_valid.all()
    assert np.median(image[valid == 0]) > 0.3


@pytest.mark.parametrize("name", ["pelvis-lateral", "pelvis-three-views-wires"])
def test_x_rays_of_another_simulator_look_like_the_clean_images(pelvis, shared_data, name):
    """RTK's: with scatter, noise, other curves, a body that goes on beyond the CT.

    One case with round fields and wires.
    """
    case = Case.load(shared_data / "sim" / name / "case.json")
    truth = case.truth_world_from_ct
    motion = rigid.turn_and_shift(np.radians([6, -6, 8]), [12, -10, 9])
    near = rigid.about(rigid.transform_points(truth, pelvis.centroid), motion) @ truth
    windows = [Window.of(view.camera) for view in case.views]
    right, wrong = pelvis.batch(np.stack([truth, near]), windows, np.random.default_rng(0))
    for view, window, at_truth, beside in zip(case.views, windows, right, wrong, strict=True):
        image, valid = prepare(view.xray, view.camera, window.camera)
        used = valid > 0
        used[:8] = used[56:] = False  # above and below, the body goes on otherwise
        likeness = np.corrcoef(image[used], at_truth[0][used])[0, 1]
        assert likeness > 0.6
        assert likeness > np.corrcoef(image[used], beside[0][used])[0, 1] + 0.15


@pytest.fixture(scope="module")
def pelvis(shared_data):
    return TrainingImages(
        load_ct(shared_data / "pelvis" / "pelvis_2mm.nii.gz"), 3.2, CLEAN, variants=1
    )

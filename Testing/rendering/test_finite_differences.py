"""The Jacobian is the change of the image when the CT moves, as `render` says: turned by omega about the pivot, shifted by v."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import random_scene

from MultiViewRegistrationLib.rendering.drr import Projector

#: Half the length of the central difference, in rad and mm: large against float32's rounding of an image, small against a voxel.
STEP = np.repeat([1e-4, 0.005], 3)


def differences(image_of_pose, scene, step):
    twists = np.diag(step)
    return np.stack(
        [
            (
                np.asarray(image_of_pose(scene.moved(twist)), float)
                - np.asarray(image_of_pose(scene.moved(-twist)), float)
            )
            / (2 * size)
            for twist, size in zip(twists, step, strict=True)
        ]
    )


@pytest.mark.parametrize(
    "leading, mirrored, left_handed", [(0, False, False), (1, True, False), (2, False, True), (None, True, True)]
)
def test_of_the_kernels_own_image(leading, mirrored, left_handed):
    scene = random_scene(20, leading=leading, mirrored=mirrored, left_handed=left_handed)
    projector = Projector(scene.volume)
    jacobian = projector.render(scene.camera, scene.world_from_ct, jacobian=True, pivot=scene.pivot).jacobian
    measured = differences(lambda pose: projector.render(scene.camera, pose).image, scene, STEP)
    for ours, expected in zip(jacobian, measured, strict=True):
        assert np.linalg.norm(ours - expected) < 0.01 * np.linalg.norm(expected)


@pytest.mark.parametrize("leading", [0, 1, 2])
def test_of_the_reference_in_double_precision(reference, leading):
    scene = random_scene(30 + leading, leading=leading)
    pixels = np.stack(np.meshgrid(np.arange(0, 46, 2), np.arange(0, 36, 2)), axis=-1)
    measured = differences(lambda pose: reference.render(*scene.in_float64(), pose, pixels), scene, 1e-3 * STEP)
    kernel = (
        Projector(scene.volume).render(scene.camera, scene.world_from_ct, jacobian=True, pivot=scene.pivot).jacobian
    )
    plain = reference.jacobian(*scene.in_float64(), scene.world_from_ct, scene.pivot, pixels).numpy()
    for jacobian in (kernel[:, ::2, ::2], plain):
        error = np.abs(jacobian - measured) / np.abs(measured).max(axis=(1, 2), keepdims=True)
        assert np.quantile(error.max(axis=0), 0.99) < 1e-5  # the others have a sample on the edge of two cells

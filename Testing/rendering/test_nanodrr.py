"""nanodrr (github.com/eigenvivek/nanodrr) gives the same image through its own conventions.

NIfTI file, RAS, C-arm parameters.

It marches in equal steps and interpolates trilinearly, so values differ by the roughness of the
tissue over half a voxel. Left and right, up and down, half pixels, and which way a mirrored image
is stored ("PA") would show as a shift instead.
"""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scenes import ct_from_index, smooth_values

from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume
from MultiViewRegistrationLib.rendering.drr import Projector

HEIGHT, WIDTH = 48, 60
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def nanodrr():
    return pytest.importorskip("nanodrr.drr", reason="needs nanodrr: pip install nanodrr")


@pytest.mark.slow
@pytest.mark.parametrize("orientation", ["AP", "PA", None])
@pytest.mark.parametrize("left_handed", [False, True])
def test_nanodrr_gives_the_same_image(nanodrr, tmp_path, orientation, left_handed):
    import torch
    from nanodrr.camera import make_rt_inv
    from nanodrr.data import Subject

    from MultiViewRegistrationLib.published.renderer import TorchRays, TorchVolume, line_integrals

    rng = np.random.default_rng([left_handed, *(orientation or "").encode()])
    volume = Volume(
        smooth_values(rng, (40, 50, 44)),
        ct_from_index(rng, [1.1, 0.9, 1.6], left_handed=left_handed),
    )
    image = sitk.GetImageFromArray(volume.values)
    image.SetSpacing(volume.spacing_mm.tolist())
    image.SetOrigin(volume.ct_from_index[:3, 3].tolist())
    image.SetDirection((volume.ct_from_index[:3, :3] / volume.spacing_mm).ravel().tolist())
    sitk.WriteImage(image, tmp_path / "ct.nii.gz")

    subject = Subject.from_filepath(tmp_path / "ct.nii.gz", convert_to_mu=False)
    carm = nanodrr.DRR.from_carm_intrinsics(
        sdd=900.0, delx=2.0, dely=2.3, x0=11.0, y0=-7.0, height=HEIGHT, width=WIDTH
    )
    distance = {"AP": [0, 600, 0], "PA": [0, -600, 0], None: [0, 0, -600]}[orientation]
    rotation = torch.tensor(rng.uniform(-40, 40, (1, 3)), dtype=torch.float32)
    translation = torch.tensor(
        np.array([distance]) + rng.uniform(-10, 10, (1, 3)), dtype=torch.float32
    )
    ras_from_camera = make_rt_inv(rotation, translation, orientation, subject.isocenter)
    theirs = carm(subject, ras_from_camera, n_samples=400)[0, 0].double().numpy()

    intrinsics = np.linalg.inv(carm.k_inv[0].double().numpy())
    intrinsics[:2, 2] -= 0.5  # its first pixel's centre is (0.5, 0.5)
    matrix = intrinsics @ np.linalg.inv(ras_from_camera[0].double().numpy())[:3] @ LPS_FROM_RAS
    camera = Camera.from_projection_matrix(
        matrix, (WIDTH, HEIGHT), in_front=LPS_FROM_RAS[:3, :3] @ subject.isocenter.double().numpy()
    )
    assert (camera.intrinsics[0, 0] < 0) == (orientation == "PA")
    ours = Projector(volume).render(camera, np.eye(4)).image.astype(float)

    assert theirs.max() > 0.5 and 0.1 < np.mean(theirs == 0) < 0.6
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-3 * theirs.max())
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 1e-3 * theirs.max()

    # The renderer of the published refinements samples as nanodrr does, and so comes nearer.
    pixels = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1).reshape(-1, 2)
    ready = TorchVolume.of(volume)
    plain = (
        line_integrals(
            ready, TorchRays.of(camera, pixels, ready.values), torch.eye(4), step_mm=900 / 400
        )
        .reshape(HEIGHT, WIDTH)
        .numpy()
    )
    np.testing.assert_allclose(plain, theirs, rtol=0, atol=5e-3 * theirs.max())
    assert np.sqrt(np.mean((plain - theirs) ** 2)) < 1e-3 * theirs.max()

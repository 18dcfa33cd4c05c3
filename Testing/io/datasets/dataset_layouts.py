"""Small data sets in the layouts of their authors, by plain numpy.

X-rays and landmarks by the layout's own formula, not by ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from helpers.phantom import make_ct
from scipy import ndimage
from scipy.spatial.transform import Rotation

SIZE = (120, 100)  # columns, rows
PIXEL_MM = (1.5, 1.4)
ORIGIN = np.array([-20.0, -70.0, -950.0])  # of the CT, LPS
NAMES = [f"{name}-{side}" for name in "ASIS FH GSN IOF MOF SPS IPS".split() for side in "lr"]
SPECIMEN = "17-1882"


def rigid_matrix(degrees, shift):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees)).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def projected(intrinsic, camera_from_volume, points):
    """Pixels (N, 2) by the formula of both HDF5 layouts."""
    x = (points @ camera_from_volume[:3, :3].T + camera_from_volume[:3, 3]) @ intrinsic.T
    return x[:, :2] / x[:, 2:]


def xray(intrinsic, camera_from_volume, index_from_volume, hu, depths):
    """Detected intensity (rows, columns) by sums along rays.

    Points z K^-1 (column, row, 1) of the layout's camera, for the z in depths.
    """
    pixels = np.stack(np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1])), -1).reshape(-1, 2)
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], 1) @ np.linalg.inv(intrinsic).T
    index_from_camera = index_from_volume @ np.linalg.inv(camera_from_volume)
    mu = np.maximum(0, 1 + hu / 1000) * 0.02
    total = np.zeros(len(rays))
    for z in depths:
        index = z * rays @ index_from_camera[:3, :3].T + index_from_camera[:3, 3]
        total += ndimage.map_coordinates(mu, index.T[::-1], order=1)
    lengths = np.linalg.norm(rays, axis=1) * abs(depths[1] - depths[0])
    return (60000 * np.exp(-total * lengths)).reshape(SIZE[::-1])


@dataclass
class DeepFluoro:
    """What was written: landmarks (14, 3) in LPS, and of each X-ray the camera from volume (4, 4) in the layout's convention."""

    path: Path
    intrinsic: np.ndarray
    landmarks: np.ndarray
    cameras: list[np.ndarray]

    def pixels(self, nth):
        return projected(self.intrinsic, self.cameras[nth], self.landmarks)


def write_deepfluoro(path):
    """Two X-rays of the phantom, the second stored upside down."""
    hu = make_ct().volume.values.astype(np.int16)
    index_from_volume = np.linalg.inv(rigid_matrix([0, 0, 0], ORIGIN) @ np.diag([2, 2, 2, 1]))
    centre = ORIGIN + 47.0
    intrinsic = np.array(
        [[-1000 / PIXEL_MM[0], 0, 58.7], [0, -1000 / PIXEL_MM[1], 51.2], [0, 0, 1]]
    )
    extrinsic = rigid_matrix([3, -4, 2], [5, -6, 7])
    # Columns to the patient's left, rows to the feet, z to the back, where the source is; turned
    # about the patient's long axis.
    front = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    upside_down = np.diag([-1.0, -1, 1])
    cameras = []
    for turn, degrees, flip in (([1, 2, 4], 3, np.eye(3)), ([2, -1, 1], 35, upside_down)):
        camera = rigid_matrix(turn, [0, 0, 0])
        turned = rigid_matrix([0, 0, degrees], [0, 0, 0])[:3, :3]
        camera[:3, :3] = flip @ camera[:3, :3] @ front @ turned
        camera[:3, 3] = [4, -3, -700] - camera[:3, :3] @ centre
        cameras.append(camera)
    landmarks = centre + np.random.default_rng(3).uniform(-30, 30, (14, 3))
    landmarks[0::2, 0], landmarks[1::2, 0] = centre[0] + 25, centre[0] - 25  # left is +x
    landmarks[:2, 2], landmarks[-2:, 2] = centre[2] + 30, centre[2] - 30  # ASIS above, IPS below
    landmarks[4] = centre + [0, 0, 300]  # beyond every image
    with h5py.File(path, "w") as file:
        parameters = file.create_group("proj-params")
        parameters["extrinsic"], parameters["intrinsic"] = extrinsic, intrinsic
        parameters["num-cols"], parameters["num-rows"] = SIZE
        parameters["pixel-col-spacing"], parameters["pixel-row-spacing"] = PIXEL_MM
        specimen = file.create_group(SPECIMEN)
        _image(specimen, "vol", hu, [2, 2, 2], ORIGIN, compression="gzip")
        labels = np.where(hu > 500, np.arange(48) // 8 + 1, 0).astype(np.uint8)
        _image(specimen, "vol-seg/image", labels, [2, 2, 2], ORIGIN)
        for name, point in zip(NAMES, landmarks, strict=True):
            specimen[f"vol-landmarks/{name}"] = point[:, None].astype(np.float32)
        for number, camera in enumerate(cameras):
            group = specimen.create_group(f"projections/{number:03d}")
            image = xray(intrinsic, camera, index_from_volume, hu, np.arange(-635.0, -766.0, -1.0))
            _image(group, "image", image.astype(np.float32), PIXEL_MM, [0, 0])
            for name, pixel in zip(NAMES, projected(intrinsic, camera, landmarks), strict=True):
                group[f"gt-landmarks/{name}"] = pixel[:, None].astype(np.float32)
            moved = camera @ rigid_matrix([0, 0, 0], [1, 0, 0])
            for name, of in (("pelvis", camera), ("left-femur", moved), ("right-femur", moved)):
                pose = (np.linalg.inv(of) @ extrinsic).astype(np.float32)
                group[f"gt-poses/cam-to-{name}-vol"] = pose
                group[f"gt-poses/{name}-good-fov"] = int(name != "right-femur")
            group["rot-180-for-up"] = number
    return DeepFluoro(path, intrinsic, landmarks.astype(np.float32).astype(float), cameras)


def _image(parent, name, pixels, spacing, origin, **options):
    group = parent.create_group(name)
    group.create_dataset("pixels", data=pixels, **options)
    group["spacing"] = np.array(spacing, float)
    group["origin"] = np.array(origin, float)
    group["dir-mat"] = np.eye(len(spacing))


@dataclass
class Ljubljana:
    """What was written: points (N, 3) in mm from the first voxel, and of each view its camera from volume (4, 4) and intrinsics."""

    path: Path
    points: np.ndarray
    cameras: dict[str, np.ndarray]
    intrinsics: dict[str, np.ndarray]

    def pixels(self, name):
        return projected(self.intrinsics[name], self.cameras[name], self.points)


def write_ljubljana(path):
    """A frontal and a lateral X-ray of a part of the phantom of 44 x 48 x 40 voxels."""
    hu = make_ct().volume.values[4:44, :, 2:46]
    values = (np.maximum(hu, -1000) + 1000).astype(np.uint16)  # [z, y, x]
    middle = np.array(hu.shape[::-1]) - 1  # mm
    index_from_volume = np.diag([0.5, 0.5, 0.5, 1])
    cameras, intrinsics = {}, {}
    for name, turn in {"ap": [85, 4, 3], "lat": [60, 65, -55]}.items():
        camera = rigid_matrix(turn, [0, 0, 0])
        camera[:3, 3] = [6, -5, 720] - camera[:3, :3] @ middle
        cameras[name] = camera
        intrinsics[name] = np.array(
            [[1100 / PIXEL_MM[0], 0, 61.0], [0, 1100 / PIXEL_MM[1], 47.5], [0, 0, 1]]
        )
    points = middle + np.random.default_rng(4).uniform(-30, 30, (12, 3))
    with h5py.File(path, "w") as file:
        subject = file.create_group("subject03")
        subject["volume/pixels"] = values.transpose(2, 1, 0)  # [x, y, z]
        subject["volume/spacing"] = np.array([2.0, 2, 2])
        subject["points"] = points
        for name, camera in cameras.items():
            group = subject.create_group(f"proj-{name}")
            group["extrinsic"], group["intrinsic"] = camera, intrinsics[name]
            group["pixels"] = xray(
                intrinsics[name], camera, index_from_volume, hu, np.arange(650.0, 791.0)
            ).astype(np.float32)
            group["col-spacing"], group["row-spacing"] = PIXEL_MM
    return Ljubljana(path, points, cameras, intrinsics)


def with_other(path, key, value=None):
    """A copy of an HDF5 file beside it in which one data set has another value, or is not."""
    changed = path.with_name("changed.h5")
    changed.write_bytes(path.read_bytes())
    with h5py.File(changed, "r+") as file:
        del file[key]
        if value is not None:
            file[key] = value
    return changed

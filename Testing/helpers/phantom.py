"""A small body with blobs of bone and its X-rays, in memory and as a case on disk.

a CT of two bones. For tests of the mechanics.
"""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from helpers.file_io import read_json, write_json, write_values, write_volume
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import CArm, SlotScan
from MultiViewRegistrationLib.imaging.ct import CT, Volume, attenuation
from MultiViewRegistrationLib.imaging.xray import View, XRay
from MultiViewRegistrationLib.rendering.drr import Projector

TRUE_POSE = rigid.turn_and_shift([0.05, -0.1, 0.08], [3.0, -4.0, 2.0])

#: (8, 3) of a cube of 36 mm, within the blobs.
CORNERS = 18.0 * np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)


def make_ct():
    """96 mm of blobs within a ball of water, 2 mm voxels, centred on the origin."""
    random = np.random.default_rng(5)
    k, j, i = np.indices((48, 48, 48)) - 23.5
    hu = np.where(k**2 + j**2 + i**2 < 20**2, 0.0, -1000.0)
    blobs = ndimage.gaussian_filter(random.normal(size=hu.shape), 2.0)
    hu[(blobs > 1.2 * blobs.std()) & (k**2 + j**2 + i**2 < 18**2)] = 900.0
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -47.0
    return CT(Volume(ndimage.gaussian_filter(hu, 0.7).astype(np.float32), affine))


def largest_bone(ct):
    """The mask of the largest blob of a CT, with a rim."""
    labels, _ = ndimage.label(ct.volume.values > 300)
    return ndimage.binary_dilation(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))


def view_of(name, image, camera, pixel_mm=None):
    """A view of line integrals, all of which count."""
    xray = XRay(image.astype(np.float32), np.ones(image.shape, bool), pixel_mm)
    return View(name, xray, camera)


def c_arm(rao_lao_deg=0, cra_cau_deg=0, **changes):
    """A camera 700 mm from its isocentre, 1000 mm from its detector of 128 pixels, but for what is changed."""
    usual = {"source_to_detector_mm": 1000, "source_to_isocentre_mm": 700}
    usual |= {"pixel_mm": (1.25, 1.25), "size": (128, 128)} | changes
    return CArm(**usual, rao_lao_deg=rao_lao_deg, cra_cau_deg=cra_cau_deg).camera()


def make_views(
    ct,
    angles=((0, 0), (90, 0)),
    size=128,
    noise=0.002,
    pose=TRUE_POSE,
):
    """Views of the CT at a pose from C-arm angles (RAO/LAO, CRA/CAU)."""
    random = np.random.default_rng(7)
    projector = Projector(attenuation(ct))
    views = []
    for number, (primary, secondary) in enumerate(angles):
        camera = c_arm(primary, secondary, pixel_mm=(160 / size,) * 2, size=(size,) * 2)
        image = projector.render(camera, pose).image
        image = 1.3 * image + 0.2 + noise * random.normal(size=image.shape)
        views.append(view_of(f"view{number + 1}", image, camera))
    return views


def slab(ct, slices):
    """The CT with these slices only, which end in bone."""
    place = ct.volume.ct_from_index @ rigid.translation([0.0, 0.0, slices.start])
    return CT(Volume(ct.volume.values[slices], place))


def cut_tube():
    """A tube of tissue, 72 mm long with some structure, that goes on beyond both ends of its CT."""
    hu = np.full((24, 30, 30), -1000.0, np.float32)
    hu[:, 8:22, 8:22] = 100 + 60 * np.random.default_rng(2).normal(size=(24, 14, 14))
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = [-43, -43, -34]
    return CT(Volume(hu, affine))


def slot_scan_of(degrees):
    """A slot scan from so many degrees about the long axis, as a case.json has it.

    Its rows run to the feet.
    """
    sine, cosine = float(np.sin(np.radians(degrees))), float(np.cos(np.radians(degrees)))
    return {
        "isocentre": [0, 0, 80],
        "isocentre_to_source": [sine, cosine, 0],
        "source_to_isocentre_mm": 550,
        "columns_along": [cosine, -sine, 0],
        "rows_along": [0, 0, -1],
        "pixel_mm": [1.2, 1.0],
        "size": [128, 160],
    }


def make_slot_scan(ct, degrees, pose=TRUE_POSE):
    """A slot scan of the CT at a pose, see `slot_scan_of`."""
    random, camera = np.random.default_rng(8), SlotScan(**slot_scan_of(degrees)).camera()
    image = Projector(attenuation(ct)).render(camera, pose).image
    image = 1.3 * image + 0.2 + 0.002 * random.normal(size=image.shape)
    return view_of(f"slot{degrees:g}", image, camera, (1.2, 1.0))


def write_slot_scan_case(folder):
    """A case of two slot scans of the phantom, from 0 and 80 degrees."""
    path = write_phantom_case(folder)
    content = read_json(path)
    for degrees, view in zip((0, 80), content["views"], strict=True):
        scan = make_slot_scan(make_ct(), degrees)
        write_values(folder / f"{view['name']}.mha", scan.xray.line_integrals)
        del view["projection_matrix"], view["principal_point_sd_px"]
        view |= {"intensity": "log", "slot_scan": slot_scan_of(degrees), "step_sd_percent": 0.2}
    write_json(path, content)
    return path


def off(pose, rotation_deg, shift_mm):
    """The pose turned about the world origin (degrees, rotation vector) and shifted (mm)."""
    return rigid.turn_and_shift(np.radians(rotation_deg), shift_mm) @ pose


#: Off the true pose by a start's error, and by one that needs no search.
START = off(TRUE_POSE, [3.0, -2.0, 4.0], [6.0, 5.0, -4.0])
NEAR = off(TRUE_POSE, [2.0, -3.0, 1.0], [4.0, 2.0, -5.0])


def error_mm(pose, true=TRUE_POSE):
    """Mean distance of the corners of a 60 mm cube from where the true pose puts them."""
    away = rigid.transform_points(pose, CORNERS) - rigid.transform_points(true, CORNERS)
    return float(np.linalg.norm(away, axis=1).mean())


def misplaced(view, rotation_deg, shift_mm):
    """The view whose camera is said to be elsewhere: turned and shifted as seen from itself."""
    wrong = view.camera.camera_from_world @ off(np.eye(4), rotation_deg, shift_mm)
    return view.with_camera(camera_from_world=wrong)


def decentred(view, rows, columns=0.0):
    """The view whose principal point is off; rows are along the axis that both views show."""
    intrinsics = view.camera.intrinsics.copy()
    intrinsics[:2, 2] += columns, rows
    return view.with_camera(intrinsics=intrinsics)


def masked(view, valid):
    """The view of which only these pixels count."""
    everywhere = np.broadcast_to(valid, view.xray.valid.shape).copy()
    return view.with_xray(valid=everywhere)


def free(view):
    """The view of whose camera's place nothing is known."""
    return replace(view, rotation_sd_deg=None, translation_sd_mm=None)


def write_ct_file(path, values=None):
    """The phantom in a file, or what lies on its grid."""
    volume = make_ct().volume
    values = volume.values.astype(np.int16) if values is None else values
    return write_volume(path, values, volume.ct_from_index)


def write_phantom_case(folder, names=("view1", "view2"), ct_name="ct"):
    """A case.json of the phantom with truth, its start 9 mm off; its path.

    names: of the views.   ct_name: of the CT's file.
    """
    ct = make_ct()
    write_ct_file(folder / f"{ct_name}.nii.gz")
    views = []
    for name, view in zip(names, make_views(ct), strict=True):
        detected = (60000 * np.exp(-view.xray.line_integrals)).astype(np.uint16)
        write_values(folder / f"{view.name}.mha", detected, (1.25, 1.25))
        views.append(
            {
                "name": name,
                "image": f"{view.name}.mha",
                "projection_matrix": view.camera.projection_matrix.tolist(),
                "principal_point_sd_px": 0.5,  # exact by construction
            }
        )
    case = {
        "version": 1,
        "ct": f"{ct_name}.nii.gz",
        "views": views,
        "world_from_ct": START.tolist(),
        "targets": CORNERS.tolist(),
        "truth": {"world_from_ct": TRUE_POSE.tolist()},
    }
    write_json(folder / "case.json", case)
    return folder / "case.json"


SPACING = (2.5, 2.5, 3.0)
#: Centres (i, j, k) and half axes of the bones, voxels.
BONES = ((30, 36, 32), (14, 11, 12)), ((63, 40, 28), (11, 12, 12))


def write_bony_ct(path):
    k, j, i = np.indices((60, 70, 92))
    hu = np.where(np.hypot((i - 46) / 42, (j - 35) / 30) < 1, 40, -1000).astype(np.int16)

    def within(centre, axes):
        return (
            sum(((each - c) / a) ** 2 for each, c, a in zip((i, j, k), centre, axes, strict=True))
            < 1
        )

    for centre, axes in BONES:
        hu[within(centre, axes)] = 900
        hu[within(centre, np.array(axes) - 2)] = 180  # marrow
        hu[within(np.array(centre) + (4, -2, 3), (3, 5, 4))] = (
            1100  # so that no turn leaves it as it is
        )
    hu[np.hypot(i - 46, j - 52) < 3] = 700
    hu[within((46, 20, 30), (9, 8, 12))] = 300  # evenly filled
    place = rigid.from_rotation_translation(np.diag(SPACING), [-110.0, 60.0, 400.0])
    return write_volume(path, hu, place)

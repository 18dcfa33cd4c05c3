"""A body of four vertebrae, and X-rays of it in which each has moved against the one above.

See `xrays`.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from helpers.file_io import write_json, write_values, write_volume
from helpers.phantom import c_arm, view_of
from helpers.segmentation_files import write_seg, write_seg_nrrd
from MultiViewRegistrationLib.assessment.bodies import BodyRegistration, BoneMotion
from MultiViewRegistrationLib.assessment.records import UNASSESSED
from MultiViewRegistrationLib.assessment.together import register_together
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body, Structures
from MultiViewRegistrationLib.imaging.ct import CT, WATER, Volume
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.registration.bone import Background
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.rendering.drr import Projector

NAMES = ("T12", "L1", "L2", "L3")
VOXEL_MM = 2.0


@cache
def spine():
    """A body with four vertebrae, each a body with processes of its own size, and their labels (nk, nj, ni)."""
    k, j, i = np.indices((100, 100, 100)) - 49.5
    hu = np.where((i / 45) ** 2 + (j / 38) ** 2 < 1, 40.0, -1000.0)
    labels = np.zeros(hu.shape, np.uint8)
    rng = np.random.default_rng(1)
    for n in range(4):
        middle, wide, deep = 30 - 17 * n, 10 + n, 8 + n / 2
        body = (np.abs(k - middle) < 5.5) & ((i / wide) ** 2 + ((j + 6) / deep) ** 2 < 1)
        process = (
            (np.abs(i - 1.5 * (n % 2)) < 1.6)
            & (j > 0)
            & (j < 14)
            & (np.abs(k - middle + j / 3) < 2.5)
        )
        sides = (
            (np.abs(i) < 17 + n)
            & (np.abs(j - 4) < 2)
            & (np.abs(k - middle - 0.08 * i * (n - 1)) < 2)
        )
        own = body | process | sides
        labels[own] = n + 1
        hu[own] = 500 + 250 * rng.random(own.sum())
        hu[own & body & ((i / (wide - 2)) ** 2 + ((j + 6) / (deep - 2)) ** 2 < 1)] -= 250
    place = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    place[:3, 3] = -VOXEL_MM * 49.5
    labels.flags.writeable = False
    return CT(Volume(hu.astype(np.float32), place)), labels


@cache
def anatomy():
    return PreparedCT(spine()[0])


@cache
def targets():
    """Some points of its bone, CT mm; without any, many more places in it would be asked."""
    return rigid.spread(anatomy().bone_points(), 8).tolist()


def structures():
    return Structures(NAMES, spine()[1])


def cameras(*angles):
    seen = {"pixel_mm": (1.2, 1.2), "size": (256, 256), "principal_point": (127.5, 127.5)}
    return [c_arm(angle, **seen) for angle in angles]


def xrays(
    ct,
    labels,
    motions,
    world_from_ct,
    noise=0.004,
):
    """X-rays of the body whose bones have moved, CT mm.

    Rays are added up along each bone by itself.
    """
    rng = np.random.default_rng(2)
    whole, found = PreparedCT(ct).attenuation(0), []
    for camera in cameras(0, 88):
        image = Projector(whole).render(camera, world_from_ct).image
        for n, motion in enumerate(motions):
            values = np.maximum(whole.values - np.float32(WATER), 0) * (labels == n + 1)
            bone = Projector(Volume(values, whole.ct_from_index), np.zeros(6, bool))
            image = (
                image
                - bone.render(camera, world_from_ct).image
                + bone.render(camera, world_from_ct @ motion).image
            )
        image = image + rng.normal(scale=noise, size=image.shape)
        found.append(view_of(f"view {len(found)}", image, camera))
    return found


def bent(ct, labels, degrees=3.0, mm=1.5):
    """Motions (4, 4) of all vertebrae, CT mm: each against the one above, the first as it was."""
    rng, motions = np.random.default_rng(3), [np.eye(4)]
    for n in range(2, 5):
        both = np.argwhere((labels == n) | (labels == n - 1)).mean(axis=0)[::-1]
        joint = rigid.transform_points(ct.volume.ct_from_index, both)
        turn, shift = rng.normal(size=(2, 3))
        motion = rigid.turn_and_shift(
            np.radians(degrees) * turn / np.linalg.norm(turn), mm * shift / np.linalg.norm(shift)
        )
        motions.append(motions[-1] @ rigid.about(joint, motion))
    return motions


#: Where the whole of the case that is written lies, and where it begins.
POSE = rigid.turn_and_shift([0.05, -0.03, 0.04], [3.0, -2.0, 5.0])
START = rigid.turn_and_shift([0.0, 0.1, 0.0], [5.0, 5.0, -5.0]) @ POSE


class BentCase(NamedTuple):
    """The spine, motions (4, 4) of its vertebrae, and X-rays of it; not to be changed by a test."""

    ct: CT
    labels: np.ndarray
    motions: list[np.ndarray]
    views: list[View]


@cache
def bent_case(shifted_mm=0.0):
    """One that is bent, or whose upper half is shifted."""
    ct, labels = spine()
    shift = rigid.translation([shifted_mm, 0.0, 0.0])
    motions = [shift, shift, np.eye(4), np.eye(4)] if shifted_mm else bent(ct, labels)
    return BentCase(ct, labels, motions, xrays(ct, labels, motions, POSE))


def errors_mm(bones, poses=()):
    """How far each bone of the bent spine is from where it lies, at its own or another pose."""
    there = poses or [bone.world_from_ct for bone in bones]
    places = zip(bones, there, bent_case().motions, strict=True)
    return [bone.bone.distance_between(pose, POSE @ motion) for bone, pose, motion in places]


@cache
def unbent_views():
    """X-rays of the spine as its CT shows it; not to be changed by a test."""
    return xrays(*spine(), [np.eye(4)] * 4, POSE)


def background(pose=POSE, device="cpu"):
    return Background.of(structures(), anatomy().on_device(device), pose)


def together(bones, whole, assessment=UNASSESSED, **more):
    """Register the bones of the spine in front of the rest of it, from its registration as a whole and its assessment."""
    body = Body(spine()[0], bones=bones)
    first = BodyRegistration(body, anatomy(), whole.world_from_ct, assessment)
    return register_together([first], whole.views, **more)


def write_spine_case(
    folder,
    frames,
    world_from_ct,
    start,
    **more,
):
    """The case.json of a spine whose images have a frame for each of these motions of its vertebrae; `more` are further entries."""
    ct, labels = spine()
    taken = [xrays(ct, labels, motions, world_from_ct) for motions in frames]
    return write_frames(folder, ct, labels, taken, {"world_from_ct": start.tolist(), **more})


def write_case(folder, kind="labels", shifted_mm=0.0):
    """Write a case.json whose spine is bent, or its upper half shifted; returns the motions (4, 4) of its structures, which are in files
    of one kind: "labels", "seg.nrrd", "dicom" or "masks"."""
    ct, labels, motions, views = bent_case(shifted_mm)
    write_frames(folder, ct, labels, [views], {"world_from_ct": START.tolist()}, kind)
    return motions


def settle_spine(session, verdict="check"):
    """Store a result in a session of the case that `write_case` writes by default: the true pose of each bone, without a registration."""
    from helpers.phantom_scene import body, settle
    from MultiViewRegistrationLib.mrml.ct_3d import put_bones

    poses = dict(zip(NAMES, (POSE @ motion for motion in bent_case().motions), strict=True))
    put_bones(session.registration, poses)
    moved = BoneMotion(5.2, 3.1, np.array([0.0, 0.0, 1.0]))
    bodies = [
        body(name, verdict, position=(0.3, 0.7), world_from_ct=pose, moved=moved)
        for name, pose in poses.items()
    ]
    settle(session, POSE, verdict=verdict, bodies=bodies)
    return poses


def write_frames(
    folder,
    ct,
    labels,
    frames,
    more,
    kind="labels",
):
    place = ct.volume.ct_from_index
    write_volume(folder / "ct.nii.gz", ct.volume.values, place)
    views = []
    for number, view in enumerate(frames[0]):
        images = np.stack([of_frame[number].xray.line_integrals for of_frame in frames])
        views.append(write_view(folder, view, images if len(images) > 1 else images[0]))
    structures = [{"name": name, "label": n} for n, name in enumerate(NAMES, start=1)]
    case = {"version": 1, "ct": "ct.nii.gz", "views": views, "structures": structures}
    case["targets"] = targets()
    if kind == "labels":
        write_volume(folder / "labels.nii.gz", labels, place)
        case["labels"] = "labels.nii.gz"
    elif kind == "seg.nrrd":
        of_segments = [(name, n, 0) for n, name in enumerate(NAMES, start=1)]
        write_seg_nrrd(folder / "spine.seg.nrrd", [labels], place, of_segments)
        case |= {"labels": "spine.seg.nrrd", "structures": "all"}
    elif kind == "dicom":
        masks = {name: labels == n for n, name in enumerate(NAMES, start=1)}
        write_seg(folder / "spine.dcm", masks, place)
        case |= {"labels": "spine.dcm", "structures": "all"}
    else:
        for n, name in enumerate(NAMES, start=1):
            write_volume(folder / f"{name}.nii.gz", (labels == n).astype(np.uint8), place)
        case["structures"] = [{"name": name, "mask": f"{name}.nii.gz"} for name in NAMES]
    write_json(folder / "case.json", {**case, **more})
    return folder / "case.json"


def write_view(folder, view, images):
    """The image of a view, or its frames, and its entry in a case.json."""
    write_values(folder / f"{view.name}.mha", images, (1.2, 1.2, 1.0))
    return {
        "name": view.name,
        "image": f"{view.name}.mha",
        "intensity": "log",
        "camera": view.camera.to_json(),
        "principal_point_sd_px": 0.5,  # exact by construction
    }


def truth_of(motions, world_from_ct):
    """`truth` of a case.json."""
    poses = {
        name: (world_from_ct @ motion).tolist() for name, motion in zip(NAMES, motions, strict=True)
    }
    return {"world_from_ct": world_from_ct.tolist(), "structures": poses}

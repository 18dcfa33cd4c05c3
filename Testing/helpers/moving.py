"""The phantom moving from frame to frame, in memory, as a case on disk whose images have several frames, and tracked."""

from dataclasses import dataclass

import numpy as np

from helpers import phantom
from helpers.file_io import read_json, write_json, write_values
from helpers.phantom import write_phantom_case
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, load_ct
from MultiViewRegistrationLib.imaging.xray import View, raw_image, to_line_integrals

#: Of a swing to and fro: degrees and mm at its end, and how many frames it takes.
SWING_DEG, SWING_MM, PERIOD = (4.0, -2.0, 3.0), (5.0, -4.0, 6.0), 24


def swing(count, about=phantom.TRUE_POSE):
    """(4, 4) world_from_ct of each frame, up to 1.5 degrees and 2.5 mm from one to the next.

    `about` is the first.
    """
    twist = np.array([*np.radians(SWING_DEG), *SWING_MM])
    return [rigid.exp_se3(np.sin(2 * np.pi * n / PERIOD) * twist) @ about for n in range(count)]


@dataclass(frozen=True, eq=False)
class Pelvis:
    """A real pelvis that swings in X-rays by RTK's projector, with a spectrum, scatter, noise and an unknown gain.

    poses: (4, 4) of each frame.   frames: their views, two of 256x256 pixels.   targets: (N, 3) CT mm, in bone.
    """

    ct: CT
    poses: list[np.ndarray]
    frames: list[list[View]]
    targets: np.ndarray

    @classmethod
    def swinging(cls, path, count):
        """path: of a CT in Hounsfield units."""
        from benchmarks.simulation.cases import Patient
        from benchmarks.simulation.simulator import SimulatedXRay

        patient, random = Patient(path, couch=False, beyond_mm=60), np.random.default_rng(0)
        xray = SimulatedXRay(pixel_mm=1.16, photons=6000)
        seen = {"source_to_detector_mm": 1020, "pixel_mm": (1.16, 1.16), "size": (256, 256)}
        cameras = [phantom.c_arm(primary, 3, **seen) for primary in (0, 85)]

        def view(name, camera, pose):
            image = raw_image(xray.take(patient.projector, camera, pose, random))
            return View(name, to_line_integrals(image), camera)

        poses = swing(count, rigid.translation(-patient.centre))
        frames = [
            [view(f"view{n}", camera, pose) for n, camera in enumerate(cameras)] for pose in poses
        ]
        return cls(load_ct(path), poses, frames, patient.bone_points[:30])


def write_moving_case(
    folder,
    poses,
    spoil=lambda n, x: x,
):
    """A case.json whose images have a frame for each pose, its start some mm off the first.

      spoil: what becomes of a frame's image.

    Its truth is that of the first frame.
    """
    folder.mkdir(exist_ok=True)
    path = write_phantom_case(folder)
    ct = phantom.make_ct()
    frames = [phantom.make_views(ct, pose=pose) for pose in poses]
    case = read_json(path)
    for nth, view in enumerate(case["views"]):
        images = np.stack(
            [
                spoil(n, (60000 * np.exp(-views[nth].xray.line_integrals)).astype(np.uint16))
                for n, views in enumerate(frames)
            ]
        )
        write_values(folder / view["image"], images, (1.25, 1.25, 1.0))
    case["truth"] = {"world_from_ct": poses[0].tolist()}
    write_json(path, case)
    return path


#: Of a study's frames how many there are, and which one shows nothing.
COUNT, BLANK = 5, 3


def write_tracked_study(folder):
    """A folder with a case and its track."""
    blink = lambda n, image: image if n != BLANK else np.full_like(image, 7)  # noqa: E731
    track_of(write_moving_case(folder / "case", swing(COUNT), blink), "quick").save(
        folder / "track"
    )
    return folder


def track_of(case, pace="thorough"):
    """A case's frames, tracked."""
    from MultiViewRegistrationLib.io.sequence import FrameSequence
    from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
    from MultiViewRegistrationLib.sequence.run import follow
    from MultiViewRegistrationLib.sequence.track_files import Track

    sequence = FrameSequence.of_images(case)
    track = Track(sequence, PreparedCT(sequence.first.ct), pace)
    track.frames.extend(follow(sequence, track.anatomy, pace=pace))
    return track


def turning(track):
    """A track of what turns by 5 degrees a frame about the first axis of the one in a folder."""
    told = read_json(track / "track.json")
    for frame in told["frames"]:
        if frame["world_from_ct"] is not None:
            turn = rigid.turn_and_shift(np.radians([5.0 * frame["number"], 0, 0]), [0, 0, 0])
            frame["world_from_ct"] = (np.array(frame["world_from_ct"]) @ turn).tolist()
    return told

"""A result.json with overlays, as `Result.save` writes it, without a registration."""

import numpy as np
from helpers.assessments import assessed
from helpers.file_io import write_json
from PIL import Image
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.io.files import plain
from MultiViewRegistrationLib.io.result_json import assessment_json

WORLD_UID, CT_UID = "2.25.111", "1.2.826.0.1.3680043.8.498.2"
XA = "1.2.840.10008.5.1.4.1.1.12.1"
OVERRIDE = "An X-ray was replaced since: Müller."


def pose(seed):
    """A random rigid (4, 4)."""
    random = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    matrix[:3, 3] = random.uniform(-2000, 2000, 3)
    return matrix


def assessment_content(verdict, findings=(), **more):
    """Return the fields of a result.json about an assessment; parameters as of `assessments.assessed`."""
    return plain(assessment_json(assessed(verdict, findings, **more)))


def write_result(folder, **changes):
    """Writes result.json and two overlays; a key given as None is left out, but for the verdict.

    Returns the result.json.
    """
    folder.mkdir(exist_ok=True)
    names = ("Doe John", "LAT")
    content = {
        "version": 1,
        "world_from_ct": pose(1),
        **assessment_content(changes.get("verdict")),
        "reasons": [],
        "predicted_tre_mm": None,
        "frame_of_reference_uid": {"world": WORLD_UID, "ct": CT_UID},
        "views": [
            {"name": name, "similarity": 0.9, "camera_from_world": np.eye(4)} for name in names
        ],
        "inputs": {"case.json": "00"},
    } | changes
    for number, name in enumerate(names):
        Image.fromarray(np.full((6, 8, 3), 50 + number, np.uint8)).save(
            folder / f"{name}_edges_after.png"
        )
    content = {
        key: value for key, value in content.items() if value is not None or key == "verdict"
    }
    write_json(folder / "result.json", content)
    return folder / "result.json"


def dicom_views(frame=2):
    """Two views of one XA run and one of another, for `views` of a result."""

    def image(number, frame):
        return {
            "study_uid": f"1.2.3.{number}",
            "series_uid": f"1.2.3.{number}.1",
            "sop_class_uid": XA,
            "sop_instance_uid": f"1.2.3.{number}.1.1",
            "frame": frame,
        }

    origins = {"Doe John": image(5, frame), "LAT": image(5, 7), "oblique": image(6, None)}
    return [{"name": name, "similarity": 0.9, "dicom": origin} for name, origin in origins.items()]

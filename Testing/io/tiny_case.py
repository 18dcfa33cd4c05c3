"""A tiny case: a bone of 2 cm in a CT of 12 x 12 x 12 voxels, views of 20 x 16 pixels."""

import copy
import re

import numpy as np
from helpers.array_case import case_of
from helpers.file_io import read_values, write_values, write_volume
from helpers.refusals import refusal as refusal

from MultiViewRegistrationLib import CArm, Case
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.cli.options import Parser
from MultiViewRegistrationLib.cli.register import _case_file, add_register
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import load_image


class _Removed:
    def __repr__(self):
        return "REMOVED"  # tests are named by it, the same in every process


REMOVED = _Removed()
SIZE = (20, 16)  # columns, rows
READING = {
    "source_to_detector_mm": 1000,
    "source_to_isocentre_mm": 700,
    "pixel_mm": [4, 4],
    "size": list(SIZE),
    "rao_lao_deg": 0,
    "cra_cau_deg": 0,
}
PLACE = rigid.translation([-22.0] * 3) @ np.diag([4.0, 4, 4, 1])
#: Voxels from the middle of the CT.
DISTANCE = np.linalg.norm(np.indices((12, 12, 12)) - 5.5, axis=0)
START = np.array([[0, -1, 0, 2], [1, 0, 0, -3], [0, 0, 1, 1], [0, 0, 0, 1]], float)


def camera(rao_lao_deg, **changes):
    return CArm(**READING | {"rao_lao_deg": rao_lao_deg} | changes).camera()


def camera_json(camera):
    """A camera as a case.json has it."""
    return {
        "intrinsics": camera.intrinsics.tolist(),
        "camera_from_world": camera.camera_from_world.tolist(),
        "size": list(camera.size),
    }


def minimal():
    """The keys that every case has, as parsed JSON."""
    return {
        "version": 1,
        "ct": "ct.mha",
        "views": [
            {
                "name": "AP",
                "image": "ap.mha",
                "projection_matrix": camera(0).projection_matrix.tolist(),
            },
            {
                "name": "LAT",
                "image": "lat.mha",
                "projection_matrix": camera(90).projection_matrix.tolist(),
            },
        ],
        "world_from_ct": START.tolist(),
    }


def full():
    """A case with every key, as parsed JSON."""
    case = minimal()
    ap, lateral = case["views"]
    ap.update(
        frame=0,
        intensity="linear",
        rotation_sd_deg=0,
        translation_sd_mm=0,
        mask="ap_mask.mha",
        exposure_kv=80,
    )
    lateral.update(intensity="log", rotation_sd_deg=None, translation_sd_mm=2.5)
    case["views"] += [
        {
            "name": "oblique",
            "image": "oblique.mha",
            "camera": camera_json(camera(45)),
            "distortion": [-0.1, 0.01, 0.001, 0],
        },
        {
            "name": "C-arm 30°",
            "image": "c_arm.mha",
            "c_arm": {
                **READING,
                "rao_lao_deg": 30,
                "principal_point": [9.5, 7.5],
                "roll_deg": 0,
                "isocentre_offset_mm": [0, 0],
                "mirrored": False,
            },
        },
        {
            "name": "scout",
            "image": "scout.mha",
            "slot_scan": {
                "isocentre": [0, 0, 30],
                "isocentre_to_source": [0, 1, 0],
                "source_to_isocentre_mm": 541,
                "columns_along": [1, 0, 0],
                "rows_along": [0, 0, -1],
                "pixel_mm": [4, 4],
                "size": list(SIZE),
                "central_column": 9.5,
                "fan": "equal_angles",
            },
            "step_sd_percent": 0.2,
        },
    ]
    case.update(
        {
            "$schema": "case.schema.json",
            "ct_unit": "hu",
            "mask": "bone.mha",
            "search": {"rotation_deg": 10, "translation_mm": 20.5},
            "shared_unknowns": {
                "source_to_detector_sd_mm": 10,
                "principal_point_sd_px": 20.5,
                "isocentre_sd_mm": 5,
            },
            "training": {
                "orbital_deg": 15,
                "tilt_deg": 7.5,
                "roll_deg": 30,
                "columns_mm": 50,
                "rows_mm": 0,
                "beam_mm": 20.5,
            },
            "targets": [[1, 2, 3], [-4.5, 0, 0]],
            "landmarks": [
                {"name": "tip", "ct": [1, 2, 3], "views": {"AP": [9.5, 7], "LAT": [10, 7.5]}},
                {"name": "Stirn", "ct": [-4, 0, 2.5], "views": {"C-arm 30°": [8, 7]}},
                {"name": "heel", "ct": [0, 0, -3], "views": {}},
            ],
            "reference_from_world": np.eye(4).tolist(),
            "relative_geometry": "estimated",
            "patient_digests": {
                "salt": "0" * 32,
                "ct": {"id_name": "1" * 32, "id_birth": "2" * 32},
                "views": {"AP": {"id": "3" * 32}},
            },
            "truth": {"world_from_ct": START.tolist()},
        }
    )
    return case


def write_files(folder):
    """The files that minimal() and full() name."""
    random = np.random.default_rng(1)
    ct = np.where(DISTANCE < 2.5, 900, np.where(DISTANCE < 5, 30, -1000)).astype(np.int16)
    write_volume(folder / "ct.mha", ct, PLACE)
    write_volume(folder / "bone.mha", (ct > 500).astype(np.uint8), PLACE)
    for name in "ap lat oblique c_arm scout".split():
        pixels = random.integers(2000, 4000, SIZE[::-1]).astype(np.uint16)
        write_values(folder / f"{name}.mha", pixels)
    mask = np.ones(SIZE[::-1], np.uint8)
    mask[:3] = 0
    write_values(folder / "ap_mask.mha", mask)


def images_of(folder):
    """The images of minimal()'s views, by their names."""
    return {name: load_image(folder / f"{name.lower()}.mha") for name in ("AP", "LAT")}


def changed(case, path, value):
    """A copy of a case (parsed JSON) with a value at a path, as messages have it: views[0].name; REMOVED takes the key away."""
    case = copy.deepcopy(case)
    keys = (int(key) if key.isdigit() else key for key in re.findall(r"[^.\[\]]+", path))
    *parents, last = keys
    part = case
    for key in parents:
        part = part[key]
    if value is REMOVED:
        del part[last]
    else:
        part[last] = value
    return case


def case_of_arrays(*bones, **named):
    """A case of a CT, or of bones, and the X-rays of minimal(), which lie in the folder where this runs."""
    views = minimal()["views"]
    images = [read_values(view["image"]) for view in views]
    matrices = [np.array(view["projection_matrix"]) for view in views]
    given = {"view_image": images, "view_projection": matrices, "view_intensity": "linear"}
    return case_of(*bones, **given, **named)


def run(words):
    """The program does what these words say."""
    assert main(words.split()) == 0


def registered_case(words):
    """The case that `mvreg register` would register of case.json with these words."""
    parser = Parser(prog="mvreg register")
    add_register(parser)
    options = parser.parse_args(["case.json", *words.split()])
    return Case.of(_case_file(options, *options.cases))

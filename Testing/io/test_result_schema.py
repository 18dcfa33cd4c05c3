"""result.schema.json, and that it holds for results as they are written."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np

from MultiViewRegistrationLib.io import case_file
from MultiViewRegistrationLib.report import result

SCHEMA = json.loads((Path(case_file.__file__).parent / "result.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
POSE = np.eye(4).tolist()
FULL = {
    "version": 2,
    "world_from_ct": POSE,
    "verdict": "check",
    "reasons": ["Ambiguous."],
    "override": "I know better.",
    "predicted_tre_mm": {"mean": 0.4, "upper95": 1.1},
    "uncertainty": {
        "failure_probability": 0.2,
        "noise_mm": 0.1,
        "views": [{"name": "AP", "depth_mm": 0.2, "in_plane_mm": 0.1}],
        "least_certain_rotation": {"degrees": 0.3, "axis": [0, 0, 1]},
    },
    "diagnosis": {
        "cause": "mirrored",
        "views": ["AP"],
        "evidence_gain": 12.5,
        "similarity": [0.9],
        "world_from_ct": POSE,
    },
    "views": [
        {
            "name": "AP",
            "similarity": 0.7,
            "camera_from_world": POSE,
            "given_camera_from_world": POSE,
            "intrinsics": np.eye(3).tolist(),
            "given_intrinsics": np.eye(3).tolist(),
        }
    ],
    "errors": {
        "mtre_mm": 0.1,
        "max_tre_mm": 0.2,
        "mpd_px": 1.0,
        "mpd_mm": None,
        "mrpd_mm": 0.1,
        "diffpose_score": None,
        "depth_mm": 0.1,
        "in_plane_mm": 0.1,
        "rotation_deg": 0.1,
    },
    "start": {
        "method": "auto",
        "candidates": 7,
        "refined": 2,
        "range": {"rotation_deg": 15, "translation_mm": 45},
        "world_from_ct": POSE,
        "landmarks": [
            {"name": "tip", "view": "AP", "residual_px": 1, "residual_mm": 0.4, "used": True, "swapped_with": ""}
        ],
    },
    "regressor": {
        "model": None,
        "minutes": None,
        "device": None,
        "trained": False,
        "selected_start": "search",
        "expected_mm": 2.5,
        "candidates": [{"views": "AP alone", "expected_mm": 2.5, "agree": True, "world_from_ct": POSE}],
    },
    "alternative": {"evidence_ratio": 1.6, "distance_mm": 4, "rotation_deg": 2, "world_from_ct": POSE},
    "refinement": "joint",
    "background": {"distance_mm": 4, "rotation_deg": 2, "world_from_ct": POSE},
    "seconds": {"load": 1, "initialise": 0, "refine": 0.2, "assess": 0, "total": 1.2},
    "software": {"version": "0.1", "device": "CPU"},
    "inputs": {"ct.mha": "0" * 64},
    "frame_of_reference_uid": {"world": "2.25.1", "ct": None},
    "reference_from_world": POSE,
    "relative_geometry": None,
}


def test_the_schema_is_one_of_todays_version():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["version"]["maximum"] == result.VERSION


def test_a_result_with_everything_fits():
    VALIDATOR.validate(FULL)
    assert FULL.keys() == SCHEMA["properties"].keys()

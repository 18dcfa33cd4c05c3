"""Small made-up cases for the report's tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from MultiViewRegistrationLib.assessment.metrics import Errors
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.report.case_report import CameraSummary, CaseReport, Level, ViewReport

KINDS = ("edges", "checkerboard", "difference")


def picture(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (40, 30), grey).save(file, "PNG")
    return file.getvalue()


def view(name: str = "AP", **changes) -> ViewReport:
    camera = CameraSummary((512, 400), 5258.0, (0.194, 0.194), 1020.052, 0.0)
    pictures = {kind: (picture(10 + number), picture(200 + number)) for number, kind in enumerate(KINDS)}
    return ViewReport(**{"name": name, "camera": camera, "pictures": pictures, "similarity": 0.9512} | changes)


def case(**changes) -> CaseReport:
    quarter_turn = rigid.from_rotation_translation(rigid.exp_so3(np.array([0, 0, np.pi / 2])), np.array([0.0, 0, 5]))
    start = rigid.from_rotation_translation(np.eye(3), np.array([10.0, 0, 5]))
    fields = {
        "name": "pelvis",
        "views": [view("AP"), view("LAT")],
        "world_from_ct": quarter_turn,
        "start_world_from_ct": start,
        "centre_ct": np.array([0.0, 0, 100]),
        "method": "search, 1000 poses",
        "errors": Errors(0.0634, 0.1, 0.25, 0.05, 0.04, 0.3, 0.06, 0.02, 0.01, 0.05),
        "start_errors": Errors(21.0, 30.0, 40.0, 9.0, 18.0, 12.0, 11.0, 17.0, 10.0, 20.0),
        "levels": [
            Level("32 pixels", [8.0, 4.0, 2.0], [10.0, 1.0, 0.1]),
            Level("64 pixels", [3.0, 2.7], [0.2, 0.02]),
        ],
        "seconds": {"refine": 0.4, "total": 1.25},
        "inputs": {"case.json": "ab" * 32},
        "software": {"MultiViewRegistration": "0.1.0"},
    }
    return CaseReport(**fields | changes)

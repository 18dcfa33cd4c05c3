"""Rows of the protocol as tests need them."""

from __future__ import annotations


def row(number=0, mtre_mm=0.1, verdict="accept", wrong=0.01, upper=0.5, **more):
    return {
        "number": number,
        "part": "body",
        "condition": "2 views, 90 degrees",
        "group": "geometry",
        "ct": "a",
        "bone": None,
        "views": 2,
        "apart_deg": 90,
        "error": None,
        "repeat": 0,
        "nuisances": [],
        "start_mm": 5.0,
        "failed": None,
        "mtre_mm": mtre_mm,
        "verdict": verdict,
        "failure_probability": wrong,
        "upper95_mm": upper,
        "register_s": 2.0,
        "assess_s": 1.0,
        "depth_mm": 0.1,
        "in_plane_mm": 0.1,
        "depth95_mm": 0.2,
        "in_plane95_mm": 0.05,
        "camera_off": [[1.0, 3.0], [0.1, 0.3]],
        **more,
    }


def failed(number=0, **more):
    return {
        key: value
        for key, value in {**row(number, **more), "failed": "Nothing to be seen."}.items()
        if key
        not in (
            "mtre_mm",
            "verdict",
            "failure_probability",
            "upper95_mm",
            "register_s",
            "assess_s",
            "in_plane_mm",
            "camera_off",
        )
    }

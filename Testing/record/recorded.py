"""Runs `mvreg` on one case of the record and gathers what must not change.

Poses, verdicts, numbers, exit codes, names of files.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from helpers.program import call

from MultiViewRegistrationLib.io.result_json import WHOLE

RECORD = Path(__file__).with_name("record.json")
#: Of processors, what decides how compiled code rounds.
FLAGS = ("avx2", "fma", "avx512f")
#: Of a view that `mvreg case check` prints, what says how it was taken and how well that is known.
VIEW_KEYS = (
    *("name", "camera", "slot_scan", "mirrored", "source_to_detector_mm"),
    *("rotation_sd_deg", "translation_sd_mm", "principal_point_sd_px", "distance_sd_percent"),
)


def fingerprint():
    """What has to be the same for numbers to be the same to 1e-9."""
    import llvmlite.binding

    features = llvmlite.binding.get_host_cpu_features()
    return {
        "processor": llvmlite.binding.get_host_cpu_name(), "flags": [flag for flag in FLAGS if features.get(flag)],
        "system": f"{platform.system()} {platform.machine()}", "threads": len(os.sched_getaffinity(0)),
        **{name: version(name) for name in ("numba", "llvmlite", "numpy", "scipy", "SimpleITK")},
    }  # fmt: skip


def outcome(folder, commands):
    """What came of each command, one after the other in a folder."""
    with _in_folder(folder):
        return [_outcome(folder, command, more) for command, *more in commands]


def _outcome(folder, command, arguments):
    status, (out, err) = call([command, *arguments])
    if status not in (0, 2):
        raise AssertionError(f"mvreg {command} {' '.join(arguments)} ended with {status}:\n{err}")
    told: dict = {"command": command, "exit": status}
    if status == 2:
        told["lines of stderr"] = len([line for line in err.splitlines() if "warning" not in line])
    if "--out" in arguments:
        written = folder / arguments[arguments.index("--out") + 1]
        told["files"] = sorted(
            path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()
        )
        told["numbers"] = {
            name: numbers
            for name in told["files"]
            if (numbers := _numbers(written / name)) is not None
        }
        for name, read in (("result.json", _of_result), ("track.json", _of_track)):
            if name in told["files"]:
                told |= read(json.loads((written / name).read_text(encoding="utf-8")))
    if command == "case":
        told |= _of_case(folder, arguments, status, out, err)
    return told


def _of_result(result):
    # The sentences are free to change, and the identifiers of frames and the seconds are new each
    # time.
    return {
        "world_from_ct": result["world_from_ct"], "verdict": result["verdict"], "has reasons": bool(result["reasons"]),
        "failure_probability": result.get("failure_probability"),
        "predicted_tre_mm": result["predicted_tre_mm"], "errors": result.get("errors"),
        "similarity": [view["similarity"] for view in result["views"]],
        "camera_from_world": [view["camera_from_world"] for view in result["views"]],
        "structures": [[each["world_from_ct"], each["verdict"]] for name, each in result["bodies"].items() if name != WHOLE],
    }  # fmt: skip


def _of_case(folder, arguments, status, out, err):
    """Of `mvreg case`: the views as they are understood, and as they are written.

    Or the sentence that refuses them.
    """
    if status == 2:
        return {"said": err}
    told: dict = {}
    if arguments[0] in ("new", "check"):
        check = json.loads(out)
        told["views"] = [{key: view[key] for key in VIEW_KEYS} for view in check["views"]]
        told["assumptions"] = check["assumptions"]
    if "--out" in arguments:
        written = folder / arguments[arguments.index("--out") + 1]
        written = written / "case.json" if written.is_dir() else written
        told["written"] = json.loads(written.read_text(encoding="utf-8"))["views"]
    return told


def _of_track(track):
    return {
        "frames": [
            {key: frame.get(key) for key in ("number", "world_from_ct", "verdict", "similarity")}
            for frame in track["frames"]
        ]
    }


def _numbers(path):
    """Those of a transform, a table of poses or an image; None of another file."""
    if path.suffix in (".tfm", ".h5"):
        transform = sitk.ReadTransform(str(path))
        return [*transform.GetParameters(), *transform.GetFixedParameters()]
    if path.suffix == ".txt":
        return np.loadtxt(path).tolist()
    if path.suffix == ".npy":
        values = np.load(path)
        return (values[values.dtype.names[0]] if values.dtype.names else values).tolist()
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        return (
            next((value for value in content.values() if np.shape(_or_none(value)) == (4, 4)), None)
            if "axes" in content
            else None
        )
    if path.suffix in (".csv", ".tra"):
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [[_number(cell) for cell in row] for row in csv.reader(stream)]
        clock = [n for n, name in enumerate(rows[0]) if name == "seconds"]  # never the same twice
        return [[cell for n, cell in enumerate(row) if n not in clock] for row in rows]
    if path.suffix == ".mrml":
        return [
            float(x)
            for x in re.findall(
                r"(?<![\w.])-?\d+\.\d{3,}(?:e-?\d+)?", path.read_text(encoding="utf-8")
            )
        ]
    if path.suffix == ".dcm":
        return _dicom(path)
    if path.suffix in (".mha", ".nrrd", ".gz"):
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(float)
        return [*values.shape, values.mean(), values.std()]
    return None


def _or_none(value):
    try:
        return np.array(value, float)
    except (ValueError, TypeError):
        return None


def _number(cell):
    """NaN, which JSON has not, as None."""
    try:
        return float(cell) if np.isfinite(float(cell)) else None
    except ValueError:
        return cell


def _dicom(path):
    import pydicom

    data = pydicom.dcmread(path)
    if "PixelData" in data:
        values = data.pixel_array.astype(float)
        return [*values.shape, values.mean(), values.std()]
    found: list[float] = []

    def visit(_, element):
        if element.keyword == "FrameOfReferenceTransformationMatrix":
            found.extend(map(float, element.value))

    data.walk(visit)
    return found


@contextlib.contextmanager
def _in_folder(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def differences(expected, found, tolerance, where=""):
    """Where two outcomes are not the same.

    Numbers by more than the tolerance, relative to 1 or to what they are; else at all.
    """
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return [
            line
            for key in expected
            for line in differences(expected[key], found[key], tolerance, f"{where}.{key}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line
            for n, pair in enumerate(zip(expected, found, strict=True))
            for line in differences(*pair, tolerance, f"{where}[{n}]")
        ]
    if _is_number(expected) and _is_number(found):
        return (
            [f"{where}: {expected!r} before, {found!r} now"]
            if abs(expected - found) > tolerance * max(1, abs(expected))
            else []
        )
    return [] if expected == found else [f"{where}: {expected!r} before, {found!r} now"]


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)

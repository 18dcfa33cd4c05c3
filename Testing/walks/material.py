"""What a person would have on a computer before each of the walks, made from the module's sample and the shared data."""

import shutil
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "MultiViewRegistration")]

from helpers.file_io import read_json, read_values, write_json  # noqa: E402
from imaging.dicom_files import XA_IMAGE, write_dicom, write_series  # noqa: E402

from MultiViewRegistrationLib.io.datasets.chest import (  # noqa: E402
    BENT_SPINE_FOLDER,
    SAMPLE_FOLDER,
    bent_spine_truth,
    chest_ct,
    chest_labels,
)

#: Real biplane radiographs of a wrist and the CT of its radius, see shared/data/README.md.
WRIST = ROOT.parent / "shared" / "data" / "wrist"
OF_THE_WRIST = ("wrist", "bones", "sequence")


def write_spine(folder):
    """The bent spine as `write_study`, and spine.seg.nrrd with its vertebrae as TotalSegmentator calls them."""
    write_study(folder, BENT_SPINE_FOLDER)
    labels = sitk.Cast(sitk.ReadImage(str(chest_labels())), sitk.sitkUInt8)
    for n, structure in enumerate(sample_case(BENT_SPINE_FOLDER)["structures"]):
        values = {"ID": f"Segment_{n}", "Name": f"vertebrae_{structure['name']}"}
        values |= {"LabelValue": str(structure["label"]), "Layer": "0"}
        for key, value in values.items():
            labels.SetMetaData(f"Segment{n}_{key}", value)
    sitk.WriteImage(labels, str(folder / "spine.seg.nrrd"), True)
    return folder


def spine_errors_mm(folder):
    """How far the exported transform of each vertebra puts its middle from where it is."""
    labels = sitk.ReadImage(str(chest_labels()))
    values, truth = sitk.GetArrayFromImage(labels), bent_spine_truth()
    errors = {}
    for structure in sample_case(BENT_SPINE_FOLDER)["structures"]:
        middle = np.argwhere(values == structure["label"]).mean(axis=0)[::-1]
        at = np.array(labels.TransformContinuousIndexToPhysicalPoint(middle.tolist()))
        name = structure["name"]
        found = next(folder.rglob(f"vertebrae_{name}_world_from_ct.tfm"), None)
        if found is not None:
            there = np.array(sitk.ReadTransform(str(found)).TransformPoint(at.tolist()))
            errors[name] = float(np.linalg.norm(there - (truth[name] @ [*at, 1])[:3]))
    return errors


def write_study(folder, sample=SAMPLE_FOLDER):
    """A sample as a hospital has it.

    CT slices in "CT", AP.dcm and lateral.dcm, whose headers say where the C-arm stood.
    """
    image = sitk.DICOMOrient(sitk.ReadImage(str(chest_ct())), "LPS")
    place = np.diag([*image.GetSpacing(), 1.0])
    place[:3, 3] = image.GetOrigin()
    hu = np.clip(np.rint(sitk.GetArrayFromImage(image)), -1024, 3071).astype(np.int16)
    folder.mkdir(parents=True, exist_ok=True)
    said = {"FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.8", "PatientPosition": "HFS"}
    write_series(folder / "CT", hu, place, SeriesDescription="Chest 2.5 mm", **said)
    for view in sample_case(sample)["views"]:
        write_xray(folder / f"{view['name']}.dcm", view, sample)
    return folder


def write_xray(path, view, sample=SAMPLE_FOLDER):
    """A view of a sample as an XA image."""
    c_arm = view["c_arm"]
    pixel_mm = c_arm["pixel_mm"][0]
    column, row = c_arm["principal_point"]
    pixels = read_values(sample / view["image"])
    write_dicom(
        path,
        pixels,
        XA_IMAGE,
        Modality="XA",
        PatientPosition="HFS",
        PixelIntensityRelationship="LIN",
        DistanceSourceToDetector=str(c_arm["source_to_detector_mm"]),
        DistanceSourceToPatient=str(c_arm["source_to_isocentre_mm"]),
        ImagerPixelSpacing=[str(pixel_mm), str(pixel_mm)],
        PositionerPrimaryAngle=str(c_arm["rao_lao_deg"]),
        PositionerSecondaryAngle=str(c_arm["cra_cau_deg"]),
        FieldOfViewOrigin=["0", "0"],
        FieldOfViewRotation="0",
        FieldOfViewHorizontalFlip="NO",
        PositionOfIsocenterProjection=[row, column],
        DetectorElementSpacing=[str(pixel_mm), str(pixel_mm)],
    )
    return path


def sample_case(sample=SAMPLE_FOLDER):
    """A sample's case.json."""
    return read_json(sample / "case.json")


def write_sample(folder, mirrored=""):
    """The sample as a case.json with its files.   mirrored.

    The view whose image is turned over from left to right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    case = sample_case()
    shutil.copy(chest_ct(), folder / case["ct"])
    for view in case["views"]:
        image = sitk.ReadImage(str(SAMPLE_FOLDER / view["image"]))
        if view["name"] == mirrored:
            image = sitk.GetImageFromArray(sitk.GetArrayFromImage(image)[:, ::-1])
            column, row = view["c_arm"]["principal_point"]
            view["c_arm"]["principal_point"] = [image.GetWidth() - 1 - column, row]
        sitk.WriteImage(image, str(folder / view["image"]))
    del case["truth"]  # nobody has it
    path = folder / "case.json"
    write_json(path, case)
    return path


def write_wrist(folder):
    """The radius and both radiographs as a case.json with its files.

    None without the shared data.
    """
    source = WRIST / "radius_0099.json"
    if not source.is_file():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    case = read_json(source)
    for name in (case["ct"], *(view["image"] for view in case["views"])):
        shutil.copy(WRIST / name, folder / name)
    path = folder / "case.json"
    write_json(path, case)
    return path


def write_wrist_bones(folder):
    """Radius and ulna, a CT each, and both radiographs, as a case.json with its files.

    None without the shared data.
    """
    path = write_wrist(folder)
    if path is None:
        return None
    case = read_json(path)
    structures = []
    for name in ("radius", "ulna"):
        own = read_json(WRIST / f"{name}_0099.json")
        shutil.copy(WRIST / own["ct"], folder / own["ct"])
        structures.append({"name": name, **{key: own[key] for key in ("ct", "world_from_ct")}})
    case = {key: case[key] for key in ("version", "ct_unit", "views", "search") if key in case}
    write_json(path, {**case, "structures": structures})
    return path


def wrist_shifts_mm(folder):
    """How far the exported transform of each bone puts its CT's origin from where its rough start does."""
    shifts = {}
    for name in ("radius", "ulna"):
        found = sitk.ReadTransform(str(next(folder.rglob(f"{name}_world_from_ct.tfm"))))
        given = read_json(WRIST / f"{name}_0099.json")
        at = np.array(given["world_from_ct"])[:3, 3]
        shifts[name] = float(np.linalg.norm(np.array(found.TransformPoint((0.0, 0.0, 0.0))) - at))
    return shifts


def write_wrist_sequence(folder):
    """The bones of `write_wrist_bones` in all instants, images of several frames.

    None without the shared data.
    """
    path = write_wrist_bones(folder)
    if path is None:
        return None
    case = read_json(path)
    for view in case["views"]:
        names = [view["image"].replace("0099", instant) for instant in ("0099", "0158", "0002")]
        frames = [read_values(WRIST / name) for name in names]
        (folder / view["image"]).unlink()
        view["image"] = f"{view['name']}.nrrd"
        stack = sitk.GetImageFromArray(np.stack(frames))
        sitk.WriteImage(stack, str(folder / view["image"]), True)
    write_json(path, case)
    return path


def truth_of_sample():
    """The sample's world_from_ct (4, 4), which its simulation knows."""
    return sample_case()["truth"]["world_from_ct"]


def error_mm(path):
    """How far an exported world_from_ct.tfm puts points of the sample's CT from where they are, at most."""
    found, truth = sitk.ReadTransform(str(path)), np.array(truth_of_sample())
    points = np.array([[0.0, 0.0, 0.0], [100.0, 0.0, 0.0], [0.0, 0.0, -200.0]])
    return max(
        float(np.linalg.norm(np.array(found.TransformPoint(p.tolist())) - (truth @ [*p, 1])[:3]))
        for p in points
    )


#: Writes what a task needs into a folder, by the task's name.
MATERIAL = {
    "own": write_study,
    "wrist": write_wrist,
    "mirrored": lambda folder: write_sample(folder, mirrored="AP"),
    "undo": write_sample,
    "reopen": write_sample,
    "bones": write_wrist_bones,
    "sequence": write_wrist_sequence,
    "spine": write_spine,
}

"""The cases of the record: each writes its files into a folder and says which commands are run there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import simple_body as body
import SimpleITK as sitk
from imaging.dicom_files import XA_IMAGE, write_dicom, write_series
from simple_body import CArm, save, write_body

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
REGISTER = ["register", "case.json", "--out", "out"]


@dataclass(frozen=True)
class RecordCase:
    """make: takes a folder; returns commands as lists of words.   needs.

    A file or folder of the shared data.
    """

    make: Callable[[Path], list[list[str]]]
    needs: Path | None = None


CASES: dict[str, RecordCase] = {}


def case(function):
    """Puts a function among the cases."""
    CASES[function.__name__.replace("_", "-")] = RecordCase(function)
    return function


@case
def two_views(folder):
    save(folder, write_body(folder))
    return [REGISTER]


@case
def one_view(folder):
    save(folder, write_body(folder, (CArm(20, 5),)))
    return [REGISTER]


@case
def c_arms_mirrored(folder):
    save(
        folder,
        write_body(
            folder,
            [replace(each, mirrored=True) for each in (CArm(-10, 12), CArm(75, -5))],
            geometry="c_arm",
        ),
    )
    return [REGISTER]


@case
def search_without_a_start(folder):
    save(
        folder,
        write_body(folder)
        | {"world_from_ct": None, "search": {"rotation_deg": 20, "translation_mm": 30}},
    )
    return [[*REGISTER, "--start", "search"]]


def landmarks(c_arms):
    points = np.array(body.TARGETS)[[0, 1, 2, 4, 6, 7]] * [[1], [0.8], [1.1], [0.9], [1], [0.7]]
    seen = {
        f"view{n + 1}": each.project(np.c_[points, np.ones(6)] @ body.TRUTH[:3].T)
        for n, each in enumerate(c_arms)
    }
    off = np.random.RandomState(3).standard_normal((2, 6, 2))
    return [
        {"name": f"L{n}", "ct": points[n].tolist(),
         "views": {name: (pixels[n] + off[v, n]).tolist() for v, (name, pixels) in enumerate(seen.items())}}
        for n in range(6)
    ]  # fmt: skip


@case
def by_landmarks(folder):
    save(
        folder, write_body(folder) | {"world_from_ct": None, "landmarks": landmarks(body.TWO_VIEWS)}
    )
    return [[*REGISTER, "--start", "landmarks"]]


def off_camera(content, view=1, **certainty):
    """One camera is off by some 1.3 degrees and 3.7 mm, and the case may say how certain it is."""
    camera = content["views"][view]["camera"]
    camera["camera_from_world"] = (
        np.array(camera["camera_from_world"]) @ body.pose([1, 0.5, -0.7], [2, -1, 3])
    ).tolist()
    content["views"][view] |= certainty
    return content


@case
def uncalibrated_third_view(folder):
    content = write_body(folder, (CArm(), CArm(90), CArm(45, 10)), geometry="camera")
    save(folder, off_camera(content, 2, rotation_sd_deg=None, translation_sd_mm=None))
    return [REGISTER]


@case
def camera_known_to_one_degree(folder):
    save(
        folder,
        off_camera(write_body(folder, geometry="camera"), rotation_sd_deg=1, translation_sd_mm=3),
    )
    return [REGISTER]


@case
def angles_free_about_one_isocentre(folder):
    content = write_body(folder, geometry="c_arm")
    content["views"][1]["c_arm"]["rao_lao_deg"] += 2
    content["views"][1] |= {"rotation_sd_deg": None, "translation_sd_mm": 0}
    save(folder, content | {"shared_unknowns": {"isocentre_sd_mm": 3}})
    return [REGISTER]


@case
def distorted(folder):
    content = write_body(folder, geometry="camera")
    content["views"][0]["distortion"] = [0.4, 0.1, 0.002, -0.001]
    save(folder, content)
    return [REGISTER]


#: Of the structure, that it has moved by some 5 degrees and 4 mm among the rest.
MOVED = body.pose([4, -2, 3], [2, -3, 2]) @ body.TRUTH


def moved_structure(folder):
    """The case of a body whose structure has moved; its mask is in mask.mha."""
    body.write_ct(folder / "mask.mha", body.structure_mask())
    return write_body(folder, structure_at=MOVED)


@case
def structure_moved_among_the_rest(folder):
    truth = {"world_from_ct": MOVED.tolist()}
    save(folder, moved_structure(folder) | {"mask": "mask.mha", "truth": truth})
    return [REGISTER]


@case
def bones(folder):
    """The whole body, and the structure at its own pose."""
    listed = [{"name": "bone", "mask": "mask.mha"}]
    save(folder, moved_structure(folder) | {"structures": listed})
    return [REGISTER]


@case
def turned_nrrd_cut_off_at_its_ends(folder):
    """The CT's axes are no patient's, and the body goes on beyond it."""
    content = write_body(folder, image="{}.nrrd")
    axes = body.pose([0, 0, 90], [0, 0, 0])[:3, :3].round()
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(np.rot90(body.ct_values()[10:40], axes=(1, 2)))
    )
    image.SetSpacing([2.0] * 3)
    image.SetDirection(axes.ravel().tolist())
    image.SetOrigin((axes @ [-47, -47, 0] + [0, 0, -27]).tolist())
    sitk.WriteImage(image, str(folder / "ct.nrrd"))
    save(folder, content | {"ct": "ct.nrrd"})
    return [REGISTER]


def write_dicom_body(folder):
    """A case of DICOM files: slices of a CT, and X-rays whose geometry is in their headers."""
    place = np.diag([2.0, 2, 2, 1])
    place[:3, 3] = -47
    patient = {"FrameOfReferenceUID": "1.2.3.5", "PatientPosition": "HFS"}
    write_series(folder / "ct", body.ct_values(), place, **patient)
    views = []
    for number, c_arm in enumerate((CArm(-5, 3, mirrored=True), CArm(85, -4, mirrored=True))):
        name = f"view{number + 1}"
        write_dicom(
            folder / f"{name}.dcm", body.xray(c_arm, number=number), XA_IMAGE, Modality="XA", **patient,
            SeriesInstanceUID=f"1.2.3.8.{number}", DistanceSourceToDetector=c_arm.source_to_detector_mm,
            DistanceSourceToPatient=c_arm.source_to_isocentre_mm, ImagerPixelSpacing=[c_arm.pixel_mm] * 2,
            PositionerPrimaryAngle=c_arm.rao_lao_deg, PositionerSecondaryAngle=c_arm.cra_cau_deg, FieldOfViewHorizontalFlip="NO",
            PixelIntensityRelationship="LIN", PixelIntensityRelationshipSign=1,
        )  # fmt: skip
        views.append({"name": name, "image": f"{name}.dcm"})
    start, truth = body.START.tolist(), {"world_from_ct": body.TRUTH.tolist()}
    content = {
        "version": 1,
        "ct": "ct",
        "views": views,
        "world_from_ct": start,
        "targets": body.TARGETS,
    }
    save(folder, content | {"truth": truth})
    return content


@case
def dicom_files(folder):
    write_dicom_body(folder)
    return [
        REGISTER,
        "export out --as dicom drr --identity --case case.json --out of-patient".split(),
    ]  # fmt: skip


# Faults put in.


@case
def fault_image_mirrored(folder):
    content = write_body(folder)
    body.write_image(
        folder / "view2.mha", np.ascontiguousarray(body.xray(CArm(90), number=1)[:, ::-1])
    )
    save(folder, content)
    return [REGISTER]


@case
def fault_other_patient(folder):
    save(folder, write_body(folder, ellipsoids=body.OTHER))
    return [REGISTER, "export out --as tfm --out refused".split(),
            "export out --as tfm txt --direction forward --override --out all-the-same".split()]  # fmt: skip


@case
def tracked(folder):
    moving(folder)
    return [
        ["track", "case.json", "--out", "out"],
        "track case.json --pace quick --out quick".split(),
    ]


def moving(folder):
    """Five frames, the fourth one blank."""
    content = write_body(folder)
    turn = [body.pose([1.5 * n, -n, 0.7 * n], [2 * n, -1.5 * n, n]) @ body.TRUTH for n in range(5)]
    for number, c_arm in enumerate(body.TWO_VIEWS):
        frames = [body.xray(c_arm, each, number=10 * n + number) for n, each in enumerate(turn)]
        frames[3][:] = 7
        body.write_image(folder / f"view{number + 1}.mha", np.stack(frames), [1.25, 1.25, 1])
    save(folder, content)
    return content


@case
def exported(folder):
    save(
        folder,
        write_body(folder)
        | {"reference_from_world": body.pose([5, 10, 15], [40, 50, 60]).tolist()},
    )
    return [
        REGISTER,
        "export out --as all --case case.json --out all".split(),
        "export out --as resampled-ct drr cameras --volume mha --case case.json --out seen".split(),
    ]


# How cameras and their uncertainty come about, without a registration: the numbers are the same on
# any machine.

CHECK = ["case", "check", "case.json", "--json"]
SLOT_SCAN = {
    "isocentre": [2, 0, 80], "isocentre_to_source": [0, 2, 0], "source_to_isocentre_mm": 541, "columns_along": [1, 0, 0],
    "rows_along": [0, 0, -1], "pixel_mm": [1.1, 1.25], "size": [128, 128],
}  # fmt: skip
OFF_CENTRE = {
    "principal_point": [70.5, 61], "roll_deg": 12.5, "isocentre_offset_mm": [3, -4.5], "mirrored": True, "pixel_mm": [1.25, 1.2],
    "cra_cau_deg": 8,
}  # fmt: skip
SDS = {
    "rotation_sd_deg": 0.4,
    "translation_sd_mm": 2,
    "principal_point_sd_px": 1.5,
    "distance_sd_percent": 0.7,
}


@case
def geometry_of_every_kind(folder):
    """Each optional field, and each way to say how well a camera is known."""
    content = write_body(
        folder, (CArm(), CArm(90), CArm(45, 10), CArm(-30), CArm(20), CArm(-60)), geometry="c_arm"
    )
    usual, every, matrix, camera, scout, bent = content["views"]
    every["c_arm"] |= OFF_CENTRE
    every |= {"intensity": "log", "assumptions": ["Typed by hand."], **SDS}
    matrix |= {
        "projection_matrix": (-2.5 * CArm(45, 10).projection_matrix()).tolist(),
        "rotation_sd_deg": None,
    }
    camera |= {
        "camera": CArm(-30).camera(),
        "distortion": [-0.1, 0.01, 0.001, 0],
        "principal_point_sd_px": 0,
    }
    scout |= {
        "slot_scan": SLOT_SCAN | {"central_column": 60, "fan": "flat"},
        "step_sd_percent": 0.3,
        "intensity": "auto",
    }
    bent |= {
        "slot_scan": SLOT_SCAN | {"fan": "equal_angles", "isocentre_to_source": [0, -1, 0]},
        "rotation_sd_deg": 0,
    }
    for view in (matrix, camera, scout, bent):
        del view["c_arm"]
    save(folder, content)
    anonymous = ["case", "anonymise", "case.json", "--out", "anonymous"]
    return [CHECK, anonymous, ["case", "check", "anonymous", "--json"]]


@case
def geometry_by_headers(folder):
    """A header for all, a header but for what is given.

    Then with a table that moved, and with a reading that no header has.
    """
    content = write_dicom_body(folder)
    content["views"][1]["c_arm"] = {"source_to_isocentre_mm": 705, "roll_deg": 3}
    save(folder, content)
    second = pydicom.dcmread(folder / "view2.dcm")
    header = {
        "TableTopLongitudinalPosition": 0, "TableTopVerticalPosition": 0, "TableTopLateralPosition": 0, "DeviceSerialNumber": "7",
    }  # fmt: skip
    for number, name in enumerate(("view1.dcm", "view2.dcm")):
        moved = pydicom.dcmread(folder / name)
        for tag, value in (header | {"TableTopLateralPosition": 15 * number}).items():
            setattr(moved, tag, value)
        moved.save_as(folder / f"moved_{name}")
    save(
        folder,
        content
        | {"views": [view | {"image": f"moved_{view['image']}"} for view in content["views"]]},
        "moved.json",
    )
    del second.PositionerPrimaryAngle
    second.save_as(folder / "without.dcm")
    save(
        folder,
        content | {"views": [content["views"][0], content["views"][1] | {"image": "without.dcm"}]},
        "without.json",
    )
    return [
        CHECK,
        ["case", "check", "moved.json", "--json"],
        ["case", "check", "without.json", "--json"],
    ]


@case
def geometry_made_by_case_new(folder):
    """From options, a header, a matrix and a calibration."""
    write_dicom_body(folder)
    write_body(folder, (CArm(), CArm(90)))
    np.savetxt(folder / "matrix.txt", CArm().projection_matrix())
    K, pose = CArm(90).intrinsics(), CArm(90).camera_from_world()
    camera = {
        "camera_matrix": K.tolist(),
        "R": pose[:3, :3].tolist(),
        "t": pose[:3, 3].tolist(),
        "size": [128, 128],
    }
    (folder / "cameras.json").write_text(
        json.dumps({"side": camera | {"distortion_coefficients": [0.4, 0.1, 0.002, -0.001]}})
    )
    view = ["--view", "A", "view1.mha", "--intensity", "linear"]
    other = ["--view", "B", "view2.mha", "--intensity", "linear"]
    readings = (
        "source_to_detector_mm=1000 source_to_isocentre_mm=700 pixel_mm=1.25 rao_lao_deg=0 "
        "cra_cau_deg=5 mirrored=yes"
    ).split()
    scan = (
        "isocentre=0,0,80 isocentre_to_source=0,1,0 source_to_isocentre_mm=541 "
        "columns_along=1,0,0 rows_along=0,0,-1 pixel_mm=1.25 central_column=60 fan=equal_angles"
    )
    new = ["case", "new", "--ct", "ct.mha", "--json", "--out"]
    sds = "--rotation-sd unknown --translation-sd 2 --principal-point-sd 1.5 --distance-sd 0.5"
    more = "roll_deg=2 isocentre_offset_mm=1,-2 principal_point=60,61"
    files = "--calibration cameras.json --given unit=mm axes=lps first_pixel=0"
    headers = "--view A view1.dcm --view B view2.dcm --c-arm roll_deg=2 mirrored=no"
    return [
        [*new, "arm.json", *view, "--c-arm", *readings, *more.split(), *sds.split()],
        [*new, "scan.json", *view, "--slot-scan", *scan.split()],
        [*new, "files.json", *view, "--projection-matrix", "matrix.txt", *other, *files.split()],
        [*new, "header.json", *headers.split()],
        [*new, "none.json", *view],
    ]


# Left out: the published refinements take minutes each (Testing/published and
# integration/test_refinements.py hold them), and a start by a regressor that is trained on the way
# is as good as the minutes of the clock allow.


def shared(name, case):
    CASES[name] = RecordCase(lambda folder: [["register", str(case), "--out", "out"]], needs=case)


shared("pelvis-oblique-1", SHARED / "sim" / "pelvis-oblique-1")
shared("pelvis-three-views-wires", SHARED / "sim" / "pelvis-three-views-wires")
shared("wrist-radius_0099", SHARED / "wrist" / "radius_0099.json")


def scouts(folder):
    """Of a real head, from some 8 mm beside the pose of its scanner."""
    shift = np.eye(4)
    shift[:3, 3] = [5, -4, 5]
    np.savetxt(folder / "start.txt", shift)
    shutil.copytree(SHARED / "scout", folder / "study")
    new = ["case", "new", "--ct", "study", "--scouts", "--json", "--out", "case.json"]
    start = "--start-pose start.txt --frame lps --direction forward"
    return [new, [*REGISTER, *start.split()]]


CASES["scouts"] = RecordCase(scouts, needs=SHARED / "scout")

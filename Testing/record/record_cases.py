"""The cases of the record: each writes its files into a folder and says which commands are run there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import simple_body as body
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from simple_body import CArm, save, write_body

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
REGISTER = ["register", "case.json", "--out", "out"]


@dataclass(frozen=True)
class RecordCase:
    """make: takes a folder; returns commands as lists of words.   needs.

    a file or folder of the shared data.
    """

    name: str
    make: Callable[[Path], list[list[str]]]
    needs: Path | None = None


CASES: dict[str, RecordCase] = {}


def case(function):
    """Puts a function among the cases."""
    name = function.__name__.replace("_", "-")
    CASES[name] = RecordCase(name, function)
    return function


@case
def two_views(folder):
    save(folder, write_body(folder))
    return [REGISTER]


@case
def three_views(folder):
    save(folder, write_body(folder, (CArm(), CArm(60, 10), CArm(-50, -15))))
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


def landmarks(c_arms) -> list[dict]:
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


def off_camera(content: dict, view: int = 1, **certainty) -> dict:
    """One camera is off by some 1.3 degrees and 3.7 mm, and the case may say how certain it is."""
    camera = content["views"][view]["camera"]
    camera["camera_from_world"] = (
        np.array(camera["camera_from_world"]) @ body.pose([1, 0.5, -0.7], [2, -1, 3])
    ).tolist()
    content["views"][view] |= certainty
    return content


@case
def uncalibrated_view(folder):
    save(
        folder,
        off_camera(
            write_body(folder, geometry="camera"), rotation_sd_deg=None, translation_sd_mm=None
        ),
    )
    return [REGISTER]


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
def camera_off_and_said_to_be_exact(folder):
    save(folder, off_camera(write_body(folder, geometry="camera")))
    return [REGISTER]


@case
def angles_free_about_one_isocentre(folder):
    content = write_body(folder, geometry="c_arm")
    content["views"][1]["c_arm"]["rao_lao_deg"] += 2
    content["views"][1] |= {"rotation_sd_deg": None, "translation_sd_mm": 0}
    save(folder, content | {"shared_unknowns": {"isocentre_sd_mm": 3}})
    return [REGISTER]


@case
def principal_point_unknown(folder):
    content = write_body(folder, geometry="camera")
    for view in content["views"]:
        view["camera"]["intrinsics"][0][2] += 3
    save(folder, content | {"shared_unknowns": {"principal_point_sd_px": 3}})
    return [REGISTER]


@case
def source_to_detector_unknown(folder):
    content = write_body(folder, geometry="c_arm")
    for view in content["views"]:
        view["c_arm"]["source_to_detector_mm"] += 15
    save(
        folder,
        content
        | {"shared_unknowns": {"source_to_detector_sd_mm": 15}, "relative_geometry": "estimated"},
    )
    return [REGISTER]


@case
def distorted(folder):
    content = write_body(folder, geometry="camera")
    content["views"][0]["distortion"] = [0.4, 0.1, 0.002, -0.001]
    save(folder, content)
    return [REGISTER]


def with_mask(folder, content: dict) -> dict:
    body.write_ct(folder / "mask.mha", body.structure_mask())
    return content | {"mask": "mask.mha"}


#: Of the structure, that it has moved by some 5 degrees and 4 mm among the rest.
MOVED = body.pose([4, -2, 3], [2, -3, 2]) @ body.TRUTH


@case
def structure(folder):
    save(folder, with_mask(folder, write_body(folder)))
    return [REGISTER]


@case
def structure_moved_among_the_rest(folder):
    save(
        folder,
        with_mask(folder, write_body(folder, structure_at=MOVED))
        | {"truth": {"world_from_ct": MOVED.tolist()}},
    )
    return [REGISTER]


@case
def structure_by_search(folder):
    content = with_mask(folder, write_body(folder, structure_at=MOVED)) | {
        "truth": {"world_from_ct": MOVED.tolist()}
    }
    save(folder, content)
    return [[*REGISTER, "--start", "search", "--range", "10", "15"]]


@case
def search_of_another_seed(folder):
    save(folder, write_body(folder))
    return [[*REGISTER, "--start", "search", "--range", "25", "20", "--seed", "5"]]


@case
def search_with_one_view(folder):
    save(
        folder,
        write_body(folder, (CArm(30),)) | {"search": {"rotation_deg": 12, "translation_mm": 20}},
    )
    return [[*REGISTER, "--start", "search"]]


@case
def search_with_an_uncertain_camera(folder):
    content = off_camera(
        write_body(folder, geometry="camera"), rotation_sd_deg=1, translation_sd_mm=3
    )
    save(folder, content | {"search": {"rotation_deg": 10, "translation_mm": 15}})
    return [[*REGISTER, "--start", "search"]]


@case
def auto_start_without_a_regressor(folder):
    save(folder, write_body(folder) | {"search": {"rotation_deg": 15, "translation_mm": 20}})
    return [[*REGISTER, "--start", "auto"]]


@case
def by_landmarks_of_slicer(folder):
    placed = landmarks(body.TWO_VIEWS)
    rows = [
        f"{n},{','.join(map(str, each['ct']))},0,0,0,1,1,1,0,{each['name']},,"
        for n, each in enumerate(placed)
    ]
    columns = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
    head = (
        f"# Markups fiducial file version = 5.0\n# CoordinateSystem = LPS\n# columns = {columns}\n"
    )
    (folder / "points.fcsv").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    # Two are exchanged in one view, which is found out.
    first, second = placed[1]["views"], placed[4]["views"]
    first["view2"], second["view2"] = second["view2"], first["view2"]
    save(
        folder,
        write_body(folder)
        | {"world_from_ct": None, "landmarks": [each | {"ct": [0, 0, 0]} for each in placed]},
    )
    return [[*REGISTER, "--start", "landmarks", "--ct-landmarks", "points.fcsv"]]


@case
def start_pose_of_itk(folder):
    save(folder, write_body(folder) | {"world_from_ct": None})
    back = np.linalg.inv(body.START)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(back[:3, :3].ravel().tolist())
    transform.SetTranslation(back[:3, 3].tolist())
    sitk.WriteTransform(transform, str(folder / "start.tfm"))
    return [[*REGISTER, "--start-pose", "start.tfm", "--frame", "lps", "--direction", "resampling"]]


@case
def start_pose_as_text_in_ras(folder):
    save(folder, write_body(folder))
    flip = np.diag([-1.0, -1, 1, 1])
    np.savetxt(
        folder / "start.txt",
        flip @ body.pose([2, 2, -3], [3, 1, 2]) @ body.TRUTH @ flip,
        fmt="%.17g",
    )
    return [[*REGISTER, "--start-pose", "start.txt", "--frame", "ras", "--direction", "forward"]]


@case
def start_60_mm_away(folder):
    save(
        folder,
        write_body(folder)
        | {"world_from_ct": (body.pose([25, 0, 10], [40, 30, -30]) @ body.TRUTH).tolist()},
    )
    return [REGISTER]


@case
def view_mask(folder):
    content = write_body(folder)
    image, mask = body.xray(CArm()), np.full((128, 128), 255, np.uint8)
    image[40:60, 70:90], mask[38:62, 68:92] = 900, 0  # metal
    body.write_image(folder / "view1.mha", image, [1.25, 1.25])
    body.write_image(folder / "mask.png", mask)
    content["views"][0]["mask"] = "mask.png"
    save(folder, content)
    return [REGISTER]


@case
def metal_without_a_mask(folder):
    content = write_body(folder)
    image = body.xray(CArm())
    image[40:60, 70:90] = 900
    body.write_image(folder / "view1.mha", image, [1.25, 1.25])
    save(folder, content)
    return [REGISTER]


@case
def logarithmic(folder):
    content = write_body(folder)
    integrals = body.line_integrals(CArm(), body.TRUTH, body.ELLIPSOIDS)
    body.write_image(folder / "view1.mha", integrals.astype(np.float32), [1.25, 1.25])
    content["views"][0]["intensity"] = "log"
    save(folder, content)
    content["views"][1]["intensity"] = "auto"  # which nobody can tell of this image
    save(folder, content, "auto.json")
    return [REGISTER, ["register", "auto.json", "--out", "auto"]]


@case
def nifti_png_tiff(folder):
    content = write_body(folder, ct="ct.nii.gz", image="{}.tif")
    body.write_image(folder / "view2.png", (body.xray(CArm(90), number=1) >> 8).astype(np.uint8))
    content["views"][1]["image"] = "view2.png"
    save(folder, content)
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


@case
def coarse_voxels(folder):
    content = write_body(folder)
    image = sitk.GetImageFromArray(body.ct_values()[::2, :, :])
    image.SetSpacing([2.0, 2.0, 4.0])
    image.SetOrigin([-47.0] * 3)
    sitk.WriteImage(image, str(folder / "ct.mhd"))
    save(folder, content | {"ct": "ct.mhd"})
    return [REGISTER]


@case
def relative_intensities(folder):
    content = write_body(folder)
    body.write_ct(
        folder / "ct.mha", np.clip(body.ct_values().astype(int) - 200, 0, None).astype(np.uint16)
    )
    save(folder, content | {"ct_unit": "relative"})
    return [REGISTER]


DICOM = {
    "PatientName": "Nobody",
    "PatientID": "0",
    "StudyInstanceUID": "1.2.3.4",
    "FrameOfReferenceUID": "1.2.3.5",
    "PatientPosition": "HFS",
}


def write_dicom(path: Path, pixels: np.ndarray, sop_class: str, number: int, **tags) -> None:
    """Two-dimensional integer pixels with these tags."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, f"1.2.3.6.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    described = DICOM | {
        "SOPClassUID": sop_class, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "Rows": pixels.shape[0], "Columns": pixels.shape[1],
        "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }  # fmt: skip
    for tag, value in (described | tags).items():
        setattr(data, tag, value)
    data.PixelData = pixels.astype("<i2" if pixels.dtype.kind == "i" else "<u2").tobytes()
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def write_dicom_body(folder: Path) -> dict:
    """A case of DICOM files: slices of a CT, and X-rays whose geometry is in their headers."""
    (folder / "ct").mkdir()
    for k, values in enumerate(body.ct_values()):
        write_dicom(
            folder / "ct" / f"{k:03d}.dcm", values, "1.2.840.10008.5.1.4.1.1.2", k, Modality="CT", SeriesInstanceUID="1.2.3.7",
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], ImagePositionPatient=[-47, -47, -47 + 2 * k],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[2, 2], RescaleIntercept=0, RescaleSlope=1,
        )  # fmt: skip
    views = []
    for number, c_arm in enumerate((CArm(-5, 3, mirrored=True), CArm(85, -4, mirrored=True))):
        write_dicom(
            folder / f"view{number + 1}.dcm", body.xray(c_arm, number=number), "1.2.840.10008.5.1.4.1.1.12.1", 100 + number, Modality="XA",
            SeriesInstanceUID=f"1.2.3.8.{number}", DistanceSourceToDetector=c_arm.source_to_detector_mm,
            DistanceSourceToPatient=c_arm.source_to_isocentre_mm, ImagerPixelSpacing=[c_arm.pixel_mm] * 2,
            PositionerPrimaryAngle=c_arm.rao_lao_deg, PositionerSecondaryAngle=c_arm.cra_cau_deg, FieldOfViewHorizontalFlip="NO",
            PixelIntensityRelationship="LIN", PixelIntensityRelationshipSign=1,
        )  # fmt: skip
        views.append({"name": f"view{number + 1}", "image": f"view{number + 1}.dcm"})
    content = {
        "version": 1,
        "ct": "ct",
        "views": views,
        "world_from_ct": body.START.tolist(),
        "targets": body.TARGETS,
    }
    save(folder, content | {"truth": {"world_from_ct": body.TRUTH.tolist()}})
    return content


@case
def dicom_files(folder):
    write_dicom_body(folder)
    return [
        REGISTER,
        "export out --as dicom drr --identity --case case.json --out of-patient".split(),
    ]  # fmt: skip


@case
def one_frame_of_several(folder):
    content = moving(folder)
    for view in content["views"]:
        view["frame"] = 2
    save(folder, content)
    return [REGISTER]


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
def fault_images_exchanged(folder):
    content = write_body(folder, (CArm(), CArm(70, 10)))
    first, second = content["views"]
    first["image"], second["image"] = second["image"], first["image"]
    save(folder, content)
    return [REGISTER]


@case
def fault_image_upside_down(folder):
    content = write_body(folder)
    body.write_image(folder / "view1.mha", np.ascontiguousarray(body.xray(CArm())[::-1, ::-1]))
    save(folder, content)
    return [REGISTER]


def wrong_reading(**changes):
    """A function that writes a case whose C-arm readings are changed, of both views or only of the second."""

    def make(folder):
        content = write_body(folder, geometry="c_arm")
        for view in content["views"][changes.get("views", slice(None))]:
            for key, change in changes.items():
                if key != "views":
                    view["c_arm"][key] = change(view["c_arm"][key])
        save(folder, content)
        return [REGISTER]

    return make


for name, changes in {
    "fault-distance-to-detector": {"source_to_detector_mm": lambda x: 1.15 * x},
    "fault-pixel-size": {"pixel_mm": lambda x: [0.8 * each for each in x]},
    "fault-angle-of-one-view": {"views": slice(1, None), "rao_lao_deg": lambda x: x - 8},
    "fault-sign-of-the-angle": {"views": slice(1, None), "rao_lao_deg": lambda x: -x},
    "fault-said-to-be-mirrored": {"mirrored": lambda x: not x},
}.items():
    CASES[name] = RecordCase(name, wrong_reading(**changes))


@case
def fault_other_patient(folder):
    save(folder, write_body(folder, ellipsoids=body.OTHER))
    return [REGISTER, "export out --as tfm --out refused".split(),
            "export out --as tfm txt --direction forward --override --out all-the-same".split()]  # fmt: skip


@case
def fault_one_image_of_another_patient(folder):
    content = write_body(folder)
    body.write_image(folder / "view2.mha", body.xray(CArm(90), ellipsoids=body.OTHER))
    save(folder, content)
    return [REGISTER]


@case
def fault_bright_and_dark_exchanged(folder):
    content = write_body(folder)
    for number, c_arm in enumerate(body.TWO_VIEWS):
        body.write_image(folder / f"view{number + 1}.mha", 60000 - body.xray(c_arm, number=number))
    save(folder, content)
    return [REGISTER]


@case
def fault_blank_image(folder):
    content = write_body(folder)
    body.write_image(folder / "view2.mha", np.full((128, 128), 700, np.uint16))
    save(folder, content)
    return [REGISTER]


# What is refused: exit code 2, one line, and no file.


@case
def refused_without_a_start(folder):
    save(folder, write_body(folder) | {"world_from_ct": None})
    return [
        [*REGISTER, "--start", "given"],
        [*REGISTER, "--start", "landmarks"],
        [*REGISTER, "--start", "nowhere"],
        [*REGISTER, "--refine", "xvr", "--start", "search"],
    ]


@case
def refused_cases(folder):
    content = write_body(folder)
    first, second = content["views"]
    wrong = {
        "scaled": {"world_from_ct": (np.diag([1.02, 1.02, 1.02, 1]) @ body.START).tolist()},
        "mirrored": {"world_from_ct": (np.diag([-1.0, 1, 1, 1]) @ body.START).tolist()},
        "no-ct": {"ct": "nowhere.nii"},
        "version": {"version": 2},
        "same-name": {"views": [first, second | {"name": first["name"]}]},
        "same-image": {"views": [first, second | {"image": first["image"]}]},
        "singular": {"views": [first, second | {"projection_matrix": [[1, 2, 3, 4]] * 3}]},
        "no-geometry": {"views": [first, {"name": "view2", "image": "view2.mha"}]},
        "two-geometries": {"views": [first, second | {"camera": CArm(90).camera()}]},
        "few-landmarks": {"landmarks": landmarks(body.TWO_VIEWS)[:1]},
        "behind-the-source": {
            "world_from_ct": (body.pose([0, 0, 0], [0, 900, 0]) @ body.START).tolist()
        },
    }
    for name, change in wrong.items():
        save(folder, content | change, f"{name}.json")
    (folder / "broken.json").write_text("{", encoding="utf-8")
    start = {"few-landmarks": ["--start", "landmarks"]}
    return [
        ["register", f"{name}.json", *start.get(name, []), "--out", "out"]
        for name in (*wrong, "broken", "nowhere")
    ] + ["register scaled.json --start search --range 200 10 --out out".split()]


@case
def tracked(folder):
    moving(folder)
    return [
        ["track", "case.json", "--out", "out"],
        "track case.json --pace quick --out quick".split(),
    ]


def moving(folder) -> dict:
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


@case
def evaluated(folder):
    save(folder, write_body(folder))
    (folder / "page").mkdir()
    return ["evaluate case.json --starts 4 --json --page page/page.md".split()]


@case
def evaluated_otherwise(folder):
    """By a search, without a truth, and two cases together."""
    content = write_body(folder)
    for name, more in (
        ("one", {}),
        ("two", {"views": content["views"][:1]}),
        ("three", {"truth": None}),
    ):
        (folder / name).mkdir()
        views = [
            view | {"image": f"../{view['image']}"} for view in more.pop("views", content["views"])
        ]
        save(folder / name, content | {"ct": "../ct.mha", "views": views} | more)
    return [
        "evaluate one --search 15 20 --starts 2 --json".split(),
        "evaluate three --perturb 5 5 --starts 3 --seed 4 --json".split(),
        "evaluate one two --starts 2 --max-start-error 12 --json".split(),
        ["evaluate", "nowhere", "--json"],
    ]


@case
def tracked_in_other_ways(folder):
    """By a case for each frame, by lists of images, one structure.

    And how one track moves against another.
    """
    content = moving(folder)
    body.write_ct(folder / "mask.mha", body.structure_mask())
    lists: dict[str, list[str]] = {}
    for n in range(3):
        (folder / f"frame{n}").mkdir()
        views = []
        for view in content["views"]:
            sitk.WriteImage(
                sitk.ReadImage(str(folder / view["image"]))[:, :, n],
                str(folder / f"frame{n}" / view["image"]),
            )
            lists.setdefault(view["name"], []).append(f"frame{n}/{view['image']}")
            views.append(view)
        save(folder / f"frame{n}", content | {"ct": "../ct.mha", "views": views})
    save(folder, content | {"mask": "mask.mha"}, "structure.json")
    images = [word for name, files in lists.items() for word in ("--images", name, *files)]
    return [
        "track frame0 frame1 frame2 --pace quick --out cases".split(),
        [
            "track",
            "case.json",
            *images,
            "--start",
            "search",
            "--pace",
            "quick",
            "--overlays",
            "--out",
            "lists",
        ],
        "track structure.json --pace quick --tra-unit cm --out structure".split(),
        "motion lists/track.json cases/track.json --out motion".split(),
        ["track", "frame0", "--out", "refused"],
    ]


@case
def exported_with_a_mask(folder):
    save(folder, with_mask(folder, write_body(folder)))
    return [
        REGISTER,
        "export out --as resampled-mask resampled-ct --volume nrrd --case case.json --override "
        "--out volumes".split(),
        "export out --as npy json --frame ras --direction resampling --override --out "
        "matrices".split(),
        "export out --as dicom --direction resampling --override --out refused".split(),
        ["render", "case.json", "--out", "drawn"],
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
    readings = "source_to_detector_mm=1000 source_to_isocentre_mm=700 pixel_mm=1.25 rao_lao_deg=0 cra_cau_deg=5 mirrored=yes".split()
    scan = "isocentre=0,0,80 isocentre_to_source=0,1,0 source_to_isocentre_mm=541 columns_along=1,0,0 rows_along=0,0,-1 pixel_mm=1.25"
    new = ["case", "new", "--ct", "ct.mha", "--json", "--out"]
    sds = "--rotation-sd unknown --translation-sd 2 --principal-point-sd 1.5 --distance-sd 0.5".split()
    given = "--given unit=mm axes=lps first_pixel=0".split()
    return [
        [
            *new,
            "arm.json",
            *view,
            "--c-arm",
            *readings,
            "roll_deg=2",
            "isocentre_offset_mm=1,-2",
            "principal_point=60,61",
            *sds,
        ],
        [
            *new,
            "scan.json",
            *view,
            "--slot-scan",
            *scan.split(),
            "central_column=60",
            "fan=equal_angles",
        ],
        [
            *new,
            "files.json",
            *view,
            "--projection-matrix",
            "matrix.txt",
            *other,
            "--calibration",
            "cameras.json",
            *given,
        ],
        [
            *new,
            "header.json",
            "--view",
            "A",
            "view1.dcm",
            "--view",
            "B",
            "view2.dcm",
            "--c-arm",
            "roll_deg=2",
            "mirrored=no",
        ],
        [*new, "none.json", *view],
        [*new, "none.json", *view, "--c-arm", *readings[:3]],
        [*new, "none.json", *view, "--c-arm", "roll_deg"],
        [*new, "none.json", *view, "--c-arm", "pixel_mm=1,2,3"],
        [*new, "none.json", *view, "--slot-scan", "fan=round"],
        [*new, "none.json", *view, "--c-arm", "mirrored=maybe"],
    ]


@case
def geometry_refused(folder):
    """A sentence for each field that is wrong."""
    content = write_body(folder, geometry="c_arm")
    first, second = content["views"]
    c_arm, scan = second["c_arm"], SLOT_SCAN
    camera = CArm(90).camera()
    geometries = {
        **{
            f"without {key}": {"c_arm": {k: v for k, v in c_arm.items() if k != key}}
            for key in c_arm
            if key != "mirrored"
        },
        **{f"of a text {key}": {"c_arm": c_arm | {key: "x"}} for key in (*c_arm, *OFF_CENTRE)},
        **{f"of three {key}": {"c_arm": c_arm | {key: [1, 2, 3]}} for key in (*c_arm, *OFF_CENTRE)},
        "negative": {"c_arm": c_arm | {"source_to_detector_mm": -5}},
        "too near": {"c_arm": c_arm | {"source_to_isocentre_mm": 1000}},
        "too steep": {"c_arm": c_arm | {"cra_cau_deg": 91}},
        "pixel": {"c_arm": c_arm | {"pixel_mm": [0, 1]}},
        "half a size": {"c_arm": c_arm | {"size": [128.5, 128]}},
        "other size": {"c_arm": c_arm | {"size": [64, 128]}},
        **{
            f"scan without {key}": {"slot_scan": {k: v for k, v in scan.items() if k != key}}
            for key in scan
        },
        **{
            f"scan of a text {key}": {"slot_scan": scan | {key: "x"}}
            for key in (*scan, "central_column", "fan")
        },
        "no direction": {"slot_scan": scan | {"columns_along": [0, 0, 0]}},
        "askew": {"slot_scan": scan | {"rows_along": [0, 1, -1]}},
        "scan negative": {"slot_scan": scan | {"source_to_isocentre_mm": -1}},
        "scan pixel": {"slot_scan": scan | {"pixel_mm": [1, -1]}},
        **{
            f"camera without {key}": {"camera": {k: v for k, v in camera.items() if k != key}}
            for key in camera
        },
        **{f"camera of a text {key}": {"camera": camera | {key: "x"}} for key in camera},
        "skewed": {"camera": camera | {"intrinsics": [[1, 2, 3], [4, 5, 6], [0, 0, 1]]}},
        "distorted": {"camera": camera, "distortion": [1, 2]},
        "distorted arm": {"c_arm": c_arm, "distortion": [0, 0, 0, 0]},
        "stepped": {"c_arm": c_arm, "step_sd_percent": 1},
        **{f"uncertain {key}": {"c_arm": c_arm, key: -1} for key in SDS},
        **{
            f"unknown {key}": {"c_arm": c_arm, key: None}
            for key in SDS
            if key.endswith(("px", "percent"))
        },
        "two": {"c_arm": c_arm, "slot_scan": scan},
        "none": {},
    }
    commands = []
    for number, (name, geometry) in enumerate(geometries.items()):
        save(
            folder,
            content | {"views": [first, {"name": name, "image": "view2.mha"} | geometry]},
            f"{number}.json",
        )
        commands.append(["case", "check", f"{number}.json", "--json"])
    return commands


# Left out: the published refinements take minutes each (Testing/published and
# integration/test_refinements.py hold them), and a start by a regressor that is trained on the way
# is as good as the minutes of the clock allow.


def shared(name: str, case: Path, *more: str) -> None:
    CASES[name] = RecordCase(
        name, lambda folder: [["register", str(case), *more, "--out", "out"]], needs=case
    )


for name in ("pelvis-lateral", "pelvis-oblique-1", "pelvis-oblique-2", "pelvis-three-views-wires"):
    shared(name, SHARED / "sim" / name)
    shared(f"{name}-by-search", SHARED / "sim" / name, "--start", "search")
for name in ("radius_0099", "ulna_0158", "metacarpal3_0002"):
    shared(f"wrist-{name}", SHARED / "wrist" / f"{name}.json")

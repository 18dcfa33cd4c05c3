"""What an export makes of a result and its case, read by programs that are not ours.

SimpleITK, slicer-core, pydicom, dciodvfy.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from handed_result import OVERRIDE, XA, pose, write_result
from numpy.testing import assert_allclose
from phantom import make_slot_scan
from planted_dicom import IDENTITY, SECRETS, write_ct, write_xray
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from tiny_case import refusal

from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.navigation import CASE_KINDS, VOLUME_FORMATS
from MultiViewRegistrationLib.io.navigation.dicom_objects import (
    Drr,
    identity_of,
    write_secondary_capture,
)
from MultiViewRegistrationLib.io.navigation.exports import (
    export_files,
    resampled_ct,
    resampled_mask,
    write_together,
)
from MultiViewRegistrationLib.io.navigation.registration_export import RegistrationExport
from MultiViewRegistrationLib.report.exports import case_files, identities_of

REFERENCE = pose(2)
POSE = np.eye(4)
POSE[:3, :3] = Rotation.from_euler("xyz", [20, -30, 75], degrees=True).as_matrix()
POSE[:3, 3] = 12, -7, 5
BLOCK = np.array([15, 6, 11])  # (i, j, k) of its middle
CT_FROM_INDEX = np.eye(4)
CT_FROM_INDEX[:3, :3] = Rotation.from_euler("z", 10, degrees=True).as_matrix() @ np.diag(
    [2.0, 2.5, 3.0]
)
CT_FROM_INDEX[:3, 3] = -20, -30, -25
C_ARM = {
    "source_to_detector_mm": 1000,
    "source_to_isocentre_mm": 700,
    "pixel_mm": (1.5, 1.5),
    "size": (120, 90),
}
CAMERAS = {
    "Doe John": CArm(**C_ARM, rao_lao_deg=10, cra_cau_deg=5, principal_point=(50.0, 48.0)).camera(),
    "LAT": CArm(
        **C_ARM, rao_lao_deg=95, cra_cau_deg=-3, principal_point=(59.5, 44.5), mirrored=True
    ).camera(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A case in DICOM with identity planted: a bright block off the middle of a CT of water.

    Not to be changed.
    """
    folder = tmp_path_factory.mktemp("case")
    block = np.zeros((20, 16, 24), np.uint8)
    block[tuple(slice(n - 1, n + 2) for n in BLOCK[::-1])] = 1
    for name, values in (("ct", np.where(block, 2500, -20).astype(np.int16)), ("block", block)):
        image = sitk.GetImageFromArray(values)
        spacing = np.linalg.norm(CT_FROM_INDEX[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(CT_FROM_INDEX[:3, 3].tolist())
        image.SetDirection((CT_FROM_INDEX[:3, :3] / spacing).ravel().tolist())
        sitk.WriteImage(image, str(folder / f"{name}.mha"))
    views, random = [], np.random.default_rng(5)
    for name, camera in CAMERAS.items():
        write_xray(
            folder / f"{name}.dcm",
            random.integers(2000, 4000, camera.size[::-1]),
            ImagerPixelSpacing=["1.5", "1.5"],
            StudyInstanceUID="1.2.3.5",
        )
        views.append(
            {
                "name": name,
                "image": f"{name}.dcm",
                "camera": {
                    "intrinsics": camera.intrinsics.tolist(),
                    "camera_from_world": camera.camera_from_world.tolist(),
                    "size": list(camera.size),
                },
            }
        )
    (folder / "case.json").write_text(
        json.dumps({"version": 1, "ct": "ct.mha", "mask": "block.mha", "views": views})
    )
    return folder


@pytest.fixture(scope="module")
def case(folder):
    return Case.load(folder / "case.json", world_from_ct=POSE)


@pytest.fixture
def exported(folder, case, tmp_path):
    """A function: the files, by name, of a result of this case with these changes."""

    def export(*kinds, volume="nii.gz", identity=False, **changes):
        views = [
            {
                "name": name,
                "similarity": 0.9,
                "camera_from_world": camera.camera_from_world.tolist(),
                "dicom": {
                    "study_uid": "1.2.3.5",
                    "series_uid": "1.2.3.6",
                    "sop_class_uid": XA,
                    "sop_instance_uid": f"1.2.3.7.{n}",
                    "frame": None,
                },
            }
            for n, (name, camera) in enumerate(CAMERAS.items(), start=1)
        ]
        exported = RegistrationExport.read(
            write_result(
                tmp_path / "result", **{"world_from_ct": POSE.tolist(), "views": views} | changes
            )
        )
        identities = identities_of(folder / "case.json") if identity else {}
        further = case_files(exported, case, kinds or CASE_KINDS, volume, identities)
        return {
            file.name: file
            for file in write_together(
                export_files(exported, [], [], [], further), tmp_path / "out", exported.path
            )
        }

    return export


@pytest.mark.parametrize("volume", VOLUME_FORMATS)
def test_a_resampled_ct_is_the_ct_where_the_pose_puts_it(exported, case, volume):
    for name, target in (("world", POSE), ("reference", REFERENCE @ POSE)):
        files = exported("resampled-ct", volume=volume, reference_from_world=REFERENCE.tolist())
        image = sitk.ReadImage(str(files[f"ct_in_{name}.{volume}"]))
        assert (
            image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
            and image.GetPixelID() == sitk.sitkInt16
        )
        assert_allclose(image.GetSpacing(), 2.5, rtol=1e-6)  # the median
        random = np.random.default_rng(1)
        index = np.c_[random.integers(0, image.GetSize(), (400, 3))]
        points = np.array([image.TransformIndexToPhysicalPoint(each) for each in index.tolist()])
        in_ct = np.c_[points, np.ones(400)] @ np.linalg.inv(target @ CT_FROM_INDEX).T
        inside = ((in_ct[:, :3] > 0) & (in_ct[:, :3] < np.array([23, 15, 19]))).all(1)
        assert 20 < inside.sum() < 380
        by_scipy = map_coordinates(case.ct.volume.values, in_ct[inside, 2::-1].T, order=1)
        found = np.array([image.GetPixel(each) for each in index.tolist()])
        assert_allclose(found[inside], by_scipy, atol=0.51)
        outside = ((in_ct[:, :3] < -0.51) | (in_ct[:, :3] > np.array([23.51, 15.51, 19.51]))).any(1)
        assert outside.sum() > 20 and (found[outside] == -1024).all()


def test_the_grid_holds_the_whole_ct_and_not_much_more(case):
    image = resampled_ct(case.ct, POSE)
    corners = (
        np.array([[i, j, k, 1] for i in (-0.5, 23.5) for j in (-0.5, 15.5) for k in (-0.5, 19.5)])
        @ (POSE @ CT_FROM_INDEX).T
    )
    index = np.array(
        [image.TransformPhysicalPointToContinuousIndex(corner[:3]) for corner in corners.tolist()]
    )
    assert (
        index.min() >= -0.5 - 1e-3
        and (index.max(0) <= np.array(image.GetSize()) - 0.5 + 1e-3).all()
    )
    assert (np.ptp(index, axis=0) > np.array(image.GetSize()) - 1).all()


def test_relative_values_have_nothing_outside_and_keep_their_fractions():
    image = resampled_ct(
        CT(Volume(np.full((4, 5, 6), 0.75, np.float32), np.eye(4)), "relative"), POSE
    )
    assert image.GetPixelID() == sitk.sitkFloat32 and set(
        np.unique(sitk.GetArrayFromImage(image))
    ) == {
        0,
        np.float32(0.75),
    }


def test_the_mask_lies_on_the_grid_of_the_ct(exported, case):
    files = exported("resampled-ct", "resampled-mask", volume="nrrd")
    ct, mask = (sitk.ReadImage(str(files[f"{name}_in_world.nrrd"])) for name in ("ct", "mask"))
    assert (
        ct.GetSize() == mask.GetSize()
        and ct.GetOrigin() == mask.GetOrigin()
        and mask.GetPixelID() == sitk.sitkUInt8
    )
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask)
    assert_allclose(statistics.GetCentroid(1), (POSE @ CT_FROM_INDEX @ [*BLOCK, 1])[:3], atol=0.5)
    assert "no mask" in refusal(resampled_mask, replace(case.ct, mask=None), POSE)


def test_every_file_carries_the_override_and_none_the_patient(exported):
    for name, file in exported(override=OVERRIDE).items():
        if name.endswith(".nii.gz"):
            notes = sitk.ReadImage(str(file)).GetMetaData("ITK_FileNotes")
            assert notes.startswith(f"NOT FOR USE: {OVERRIDE}") and len(notes.encode()) == 79
        else:
            assert f"NOT FOR USE: {OVERRIDE}" in file.read_text("utf-8", "ignore")
    for name, file in exported().items():
        data = file.read_bytes()
        assert (
            not any(secret.encode() in data for secret in (*SECRETS, "Doe", OVERRIDE))
            and "Doe" not in name
        )


@pytest.mark.parametrize(
    "changes",
    [{}, {"override": OVERRIDE}, {"identity": True}],
    ids=["plain", "override", "identity"],
)
def test_dciodvfy_finds_no_error_in_a_drr(exported, dciodvfy, changes):
    for file in exported("drr", **changes).values():
        assert dciodvfy(file, "SCImage") == []


def test_dciodvfy_finds_no_error_in_a_registration_with_identity(
    exported, folder, dciodvfy, tmp_path
):
    exported("cameras")
    identity = identities_of(folder / "case.json")["LAT"]
    result = RegistrationExport.read(tmp_path / "result")
    files = export_files(result, ["dicom"], ["forward"], ["lps"], identity=identity)
    [file] = write_together(files, tmp_path, result.path)
    assert dciodvfy(file, "SpatialRegistration") == []
    data = pydicom.dcmread(file)
    assert data.PatientID == IDENTITY["PatientID"] and data.StudyInstanceUID == "1.2.3.5"
    [series] = data.ReferencedSeriesSequence  # within its study, which is no other one
    assert (
        len(series.ReferencedInstanceSequence) == 2
        and "StudiesContainingOtherReferencedInstancesSequence" not in data
    )


@pytest.fixture
def series_case(folder, tmp_path):
    """The same case with its CT as a DICOM series of a study, 1.2.9; X-rays of no patient."""
    values = np.full((6, 8, 10), -20)
    values[2:4, 3:5, 4:6] = 900
    grid = np.diag([4.0, 4.0, 4.0, 1.0])
    write_ct(tmp_path / "series", values, grid, StudyInstanceUID="1.2.9")
    content = json.loads((folder / "case.json").read_text())
    for view in content["views"]:
        sitk.WriteImage(sitk.ReadImage(str(folder / view["image"])), str(tmp_path / "x.nrrd"))
        (tmp_path / "x.nrrd").rename(tmp_path / f"{view['name'][:3]}.nrrd")
        view["image"] = f"{view['name'][:3]}.nrrd"
    del content["mask"]
    (tmp_path / "case.json").write_text(json.dumps({**content, "ct": "series"}))
    return tmp_path / "case.json"


@pytest.mark.parametrize("identity", [[], ["--identity"]])
def test_a_registration_refers_to_the_slices_of_its_ct(series_case, tmp_path, dciodvfy, identity):
    inputs = Case.load(series_case).inputs
    result = write_result(tmp_path / "result", inputs=inputs)
    words = ["export", result, "--as", "dicom", "--case", series_case, "--out", tmp_path / "out"]
    assert main([*map(str, words), *identity]) == 0
    file = tmp_path / "out" / "world_from_ct.dcm"
    data = pydicom.dcmread(file)
    slices = [pydicom.dcmread(path) for path in (tmp_path / "series").iterdir()]
    references = data.RegistrationSequence[-1].ReferencedImageSequence
    assert {each.ReferencedSOPInstanceUID for each in references} == {
        each.SOPInstanceUID for each in slices
    }
    assert dciodvfy(file, "SpatialRegistration") == []
    known = any(secret.encode() in file.read_bytes() for secret in SECRETS)
    assert known == bool(identity) and (data.StudyInstanceUID == "1.2.9") == bool(identity)
    within = data if identity else data.StudiesContainingOtherReferencedInstancesSequence[0]
    [series] = within.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == slices[0].SeriesInstanceUID
    assert data.Laterality == ("L" if identity else "")


def test_a_drr_shows_the_ct_where_the_camera_projects_it_and_is_labelled(exported):
    files = exported("drr")
    assert list(files) == ["drr_view1.dcm", "drr_view2.dcm"]
    drrs = [pydicom.dcmread(file) for file in files.values()]
    for number, (data, camera) in enumerate(zip(drrs, CAMERAS.values(), strict=True), start=1):
        image = data.pixel_array * float(data.RescaleSlope)
        rows, columns = np.nonzero(image > 0.6 * image.max())
        u, v, w = (
            camera.intrinsics @ (camera.camera_from_world @ POSE @ CT_FROM_INDEX @ [*BLOCK, 1])[:3]
        )
        assert (columns.mean(), rows.mean()) == pytest.approx((u / w, v / w), abs=0.5)
        assert data.PhotometricInterpretation == "MONOCHROME2" and data.pixel_array.max() == 65535
        assert (
            data.SeriesDescription.startswith("SIMULATED")
            and "not an X-ray" in data.DerivationDescription
        )
        assert (
            list(data.ImageType) == ["DERIVED", "SECONDARY", "DRR"]
            and data.ConversionType == "SYN"
            and data.Modality == "OT"
        )
        assert data.ReferencedImageSequence[0].ReferencedSOPInstanceUID == f"1.2.3.7.{number}"
        assert (
            list(data.PixelSpacing) == [1.5, 1.5]
            and data.PatientName == ""
            and data.PatientID == ""
        )
    first, second = drrs
    assert (
        first.StudyInstanceUID == second.StudyInstanceUID != "1.2.3.5"
        and first.SeriesInstanceUID == second.SeriesInstanceUID
    )
    assert first.SOPInstanceUID != second.SOPInstanceUID and (
        first.InstanceNumber,
        second.InstanceNumber,
    ) == (1, 2)


def test_with_identity_a_drr_belongs_to_the_study_of_its_x_ray(exported, folder, tmp_path):
    data = pydicom.dcmread(exported("drr", identity=True)["drr_view1.dcm"])
    for key in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "AccessionNumber",
    ):
        assert str(data[key].value) == IDENTITY[key]
    assert (
        data.StudyInstanceUID == "1.2.3.5"
        and "PatientAddress" not in data
        and "InstitutionName" not in data
    )
    other = pydicom.dcmread(folder / "LAT.dcm")
    other.PatientID = "PID-OTHER"
    for name in ("ct.mha", "block.mha", "Doe John.dcm", "case.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    other.save_as(tmp_path / "LAT.dcm")
    message = refusal(identities_of, tmp_path / "case.json")
    assert "different patients (PatientID)" in message and "PID" not in message


def test_corrected_cameras_are_those_of_the_drr(exported):
    moved = CAMERAS["LAT"].camera_from_world.copy()
    moved[0, 3] += 21.0  # at 700 of 1000 mm: 20 pixels
    views = [
        {"name": "Doe John"},
        {
            "name": "LAT",
            "camera_from_world": moved.tolist(),
            "intrinsics": CAMERAS["LAT"].intrinsics.tolist(),
        },
    ]
    before, after = (
        pydicom.dcmread(exported("drr", **changes)["drr_view2.dcm"]).pixel_array
        for changes in ({}, {"views": views})
    )
    columns = [np.nonzero(image > 0.6 * image.max())[1].mean() for image in (before, after)]
    assert columns[0] - columns[1] == pytest.approx(20, abs=0.8)


def test_no_camera_of_slicers_is_written_for_a_slot_scan(case, tmp_path):
    """It would be a pinhole's."""
    view = make_slot_scan(case.ct, 0)
    content = {"world_from_ct": POSE.tolist(), "views": [{"name": view.name, "similarity": 0.9}]}
    result = RegistrationExport.read(write_result(tmp_path / "result", **content))
    scans = replace(case, views=[view])
    message = refusal(case_files, result, scans, ["resampled-ct", "cameras"], "nii.gz")
    assert f'cameras: "{view.name}" is a slot scan' in message and "leave cameras out" in message
    assert "drr_view1.dcm" in case_files(result, scans, ["drr"], "nii.gz")


@pytest.mark.parametrize("frame", ["world", "ct", "reference"])
def test_slicers_cameras_see_points_where_the_x_rays_do(exported, frame):
    """The scene is read by slicer-core, and points are projected by its vtkCamera, in a view shaped like the image."""
    pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')
    import slicer

    file = exported("cameras", reference_from_world=REFERENCE.tolist())[f"cameras_in_{frame}.mrml"]
    scene = slicer.vtkMRMLScene()
    scene.RegisterNodeClass(slicer.vtkMRMLCameraNode())
    scene.SetURL(str(file))
    assert scene.Connect()
    target_from_world = {"world": np.eye(4), "ct": np.linalg.inv(POSE), "reference": REFERENCE}[
        frame
    ]
    points = np.c_[np.random.default_rng(7).uniform(-60, 60, (20, 3)), np.ones(20)]
    assert scene.GetNumberOfNodesByClass("vtkMRMLCameraNode") == 2
    for number, (name, camera) in enumerate(CAMERAS.items()):
        node = scene.GetNthNodeByClass(number, "vtkMRMLCameraNode")
        assert node.GetName() == f"X-ray {number + 1}" and not node.GetParallelProjection()
        source = np.linalg.inv(camera.camera_from_world)[:, 3]
        assert_allclose(
            node.GetPosition(),
            (np.diag([-1.0, -1, 1, 1]) @ target_from_world @ source)[:3],
            atol=1e-9,
        )
        assert node.GetViewAngle() == pytest.approx(
            np.degrees(2 * np.arctan(90 * 1.5 / 2 / 1000)), abs=1e-9
        )
        seen = _seen(
            node.GetCamera(),
            (np.diag([-1.0, -1, 1, 1]) @ target_from_world @ points.T).T,
            _window_centre(node),
            camera.size,
        )
        if name == "LAT":
            assert "mirror" in node.GetDescription()
            seen[:, 0] = 119 - seen[:, 0]
        homogeneous = points @ (camera.intrinsics @ camera.camera_from_world[:3]).T
        assert_allclose(seen, homogeneous[:, :2] / homogeneous[:, 2:], atol=1e-5)
        focal_mm = np.linalg.norm(np.subtract(node.GetFocalPoint(), node.GetPosition()))
        assert 600 < focal_mm < 800


def _window_centre(node):
    _, _, said = node.GetDescription().partition("SetWindowCenter(")
    return [float(number) for number in said.partition(")")[0].split(",")] if said else [0, 0]


def _seen(vtk_camera, points, centre, size):
    """Pixels (N, 2) of RAS points, by VTK's projection.

    Its x and y run from -1 to 1 between the outer edges, y up.
    """
    vtk_camera.SetWindowCenter(*centre)
    matrix = vtk_camera.GetCompositeProjectionTransformMatrix(size[0] / size[1], 0, 1)
    clip = np.array([matrix.MultiplyPoint(point) for point in points])
    x, y = (clip[:, :2] / clip[:, 3:]).T
    return np.c_[(x + 1) / 2 * size[0] - 0.5, (1 - y) / 2 * size[1] - 0.5]


@pytest.mark.parametrize(
    "charset, name",
    [("ISO_IR 100", "Müller^Jörg"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")],
)
@pytest.mark.parametrize("warning", [None, OVERRIDE])
def test_a_name_in_another_alphabet_comes_out_as_it_went_in(tmp_path, charset, name, warning):
    write_xray(tmp_path / "xa.dcm", np.ones((4, 5)), SpecificCharacterSet=charset, PatientName=name)
    drr = Drr(np.full((4, 5), 0.5), 1, identity=identity_of(tmp_path / "xa.dcm"))
    write_secondary_capture(tmp_path / "drr.dcm", drr, "1.2", "1.3", warning)
    data = pydicom.dcmread(tmp_path / "drr.dcm")
    assert_allclose(data.pixel_array * float(data.RescaleSlope), 500)
    assert str(data.PatientName) == name and (
        warning is None or OVERRIDE in data.DerivationDescription
    )

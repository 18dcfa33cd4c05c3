"""What an export makes of a result and its case, read by programs that are not ours.

SimpleITK, slicer-core, pydicom, dciodvfy.
"""

import shutil
from dataclasses import replace
from itertools import product

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from handed_result import OVERRIDE, XA, pose, write_result
from helpers.file_io import read_json, read_values, write_json, write_values
from helpers.phantom import c_arm, make_slot_scan
from helpers.planted_dicom import IDENTITY, SECRETS, write_ct, write_xray
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import map_coordinates
from tiny_case import camera_json, refusal, run

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.reading import itk_image, write_image
from MultiViewRegistrationLib.io.navigation import CASE_KINDS, VOLUME_FORMATS
from MultiViewRegistrationLib.io.navigation.dicom_objects import (
    Drr,
    identity_of,
    write_secondary_capture,
)
from MultiViewRegistrationLib.io.navigation.exports import (
    export_files,
    resampled_mask,
    write_together,
)
from MultiViewRegistrationLib.io.result_json import RegistrationExport
from MultiViewRegistrationLib.report.exports import case_files, identities_of

REFERENCE = pose(2)
POSE = rigid.turn_and_shift([0.6, -0.2, 1.4], [12.0, -7, 5])
BLOCK = np.array([15, 6, 11])  # (i, j, k) of its middle
CT_FROM_INDEX = rigid.from_rotation_translation(
    rigid.exp_so3([0, 0, np.radians(10)]) @ np.diag([2.0, 2.5, 3.0]), [-20, -30, -25]
)
BLOCK_CT = (CT_FROM_INDEX @ [*BLOCK, 1])[:3]
LAST = np.array([23, 15, 19])  # (i, j, k) of the CT's last voxel


SEEN = {"pixel_mm": (1.5, 1.5), "size": (120, 90)}
AP = c_arm(10, 5, **SEEN, principal_point=(50.0, 48.0))
SIDE = c_arm(95, -3, **SEEN, principal_point=(59.5, 44.5), mirrored=True)
CAMERAS = {"Doe John": AP, "LAT": SIDE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A case in DICOM with identity planted: a bright block off the middle of a CT of water.

    Not to be changed.
    """
    folder = tmp_path_factory.mktemp("case")
    block = np.zeros(LAST[::-1] + 1, np.uint8)
    block[tuple(slice(n - 1, n + 2) for n in BLOCK[::-1])] = 1
    for name, values in (("ct", np.where(block, 2500, -20).astype(np.int16)), ("block", block)):
        write_image(folder / f"{name}.mha", itk_image(values, CT_FROM_INDEX))
    random = np.random.default_rng(5)
    views = []
    for name, camera in CAMERAS.items():
        pixels = random.integers(2000, 4000, camera.size[::-1])
        spacing = {"ImagerPixelSpacing": ["1.5", "1.5"], "StudyInstanceUID": "1.2.3.5"}
        write_xray(folder / f"{name}.dcm", pixels, **spacing)
        views.append({"name": name, "image": f"{name}.dcm", "camera": camera_json(camera)})
    content = {"version": 1, "ct": "ct.mha", "mask": "block.mha", "views": views}
    write_json(folder / "case.json", content)
    return folder


@pytest.fixture(scope="module")
def case(folder):
    return Case.load(folder / "case.json", world_from_ct=POSE)


@pytest.fixture
def exported(folder, case, tmp_path):
    """A function: the files, by name, of a result of this case with these changes."""
    origin = {"study_uid": "1.2.3.5", "series_uid": "1.2.3.6", "sop_class_uid": XA, "frame": None}

    def view(n, name, camera):
        dicom = {**origin, "sop_instance_uid": f"1.2.3.7.{n}"}
        at = {"camera_from_world": camera.camera_from_world}
        return {"name": name, "similarity": 0.9, "dicom": dicom, **at}

    def export(*kinds, volume="nii.gz", identity=False, **changes):
        views = [view(n, *each) for n, each in enumerate(CAMERAS.items(), start=1)]
        content = {"world_from_ct": POSE, "views": views} | changes
        exported = RegistrationExport.read(write_result(tmp_path / "result", **content))
        identities = identities_of(folder / "case.json") if identity else {}
        further = case_files(exported, case, kinds or CASE_KINDS, volume, identities)
        given = export_files(exported, [], [], [], further)
        files = write_together(given, tmp_path / "out", exported.path)
        return {file.name: file for file in files}

    return export


@pytest.mark.parametrize("volume", VOLUME_FORMATS[:2])
def test_resampled_ct_has_the_values_of_the_posed_ct(exported, case, volume):
    files = exported("resampled-ct", volume=volume, reference_from_world=REFERENCE)
    image = sitk.ReadImage(str(files[f"ct_in_reference.{volume}"]))
    assert_array_equal(image.GetDirection(), np.eye(3).ravel())
    assert image.GetPixelID() == sitk.sitkInt16
    assert_allclose(image.GetSpacing(), 2.5, rtol=1e-6)  # the median
    index = np.random.default_rng(1).integers(0, image.GetSize(), (400, 3)).tolist()
    points = np.array([image.TransformIndexToPhysicalPoint(each) for each in index])
    index_from_reference = np.linalg.inv(REFERENCE @ POSE @ CT_FROM_INDEX)
    in_ct = rigid.transform_points(index_from_reference, points)
    found = np.array([image.GetPixel(each) for each in index])
    beyond = np.abs(in_ct - LAST / 2) - LAST / 2
    inside, outside = (beyond < 0).all(1), (beyond > 0.51).any(1)
    assert min(inside.sum(), outside.sum()) > 20 and (found[outside] == -1024).all()
    by_scipy = map_coordinates(case.ct.volume.values, in_ct[inside, ::-1].T, order=1)
    assert_allclose(found[inside], by_scipy, atol=0.51)
    corners = np.array([*product(*zip((-0.5,) * 3, LAST + 0.5))])
    seen = rigid.transform_points(np.linalg.inv(index_from_reference), corners)
    grid = np.array([image.TransformPhysicalPointToContinuousIndex(p) for p in seen.tolist()])
    assert (grid > -1.01).all() and (grid < np.array(image.GetSize()) + 0.01).all()


def test_the_mask_lies_on_the_grid_of_the_ct(exported, case):
    files = exported("resampled-ct", "resampled-mask", volume="nrrd")
    ct, mask = (sitk.ReadImage(str(files[f"{name}_in_world.nrrd"])) for name in ("ct", "mask"))
    assert (ct.GetSize(), ct.GetOrigin()) == (mask.GetSize(), mask.GetOrigin())
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask)
    assert_allclose(statistics.GetCentroid(1), (POSE @ [*BLOCK_CT, 1])[:3], atol=0.5)
    assert "no mask" in refusal(resampled_mask, replace(case.ct, mask=None), POSE)


def test_every_file_carries_the_override_and_none_the_patient(exported):
    for name, file in exported(override=OVERRIDE).items():
        if name.endswith(".nii.gz"):
            notes = sitk.ReadImage(str(file)).GetMetaData("ITK_FileNotes")
            assert notes.startswith(f"NOT FOR USE: {OVERRIDE}") and len(notes.encode()) == 79
        else:
            assert f"NOT FOR USE: {OVERRIDE}" in file.read_text("utf-8", "ignore")
    for name, file in exported().items():
        data = file.read_bytes() + name.encode()
        assert not any(secret.encode() in data for secret in (*SECRETS, "Doe", OVERRIDE))


@pytest.mark.parametrize("identity", [False, True])
def test_dciodvfy_accepts_a_drr(exported, dciodvfy, identity):
    for file in exported("drr", override=OVERRIDE, identity=identity).values():
        assert dciodvfy(file, "SCImage") == []


@pytest.fixture
def series_case(folder, tmp_path):
    """The same case with its CT as a DICOM series of a study, 1.2.9; X-rays of no patient."""
    values = np.full((6, 8, 10), -20)
    values[2:4, 3:5, 4:6] = 900
    write_ct(tmp_path / "series", values, np.diag([4.0, 4, 4, 1]), StudyInstanceUID="1.2.9")
    content = read_json(folder / "case.json")
    for n, view in enumerate(content["views"]):
        values = read_values(folder / view["image"])
        view["image"] = f"{n}.nrrd"
        write_values(tmp_path / view["image"], values)
    del content["mask"]
    write_json(tmp_path / "case.json", {**content, "ct": "series"})
    return tmp_path / "case.json"


@pytest.mark.parametrize("identity", ["", "--identity"])
def test_a_registration_refers_to_the_slices_of_its_ct(series_case, tmp_path, dciodvfy, identity):
    result = write_result(tmp_path / "result", inputs=Case.load(series_case).inputs)
    run(f"export {result} --as dicom --case {series_case} --out {tmp_path} {identity}")
    file = tmp_path / "world_from_ct.dcm"
    assert dciodvfy(file, "SpatialRegistration") == []
    data = pydicom.dcmread(file)
    slices = [pydicom.dcmread(path) for path in (tmp_path / "series").iterdir()]
    references = data.RegistrationSequence[-1].ReferencedImageSequence
    instances = {each.SOPInstanceUID for each in slices}
    assert {each.ReferencedSOPInstanceUID for each in references} == instances
    known = any(secret.encode() in file.read_bytes() for secret in SECRETS)
    assert known == bool(identity) == (data.StudyInstanceUID == "1.2.9")
    within = data if identity else data.StudiesContainingOtherReferencedInstancesSequence[0]
    [series] = within.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == slices[0].SeriesInstanceUID
    assert data.Laterality == ("L" if identity else "")


def bright_middle(data):
    """(column, row) of the block in a DRR."""
    image = data.pixel_array
    return np.argwhere(image > 0.6 * image.max()).mean(0)[::-1]


LABELS = {
    "ImageType": ["DERIVED", "SECONDARY", "DRR"],
    "PixelSpacing": [1.5, 1.5],
    "PatientName": "",
    "PatientID": "",
}


def test_a_drr_shows_the_ct_where_the_camera_projects_it_and_is_labelled(exported):
    files = exported("drr")
    assert list(files) == ["drr_view1.dcm", "drr_view2.dcm"]
    drrs = [pydicom.dcmread(file) for file in files.values()]
    for number, (data, camera) in enumerate(zip(drrs, CAMERAS.values(), strict=True), start=1):
        middle = camera.project((POSE @ [*BLOCK_CT, 1])[:3])
        assert_allclose(bright_middle(data), middle, atol=0.5)
        assert data.pixel_array.max() == 65535 and data.InstanceNumber == number
        assert {key: data[key].value for key in LABELS} == LABELS
        assert data.SeriesDescription.startswith("SIMULATED")
        assert data.ReferencedImageSequence[0].ReferencedSOPInstanceUID == f"1.2.3.7.{number}"
    assert data.StudyInstanceUID != "1.2.3.5"


KEPT = "PatientName PatientID PatientBirthDate PatientSex StudyDate AccessionNumber".split()


def test_with_identity_a_drr_belongs_to_the_study_of_its_x_ray(exported):
    data = pydicom.dcmread(exported("drr", identity=True)["drr_view1.dcm"])
    assert {key: str(data[key].value) for key in KEPT} == {key: IDENTITY[key] for key in KEPT}
    assert data.StudyInstanceUID == "1.2.3.5"
    assert "PatientAddress" not in data and "InstitutionName" not in data


def test_no_identity_is_taken_from_x_rays_of_different_patients(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    other = pydicom.dcmread(folder / "LAT.dcm")
    other.PatientID = "PID-OTHER"
    other.save_as(tmp_path / "LAT.dcm")
    message = refusal(identities_of, tmp_path / "case.json")
    assert "different patients (PatientID)" in message and "PID" not in message


def test_corrected_cameras_are_those_of_the_drr(exported):
    moved = camera_json(CAMERAS["LAT"])
    moved["camera_from_world"][0][3] += 21.0  # at 700 of 1000 mm: 20 pixels
    views = [{"name": "Doe John"}, {"name": "LAT", **moved}]
    after = bright_middle(pydicom.dcmread(exported("drr", views=views)["drr_view2.dcm"]))
    assert_allclose(CAMERAS["LAT"].project((POSE @ [*BLOCK_CT, 1])[:3]) - after, [20, 0], atol=0.8)


def test_no_camera_of_slicers_is_written_for_a_slot_scan(case, tmp_path):
    """It would be a pinhole's."""
    view = make_slot_scan(case.ct, 0)
    content = {"world_from_ct": POSE, "views": [{"name": view.name, "similarity": 0.9}]}
    result = RegistrationExport.read(write_result(tmp_path / "result", **content))
    scans = replace(case, views=[view])
    message = refusal(case_files, result, scans, ["resampled-ct", "cameras"], "nii.gz", {})
    assert f'cameras: "{view.name}" is a slot scan' in message and "leave cameras out" in message
    assert "drr_view1.dcm" in case_files(result, scans, ["drr"], "nii.gz", {})


def test_slicer_cameras_see_points_where_the_x_rays_do(exported):
    """The scene is read by slicer-core, and points are projected by its vtkCamera, in a view shaped like the image."""
    pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')
    import slicer

    file = exported("cameras", reference_from_world=REFERENCE)["cameras_in_reference.mrml"]
    scene = slicer.vtkMRMLScene()
    scene.RegisterNodeClass(slicer.vtkMRMLCameraNode())
    scene.SetURL(str(file))
    assert scene.Connect()
    ras_from_world = np.diag([-1.0, -1, 1, 1]) @ REFERENCE
    points = np.random.default_rng(7).uniform(-60, 60, (20, 3))
    assert scene.GetNumberOfNodesByClass("vtkMRMLCameraNode") == 2
    for number, camera in enumerate(CAMERAS.values()):
        node = scene.GetNthNodeByClass(number, "vtkMRMLCameraNode")
        assert node.GetName() == f"X-ray {number + 1}" and not node.GetParallelProjection()
        source = rigid.transform_points(ras_from_world, camera.source)
        assert_allclose(node.GetPosition(), source, atol=1e-9)
        seen = _seen(node, rigid.transform_points(ras_from_world, points), camera.size)
        if number == 1:
            assert "mirror" in node.GetDescription()
            seen[:, 0] = 119 - seen[:, 0]
        assert_allclose(seen, camera.project(points), atol=1e-5)


def _seen(node, points, size):
    """Pixels (N, 2) of RAS points, by VTK's projection.

    Its x and y run from -1 to 1 between the outer edges, y up.
    """
    _, _, said = node.GetDescription().partition("SetWindowCenter(")
    centre = said.partition(")")[0] or "0, 0"
    node.GetCamera().SetWindowCenter(*map(float, centre.split(",")))
    matrix = node.GetCamera().GetCompositeProjectionTransformMatrix(size[0] / size[1], 0, 1)
    clip = np.array([matrix.MultiplyPoint([*point, 1]) for point in points])
    x, y = (clip[:, :2] / clip[:, 3:]).T
    return np.c_[(x + 1) / 2 * size[0] - 0.5, (1 - y) / 2 * size[1] - 0.5]


@pytest.mark.parametrize(
    "charset, name",
    [("ISO_IR 100", "Müller^Jörg"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")],
)
def test_drr_keeps_a_name_in_another_alphabet(tmp_path, charset, name):
    write_xray(tmp_path / "xa.dcm", np.ones((4, 5)), SpecificCharacterSet=charset, PatientName=name)
    drr = Drr(np.full((4, 5), 0.5), 1, identity=identity_of(tmp_path / "xa.dcm"))
    write_secondary_capture(tmp_path / "drr.dcm", drr, "1.2", "1.3", OVERRIDE)
    data = pydicom.dcmread(tmp_path / "drr.dcm")
    assert_allclose(data.pixel_array * float(data.RescaleSlope), 500)
    assert str(data.PatientName) == name and OVERRIDE in data.DerivationDescription

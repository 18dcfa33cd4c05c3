"""Files told apart by their content: real ones, and synthetic ones without a telling name."""

import shutil
import time
import zipfile

import nibabel
import numpy as np
import pytest
from helpers.file_io import write_json, write_values
from helpers.phantom import TRUE_POSE, make_ct, make_views, write_phantom_case
from helpers.phantom_study import write_study
from helpers.planted_dicom import write_xray
from helpers.refusals import refuses
from imaging.dicom_files import CT_IMAGE, write_dicom, write_series

from MultiViewRegistrationLib.io import recognise as module
from MultiViewRegistrationLib.io.calibration.read import read_calibration
from MultiViewRegistrationLib.io.recognise import of_kind, recognise, whole_files
from MultiViewRegistrationLib.io.transforms import write_h5_transform, write_transform


def names(files, *kinds):
    """The names of the files of these kinds."""
    return sorted(file.path.name for file in of_kind(files, *kinds))


def problems(files):
    return "".join(file.problem for file in files)


def unknown(files):
    return sorted(file.path.name for file in files if not (file.kinds or file.problem))


@pytest.mark.parametrize("name", ["a.txt", "a.yml"])
def test_millions_of_numbers_are_refused_before_they_are_parsed(file_of, name):
    path = file_of(name, 1_500_000 * "0 1\n")
    before = time.process_time()
    module.kinds_of(path)
    with refuses("larger than 4 MB"):
        read_calibration(path)
    assert time.process_time() - before < 1.0


def test_yaml_of_very_many_values_is_refused_before_it_is_parsed(file_of):
    with refuses("more than 100,000 values"):
        read_calibration(file_of("a.yml", f"%YAML:1.0\na: [{200_000 * '0,'}0]"))


@pytest.mark.slow
def test_real_files(shared_data):
    scout = recognise([shared_data / "scout"])
    (ct,) = of_kind(scout, "ct")
    assert (len(ct.paths), ct.facts) == (67, "67 slices, 0.49 \u00d7 0.49 \u00d7 2.50 mm")
    assert names(scout, "scout") == ["AP.dcm", "LAT.dcm"] and not names(scout, "xray")
    assert unknown(scout) == ["LICENSE"]
    assert names(recognise([shared_data / "scout" / "AP.dcm"]), "xray") == ["AP.dcm"]
    dicom = recognise([shared_data / "dicom"])
    assert names(dicom, "xray") == ["rf-circular-shutter.dcm", "xa-multiframe-jpeg.dcm"]
    assert [len(ct.paths) for ct in of_kind(dicom, "ct")] == [8]
    wrist = recognise([shared_data / "wrist"])
    assert names(wrist, "case")[0] == "metacarpal3_0002.json" and len(names(wrist, "case")) == 9
    assert names(wrist, "ct") == ["metacarpal3.nrrd", "radius.nrrd", "ulna.nrrd"]
    assert len(names(wrist, "xray")) == 6
    case = recognise([shared_data / "sim" / "pelvis-oblique-1"])
    assert [file.path.name for file in whole_files(case)] == ["case.json"]
    assert unknown(case) == ["starts.json"]


def test_names_do_not_matter(tmp_path):
    """Two CT series, X-rays and scouts lie in one folder, without endings."""
    write_study(tmp_path / "study")
    thin = {"SeriesInstanceUID": "1.2.3.7", "SeriesDescription": "Bone"}
    volume = make_ct().volume
    hu = volume.values.round().astype(np.int16)[:20]
    write_series(tmp_path / "thin", hu, volume.ct_from_index, **thin)
    write_xray(tmp_path / "ct.dcm", np.full((8, 8), 7), Modality="XA")
    report = {"Modality": "CT", "SeriesInstanceUID": "1.2.3.8"}
    write_dicom(tmp_path / "report", np.zeros((4, 4), np.uint8), CT_IMAGE, **report)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    pool = tmp_path / "pool"
    pool.mkdir()
    for number, file in enumerate(files):
        shutil.move(file, pool / f"IM{number:04}")
    shutil.copy(pool / "IM0000", pool / "copy")
    found = recognise([pool])
    cts = of_kind(found, "ct")
    assert [(len(ct.source), ct.name) for ct in cts] == [(48, "series 2"), (20, "Bone")]
    counts = [len(of_kind(found, *kinds)) for kinds in (["xray"], ["scout"], [])]
    assert counts == [1, 2, 1]


def test_volumes_by_their_values(tmp_path):
    hu, random = make_ct().volume.values, np.random.default_rng(1)

    def noise(*shape):
        return random.integers(0, 4000, shape).astype(np.uint16)

    write_values(tmp_path / "hu.mha", hu.astype(np.int16))
    write_values(tmp_path / "relative.nrrd", noise(20, 30, 40), (0.4, 0.4, 0.6))
    write_values(tmp_path / "labels.nii.gz", (hu > 300).astype(np.uint8), (2, 2, 2))
    write_values(tmp_path / "run.mha", noise(20, 30, 40))
    write_values(tmp_path / "film.png", noise(30, 40))
    write_values(tmp_path / "slice.mha", noise(1, 30, 40))
    write_values(tmp_path / "used.png", np.kron(np.eye(2), np.full((8, 8), 255)).astype(np.uint8))
    found = recognise([tmp_path])
    assert names(found, "ct") == ["hu.mha", "relative.nrrd"]
    assert names(found, "mask") == ["labels.nii.gz"]
    assert names(found, "xray mask") == ["used.png"]
    assert names(found, "xray") == ["film.png", "slice.mha"]
    assert names(found, "ct", "xray") == ["run.mha"]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
def test_labels_are_labels_whatever_type_they_are_stored_as(tmp_path, kind):
    labels = np.zeros((6, 8, 8), kind)
    labels[2:5, 2:6, 2:4], labels[2:5, 2:6, 4:6] = 29, 30
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "labels.nii.gz")
    assert names(recognise([tmp_path]), "mask") == ["labels.nii.gz"]


@pytest.mark.parametrize(
    ("background", "blurred", "sentence"),
    [(-1, False, "no label is negative; set those to 0"), (0, True, "without interpolation")],
)
def test_labels_that_were_spoilt_are_no_ct(tmp_path, background, blurred, sentence):
    labels = np.full((6, 8, 8), background, np.float32)
    labels[2:5, 2:4, 2:6], labels[2:5, 4:6, 2:6] = 29, 30
    if blurred:
        labels[3, 1, 2:6] = 14.5
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "labels.nii.gz")
    found = recognise([tmp_path])
    assert not found[0].kinds and sentence in found[0].problem


def test_text_and_numbers(tmp_path):
    matrix = make_views(make_ct())[0].camera.projection_matrix
    np.savetxt(tmp_path / "p.dat", matrix)
    np.save(tmp_path / "p.npy", matrix)
    write_json(tmp_path / "p.json", {"a": {"projection_matrix": matrix}})
    np.savetxt(tmp_path / "start.dat", TRUE_POSE)
    write_json(tmp_path / "starts.json", {"poses": [TRUE_POSE]})
    write_transform(tmp_path / "t.dat", TRUE_POSE)
    write_h5_transform(tmp_path / "t.h5", TRUE_POSE, "a pose")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        archive.writestr("IM0001", "x")
    found = recognise([tmp_path])
    # What is damaged is said where it is read.
    assert names(found, "calibration") == ["broken.xml", "p.dat", "p.json", "p.npy"]
    assert names(found, "pose") == ["start.dat"]
    assert names(found, "pose", "calibration") == ["t.dat", "t.h5"]
    assert unknown(found) == ["README.txt", "empty", "objects.npy", "starts.json"]
    assert names(found, "landmarks") == ["points.fcsv"]
    assert "study.zip: is an archive" in problems(found)


TEXTS = {
    "broken.xml": '<?xml version="1.0"?><RTKThreeDCircularGeometry version="3"></RTKThreeDCircularGeometry>',
    "README.txt": "Nothing of it: 1 2 3.",
    "empty": "",
    "points.fcsv": "# Markups fiducial file version = 5.0\n",
    ".DS_Store": "nobody means it",
}


def test_what_is_opened_as_a_whole(tmp_path):
    """By content; a result comes before its case, and the outermost before others."""

    def whole():
        return [file.path for file in whole_files(recognise([tmp_path]))]

    write_phantom_case(tmp_path).rename(tmp_path / "my hip.json")
    assert whole() == [tmp_path / "my hip.json"]
    write_json(
        tmp_path / "found.json", {"version": 2, "world_from_ct": [], "verdict": None, "views": []}
    )
    (tmp_path / "deeper").mkdir()
    shutil.copy(tmp_path / "found.json", tmp_path / "deeper" / "found.json")
    assert whole() == [tmp_path / "found.json"]
    (tmp_path / "scene.mrml").write_text('<MRML version="Slicer4.4.0"></MRML>')
    assert whole() == [tmp_path / "scene.mrml"]


def test_a_damaged_image_is_a_problem_and_too_many_files_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a.mha").write_text("ObjectType = Image\nElementDataFile = ../secret.raw\n")
    (tmp_path / "b.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 50)
    found = recognise([tmp_path])
    assert "a.mha: cannot be read" in problems(found) and unknown(found) == ["b.dcm"]
    monkeypatch.setattr(module, "MAX_FILES", 1)
    with refuses("more than 1 files"):
        recognise([tmp_path])

"""Names, IDs, dates and institutions in DICOM headers are in nothing that the program writes or prints."""

import numpy as np
import phantom
import pytest
from file_io import read_json, write_json
from planted_dicom import IDENTITY, SECRETS, write_ct, write_xray
from program import mvreg

from MultiViewRegistrationLib.io.case import Case

#: The identity of the second X-ray's patient.
OTHER = "PID-OTHER"


@pytest.fixture(scope="module")
def planted_case(tmp_path_factory):
    """A case of the phantom in DICOM files with identity in their headers.

    The second X-ray has bone bright, and is of another patient. Not to be changed.
    """
    folder = tmp_path_factory.mktemp("planted")
    ct = phantom.make_ct()
    write_ct(folder / "ct", ct.volume.values, ct.volume.ct_from_index)
    headers = {}, {"PatientID": OTHER, "PixelIntensityRelationship": "LIN"}
    views = []
    for view, header in zip(phantom.make_views(ct), headers, strict=True):
        detected = np.clip(60000 * np.exp(-view.xray.line_integrals), 0, 65535)
        detected[20:110:12, 20:108] *= 0.5  # wires, by which "auto" sees what is dense
        detected = 65535 - detected if header else detected
        spacing = {"ImagerPixelSpacing": ["1.25", "1.25"]}
        write_xray(folder / f"{view.name}.dcm", detected, **spacing, **header)
        matrix = view.camera.projection_matrix.tolist()
        views.append({"name": view.name, "image": f"{view.name}.dcm", "projection_matrix": matrix})
    views[1]["intensity"] = "auto"
    start = phantom.off(phantom.TRUE_POSE, [1.0, -2.0, 1.0], [2.0, 1.0, -2.0])
    case = {"version": 1, "ct": "ct", "views": views, "world_from_ct": start.tolist()}
    write_json(folder / "case.json", case)
    return folder / "case.json"


def held(text: str | bytes) -> set[str]:
    """The secrets that a text holds, in the encodings in which a file may have them."""
    data = text.encode() if isinstance(text, str) else text
    codes = "utf-8", "utf-16-le", "utf-32-le"
    return {each for each in [*SECRETS, OTHER] if any(each.encode(code) in data for code in codes)}


def test_what_is_planted_is_found_where_it_is(planted_case):
    """Or else the tests below could not fail.

    Every identifying tag is in the files, and looked for.
    """
    everything = b"".join(path.read_bytes() for path in planted_case.parent.rglob("*.dcm"))
    assert held(everything) == {*SECRETS, OTHER} - {"2024-02-29"}
    named = IDENTITY.keys() - {"PatientSex", "Laterality"}
    assert all(held(IDENTITY[tag]) for tag in named)


@pytest.mark.parametrize(
    "command",
    [
        "case check CASE",
        "case check CASE --json",
        "case show CASE --json --out OUT/page.html",
        "register CASE --out OUT --json",
        "render CASE --out OUT --json",
    ],
)
def test_no_command_reveals_the_patient(planted_case, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    words = command.replace("CASE", str(planted_case)).replace("OUT", str(tmp_path))
    said = mvreg(words)
    assert "different patients (PatientID)" in said.out + said.err
    assert not held(said.out) and not held(said.err)
    for path in tmp_path.rglob("*"):
        assert not held(path.name) and not (path.is_file() and held(path.read_bytes())), path


def test_a_result_has_names_of_files_and_none_of_their_folders(tmp_path):
    folder, home = tmp_path / "DOE_JANE_1950", tmp_path / "case"
    folder.mkdir()
    home.mkdir()
    content = read_json(phantom.write_phantom_case(folder))
    content["ct"] = f"../{folder.name}/{content['ct']}"
    for number, view in enumerate(content["views"]):
        there = folder / f"series{number}" / "image.mha"
        there.parent.mkdir()
        (folder / view["image"]).rename(there)
        view["image"] = f"../{folder.name}/{there.parent.name}/{there.name}"
    write_json(home / "case.json", content)
    assert set(Case.load(home).inputs) == {"case.json", "ct.nii.gz", "image.mha", "image.mha (2)"}

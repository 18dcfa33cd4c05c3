"""Names, IDs, dates and institutions in DICOM headers are in nothing that the program writes or prints."""

import numpy as np
import phantom
import pytest
from file_io import read_json, write_json
from planted_dicom import IDENTITY, SECRETS, write_ct, write_xray

from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.io.case import Case


@pytest.fixture(scope="module")
def planted_case(tmp_path_factory):
    """A case of the phantom in DICOM files with identity in their headers.

    The second X-ray has bone bright. Not to be changed.
    """
    folder = tmp_path_factory.mktemp("planted")
    ct = phantom.make_ct()
    write_ct(folder / "ct", ct.volume.values, ct.volume.ct_from_index)
    views = []
    for view in phantom.make_views(ct):
        detected = np.clip(60000 * np.exp(-view.xray.line_integrals), 0, 65535)
        detected[20:110:12, 20:108] *= 0.5  # wires, by which "auto" sees what is dense
        detected = 65535 - detected if view.name == "view2" else detected
        # The second is of another patient, whose identity must not appear either.
        other = (
            {"PatientID": "PID-OTHER", "PixelIntensityRelationship": "LIN"}
            if view.name == "view2"
            else {}
        )
        write_xray(
            folder / f"{view.name}.dcm", detected, ImagerPixelSpacing=["1.25", "1.25"], **other
        )
        views.append(
            {
                "name": view.name,
                "image": f"{view.name}.dcm",
                "projection_matrix": view.camera.projection_matrix.tolist(),
                **({"intensity": "auto"} if view.name == "view2" else {}),
            }
        )
    start = phantom.off(phantom.TRUE_POSE, [1.0, -2.0, 1.0], [2.0, 1.0, -2.0])
    write_json(
        folder / "case.json",
        {"version": 1, "ct": "ct", "views": views, "world_from_ct": start.tolist()},
    )
    return folder / "case.json"


def held(text: str | bytes) -> list[str]:
    """The secrets that a text holds, in the encodings in which a file may have them."""
    data = text.encode() if isinstance(text, str) else text
    secrets = [*SECRETS, "PID-OTHER"]
    return [
        secret
        for secret in secrets
        if any(secret.encode(code) in data for code in ("utf-8", "utf-16-le", "utf-32-le"))
    ]


def test_what_is_planted_is_found_where_it_is(planted_case):
    """Or else the tests below could not fail.

    Every identifying tag is in the files, and looked for.
    """
    everything = b"".join(path.read_bytes() for path in planted_case.parent.rglob("*.dcm"))
    assert set(held(everything)) == {*SECRETS, "PID-OTHER"} - {"2024-02-29"}
    assert all(
        held(value) for tag, value in IDENTITY.items() if tag not in ("PatientSex", "Laterality")
    )


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize(
    "command",
    [
        ["case", "check"],
        ["case", "check", "--json"],
        "case show --json --out OUT/page.html".split(),
        ["register", "--out", "OUT", "--json"],
        ["render", "--out", "OUT", "--json"],
    ],
    ids=" ".join,
)
def test_no_command_reveals_the_patient(planted_case, tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    words = [part.replace("OUT", str(tmp_path)) for part in command]
    at = 2 if words[0] == "case" else 1
    assert main([*words[:at], str(planted_case), *words[at:]]) == 0
    reported = capsys.readouterr()
    assert "different patients (PatientID)" in reported.out + reported.err
    assert not held(reported.out) and not held(reported.err)
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

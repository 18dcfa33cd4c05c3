"""At the command line a header leads nowhere but into its own folder; a case.json names files anywhere, as before."""

from __future__ import annotations

import json
import os
import random
import shutil

import h5py
import planted_file
import pytest
import SimpleITK as sitk

from MultiViewRegistrationLib.cli.main import main


@pytest.fixture
def case(case_file, tmp_path):
    """A copy of the phantom's case."""
    shutil.copytree(case_file.parent, tmp_path / "case")
    return tmp_path / "case" / "case.json"


def came_out(tmp_path, capfd, *arguments) -> str:
    """What of the planted file came out of a command that has to fail with a sentence; "" for nothing."""
    out = tmp_path / "out"
    status, told = main([*map(str, arguments), "--out", str(out)]), "".join(capfd.readouterr())
    written = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file()) if out.is_dir() else b""
    shutil.rmtree(out, ignore_errors=True)
    found = [
        name
        for name, bad in (
            ("status", status != 2),
            ("told", planted_file.WORD.decode() in told),
            ("trace", "Traceback" in told),
            ("written", planted_file.WORD in written or bool(written)),
        )
        if bad
    ]
    return " ".join(found)


@pytest.mark.slow
def test_no_command_reads_another_file(case, tmp_path, capfd):
    target, folder = planted_file.plant(tmp_path / "elsewhere"), case.parent
    content, found, dice = json.loads(case.read_text()), [], random.Random(21)
    (folder / "matrix.txt").write_text(str(content["views"][0]["projection_matrix"]))
    tried = []
    for make, share in ((planted_file.headers, 0.1), (planted_file.others, 1)):
        for what, path in make(folder, target):
            if dice.random() > share:
                continue
            tried.append(what)
            key = dice.choice(("ct", "mask", "image", "view mask"))
            changed = json.loads(json.dumps(content))
            (changed if key in ("ct", "mask") else changed["views"][1])[key.split()[-1]] = path.name
            case.write_text(json.dumps(changed))
            command = dice.choice(
                (
                    ["register", case],
                    ["render", case],
                    ["case", "anonymise", case],
                    [
                        "case",
                        "new",
                        "--ct",
                        path,
                        "--view",
                        "a",
                        folder / "view1.mha",
                        "--projection-matrix",
                        folder / "matrix.txt",
                    ],
                )
            )
            found += [f"{command[0]}: {what}: {leak}" for leak in [came_out(tmp_path, capfd, *command)] if leak]
    assert not found and len(tried) > 40


def test_a_pose_in_another_file_is_not_read(case, tmp_path, capfd):
    target = planted_file.plant(tmp_path / "elsewhere")
    sitk.WriteTransform(sitk.AffineTransform(3), str(case.parent / "a.h5"))
    with h5py.File(case.parent / "a.h5", "a") as file:
        name = "TransformGroup/0/TransformParameters"
        del file[name]
        file.create_dataset(name, (12,), "f8", external=[(str(target), 0, 96)])
    pose = ["--start-pose", case.parent / "a.h5", "--frame", "lps", "--direction", "forward"]
    assert not came_out(tmp_path, capfd, "register", case, *pose)


def test_a_case_names_files_anywhere(case, tmp_path):
    content = json.loads(case.read_text())
    (tmp_path / "data").mkdir()
    os.replace(case.parent / content["ct"], tmp_path / "data" / "ct.nii.gz")
    image = sitk.ReadImage(str(case.parent / content["views"][0]["image"]))
    sitk.WriteImage(image, str(tmp_path / "data" / "ap.mhd"))
    content["ct"], content["views"][0]["image"] = "../data/ct.nii.gz", str(tmp_path / "data" / "ap.mhd")
    case.write_text(json.dumps(content))
    assert main(["render", str(case), "--out", str(tmp_path / "out")]) == 0

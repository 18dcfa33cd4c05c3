"""An image is read from its own file and from what its header names in its own folder.

Nothing else of the computer ever comes out.
"""

import os
import random

import numpy as np
import pytest
from helpers import planted_file
from helpers.file_io import write_values
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib import InputError, inside
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.image_source import without_data_files
from MultiViewRegistrationLib.imaging.reading import read_image
from MultiViewRegistrationLib.imaging.xray import count_frames, load_frames, load_image

READERS = {
    "CT": lambda path: [load_ct(path, "relative").volume.values],
    "X-ray": lambda path: [load_image(path).values],
    "frames": lambda path: [frame.values for frame in load_frames(path)],
    "count": lambda path: [count_frames(path)],
    "image": lambda path: [read_image(path).values],
}


def leaked(read, path):
    """Whether content of the planted file was read or is part of the message."""
    try:
        found = read(path)
    except InputError as error:
        return planted_file.WORD.decode() in str(error)
    stored = (np.asarray(array).astype(np.uint8).tobytes() for array in found)
    return any(planted_file.WORD[:8] in each for each in stored)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "case").mkdir()
    return tmp_path / "case"


@pytest.mark.slow
def test_headers_cannot_name_files_outside_their_folder(folder, tmp_path, capfd):
    target = planted_file.plant(tmp_path / "elsewhere")
    dice, found, count = random.Random(21), [], 0
    for make in (planted_file.headers, planted_file.others):
        for what, path in make(folder, target):
            for reader in READERS if make is planted_file.others else dice.sample(list(READERS), 2):
                count += 1
                if leaked(READERS[reader], path):
                    found.append(f"{reader}: {what}")
    assert not found and count > 800
    assert planted_file.WORD.decode() not in "".join(capfd.readouterr())


@pytest.mark.parametrize("name", "a.mhd a.nhdr a.hdr a.mha".split())
@pytest.mark.parametrize("below", ["", "voxels"])
def test_detached_data_files_are_read(folder, name, below):
    values = np.arange(24 * 20 * 16, dtype=np.int16).reshape(16, 20, 24)
    write_values(folder / name, values)
    data = [path for path in folder.iterdir() if path.name != name]
    assert len(data) == (name in ("a.mhd", "a.nhdr", "a.hdr"))
    if below and data and name != "a.hdr":
        (folder / below).mkdir()
        os.replace(data[0], folder / below / data[0].name)
        text = (folder / name).read_text().replace(data[0].name, f"{below}/{data[0].name}")
        (folder / name).write_text(text)
    assert_array_equal(read_image(folder / name).values, values)
    assert without_data_files(path for path in folder.rglob("*") if path.is_file()) == [
        folder / name
    ]


def test_headers_of_other_programs_are_read(folder):
    (folder / "a.raw").write_bytes(bytes(range(24)))
    (folder / "a.mhd").write_bytes(
        b"NDims = 3\r\nDimSize = 4 3 2\r\nElementType = MET_UCHAR\r\n\r\nComment = by hand: a = b\r\n"
        b"Seq_Frame0000_Status = OK\r\n0008|0016 = 1.2\r\ndim[0] = 3\r\nElementDataFile=  a.raw \r\n"
    )
    (folder / "a.nhdr").write_bytes(
        b"NRRD0005\n# by hand\ntype: uint8\ndimension: 3\nsizes: 4 3 2\nencoding: raw\nDICOM_key:=a: b\n"
        b"DATA FILE: ./a.raw\n"
    )
    for name in ("a.mhd", "a.nhdr"):
        assert read_image(folder / name).values.ravel().tolist() == list(range(24))


def test_dicom_file_that_is_also_a_metaimage_is_read_as_dicom(folder, tmp_path):
    target = planted_file.plant(tmp_path / "elsewhere")
    header = (
        f"NDims=3\nDimSize=24 20 16\nElementType=MET_UCHAR\nElementDataFile={target}\n"
    ).encode()
    path = folder / "a.mhd"
    path.write_bytes(header[:128].ljust(128) + b"DICM" + header)
    assert not leaked(READERS["image"], path)


@pytest.mark.parametrize("name", ["b/c.raw", "b/../a", "ä.raw", "b\\c.raw", "a~"])
def test_inside_accepts_names_in_folder(tmp_path, name):
    assert inside(name, tmp_path) == (tmp_path / name).resolve()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../a",
        "b/../../a",
        "..\\a",
        "b\\..\\..\\a",
        "/a",
        "~/a",
        "c:\\a",
        "file:a",
        "http://a/b",
        "\\\\a\\b",
        "a\0",
        "a\nb",
        "b/" * 3000 + "../" * 3001 + "a",
    ],
)
def test_inside_rejects_names_outside_folder(tmp_path, name):
    assert inside(name, tmp_path) is None

"""A header that claims 10 GB in 1 kB is refused before memory is taken for it."""

import gzip
import struct
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.planted_dicom import write_xray
from helpers.refusals import refuses
from imaging.damaged_files import metaimage, nrrd

from MultiViewRegistrationLib.imaging import image_source
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.reading import read_image
from MultiViewRegistrationLib.imaging.xray import load_frames, load_image


def nifti():
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, 3000, 3000, 600, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, 4, 16)
    struct.pack_into("<8f", head, 76, *[1] * 8)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return bytes(head) + bytes(100)


def png():
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 70000, 70000, 16, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


META = {"DimSize": "3000 3000 600", "BinaryDataByteOrderMSB": "False"}
ZLIB = {"CompressedData": "True", "data": zlib.compress(bytes(1000))}
NRRD = {"sizes": "3000 3000 600"}
FILES = {
    "a.mha": metaimage(**META),
    "b.mha": metaimage(**META, **ZLIB),
    "a.nrrd": nrrd(**NRRD),
    "b.nrrd": nrrd(**NRRD, encoding="gzip", data=gzip.compress(bytes(1000))),
    "a.nii": nifti(),
    "a.nii.gz": gzip.compress(nifti()),
    "a.png": png(),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("load", [load_ct, load_image])
def test_header_larger_than_its_file_is_rejected(tmp_path, name, load):
    data = FILES[name]
    assert len(data) < 1000
    (tmp_path / name).write_bytes(data)
    tracemalloc.start()
    with refuses(r"claims [45]\.\d+e\+09 voxels in a file of \d+ bytes"):
        load(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_detached_header_is_checked_against_its_data_file(tmp_path):
    (tmp_path / "a.mhd").write_bytes(metaimage(**META).replace(b"LOCAL", b"a.raw"))
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with refuses(r"claims 5\.4e\+09 voxels"):
        read_image(tmp_path / "a.mhd")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6), np.int16)), str(tmp_path / "b.mhd"))
    assert read_image(tmp_path / "b.mhd").size == (6, 5, 4)


@pytest.mark.parametrize("load", [load_ct, load_image])
def test_volume_larger_than_memory_is_rejected_before_reading(tmp_path, monkeypatch, load):
    size = {"DimSize": "1000 1000 500"}
    (tmp_path / "a.mha").write_bytes(metaimage(**META | ZLIB | size) + bytes(500_000))
    monkeypatch.setattr(image_source, "free_bytes", lambda: 2 << 30)
    with refuses(r"has 5e\+08 voxels, which take 2\.79 GB of memory, but 2 GB are free; crop it"):
        load(tmp_path / "a.mha")


def test_load_frames_rejects_more_frames_than_memory_holds(tmp_path, monkeypatch):
    write_xray(
        tmp_path / "a.dcm",
        np.random.default_rng(1).integers(0, 4000, (50 * 64, 64)),
        NumberOfFrames=50,
    )
    header = pydicom.dcmread(tmp_path / "a.dcm")
    header.Rows = 64
    header.save_as(tmp_path / "a.dcm")
    assert len(load_frames(tmp_path / "a.dcm")) == 50
    monkeypatch.setattr(image_source, "free_bytes", lambda: 1 << 20)
    with refuses("has 50 frames, which take"):
        load_frames(tmp_path / "a.dcm")
    assert load_image(tmp_path / "a.dcm", 49).values.shape == (64, 64)


def test_gzip_file_is_unpacked_only_as_far_as_its_header_states(tmp_path, monkeypatch):
    image = nifti()[:352].replace(
        struct.pack("<3h", 3000, 3000, 600), struct.pack("<3h", 30, 30, 6)
    ) + bytes(2 * 30 * 30 * 6)
    bomb = (
        gzip.compress(image[:5000])
        + gzip.compress(image[5000:])
        + 20 * gzip.compress(bytes(10 << 20), 9)
    )
    (tmp_path / "a.nii.gz").write_bytes(bomb)
    unpacked, plain = [], gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile,
        "read",
        lambda self, size=-1: [unpacked.append(got := plain(self, size)), got][1],
    )
    assert read_image(tmp_path / "a.nii.gz").size == (30, 30, 6)
    assert sum(map(len, unpacked)) < 4 << 20

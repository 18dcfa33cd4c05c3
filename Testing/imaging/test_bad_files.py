"""Files that would end the process, or fill its memory, are refused in a sentence, and cost only a child process."""

import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dicom_files import compressed
from helpers.file_io import write_values
from helpers.refusals import result_or_refusal
from image_files import refusal
from imaging.damaged_files import (
    DICOM_SYNTAXES,
    damaged,
    metaimage,
    nrrd,
    transform_files,
    whole_files,
)

from MultiViewRegistrationLib.imaging import child
from MultiViewRegistrationLib.imaging.reading import image_header, read_image
from MultiViewRegistrationLib.imaging.xray import load_frames, load_image
from MultiViewRegistrationLib.io.transforms import read_transform

GRID = "100000 100000 100000 0 0 0 1 1 1 1 0 0 0 1 0 0 0 1"


def tfm(kind, parameters="1 0 0 0 1 0 0 0 1 0 0 0", fixed="0 0 0"):
    return (
        f"#Insight Transform File V1.0\n#Transform 0\nTransform: {kind}_double_3_3\nParameters: "
        f"{parameters}\nFixedParameters: {fixed}\n"
    ).encode()


IMAGES = {
    "dimensions.mha": metaimage(NDims="100000"),
    "none.mha": metaimage(DimSize="0 4 4"),
    "fewer.mha": metaimage(DimSize="4 4"),
    "dimension.nrrd": nrrd(dimension="3" * 5000),
    "endian.nrrd": nrrd(endian="l" * 5000),
    "kinds.nrrd": nrrd(kinds="domain " * 3000),
    "none.nrrd": nrrd(sizes="4 0 4"),
    "fewer.nrrd": nrrd(sizes="4 4"),
}
TRANSFORMS = {
    "nan": tfm("AffineTransform", "nan " * 12),
    "words": tfm("VersorRigid3DTransform", "one two three"),
    "fixed": tfm("AffineTransform", fixed="1e308 nan 5"),
    "no fixed": tfm("Euler3DTransform", "0 0 0 0 0 0", ""),
    "spline": tfm("BSplineTransform", "0 0 0", GRID),
    "field": tfm("DisplacementFieldTransform", "0 0 0", GRID),
}


@pytest.mark.parametrize("name", IMAGES)
def test_damaged_headers_are_rejected(file_of, name):
    for read in (image_header, load_image):
        said = refusal(read, file_of(name, IMAGES[name]))
        assert "expected" in said or "save it again" in said


def test_nrrd_with_many_keys_is_rejected(file_of):
    keys = "".join(f"key{number}:=value\n" for number in range(200_000)).encode()
    whole = nrrd()
    assert "its header is damaged" in refusal(
        read_image, file_of("a.nrrd", whole.replace(b"type:", keys + b"type:", 1))
    )


def tiff(order, first, *following):
    """A TIFF or, in capital letters, a BigTIFF with a page at each offset, which names the next."""
    big = order[1] == "Q"
    mark = {"<": b"II", ">": b"MM"}[order[0]]
    head = mark + struct.pack(f"{order[0]}H", 43 if big else 42)
    head += struct.pack(f"{order[0]}HHQ", 8, 0, first) if big else struct.pack(f"{order}", first)
    data = bytearray(head.ljust(400, b"\0"))
    for at, after in zip([first, *following], [*following, first]):
        page = struct.pack(f"{order[0]}{'Q' if big else 'H'}", 0) + struct.pack(order, after)
        data[at : at + len(page)] = page
    return bytes(data)


@pytest.mark.parametrize("order, pages", [("<I", (100,)), (">Q", (100, 200, 300))])
def test_tiff_with_cyclic_pages_is_rejected(file_of, order, pages):
    assert "list of pages" in refusal(read_image, file_of("a.tif", tiff(order, *pages)))


def test_multi_page_tiff_is_read(tmp_path):
    write_values(tmp_path / "a.tif", np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    assert read_image(tmp_path / "a.tif").size == (5, 4, 3)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_read_transform_rejects_non_rigid(file_of, name):
    path = file_of("a.tfm", TRANSFORMS[name])
    assert "expected one rigid 3D transform" in refusal(read_transform, path)


def test_undamaged_files_are_read(file_of):
    for path in (file_of("a.mha", metaimage()), file_of("a.nrrd", nrrd())):
        assert read_image(path).size == (4, 4, 4)
    assert np.array_equal(read_transform(file_of("a.tfm", tfm("AffineTransform"))), np.eye(4))


@pytest.mark.slow_variants("time.sleep(60)")
@pytest.mark.parametrize(
    "how",
    [
        "os.kill(os.getpid(), 11)",
        "bytearray(1 << 33)",
        "time.sleep(60)",
        "os.write(1, b'x'), sys.exit(3)",
    ],
)
def test_failed_child_process_is_replaced(tmp_path, monkeypatch, how):
    (tmp_path / "harmful.py").write_text(
        f"import os, sys, time\ndef harm():\n    {how}\ndef fine():\n    return 1, b'abc'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child.end_all()
    before = time.monotonic()
    with pytest.raises(child.ChildFailed):
        child.call("harmful:harm", [], 1 << 30, 2.0)
    assert time.monotonic() - before < 20
    answer = child.call("harmful:fine", [], 1 << 30, 20.0)
    assert answer.value == 1 and answer.data.tobytes() == b"abc"
    child.end_all()


@pytest.mark.slow
def test_child_process_ends_with_its_parent(tmp_path):
    (tmp_path / "a.mha").write_bytes(metaimage())
    code = f"""
import os
from MultiViewRegistrationLib.imaging import child, reading
reading.read_image({str(tmp_path / "a.mha")!r})
print(child._idle[0]._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    path = str(Path(child.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL
    until = time.monotonic() + 20
    while time.monotonic() < until and Path(f"/proc/{int(done.stdout)}").exists():
        time.sleep(0.05)
    assert not Path(f"/proc/{int(done.stdout)}").exists()


def test_large_images_are_writable_and_independent(tmp_path):
    values = np.random.default_rng(1).integers(-1000, 3000, (20, 200, 300)).astype(np.int16)
    write_values(tmp_path / "a.mha", values)
    first, second = (read_image(tmp_path / "a.mha").values for _ in range(2))
    assert values.nbytes > 1 << 20
    first[:] = 7
    assert np.array_equal(second, values)


def test_truncated_answer_of_child_process_is_rejected(monkeypatch):
    child.end_all()
    monkeypatch.setattr(child, "_CODE", "print('{{\"value\": 1, \"bytes\": 9}}', end='\\nabc')#{}")
    with pytest.raises(child.ChildFailed, match="ended unexpectedly"):
        child.call("any:thing", [], 1 << 30, 20.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return whole_files(tmp_path_factory.mktemp("whole"))


def test_damaged_rle_segments_do_not_leak_memory(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 4000, (512, 512)).astype(np.uint16)
    compressed(tmp_path / "a.dcm", pixels, DICOM_SYNTAXES["rle"])
    data, rng = (tmp_path / "a.dcm").read_bytes(), random.Random(3)
    at = data.rfind(b"\xe0\x7f\x10\0") + 28  # of the first fragment's table of segments
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(6):
        broken = bytearray(data)
        for _ in range(4):
            broken[at + 8 + rng.randrange(40)] = rng.randrange(256)
        broken[at + 4 + 4 * rng.randrange(3)] = 255
        (tmp_path / "a.dcm").write_bytes(broken)
        result_or_refusal(load_image, tmp_path / "a.dcm")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_undamaged_files_of_each_format_are_read(files):
    for path in files.values():
        assert np.isfinite(load_image(path).values).all(), path


@pytest.mark.slow
def test_damaged_images_are_read_or_refused(files, tmp_path):
    for name, whole in files.items():
        rng = random.Random(f"images {name}")
        path = tmp_path / f"damaged{''.join(whole.suffixes)}"
        for _ in range(60):
            path.write_bytes(damaged(whole.read_bytes(), path.suffix, rng))
            for read in (image_header, load_frames):
                result_or_refusal(read, path)


@pytest.mark.slow
def test_damaged_transforms_are_read_or_refused(tmp_path):
    rng = random.Random("transforms")
    (tmp_path / "whole").mkdir()
    for whole in transform_files(tmp_path / "whole").values():
        path = tmp_path / f"damaged{whole.suffix}"
        for _ in range(15):
            path.write_bytes(damaged(whole.read_bytes(), whole.suffix, rng))
            found = result_or_refusal(read_transform, path)
            assert found is None or np.allclose(found[:3, :3].T @ found[:3, :3], np.eye(3))

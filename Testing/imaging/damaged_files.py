"""Whole files of every format that is read, and damage to them that knows their structure.

For fuzzers.
"""

import re
import struct
import zlib

import numpy as np
import SimpleITK as sitk
from imaging.dicom_files import XA_IMAGE, compressed, write_dicom

NUMBERS = (
    b"0 -1 1 3 16 255 100000 2147483647 -2147483648 4294967296 1e308 1e-320 1e999 nan inf".split()
)
WORDS = (
    b"x %s%n raw gzip little short double none null ??? LIST [ ] { } : < > / &a *a !! [[]]".split()
)
WORDS += [b"", b'"', b"d" * 6000, b"domain " * 3000, 300 * "é".encode()]
#: Of words in text, and how much of a file may be text.
SEPARATORS, HEADER_BYTES = (b" = ", b": ", b":", b",", b" "), 2000
DICOM_SYNTAXES = {
    "rle": "1.2.840.10008.1.2.5",
    "jpeg": "1.2.840.10008.1.2.4.70",
    "jls": "1.2.840.10008.1.2.4.80",
    "j2k": "1.2.840.10008.1.2.4.90",
}
INTEGERS = {
    "H": [0, 1, 2, 255, 32767, 32768, 65535],
    "I": [0, 1, 3, 65536, 2**31 - 1, 2**31, 2**32 - 1],
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "DimSize": "4 4 4",
    "ElementType": "MET_SHORT",
}
LOCAL = {"ElementDataFile": "LOCAL"}  # ends the header
NRRD = {"type": "short", "dimension": "3", "sizes": "4 4 4", "endian": "little", "encoding": "raw"}


def metaimage(data=bytes(128), **changed):
    """A MetaImage file of 4 x 4 x 4 voxels whose header has these fields changed."""
    return (
        "".join(f"{key} = {value}\n" for key, value in (META | changed | LOCAL).items()).encode()
        + data
    )


def nrrd(data=bytes(128), **changed):
    """A NRRD file of 4 x 4 x 4 voxels whose header has these fields changed."""
    lines = "".join(f"{key}: {value}\n" for key, value in (NRRD | changed).items())
    return f"NRRD0004\n{lines}\n".encode() + data


def whole_files(folder):
    """A file of each format, by its name."""
    values = np.random.default_rng(1).integers(0, 4000, (6, 40, 48)).astype(np.int16)
    volume = sitk.GetImageFromArray(values)
    flat = sitk.GetImageFromArray(values[0].astype(np.uint16))
    for name in "plain.mha a.nrrd a.nii a.vtk a.gipl a.mrc".split():
        sitk.WriteImage(volume, str(folder / name))
    for name in ("packed.mha", "packed.nrrd", "packed.nii.gz"):
        sitk.WriteImage(volume, str(folder / name), useCompression=True)
    for name in ("a.png", "a.tif"):
        sitk.WriteImage(flat, str(folder / name))
    for name in ("a.jpg", "a.bmp"):
        sitk.WriteImage(sitk.Cast(flat, sitk.sitkUInt8), str(folder / name))
    write_dicom(folder / "a.dcm", values[0].astype(np.uint16), XA_IMAGE)
    for name, syntax in DICOM_SYNTAXES.items():
        compressed(folder / f"{name}.dcm", values[0].astype(np.uint16), syntax)
        (folder / f"{name}.plain").unlink()
    return {path.name: path for path in sorted(folder.iterdir())}


def damaged(data, ending, rng):
    """The bytes of a file with one to three faults where files of this ending are sensitive."""
    special = {".png": _png, ".dcm": _dicom, ".h5": _integer, ".mat": _integer}.get(ending)
    special = special or (_text if data[:200].isascii() else _integer)
    for _ in range(rng.randint(1, 3)):
        data = rng.choice([*4 * [special], _bytes, _cut])(data, rng)
    return data


def _text(data, rng):
    """A line that goes or is repeated, or a word of it."""
    lines = data[:HEADER_BYTES].split(b"\n")
    n = rng.randrange(len(lines))
    between = rng.choice([each for each in SEPARATORS if each in lines[n]] or [b" "])
    words = lines[n].split(between)
    at, how = rng.randrange(len(words)), rng.randrange(6)
    if how == 0:
        lines[n : n + 1] = [lines[n]] * rng.choice([0, 2, 50])
    elif how == 1:
        lines[n] = between.join(words * rng.choice([0, 2, 500]))
    else:
        words[at] = rng.choice(WORDS if how == 2 else NUMBERS)
        lines[n] = between.join(words)
    return b"\n".join(lines) + data[HEADER_BYTES:]


def _integer(data, rng):
    """A field of a binary header."""
    kind = rng.choice("HI")
    at = rng.randrange(max(1, min(len(data), 400)))
    value = struct.pack(rng.choice("<>") + kind, rng.choice(INTEGERS[kind]))
    return data[:at] + value + data[at + len(value) :]


def _bytes(data, rng):
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.choice([0, 1, 127, 128, 255])
    return bytes(changed)


def _cut(data, rng):
    part = data[: rng.randrange(len(data) + 1)]
    return rng.choice([part, data + part])


def _png(data, rng):
    """A field of a chunk, with the check sum that belongs to it."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return data
    n = rng.randrange(len(chunks))
    kind, content = chunks[n]
    kind = rng.choice([*16 * [kind], b"PLTE", b"tRNS", b"iCCP", b"sBIT"])
    chunks[n] = kind, rng.choice([_integer, _bytes, _cut])(content, rng)
    whole = data[:8]
    for kind, content in chunks:
        check = zlib.crc32(kind + content)
        whole += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
    return whole


def _dicom(data, rng):
    """A number of the header that the pixels go by, or the beginning of the pixels.

    Tables of offsets, headers of codecs.
    """
    if rng.random() < 0.5:
        element = rng.choice([0x0002, 0x0008, 0x0010, 0x0011, 0x0100, 0x0101, 0x0103])
        at = data.find(struct.pack("<HH", 0x0028, element)) + 8
        return data[:at] + struct.pack("<H", rng.choice(INTEGERS["H"])) + data[at + 2 :]
    pixels = data.rfind(b"\xe0\x7f\x10\0")
    head, tail = data[: pixels + 12], data[pixels + 12 :]
    return head + rng.choice([_integer, _bytes])(tail, rng)


def transform_files(folder):
    """A file of each kind of transform, by its name."""
    grid = sitk.Image(8, 8, 8, sitk.sitkUInt8)
    made = [
        sitk.AffineTransform(3),
        sitk.Euler3DTransform(),
        sitk.VersorRigid3DTransform(),
        sitk.TranslationTransform(3),
        sitk.BSplineTransformInitializer(grid, [2, 2, 2]),
        sitk.DisplacementFieldTransform(sitk.Image([3, 3, 3], sitk.sitkVectorFloat64, 3)),
        sitk.CompositeTransform([sitk.Euler3DTransform(), sitk.AffineTransform(3)]),
    ]
    for transform in made:
        name = re.sub(r"\W", "", transform.GetName())
        sitk.WriteTransform(transform, str(folder / f"{name}.tfm"))
    sitk.WriteTransform(made[0], str(folder / "affine.h5"))
    sitk.WriteTransform(made[1], str(folder / "euler.mat"))
    return {path.name: path for path in sorted(folder.iterdir())}

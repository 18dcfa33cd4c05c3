"""A file that nobody may read, and headers that name it in every format and every spelling."""

import os
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk

#: Of the planted file: nowhere else is there such text.
WORD = b"pLaNtEd:7f3a9c:"
SIZE = (24, 20, 16)
VOXELS = SIZE[0] * SIZE[1] * SIZE[2]
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = "
    f"False\nElementSpacing = 2 2 2\nDimSize = {SIZE[0]} {SIZE[1]} {SIZE[2]}\nElementType = "
    "MET_UCHAR\n"
)
NRRD = (
    f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: {SIZE[0]} {SIZE[1]} {SIZE[2]}\nencoding: raw\n"
    "space: left-posterior-superior\nspace directions: (2,0,0) (0,2,0) (0,0,2)\nspace origin: "
    "(0,0,0)\n"
)

META_FORMS = {
    "plain": "ElementDataFile = {}\n",
    "tight": "ElementDataFile={}\n",
    "tabs": "ElementDataFile\t=\t{}  \n",
    "crlf": "ElementDataFile = {}\r\n",
    "colon": "ElementDataFile : {}\n",
    "list": "ElementDataFile = LIST\n{}\n",
    "list2": "ElementDataFile = LIST 3\n{}\n",
    "slices": "ElementDataFile = LIST 2D\n" + "{0}\n" * SIZE[2],
    "pattern": "ElementDataFile = {}%s 1 1 1\n",
    "quoted": 'ElementDataFile = "{}"\n',
    "twice": "elementdatafile = LOCAL\nElementDataFile = {}\n",
    "long": "Comment = " + 700 * "x" + "\nElementDataFile = {}\n",
    "behind": "Comment = " + 489 * "x" + "ElementDataFile = {}\n",
    "return": "Comment = x\rElementDataFile = {}\n",
    "blank": "\n\nElementDataFile = {}\n",
    "zero": "Comment = \0\nElementDataFile = {}\n",
}
NRRD_FORMS = {
    "plain": "data file: {}\n",
    "joined": "datafile: {}\n",
    "capitals": "Data File: {}\n\n",
    "list": "data file: LIST\n{}\n",
    "slices": "data file: LIST 2\n" + "{0}\n" * SIZE[2],
    "pattern": "data file: {}%d 1 1 1\n",
    "comment": "# data file: x\ndata file: {}\n",
    "skip": "byte skip: -1\ndata file: {}\n",
    "twice": "data file: ct.raw\ndata file: {}\n",
    "key": "key:=data file: x\ndata file: {}\n",
    "crlf": "data file: {}\r\n\r\n",
}


def plant(folder):
    """A file in a folder that is made.

    The word, again and again, as many bytes as an image has voxels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "secret.raw"
    path.write_bytes((WORD * (VOXELS // len(WORD) + 1))[:VOXELS])
    return path


def spellings(target, folder):
    """Names of a file as a header in a folder might have them.

    Links are made there for two of these.
    """
    absolute, relative = str(target), os.path.relpath(target, folder)
    if not (folder / "link.raw").is_symlink():
        (folder / "link.raw").symlink_to(target)
        (folder / "away").symlink_to(target.parent)
    return {
        "absolute": absolute,
        "above": relative,
        "here": f"./{relative}",
        "down and up": f"away/../{relative}",
        "link": "link.raw",
        "linked folder": f"away/{target.name}",
        "slashes": f"//{absolute}",
        "url": f"file://{absolute}",
        "server": f"//localhost{absolute}",
        "UNC": "\\\\localhost" + absolute.replace("/", "\\"),
        "backslashes": relative.replace("/", "\\"),
        "root": f"/proc/self/root{absolute}",
        "home": "~/" + os.path.relpath(target, Path.home()),
        "http": f"http://127.0.0.1:9{absolute}",
        "drive": f"C:{absolute}",
        "space": f" {absolute}",
    }


def headers(folder, target):
    """Writes a header with each form and spelling into a folder.

    Yields what it is of, and its path.
    """
    for spelling, name in spellings(target, folder).items():
        for kind, begin, forms, endings in (
            ("meta", META, META_FORMS, (".mhd", ".mha")),
            ("nrrd", NRRD, NRRD_FORMS, (".nhdr", ".nrrd")),
        ):
            for form, text in forms.items():
                ending = endings[len(spelling) % 2]
                path = folder / f"header{ending}"
                path.write_bytes((begin + text.replace("{0}", "{}").replace("{}", name)).encode())
                yield f"{kind} {form} {spelling}", path
                path.unlink()


def others(folder, target):
    """The same for formats that find their voxels otherwise.

    Pairs of files by their name, HDF5 by links of its own.
    """
    head = bytearray(348)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *SIZE, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, 2, 8)
    struct.pack_into("<8f", head, 76, *[1, 2, 2, 2], *[1] * 4)
    for magic, kind in ((b"ni1\0", "nifti"), (b"\0\0\0\0", "analyze")):
        head[344:348] = magic
        (folder / "pair.hdr").write_bytes(head)
        (folder / "pair.img").symlink_to(target)
        yield f"{kind} header", folder / "pair.hdr"
        yield f"{kind} voxels", folder / "pair.img"
        (folder / "pair.img").unlink()
    for how in ("external", "virtual", "link"):
        yield f"hdf5 {how}", hdf5(folder / "image.h5", target, how)


def hdf5(path, target, how):
    """An image of ITK in HDF5 that has its voxels in another file."""
    import h5py

    image = sitk.GetImageFromArray(np.zeros(SIZE[::-1], np.uint8))
    sitk.WriteImage(image, str(path))
    name, shape = "ITKImage/0/VoxelData", SIZE[::-1]
    source = path.with_name("source.h5")
    with h5py.File(source, "w") as file:
        file.create_dataset("data", shape, "u1", external=[(str(target), 0, VOXELS)])
    with h5py.File(path, "a") as file:
        del file[name]
        if how == "external":
            file.create_dataset(name, shape, "u1", external=[(str(target), 0, VOXELS)])
        elif how == "link":
            file[name] = h5py.ExternalLink(str(source), "data")
        else:
            layout = h5py.VirtualLayout(shape, "u1")
            layout[:] = h5py.VirtualSource(str(source), "data", shape)
            file.create_virtual_dataset(name, layout)
    return path

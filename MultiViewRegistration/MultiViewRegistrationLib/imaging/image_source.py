"""The files that may be read for an image.

Its own, those named by its header in its folder, and no more than memory holds.

Of ITK's readers the one is named that is to read it: left to itself, ITK tries some that follow
paths anywhere (HDF5 and MINC by links within the file, Bruker's and GE's by what lies in folders
above or beside it). The headers that name files, MetaImage and NRRD, are let through only in the
plain form in which programs write them, so that ITK cannot understand another name than was checked
here.
"""

from __future__ import annotations

import ctypes
import gzip
import os
import re
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from ..errors import InputError

HEAD = 4096
MAX_HEADER_BYTES = 16 << 20
MAX_NRRD_LINES = 30_000  # ITK compares each key with all before: 1 s; 200,000 take over a minute
MAX_TIFF_PAGES = 10_000
MAX_LINE_LENGTH = 480  # ITK cuts longer ones of a MetaImage, and writes those of a NRRD beyond what it has room for
#: Values of what a header says of its grid; ITK takes memory by them before it looks at them.
_META_GRID = {
    b"NDims": re.compile(rb"[2-4]"),
    b"DimSize": re.compile(rb"[1-9]\d{0,8}( +[1-9]\d{0,8}){1,3}"),
    b"ElementNumberOfChannels": re.compile(rb"[1-9]\d{0,3}"),
}
_NRRD_GRID = {
    b"dimension": re.compile(rb"[2-5]"),
    b"sizes": re.compile(rb"[1-9]\d{0,8}( +[1-9]\d{0,8}){1,4}"),
    b"endian": re.compile(rb"little|big", re.IGNORECASE),
}
BEGINNINGS = (
    (b"\x89PNG", "PNGImageIO"),
    (b"\xff\xd8\xff", "JPEGImageIO"),
    (b"II*\0", "TIFFImageIO"),
    (b"MM\0*", "TIFFImageIO"),
    (b"II+\0", "TIFFImageIO"),
    (b"MM\0+", "TIFFImageIO"),
    (b"BM", "BMPImageIO"),
    (b"\0\0\0\x0cjP", "JPEG2000ImageIO"),
    (b"\xff\x4f\xff\x51", "JPEG2000ImageIO"),
    (b"# vtk DataFile", "VTKImageIO"),
)
#: The sizes of a header, 348 and 540, in either order.
NIFTI = (b"\x5c\1\0\0", b"\0\0\1\x5c", b"\x1c\2\0\0", b"\0\0\2\x1c")
ENDINGS = (
    (".gipl", "GiplImageIO"),
    (".gipl.gz", "GiplImageIO"),
    (".mrc", "MRCImageIO"),
    (".rec", "MRCImageIO"),
)
#: What reads a surface of each ending: a module of VTK, and its class.
SURFACE_READERS = {
    ".stl": ("vtkIOGeometry", "vtkSTLReader"),
    ".obj": ("vtkIOGeometry", "vtkOBJReader"),
    ".ply": ("vtkIOPLY", "vtkPLYReader"),
    ".vtk": ("vtkIOLegacy", "vtkPolyDataReader"),
    ".vtp": ("vtkIOXML", "vtkXMLPolyDataReader"),
}
PAIR = re.compile(r"\.(nii|hdr|img)(\.gz)?$", re.IGNORECASE)

_SCHEME = re.compile(r"[A-Za-z][\w+.-]*:")  # of a URL, or a drive of Windows
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_META_LINE = re.compile(rb"([!-9;<>-~]+)[ \t]*=[ \t]*([^\0-\x08\x0a-\x1f\x7f]*)")
_NRRD_LINE = re.compile(
    rb"(?:#.*|([A-Za-z][A-Za-z _-]*):[ \t]([^\0-\x08\x0a-\x1f\x7f]*)|[^:\0-\x1f]+:=[^\0-\x08\x0a-\x1f\x7f]*)"
)


@dataclass(frozen=True)
class ImageSource:
    """An image's reader.

    Attributes
    ----------
    reader
        Of ITK, by its name.
    files
        All that it reads, the image's own first.
    """

    reader: str
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(file.stat().st_size for file in self.files)


def inside(name: str, folder: Path, home: Path | None = None) -> Path | None:
    """Return the path that a name in a file of `folder` stands for, links resolved.

    None for one that is not in `home`, by default the folder.

    None also for anything that some program would not take as a plain path: a URL, a drive, a
    server, a home folder.
    """
    home = (home or folder).resolve()
    found = None
    for spelling in (name.replace("\\", "/"), name):  # whichever of the two a reader takes
        if (
            not name.strip()
            or spelling[0] in "/~\\"
            or _SCHEME.match(spelling)
            or _CONTROL.search(spelling)
        ):
            return None
        try:
            found = (folder / spelling).resolve()
        except (OSError, RuntimeError, ValueError):  # a link to itself, for one
            return None
        if not found.is_relative_to(home):
            return None
    return found


def is_dicom(path: str | os.PathLike) -> bool:
    """Return whether a file is DICOM, by the prefix of PS3.10, 7.1."""
    try:
        with open(path, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:  # reported where the image is read
        return False


def is_surface(path: Path) -> bool:
    """Return whether a file has the ending of a surface's."""
    return path.suffix.lower() in SURFACE_READERS


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    InputError
        Where it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check its permissions."
        ) from None


def image_source(path: Path) -> ImageSource:
    """Return an image's reader and files.

    Raises
    ------
    InputError
        For a header that names a file outside its folder, or in an unusual way.
    """
    head = head_of(path)
    name = path.name.lower()
    if head[128:132] == b"DICM":
        return ImageSource("GDCMImageIO", (path,))
    if head.startswith(b"NRRD0"):
        return ImageSource("NrrdImageIO", (path, *_named(path, _nrrd_data_file(path))))
    if name.endswith((".mha", ".mhd")) or head.startswith((b"ObjectType", b"NDims")):
        return ImageSource("MetaImageIO", (path, *_named(path, _meta_data_file(path))))
    if PAIR.search(name):
        return ImageSource("NiftiImageIO", _nifti_files(path))
    for beginning, reader in BEGINNINGS:
        if head.startswith(beginning):
            if reader == "TIFFImageIO":
                _check_tiff_pages(path, head)
            return ImageSource(reader, (path,))
    return ImageSource(
        next((reader for ending, reader in ENDINGS if name.endswith(ending)), "GDCMImageIO"),
        (path,),
    )


def _check_tiff_pages(path: Path, head: bytes) -> None:
    """Check that the directories of a TIFF or BigTIFF form a chain that ends; ITK follows a loop for a minute.

    Raises
    ------
    InputError
        If one is there twice, or there are more than MAX_TIFF_PAGES.
    """
    order: Literal["little", "big"] = "little" if head.startswith(b"II") else "big"
    is_big = b"+" in head[2:4]
    offset_bytes, count_bytes, entry_bytes = (8, 8, 20) if is_big else (4, 2, 12)
    seen: set[int] = set()
    at = int.from_bytes(head[offset_bytes : 2 * offset_bytes], order)
    with path.open("rb") as file:
        while at:
            if at in seen or len(seen) == MAX_TIFF_PAGES:
                raise InputError(
                    f"{path}: the list of pages in this TIFF file has a loop or more than "
                    f"{MAX_TIFF_PAGES:,} pages; export the image again."
                )
            seen.add(at)
            file.seek(at)
            entries = int.from_bytes(file.read(count_bytes), order)
            file.seek(at + count_bytes + entry_bytes * entries)
            at = int.from_bytes(file.read(offset_bytes), order)


def without_data_files(files: Iterable[Path]) -> list[Path]:
    """Return the files but for those that only hold the voxels of another of them, whose header names them."""
    files = list(files)
    named = set(chain.from_iterable(map(_others, files)))
    return [file for file in files if file.resolve() not in named]


def _others(path: Path) -> list[Path]:
    if re.search(r"\.img(\.gz)?$", path.name, re.IGNORECASE):  # the voxels of a pair
        return []
    try:
        return [file for file in image_source(path).files[1:] if file != path.resolve()]
    except InputError:  # reported where it is read
        return []


def _named(path: Path, name: str | None) -> list[Path]:
    """Return the file with the voxels.

    Raises
    ------
    InputError
        Where it must not be read, or is not there.
    """
    if name is None:
        return []
    found = inside(name, path.parent)
    if found is None:
        raise InputError(
            f"{path}: its header names a file outside its own folder, which is not read; put the "
            "voxels beside the header, or save both as one file (.mha, .nrrd)."
        )
    if not found.is_file():
        raise InputError(
            f"{path}: its header names the file with the voxels, which is not there; put it beside "
            "the header."
        )
    return [found]


def _meta_data_file(path: Path) -> str | None:
    """Return the file with the voxels as a MetaImage names it; None where its own voxels follow."""
    grid: dict[bytes, bytes] = {}
    for line in _lines(path):
        match = _META_LINE.fullmatch(line)
        if line.strip() and (match is None or len(line) > MAX_LINE_LENGTH):
            raise _odd(path)
        if match and match[1] in _META_GRID:
            grid[match[1]] = match[2].strip()
        if match and match[1] == b"ElementDataFile":
            _check_header_grid(path, grid, _META_GRID, (b"NDims", b"DimSize"))
            name = os.fsdecode(match[2].strip())
            if name in ("LOCAL", "Local", "local"):
                return None
            if name.upper().startswith("LIST") or "%" in name:
                raise _several(path)
            return name
    raise _odd(path)


def _nrrd_data_file(path: Path) -> str | None:
    """Return the file with the voxels as a NRRD names it; None where its own voxels follow."""
    name = None
    grid = {}
    for number, line in enumerate(_lines(path)):
        if number == 0:
            if not re.fullmatch(rb"NRRD000\d", line):
                raise _odd(path)
            continue
        if not line:
            break
        if number > MAX_NRRD_LINES:
            raise _odd(path)
        match = _NRRD_LINE.fullmatch(line)
        if match is None:
            raise _odd(path)
        field = re.sub(rb"[ _-]", b"", match[1] or b"").lower()
        if field and field != b"content" and len(line) > MAX_LINE_LENGTH:
            raise _odd(path)
        if field in _NRRD_GRID:
            grid[field] = match[2].strip()
        if field == b"datafile":
            if name is not None:
                raise _odd(path)
            name = os.fsdecode(match[2].strip())
    _check_header_grid(path, grid, _NRRD_GRID, (b"dimension", b"sizes"))
    if name is not None and (name.upper().startswith("LIST") or "%" in name):
        raise _several(path)
    if name == "-":  # the standard input
        raise _odd(path)
    return name


def nrrd_pairs(path: Path) -> dict[str, str]:
    """Return the key/value pairs (key:=value) in the header of a NRRD, as Slicer's .seg.nrrd names its segments; none of another file."""
    pairs: dict[str, str] = {}
    for number, line in enumerate(_lines(path)):
        if not line or number == 0 and not line.startswith(b"NRRD0"):
            break
        key, is_pair, value = line.partition(b":=")
        if is_pair and not line.startswith(b"#"):
            escaped = value.decode("utf-8", "replace")
            pairs[key.decode("utf-8", "replace")] = re.sub(
                r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], escaped
            )
    return pairs


def _check_header_grid(
    path: Path,
    found: dict[bytes, bytes],
    allowed: dict[bytes, re.Pattern[bytes]],
    needed: tuple[bytes, bytes],
) -> None:
    """Refuse a header whose values of the grid are not as allowed.

    Parameters
    ----------
    needed
        How many sizes there are, and these.

    Raises
    ------
    InputError
        Naming the file.
    """
    count, sizes = (found.get(key, b"") for key in needed)
    if str(len(sizes.split())).encode() != count or not all(
        allowed[key].fullmatch(found[key]) for key in found
    ):
        raise _odd(path)


def _lines(path: Path) -> Iterable[bytes]:
    """Return the lines of a header, without their ends."""
    left = MAX_HEADER_BYTES
    with path.open("rb") as stream:
        while left > 0 and (line := stream.readline(left)):
            left -= len(line)
            line = line.removesuffix(b"\n")
            yield line.removesuffix(b"\r")


def _odd(path: Path) -> InputError:
    return InputError(
        f"{path}: cannot be read as an image, as its header is damaged, or written in an unusual "
        "way; save it again, in one file (.mha, .nrrd)."
    )


def _several(path: Path) -> InputError:
    return InputError(
        f"{path}: its header names several files with the voxels, which are not read; save it in "
        "one file (.mha, .nrrd)."
    )


def _nifti_files(path: Path) -> tuple[Path, ...]:
    """Return a NIfTI or Analyze image.

    Header and voxels of one name, which the reader finds by that.

    Raises
    ------
    InputError
        Where one is elsewhere.
    """
    head = beginning(path)
    name = path.name.lower().removesuffix(".gz")
    whole = head[:4] in NIFTI and (head[344:347] == b"n+1" or head[4:7] == b"n+2")
    if name.endswith(".nii") and whole:  # it has its voxels itself
        return (path,)
    stem = PAIR.sub("", path.name).lower()
    paired = (file for file in path.parent.iterdir() if PAIR.search(file.name))
    others = [file for file in paired if PAIR.sub("", file.name).lower() == stem]
    for file in others:
        if (file.name != path.name or name.endswith(".img")) and not file.resolve().is_relative_to(
            path.parent.resolve()
        ):
            raise InputError(
                f"{path}: {file.name}, which belongs to it, is a link to a file outside their "
                "folder, which is not read; put the file itself there."
            )
    files = [path, *(file.resolve() for file in others if file.name != path.name)]
    for file in files:
        if (
            re.search(r"\.(nii|hdr)(\.gz)?$", file.name, re.IGNORECASE)
            and beginning(file)[:4] not in NIFTI
        ):
            raise InputError(
                f"{path}: cannot be read as an image; it is damaged or not NIfTI or Analyze, so "
                "export it again."
            )
    return tuple(files)


def beginning(path: Path, size: int = HEAD) -> bytes:
    """Return the first bytes of a file, unpacked where it is packed; none of one that cannot be read."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rb") as stream:
            return stream.read(size)
    except (OSError, EOFError, zlib.error):
        return b""


LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container


def check_room(path: str | os.PathLike, what: str, needed: int) -> None:
    """Check that memory has room.

    Parameters
    ----------
    path
        Of the file that is to be read, for the message.
    what
        Is to be read, with its number, as in "3e+11 voxels".
    needed
        Bytes.

    Raises
    ------
    InputError
        Where so many bytes are not free.
    """
    free = free_bytes()
    if free is not None and needed > free:
        raise InputError(
            f"{path}: has {what}, which take {needed / 2**30:.3g} GB of memory, but "
            f"{free / 2**30:.3g} GB are free; crop it, or close other programs."
        )


def free_bytes() -> int | None:
    """Return the free memory in bytes, without swapping; on a Mac all of its memory.

    None where unknown.
    """
    found: list[int] = []
    with suppress(OSError):
        available = re.search(
            r"MemAvailable:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8")
        )
        found += [1024 * int(available[1])] if available else []
    with suppress(OSError, ValueError):  # "max" without a limit
        found.append(int(LIMIT.read_text(encoding="utf-8")))
    if not found and os.name == "nt":
        found.append(_of_windows())
    elif not found:
        with suppress(OSError, ValueError):
            found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(found, default=None)


def _of_windows() -> int:
    """Return ullAvailPhys of GlobalMemoryStatusEx."""
    status = (ctypes.c_ulonglong * 8)(64)  # dwLength and dwMemoryLoad share the first
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return status[2]

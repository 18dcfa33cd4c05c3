"""Untrusted HDF5 files: what they claim is checked before anything is read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ..errors import InputError, install_command
from ..geometry.rigid import check_rigid
from ..imaging.child import ChildFailed, call
from ..imaging.image_source import check_room
from .files import MAX_NUMBER, printable

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_OBJECTS = 10_000
MAX_BYTES = 4 << 30  # bytes of one data set; a CT of 1024 x 1024 x 1000 voxels has 2 or 4 GB
#: Bytes for each stored one: deflate reaches 1,032. What claims more is empty, or has no data at
#: all.
MAX_COMPRESSION = 1100
UNCHECKED = 1 << 20  # bytes that any data set may claim
MAX_TEXT_LENGTH = 1000
# what a check of all may take
READING_BYTES = 512 << 20
READING_S = 60.0
MAX_DEPTH = 20  # groups within groups, which a file can close to a ring
DAMAGED = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
)  # what h5py raises for a broken file


def refuse_other_files(path: str | os.PathLike, what: str) -> None:
    """Check a file that should be `what`, for a reader that follows all links.

    See `Hdf5.check_all`.
    """
    in_child(f"{__name__}:check_all", path, what)


def in_child(function: str, path: str | os.PathLike, layout: str) -> Any:
    """Return what a function "package.module:name" reads from a file, in a limited child process.

    HDF5 can end its process, or take any memory, where a file is damaged.

    Parameters
    ----------
    function
        It takes path and layout, and returns plain data.
    layout
        What the file should be, in words, for messages.
    """
    try:
        return call(function, [os.fspath(path), layout], READING_BYTES, READING_S).value
    except ChildFailed:
        raise _no_hdf5(path, layout) from None


def check_all(path: str, layout: str) -> None:
    """Check a file as `refuse_other_files` does, in a child process."""
    with opened(path, layout) as file:
        file.check_all()


def is_hdf5(path: str | os.PathLike) -> bool:
    """Return whether HDF5 would open a file.

    Its signature may stand behind a block of 512, 1024, ... bytes of anything.
    """
    with open(path, "rb") as stream:
        at = 0
        size = os.fstat(stream.fileno()).st_size
        while at < size:
            stream.seek(at)
            if stream.read(len(MAGIC)) == MAGIC:
                return True
            at = 2 * at or 512
    return False


@contextmanager
def opened(path: str | os.PathLike, layout: str) -> Iterator[Hdf5]:
    """Open a file to be read.

    Parameters
    ----------
    layout
        What it should be, in words, for messages: "DeepFluoro's full-resolution file".

    Raises
    ------
    InputError
        Where h5py is missing, or this is no HDF5 file.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(
            f"{printable(path)}: to read HDF5 needs the package h5py, which is missing; install it "
            f"with {install_command('hdf5')}."
        ) from None
    if not os.path.isfile(path):
        what = "is not a file" if os.path.exists(path) else "does not exist"
        raise InputError(f"{printable(path)}: {what}, expected {layout}; check the path.")
    try:
        file = h5py.File(path, "r")
    except DAMAGED:
        raise _no_hdf5(path, layout) from None
    with file:
        yield Hdf5(printable(path), layout, file)


def _no_hdf5(path: str | os.PathLike, layout: str) -> InputError:
    return InputError(
        f"{printable(path)}: cannot be read as HDF5, expected {layout}; it is another file, or was "
        "cut short, so copy or download it again."
    )


@dataclass(eq=False)
class Hdf5:
    """An HDF5 file, whose methods read a data set each, as one type and shape.

    They raise an InputError that names the HDF5 path for anything else. Only what lies in the file
    itself is followed: soft and external links, external storage and virtual data sets are refused.
    """

    name: str
    layout: str
    _file: Any

    def refuse(self, path: str, what: str, expected: str, remedy: str = "") -> NoReturn:
        """Refuse what is at a path, with what was found, what was expected, and what to do.

        Raises
        ------
        InputError
            Always.
        """
        remedy = remedy or f"check that this is {self.layout}"
        raise InputError(f"{self.name}: {printable(path)} {what}, expected {expected}; {remedy}.")

    def has(self, path: str) -> bool:
        """Return whether there is anything under this path, links included."""
        group, _, last = path.rpartition("/")
        if group and not self.has(group):
            return False
        node = self._node(group) if group else self._file
        return last in self.names(group) if hasattr(node, "keys") else False

    def names(self, path: str) -> list[str]:
        """Return the names in a group, without invalid ones; "" is the whole file."""
        node = self._node(path) if path else self._file
        if not hasattr(node, "keys"):
            self.refuse(path, "is a data set", "a group")
        try:
            return [name for name in node if isinstance(name, str)]
        except DAMAGED:
            self.refuse(path or "/", "cannot be read", "a group")

    def require(self, group: str, kind: str, among: list[str]) -> None:
        """Check that a group that the user named is there.

        Parameters
        ----------
        group
            Its name.
        kind
            What it is, for the message.
        among
            The groups that there are.

        Raises
        ------
        InputError
            Where it is none of these.
        """
        if group not in among:
            there = printable(", ".join(among[:20])) or "at least one"
            raise InputError(
                f'{self.name}: has no {kind} "{printable(group)}", expected one of {there}; choose one of these.'
            )

    def pixels(self, path: str, dimensions: int, expected: str) -> np.ndarray:
        """Return numbers of any type in `dimensions` axes, none of them empty.

        They need not be finite.
        """
        return self._read(path, expected, lambda shape: len(shape) == dimensions and 0 not in shape)

    def matrix(self, path: str, shape: tuple[int, int], expected: str) -> np.ndarray:
        """Return finite numbers of this shape, float64."""
        return self._finite(path, expected, lambda found: found == shape)

    def rigid(self, path: str) -> np.ndarray:
        """Return a rigid transform (4, 4)."""
        return check_rigid(
            self.matrix(path, (4, 4), "a rigid 4 x 4 matrix"), f"{self.name}: {path}"
        )

    def vector(self, path: str, length: int, expected: str) -> np.ndarray:
        """Return finite numbers (length,), float64, from a row, a column or a plain list of them."""
        values = self._finite(
            path, expected, lambda shape: math.prod(shape) == length == max(shape, default=1)
        )
        return values.reshape(length)

    def number(self, path: str, expected: str, least: float, most: float) -> float:
        """Return one number from `least` to `most`."""
        value = float(self.vector(path, 1, expected)[0])
        if not least <= value <= most:
            self.refuse(path, f"is {value:g}", expected)
        return value

    def text(self, path: str, expected: str) -> str:
        """Return a short text, of fixed or variable length."""
        values = self._read(path, expected, lambda shape: math.prod(shape) == 1, kinds="SO")
        value = values.reshape(-1)[0]
        if not isinstance(value, bytes) or not 0 < len(value) <= MAX_TEXT_LENGTH:
            self.refuse(path, "is no short text", expected)
        return value.decode("utf-8", "replace")

    def check_all(self) -> None:
        """Check every part of the file, for a reader that follows all links.

        Raises
        ------
        InputError
            For links, values kept elsewhere, and values that are claimed but not there.
        """
        waiting = [""]
        for seen, group in enumerate(waiting):  # which grows meanwhile
            if seen > MAX_OBJECTS or group.count("/") > MAX_DEPTH:
                self.refuse(group[:MAX_TEXT_LENGTH], "has parts without end", "a few")
            node = self._node(group) if group else self._file
            if group and not hasattr(node, "keys"):
                self._check(group, "values")
                continue
            names = self.names(group)
            if len(names) != len(node):
                self.refuse(group or "/", "has a part whose name is no text", "plain names")
            waiting += [f"{group}/{name}".lstrip("/") for name in names]

    def _finite(self, path: str, expected: str, fits: Callable[[tuple], bool]) -> np.ndarray:
        values = self._read(path, expected, fits).astype(np.float64)
        if not (np.abs(values) <= MAX_NUMBER).all():
            self.refuse(path, f"has numbers that are not finite or beyond {MAX_NUMBER:g}", expected)
        return values

    def _read(
        self, path: str, expected: str, fits: Callable[[tuple], bool], kinds: str = "biuf"
    ) -> np.ndarray:
        """Return a data set; `fits` tests its shape before anything is read.

        Each of many variable-length texts may be the same one, of the file's size.
        """
        dataset, kind, nothing = self._check(path, expected)
        if kind not in kinds or nothing:
            self.refuse(
                path,
                "is empty" if nothing else f"holds values of type {printable(str(dataset.dtype))}",
                expected,
            )
        if not fits(dataset.shape):
            self.refuse(path, f"has the shape {_shape(dataset.shape)}", expected)
        try:
            return np.asarray(dataset[()])
        except DAMAGED:
            self.refuse(path, "cannot be unpacked", expected, "copy or download the file again")

    def _check(self, path: str, expected: str) -> tuple[Any, str, bool]:
        """Return a data set, the kind of its type, and whether it is empty."""
        dataset = self._node(path)
        if hasattr(dataset, "keys"):
            self.refuse(path, "is a group", expected)
        try:
            kind = dataset.dtype.kind
            claimed = dataset.nbytes
            stored = dataset.id.get_storage_size()
            elsewhere = dataset.is_virtual or bool(dataset.external)
            nothing = dataset.shape is None
        except (AttributeError, *DAMAGED):  # a named type, or damage
            self.refuse(path, "cannot be read", expected)
        if elsewhere:
            self.refuse(
                path,
                "keeps its values in another file",
                "all values in this file",
                "repack the file with h5repack",
            )
        if claimed > MAX_BYTES or claimed > UNCHECKED + MAX_COMPRESSION * stored:
            self.refuse(path, f"claims {claimed} bytes, but {stored} are in the file", expected)
        if claimed > UNCHECKED:
            check_room(self.name, f"{printable(path)}, {claimed} bytes", 2 * claimed)
        return dataset, kind, nothing

    def _node(self, path: str) -> Any:
        import h5py

        node = self._file
        parts = path.split("/")
        for depth, part in enumerate(parts, start=1):
            here = "/".join(parts[:depth])
            if not isinstance(node, h5py.Group):
                self.refuse("/".join(parts[: depth - 1]), "is a data set", "a group")
            try:
                link = node.get(part, getlink=True)
                if isinstance(link, h5py.HardLink):
                    node = node[part]
                    continue
            except DAMAGED:
                self.refuse(
                    here,
                    "cannot be read",
                    "a part of the layout",
                    "copy or download the file again",
                )
            if link is None:
                self.refuse(
                    here,
                    "is missing",
                    f"it in {self.layout}",
                    "check that it is that file, and the names given",
                )
            self.refuse(
                here,
                "is a link to another place",
                "what belongs there",
                "repack the file without links",
            )
        return node


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape) or "of a single number"

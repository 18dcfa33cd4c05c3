"""Rigid transforms: ITK transform files, 4x4 matrices as text, NumPy or JSON, start poses from any of these, and matrices in RAS axes."""

from __future__ import annotations

import io
import math
import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MissingInformation
from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.machines import CArm
from ..geometry.rigid import array_of, kind_of
from ..imaging.child import ITK, ChildFailed, call
from .files import (
    MAX_SMALL_TEXT_BYTES,
    JsonObject,
    describe,
    json_text,
    printable,
    read_bytes,
    read_json,
    read_text,
    write_atomically,
    written_atomically,
)

DIRECTIONS = ("forward", "resampling")


def turned(target_from_source: np.ndarray) -> np.ndarray:
    """Turn the axes of both frames of a rigid transform (4, 4) from LPS to RAS, or back."""
    return LPS_FROM_RAS @ target_from_source @ LPS_FROM_RAS


MAX_LINEAR_BYTES = 1 << 20  # bytes of a file; a grid of displacements has more
# what reading one may take
READING_BYTES = 512 << 20
READING_S = 60.0


def write_transform(path: str | os.PathLike, world_from_ct: np.ndarray, *comments: str) -> None:
    """Write world_from_ct (4, 4) so that SimpleITK's TransformPoint takes CT LPS mm to world LPS mm.

    ITK's own writer leaves a short file on a full disk without a word.

    Parameters
    ----------
    comments
        For people, a line each after the file's first; ITK's TxtTransformIO skips those that begin
        with #.
    """
    parameters = [*world_from_ct[:3, :3].ravel(), *world_from_ct[:3, 3]]
    lines = [
        "#Insight Transform File V1.0",
        *(f"# {printable(' '.join(comment.split()))}" for comment in comments),
        "#Transform 0",
        "Transform: AffineTransform_double_3_3",
        "Parameters: " + " ".join(repr(float(parameter)) for parameter in parameters),
        "FixedParameters: 0 0 0",
    ]
    write_atomically(path, "\n".join(lines) + "\n")


def write_slicer_transform(
    path: str | os.PathLike, world_from_ct: np.ndarray, *comments: str
) -> None:
    """Write the inverse of world_from_ct (4, 4), for Slicer; `comments` as in `write_transform`.

    Slicer takes a transform file for ITK's resampling direction, so the node that it makes of this
    one moves the CT into the world.
    """
    write_transform(path, rigid.inverse(world_from_ct), *comments)


def itk_transform(target_from_source: np.ndarray) -> Any:
    """Return a matrix (4, 4) as SimpleITK's transform."""
    import SimpleITK as sitk

    transform = sitk.AffineTransform(3)
    transform.SetMatrix(target_from_source[:3, :3].ravel().tolist())
    transform.SetTranslation(target_from_source[:3, 3].tolist())
    return transform


def write_h5_transform(
    path: str | os.PathLike, target_from_source: np.ndarray, *comments: str
) -> None:
    """Write a matrix (4, 4) as ITK's HDF5, with `comments` as plain text in a block before the data.

    HDF5 leaves such a block to the user (File Format Specification III.A: the superblock may lie at
    512, 1024, ... bytes), and ITK's own layout has no place for a word.
    """
    import SimpleITK as sitk  # takes a while, and the command line knows the axes without

    transform = itk_transform(target_from_source)
    text = "".join(f"{printable(' '.join(comment.split()))}\n" for comment in comments).encode()
    block = 512
    while block < len(text):
        block *= 2
    with written_atomically(path) as temporary:
        sitk.WriteTransform(transform, str(temporary))
        data = temporary.read_bytes()
        temporary.write_bytes(text.ljust(block, b"\0") + data)
        _itk_matrix(temporary)  # ITK's writer leaves a short file on a full disk without a word


def read_transform(path: str | os.PathLike) -> np.ndarray:
    """Read the matrix (4, 4) of the one rigid 3D transform in a file, as TransformPoint applies it.

    Raises
    ------
    InputError
        For anything else, and for HDF5 with parts in another file.
    """
    from .hdf5 import is_hdf5, refuse_other_files  # few need it

    if os.path.isfile(path) and is_hdf5(path):
        refuse_other_files(path, "a transform")
    return _itk_matrix(path)


def _itk_matrix(path: str | os.PathLike) -> np.ndarray:
    file = printable(path)
    wanted = "expected one rigid 3D transform that SimpleITK can read"
    if _count(path) > 1:  # SimpleITK would take the first, or compose them
        raise InputError(
            f"{file} holds several transforms, {wanted}; harden them to one linear transform and "
            "save that."
        )
    try:
        read = call(f"{ITK}:transform", [os.fspath(path)], READING_BYTES, READING_S).value
    except ChildFailed:
        raise InputError(
            f"{file} cannot be read as a transform, {wanted}; check the path and the format."
        ) from None
    if read["matrix"] is None:
        raise InputError(
            f"{file} holds a {read['dimension']}D {read['kind']}, {wanted}; harden it to one "
            "linear transform and save that."
        )
    return rigid.check_rigid(read["matrix"], f"The transform in {file}")


def _count(path: str | os.PathLike) -> int:
    """Count the transforms in an ITK file, by the name that each has in text and in HDF5.

    1 where that need not be known.
    """
    try:
        data = Path(path).read_bytes() if os.path.getsize(path) <= MAX_LINEAR_BYTES else b""
    except OSError:
        return 1
    text = len(re.findall(rb"^Transform:", data, re.MULTILINE))
    binary = data.count(b"TransformType")
    return max(text, binary, 1)


NUMPY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"
MAX_ARRAY_BYTES = 8_000_000  # of an array: 80,000 projection matrices


def read_numpy(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the arrays in a .npz by name, or the one in a .npy by the name of the file.

    Numbers, or records of them.

    Raises
    ------
    InputError
        For arrays of Python objects, which are pickled, or of anything else than numbers; for those
        that are larger than MAX_ARRAY_BYTES or hold less than they claim, and for what is no NumPy
        file.
    """
    path, file = Path(path), printable(path)
    refused = InputError(
        f"{file} cannot be read as NumPy arrays of numbers, expected a whole .npy or .npz of at "
        f"most {MAX_ARRAY_BYTES // 1_000_000} MB, without Python objects; save it again as arrays "
        "of floats."
    )
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > MAX_ARRAY_BYTES:
                    raise refused
        elif path.stat().st_size > MAX_ARRAY_BYTES:
            raise refused
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = {path.stem: loaded}
        else:
            with loaded:
                arrays = {name: loaded[name] for name in loaded.files}
    except Exception:  # zipfile, zlib, struct and NumPy's parser of headers each have their own
        raise refused from None
    if not all(
        isinstance(array, np.ndarray) and array.dtype.kind in "iufV" for array in arrays.values()
    ):
        raise refused
    return arrays


EXPECTED = "a 4x4 matrix: 16 numbers by rows"

_HEAD = re.compile(r"#\s*(\w+_from_\w+): .*\baxes (LPS|RAS)\b")
COMMENT, BETWEEN = re.compile(r"(#|%|//).*"), re.compile(r"[\s,;|()\[\]{}]+")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NPY_FIELD = re.compile(r"(\w+_from_\w+)_(lps|ras)_mm")


@dataclass(frozen=True, eq=False)
class NamedMatrix:
    """A rigid matrix with the names of its frames.

    name and axes are None where a file does not say them.

    Attributes
    ----------
    matrix
        (4, 4), mm.
    name
        Of its frames, as in "world_from_ct".
    axes
        Of both, "lps" or "ras".
    structure
        The bone of the CT that it is of; None for the whole CT.
    said
        What a file says of it, by keys: why it should not be used ("override"), and
        `RegistrationExport.said`.
    """

    matrix: np.ndarray
    name: str | None = None
    axes: str | None = None
    structure: str | None = None
    said: Mapping[str, str] = field(default_factory=dict)

    def in_axes(self, axes: str) -> NamedMatrix:
        """Return the matrix with other axes; its own must be known."""
        return self if axes == self.axes else replace(self, matrix=turned(self.matrix), axes=axes)

    @property
    def further(self) -> Mapping[str, str]:
        """The structure, if it is of one, and what is `said`."""
        return {**({} if self.structure is None else {"structure": self.structure}), **self.said}

    @property
    def meaning(self) -> str:
        """A line for people, and for `read_named_matrix`."""
        target, source = str(self.name).split("_from_")
        return f"{self.name}: x_{target} = matrix @ x_{source}, mm, axes {str(self.axes).upper()}"


def write_text(path: str | os.PathLike, named: NamedMatrix) -> None:
    """Write four lines of four numbers, all digits, below comments that numpy.loadtxt skips."""
    of = [] if named.structure is None else [f"Of {printable(named.structure)} alone"]
    said = [f"{key.capitalize()}: {printable(text)}" for key, text in named.said.items()]
    comments = [f"# {comment}" for comment in (named.meaning, *of, *said)]
    rows = [" ".join(repr(float(number)) for number in row) for row in named.matrix]
    write_atomically(path, "\n".join([*comments, *rows]) + "\n")


def write_npy(path: str | os.PathLike, named: NamedMatrix) -> None:
    """Write a record whose only field of numbers says what they are.

    `numpy.load(path)["world_from_ct_lps_mm"]` is (4, 4).

    With a `structure` and what is `said` it has further fields.
    """
    fields: list[tuple] = [(f"{named.name}_{named.axes}_mm", "<f8", (4, 4))]
    values: list[Any] = [named.matrix]
    for key, text in named.further.items():
        fields.append((key, f"<U{len(text)}"))
        values.append(text)
    stream = io.BytesIO()
    np.save(stream, np.array(tuple(values), np.dtype(fields)), allow_pickle=False)
    write_atomically(path, stream.getvalue())


def write_json(path: str | os.PathLike, named: NamedMatrix) -> None:
    """Write an object with the matrix under the name of its frames, "axes", "unit" and "meaning".

    It has "structure" where there is need, and what is `said`.
    """
    content = {
        str(named.name): named.matrix,
        "axes": str(named.axes).upper(),
        "unit": "mm",
        "meaning": named.meaning,
        **named.further,
    }
    write_atomically(path, json_text(content))


#: What writes a pose to a path, by the kind of file: a matrix (4, 4) in LPS with lines for people, as
#: ITK has it, and a `NamedMatrix` in axes to choose. A further format is a row here.
ITK_WRITERS = {"tfm": write_transform, "h5": write_h5_transform}
MATRIX_WRITERS = {"txt": write_text, "npy": write_npy, "json": write_json}


def read_named_matrix(path: str | os.PathLike) -> NamedMatrix:
    """Read the matrix in a .npy or .json file, or in any text of 16 numbers, as it stands there.

    Not checked to be rigid.

    Raises
    ------
    InputError
        For anything else. Pickles are never read.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        return _from_npy(path)
    return _from_json(path) if suffix == ".json" else _from_text(path)


def numbers_of(words: Sequence[str], file: str, expected: str) -> list[float]:
    """Return the numbers that stand in a text.

    Raises
    ------
    InputError
        For another word, or a number too large for a float.
    """
    for word in words:
        if not _NUMBER.fullmatch(word) or math.isinf(float(word)):
            raise InputError(
                f"{file} has {describe(word[:30])} in it, expected {expected}; correct it."
            )
    return [float(word) for word in words]


def _from_text(path: str | os.PathLike) -> NamedMatrix:
    text = read_text(path, EXPECTED, MAX_SMALL_TEXT_BYTES)
    numbers = numbers_of(
        [word for word in BETWEEN.split(COMMENT.sub(" ", text)) if word], printable(path), EXPECTED
    )
    if len(numbers) != 16:
        raise InputError(
            f"{printable(path)}: has {len(numbers)} numbers, expected {EXPECTED}; correct it."
        )
    head = _HEAD.search(text)
    name, axes = (head[1], head[2].lower()) if head else (None, None)
    return NamedMatrix(np.array(numbers).reshape(4, 4), name, axes)


def _from_npy(path: str | os.PathLike) -> NamedMatrix:
    array: Any = next(iter(read_numpy(path).values()), np.empty(0))
    name = None
    axes = None
    if array.dtype.names and array.size == 1:
        matches = [match for match in map(_NPY_FIELD.fullmatch, array.dtype.names) if match]
        name, axes = matches[0].groups() if len(matches) == 1 else (None, None)
        array = array.reshape(())[matches[0][0]] if name else array
    if array.shape != (4, 4) or array.dtype.kind not in "fiu":
        raise InputError(
            f"{printable(path)}: is not a NumPy array of 4x4 numbers, expected that, without "
            "pickled objects; save it with numpy.save."
        )
    return NamedMatrix(np.array(array, float), name, axes)


def _from_json(path: str | os.PathLike) -> NamedMatrix:
    content = read_json(path)
    fields = JsonObject(
        printable(path), "", content if isinstance(content, dict) else {"matrix": content}
    )
    known = [name for name in fields.values if re.fullmatch(r"\w+_from_\w+", name)]
    names = [name for name in known if name != "reference_from_world"]
    if len(names) > 1:
        fields.refuse(names[0], f"is there beside {names[1]}", "one matrix", "remove the other")
    key = names[0] if names else "matrix"
    axes = None
    if fields.has("axes"):
        axes = fields.choice("axes", tuple(axis.upper() for axis in AXES)).lower()
    if fields.has("unit"):
        fields.choice("unit", ("mm",))
    return NamedMatrix(
        fields.array(key, (4, 4), "4 rows of 4 numbers"), names[0] if names else None, axes
    )


ITK_ENDINGS = (".h5", ".hdf5", ".hdf", ".tfm")
AXES_MEANING = {"lps": "its axes are LPS (DICOM, ITK)", "ras": "RAS (Slicer's scene)"}
DIRECTION_MEANING = {
    "forward": "it takes points of the CT to the world",
    "resampling": "points of the world to the CT, ITK's way",
}


def read_start_pose(
    path: str | os.PathLike, frame: str | None = None, direction: str | None = None
) -> np.ndarray:
    """Read world_from_ct from a file of another program.

    Parameters
    ----------
    path
        An ITK or Slicer transform (.tfm, .txt, .h5), or a 4x4 matrix as text, .npy or .json.
    frame
        "lps" or "ras", the axes of both sides.
    direction
        "forward" where the file takes points of the CT to the world, "resampling" where it takes
        points of the world to the CT, as ITK's resampling filters and Slicer's files do. Neither is
        ever guessed: both may be left out only where the file says them itself, as those of `mvreg
        export` do, and must not contradict it.

    Returns
    -------
    ndarray
        (4, 4) LPS mm. A centre of rotation is carried into the translation.

    Raises
    ------
    InputError
        Where the file cannot be read, or the transform is not rigid.
    MissingInformation
        Of "frame" or "direction", where neither the file nor the caller says it.
    """
    named, known = _read(path, "world_from_ct")
    return _posed(path, named, known, frame, direction, ("--frame", "--direction"))


def read_pose(path: str | os.PathLike, name: str, words: Sequence[str] = ()) -> np.ndarray:
    """Read the transform that `name` says, as "reference_from_world".

    Parameters
    ----------
    path
        A file as in `read_start_pose`.
    name
        Of the transform, target_from_source.
    words
        "lps" or "ras", the axes, which text, NumPy and JSON must have unless they say them, and
        ITK's files, always LPS, need not; "forward" (the default) where the file takes points as
        `name` says, "resampling" where it takes them back.

    Returns
    -------
    ndarray
        (4, 4) LPS mm. Errors as in `read_start_pose`.
    """
    unknown = [word for word in words if word not in (*AXES, *DIRECTIONS)]
    if unknown or len(words) > 2 or set(words) in (set(AXES), set(DIRECTIONS)):
        raise InputError(
            f"--{name.replace('_', '-')}: found {printable(' '.join(words))} behind the file, "
            f"expected one of {', '.join(AXES)} and one of {', '.join(DIRECTIONS)} at most; "
            "correct it."
        )
    named, known = _read(path, name)
    if named.axes is None and _is_itk(path):
        named = replace(named, axes="lps")
    frame = next((word for word in words if word in AXES), None)
    direction = next((word for word in words if word in DIRECTIONS), None if known else "forward")
    return _posed(path, named, known, frame, direction, ("the word", "the word"))


def _read(path: str | os.PathLike, name: str) -> tuple[NamedMatrix, str | None]:
    """Read a matrix, and its direction by the names of its frames, where `name` is forward.

    None without names.
    """
    named = NamedMatrix(read_transform(path)) if _is_itk(path) else read_named_matrix(path)
    target, source = name.split("_from_")
    directions = {name: "forward", f"{source}_from_{target}": "resampling"}
    if named.name is not None and named.name not in directions:
        raise InputError(
            f"{printable(path)}: holds {named.name}, expected {' or '.join(directions)}; choose "
            "another file."
        )
    return named, directions.get(str(named.name))


def _is_itk(path: str | os.PathLike) -> bool:
    return Path(path).suffix.lower() in ITK_ENDINGS or read_bytes(path, "a transform").startswith(
        b"#Insight Transform File"
    )


def _posed(
    path: str | os.PathLike,
    named: NamedMatrix,
    known: str | None,
    frame: str | None,
    direction: str | None,
    options: tuple[str, str],
) -> np.ndarray:
    """Return the matrix, rigid, in LPS and forward, by what the file and the caller say of both."""
    frame = _agreed(path, options[0], named.axes, frame, AXES_MEANING)
    direction = _agreed(path, options[1], known, direction, DIRECTION_MEANING)
    matrix = rigid.check_rigid(named.matrix, f"The transform in {printable(path)}")
    matrix = turned(matrix) if frame == "ras" else matrix
    return rigid.inverse(matrix) if direction == "resampling" else matrix


def _agreed(
    path: str | os.PathLike,
    option: str,
    in_file: str | None,
    given: str | None,
    choices: dict[str, str],
) -> str:
    """Return the value of the file or the caller, one of `choices`."""
    if in_file is None and given is None:
        (first, meaning), (second, other) = choices.items()
        raise MissingInformation(
            f"{printable(path)}: does not say whether {meaning} or {other}, and a wrong guess "
            f"would not show; add {option} {first} or {option} {second}.",
            option.removeprefix("--"),
        )
    if in_file and given and in_file != given:
        raise InputError(
            f"{printable(path)}: says {in_file} itself, expected the same as {option} {given}; "
            f"leave out {option}, or choose another file."
        )
    return str(in_file or given)


#: Its own inverse.
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
AXES = ("lps", "ras")


def in_lps(axes: Any, **given: Any) -> dict[str, Any]:
    """Return matrices and points, by their names, in LPS.

    What has another shape than is described there is left as it is, to be refused for it.

    Raises
    ------
    InputError
        For axes that are none of AXES.
    """
    if axes not in AXES:
        shown = f'"{axes}"' if isinstance(axes, str) else kind_of(axes)
        raise InputError(f'axes: found {shown}, expected "lps" or "ras"; name one of them.')
    if axes == "lps":
        return given
    return {name: _converted(name, value) for name, value in given.items()}


def _converted(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (Camera, CArm)):
        return value
    array = array_of(name, value)
    shape, convert = _CONVERSIONS[name]
    fits = array.ndim == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    return convert(array) if fits else value


#: The shape that each is to have, and what it becomes.
_CONVERSIONS: dict[str, tuple[tuple[int | None, ...], Callable[[np.ndarray], np.ndarray]]] = {
    "ct_from_index": ((4, 4), lambda matrix: LPS_FROM_RAS @ matrix),
    "projection": ((3, 4), lambda matrix: matrix @ LPS_FROM_RAS),
    "world_from_ct": ((4, 4), turned),
    "truth_world_from_ct": ((4, 4), turned),
    "targets": ((None, 3), lambda points: points * [-1, -1, 1]),
}

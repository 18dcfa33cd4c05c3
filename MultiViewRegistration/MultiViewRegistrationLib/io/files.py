"""Files that appear whole or not at all, their fingerprints, folders that a browser uploaded, and typed reading of JSON.

Every error is one sentence that names the file and the field.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import re
import secrets
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import InputError, naming, warn
from ..geometry.fields import Table
from ..geometry.rigid import check_rigid
from ..imaging.image_source import image_source, inside


@contextmanager
def written_atomically(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`, for a library that writes to a path itself.

    It has the same ending (ITK picks the format by it). It becomes `path` when the block ends and
    is removed when the block raises. The folder is made. An OSError names `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:  # a full disk names no file
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise


def write_atomically(path: str | os.PathLike, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path`.

    A reader sees the old file or the new one, never a part.
    """
    with written_atomically(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def json_text(content: Any) -> str:
    """Return what `plain` takes as the text of a file of ours; ValueError for NaN, which JSON does not know."""
    return json.dumps(content, indent=1, allow_nan=False, default=_written) + "\n"


def plain(content: Any) -> Any:
    """Return content in JSON's own kinds; arrays become lists, and a record what its `to_json` or its fields say."""
    return json.loads(json.dumps(content, default=_written))


def _written(value: Any) -> Any:
    for write in ("to_json", "tolist"):
        if hasattr(value, write):
            return getattr(value, write)()
    return asdict(value)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write what `plain` takes as JSON, see `write_atomically`."""
    write_atomically(path, json_text(content))


def sha256(path: str | os.PathLike) -> str:
    """Return SHA-256 in hex of a file.

    Of a folder, that of its files' names and contents, without subfolders.
    """
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(file for file in path.iterdir() if file.is_file()):
            digest.update(os.fsencode(file.name) + b"\0" + bytes.fromhex(sha256(file)))
    else:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def image_sha256(path: Path) -> str:
    """Return SHA-256 in hex of an image, with its voxels where they are in a file of their own."""
    voxels: Sequence[Path] = ()
    if path.is_file():
        with suppress(InputError):  # said where it is read
            voxels = image_source(path).files[1:]
    own = sha256(path)
    if not voxels:
        return own
    return hashlib.sha256("".join([own, *map(sha256, voxels)]).encode()).hexdigest()


def relative_path(path: Path, folder: Path) -> str:
    """Return a path as a file in `folder` names it, with slashes.

    Absolute where it is on another drive.
    """
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


_HOMES: set[Path] = set()
#: What came without a folder of its own is called.
NAMELESS = "Dropped files"


def keep_within(home: Path) -> None:
    """Confine the files in this folder, and below it, to each other: they may name no others."""
    _HOMES.add(home.resolve())


def upload_root(path: Path) -> Path | None:
    """Return the folder in which a file or folder came.

    None for what may name files anywhere, as the person here has named it.
    """
    path = path.resolve()
    return next((folder for folder in (path, *path.parents) if folder in _HOMES), None)


def redact_upload_paths(text: str) -> str:
    """Return a text for a person, with files and folders that came so named as they came, and not by where they lie here."""
    for home in _HOMES:
        text = text.replace(f"{home}/", "").replace(str(home), NAMELESS)
    # What the program has written for itself.
    return re.sub(rf"{re.escape(tempfile.gettempdir())}/mvreg-[^/\s]+/", "", text)


def check_within_upload(file: str, folder: Path, name: str) -> None:
    """Refuse a name of a file outside the folder that was uploaded.

    Parameters
    ----------
    file
        That has the name, as it is shown.
    folder
        To which the name is relative.
    name
        As it is written.

    Raises
    ------
    InputError
        Where it lies elsewhere.
    """
    home = upload_root(folder)
    if home and not _lies_in(home, folder, name):
        file = Path(file).name
        raise InputError(
            f"{file}: names a file outside the folder that was sent, expected all of them in it; "
            f"drop the whole folder, or start mvreg view with the path of the {Path(file).stem}."
        )


def _lies_in(home: Path, folder: Path, name: str) -> bool:
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(home):  # as a sequence made of a checked name
        return path.resolve().is_relative_to(home.resolve())
    found = inside(name, folder, home)
    if found is None or not found.is_dir():
        return found is not None
    return all(file.resolve().is_relative_to(home.resolve()) for file in found.iterdir())


MAX_FILE_BYTES = 16 << 20  # a case file has some thousand
MAX_SMALL_TEXT_BYTES = 1 << 20  # one matrix, landmarks or a model of beads have some thousand
MAX_NUMBER = 1e9  # mm, pixels, degrees: a larger number is a slip, and would overflow later


def printable(path: str | os.PathLike) -> str:
    """Return a path or other text for a message: on one line, whatever is in it."""
    return "".join(c if c.isprintable() else "?" for c in os.fspath(path))


def describe(value: Any) -> str:
    """Return a JSON value's kind, for a message."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    # Of Python it may be no JSON.
    text = printable(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 100 else text[:97] + "..."


def read_bytes(path: str | os.PathLike, expected: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read a file of at most `max_bytes`.

    Parameters
    ----------
    expected
        What the file should be, for messages: "a list of points".
    max_bytes
        Size from which the file is refused.

    Raises
    ------
    InputError
        Where there is no such file, or it is too large.
    """
    file = printable(path)
    if not os.path.isfile(path):
        what = "is not a file" if os.path.exists(path) else "does not exist"
        raise InputError(f"{file} {what} and cannot be read, expected {expected}; check the path.")
    try:
        with open(path, "rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror}), expected {expected}; check its permissions."
        ) from None
    if len(data) > max_bytes:
        raise InputError(
            f"{file} is larger than {max_bytes >> 20} MB, expected {expected}; choose another file."
        )
    return data


def decode(data: bytes, file: str, expected: str) -> str:
    """Decode a text in UTF-8.

    Raises
    ------
    InputError
        Beginning with `file`, for anything else.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{file} is not text in UTF-8, expected {expected}; choose another file."
        ) from None


def read_text(path: str | os.PathLike, expected: str, max_bytes: int = MAX_FILE_BYTES) -> str:
    """Read a file in UTF-8; parameters and errors as in `read_bytes`."""
    return decode(read_bytes(path, expected, max_bytes), printable(path), expected)


def parse_numbers(
    text: str, count: int | None = None, limit: float = MAX_NUMBER
) -> list[float] | None:
    """Read the numbers in a text, between spaces, commas or semicolons.

    Returns
    -------
    list[float] or None
        None for anything else, for another count, and for numbers beyond the limit or not finite.
    """
    try:
        numbers = [float(word) for word in re.split(r"[\s,;]+", text.strip(" \t\r\n,;"))]
    except ValueError:
        return None
    fits = count in (None, len(numbers)) and all(abs(number) <= limit for number in numbers)
    return numbers if fits else None


#: What is understood as yes and no, in any case.
YES_OR_NO = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}


def parse_field(option: str, table: Table, text: str) -> tuple[str, Any]:
    """Return (key, value) of a "key=value" that a person typed.

    Parameters
    ----------
    option
        Behind which it stands, for messages.
    table
        The fields that it may be of.

    Raises
    ------
    InputError
        For an unknown key, and a value that is not of its kind or out of its range.
    """
    key, _, typed = (part.strip() for part in text.partition("="))
    if not typed or key not in table:
        raise InputError(
            f'{option}: found "{printable(text)}", expected key=value with one of {", ".join(table)}; correct it.'
        )
    field = table[key]
    found = None
    expected = ""
    if field.choices:
        words = YES_OR_NO if field.is_truth else field.labels
        found = words.get(typed.lower())
        expected = field.allowed
    elif field.shape is None:
        found = typed
    else:
        numbers = parse_numbers(typed) or []
        count = math.prod(field.shape)
        numbers *= 2 if key == "pixel_mm" and len(numbers) == 1 else 1
        expected = f"{count} numbers with commas between" if field.shape else "a number"
        expected += f" ({field.help})" if field.help else ""
        if len(numbers) == count:
            found = np.reshape(numbers, field.shape).tolist()
    if found is None:
        raise InputError(
            f'{option}: {key} is "{printable(typed)}", expected {expected}; correct it.'
        )
    with naming(option):
        field.check(found)
    return key, found


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file in UTF-8.

    Raises
    ------
    InputError
        For what is no JSON; stricter than json.loads, also for NaN or a key given twice.
    """

    def refuse(what: str, remedy: str) -> NoReturn:
        raise InputError(
            f"{printable(path)} {what}, expected JSON text in UTF-8; {remedy}."
        ) from None

    def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
            refuse(f"has the key {describe(key)} twice in one object", "keep one of the two")
        return values

    def refuse_constant(name: str) -> NoReturn:
        refuse(f"holds {name}, which JSON does not know", "write a finite number")

    text = read_text(path, "JSON text in UTF-8")
    if not text.strip():
        refuse("is empty", "write or export it again")
    try:
        return json.loads(text, object_pairs_hook=unique_keys, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        refuse(
            f"is not JSON (line {error.lineno}, column {error.colno}: {error.msg})",
            "correct it there",
        )
    except InputError:
        raise
    except (RecursionError, ValueError):  # brackets without end; an integer of thousands of digits
        refuse("is nested too deeply or has a number too long", "check that it is the right file")


@dataclass(eq=False)
class JsonObject:
    """One JSON object, whose methods read a key each, as one type.

    They raise an InputError for anything else. Ask `has` first where a key may be missing.
    `warn_unread` at the end finds the keys that were never read.

    Parameters
    ----------
    file
        The file's name as it is to be shown.
    name
        Place of the object in the file, as in "views[1]"; "" is the whole.
    values
        As JSON has them.
    """

    file: str
    name: str
    values: dict[str, Any]
    read_keys: set[str] = field(default_factory=set)
    _parts: list[JsonObject] = field(default_factory=list)

    @classmethod
    def read(cls, path: str | os.PathLike, expected: str = "an object") -> JsonObject:
        """Read the object that a file holds."""
        content = read_json(path)
        if not isinstance(content, dict):
            raise InputError(
                f"{printable(path)} is {describe(content)}, expected {expected}; choose another "
                "file."
            )
        return cls(printable(path), "", content)

    def label(self, key: str) -> str:
        """Return a key with the object that it is in, for messages."""
        return f"{self.name}.{key}" if self.name else key

    def refuse(self, key: str, what: str, expected: str, remedy: str = "correct it") -> NoReturn:
        """Refuse a key, with what was found, what was expected, and what to do.

        Raises
        ------
        InputError
            Always.
        """
        label = self.label(key)
        sentence = f"{self.file}: {label} {what}, expected {expected}; {remedy}."
        raise InputError(sentence, label, "value" if key in self.values else "missing")

    def refuse_value(self, key: str, expected: str, remedy: str = "correct it") -> NoReturn:
        """Refuse the key for the value that it has."""
        self.refuse(key, f"is {describe(self.values[key])}", expected, remedy)

    def has(self, key: str) -> bool:
        """Return whether the key is there."""
        self.read_keys.add(key)
        return key in self.values

    def optional(
        self, key: str, read: Callable, *arguments: Any, default: Any = None, **named: Any
    ) -> Any:
        """Return the key's value as `read` (a method of this object, or a similar one) converts it, or the default if it is missing."""
        return read(key, *arguments, **named) if self.has(key) else default

    def value(self, key: str, expected: str, kind: type = object) -> Any:
        """Return the value as JSON has it, of one type."""
        if not self.has(key):
            if similar := _similar(key, self.values.keys() - self.read_keys):
                self.refuse(
                    key,
                    f"is missing, but there is {describe(similar)}",
                    expected,
                    "rename that key",
                )
            self.refuse(key, "is missing", expected, "add it")
        if not isinstance(self.values[key], kind):
            self.refuse_value(key, expected)
        return self.values[key]

    def text(self, key: str, expected: str) -> str:
        """Return a text that is not blank and has no control characters or line breaks."""
        value = self.value(key, expected, str)
        if not value.strip():
            self.refuse_value(key, expected)
        if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in value):
            self.refuse(
                key, f"is {describe(value)}, with a control character", expected, "remove that"
            )
        return value

    def texts(self, key: str, expected: str) -> list[str]:
        """Return a list of texts as `text` takes them; it may be empty."""
        entries = {f"{key}[{n}]": value for n, value in enumerate(self.value(key, expected, list))}
        return [JsonObject(self.file, self.name, entries).text(entry, "text") for entry in entries]

    def choice(self, key: str, options: tuple[str, ...]) -> str:
        """Return one of the texts in `options`."""
        expected = " or ".join(describe(option) for option in options)
        value = self.value(key, expected)
        if not isinstance(value, str) or value not in options:
            self.refuse_value(key, expected, "choose one of these")
        return value

    def number(
        self,
        key: str,
        expected: str,
        least: float = -math.inf,
        above: float = -math.inf,
        most: float = math.inf,
    ) -> float:
        """Return a number >= `least`, > `above` and <= `most`."""
        number = self._number(key, self.value(key, expected), expected, MAX_NUMBER)
        if not (least <= number <= most and number > above):
            self.refuse_value(key, expected)
        return number

    def integer(self, key: str, expected: str, least: int) -> int:
        """Return a whole number >= `least`."""
        number = self.number(key, expected, least)
        if number % 1:
            self.refuse_value(key, expected)
        return int(number)

    def check_version(self, known: int) -> None:
        """Refuse a file of a later version than is known, and one without any."""
        version = self.integer("version", f"the number {known}", least=1)
        if version > known:
            self.refuse("version", f"is {version}", f"at most {known}", "update this program")

    def array(
        self, key: str, shape: tuple[int | None, ...], expected: str, limit: float = MAX_NUMBER
    ) -> np.ndarray:
        """Return nested lists of numbers as float64 of `shape`, where None is any length."""
        value = self.value(key, expected)
        lists = self._list(key, value, shape, expected, limit)
        return np.array(lists, np.float64).reshape([len(value) if n is None else n for n in shape])

    def rigid(self, key: str) -> np.ndarray:
        """Return a rigid transform (4, 4)."""
        matrix = self.array(key, (4, 4), "a rigid 4x4 matrix, as 4 rows of 4 numbers")
        return check_rigid(matrix, f"{self.file}: {self.label(key)}")

    def section(self, key: str, expected: str = "an object") -> JsonObject:
        """Return the object at a key."""
        return self._part(key, self.value(key, expected, dict))

    def part(self, key: str, expected: str = "an object") -> JsonObject:
        """Return the object at a key, an empty one where it is missing."""
        return self.section(key, expected) if self.has(key) else JsonObject(self.file, key, {})

    def sections(self, key: str, expected: str) -> list[JsonObject]:
        """Return the objects of a list that has at least one."""
        values = self.value(key, expected, list)
        if not values:
            self.refuse_value(key, expected)
        for i, value in enumerate(values):
            if not isinstance(value, dict):
                self.refuse(f"{key}[{i}]", f"is {describe(value)}", "an object")
        return [self._part(f"{key}[{i}]", value) for i, value in enumerate(values)]

    def _part(self, key: str, values: dict[str, Any]) -> JsonObject:
        part = JsonObject(self.file, self.label(key), values)
        self._parts.append(part)
        return part

    def warn_unread(self) -> None:
        """Warn of each key, here and in the sections that were read, that was never read."""
        for key in self.values:
            if key not in self.read_keys:
                where = f" in {self.name}" if self.name else ""
                advice = "correct or remove it."
                if similar := _similar(key, self.read_keys - self.values.keys()):
                    advice = f"did you mean {describe(similar)}?"
                warn(
                    f"{self.file}: the key {describe(key)}{where} is not known and was ignored; "
                    f"{advice}"
                )
        for part in self._parts:
            part.warn_unread()

    def _number(self, key: str, value: Any, expected: str, limit: float) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(key, f"is {describe(value)}", expected)
        if not abs(value) <= limit:
            self.refuse(key, f"is {describe(value)}", f"a number from {-limit:g} to {limit:g}")
        return float(value)

    def _list(
        self, key: str, value: Any, shape: tuple[int | None, ...], expected: str, limit: float
    ) -> Any:
        if not shape:
            return self._number(key, value, "a number", limit)
        if not isinstance(value, list) or shape[0] not in (None, len(value)):
            self.refuse(key, f"is {describe(value)}", expected)
        named = {f"{key}[{i}]": item for i, item in enumerate(value)}
        return [self._list(each, named[each], shape[1:], expected, limit) for each in named]


def _similar(key: str, others: set[str]) -> str | None:
    by_lower_case = {other.lower(): other for other in sorted(others)}
    matches = difflib.get_close_matches(key.lower(), by_lower_case, n=1, cutoff=0.75)
    return by_lower_case[matches[0]] if matches else None


@dataclass(frozen=True)
class InputFile:
    """A file or folder that a case names: as written there, and where it is."""

    written: str
    path: Path


def input_file(fields: JsonObject, key: str, folder: Path, kind: str = "file") -> InputFile:
    """Return the file at `key`, relative to `folder`.

    With another `kind` it may be a folder as well.

    A backslash in its name is one, or what Windows has between folders.
    """
    expected = f"the path of a {kind}, relative to the case file or absolute"
    written = fields.text(key, expected)
    check_within_upload(fields.file, folder, written)
    for path in (folder / written, folder / written.replace("\\", "/")):
        if os.path.isfile(path) or kind != "file" and os.path.isdir(path):
            return InputFile(written, path)
    what = "is no file" if os.path.exists(folder / written) else "does not exist"
    fields.refuse(
        key, f"is {describe(written)}, which {what}", expected, "correct it or put the file there"
    )

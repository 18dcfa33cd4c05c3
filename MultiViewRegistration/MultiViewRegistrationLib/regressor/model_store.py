"""The trained models of this user: each a folder with a card and weights, by the CT that it is for.

    <data>/models/<first 16 characters of the CT's SHA-256>/<name>/card.json,
    weights-....safetensors

Weights are safetensors, which hold numbers and never code. PyTorch is needed only to load and to
save them. A new state is written beside the old one, and the card that names it replaces the old
card last: whatever happens in between, the folder holds one whole state.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..io.files import JsonObject, sha256, write_atomically
from ..io.folders import data_folder

if TYPE_CHECKING:
    from torch import Tensor

    from ..imaging.ct import CT

#: Characters of a CT's hash that name its folder; grids that differ by less, in mm, are one.
_CHARACTERS = 16
_SAME_MM = 1e-3


FORMAT = "MultiViewRegistration regressor"
VERSION = 1
CARD = "card.json"
SUFFIX = ".safetensors"
#: So near, a refinement is expected to get from there to the answer.
NEAR_MM = 25.0
#: No card, and no file of weights, is larger.
MAX_CARD_BYTES = 1 << 20
MAX_WEIGHT_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Card:
    """All that is known of a model but its weights. Nothing in it names a patient.

    Parameters
    ----------
    ct_sha256
        Of the CT it is for, see `ct_sha256`.
    cameras
        Of the images it was trained on, one a view: intrinsics (3, 3), camera_from_world (4, 4) and
        size, as in case.json, and "slot_scan" true where it is one.
    world_from_ct
        (4, 4), the nominal pose.
    centroid
        (3,) CT mm.
    half_widths
        By the names of `poses.AXES`, the poses about it.
    poses
        Their distribution: "range", even within the half-widths, the only one.
    network, loss, seed
        See `training.train`.
    device
        Where it was trained: "cpu", or a CUDA device.
    minutes
        The requested time, converted to `steps` once.
    every
        Steps from one validation to the next.
    hardness
        Of the images, which grows with the steps, see `training.hardness_of`.
    done
        Steps so far.
    seconds
        That took.
    shortened
        (step, progress) from which the rest of the training was hurried, as the error had stopped
        falling; None if it had not.
    losses
        [step, mean loss since the last], about a hundred.
    validation
        [step, seconds, error of all views together, of each view alone, ...], geometric means of
        the mTRE in mm at the landmarks, of random images.
    expected
        50th, 95th percentile of the fused error, and the share within NEAR_MM, at the last
        validation.
    fault
        Why training stopped before its end, where it did for a reason of its own; "" otherwise.
    weights, weights_sha256
        The file of the weights, "" if there are none yet.
    versions
        Of the program and of PyTorch.
    """

    ct_sha256: str
    cameras: list
    world_from_ct: list
    centroid: list
    half_widths: dict
    network: str
    loss: str
    seed: int
    minutes: float
    steps: int
    every: int
    created: str
    versions: dict
    poses: str = "range"
    device: str = "cpu"
    hardness: float = 0.0
    done: int = 0
    seconds: float = 0.0
    shortened: list | None = None
    losses: Sequence[list] = ()
    validation: Sequence[list] = ()
    expected: Sequence[float] = ()
    fault: str = ""
    weights: str = ""
    weights_sha256: str = ""

    @property
    def validated(self) -> bool:
        """Whether it is known how well the network does after the steps so far.

        Before the first there is nothing to know.
        """
        return self.done == (self.validation[-1][0] if self.validation else 0)

    @property
    def finished(self) -> bool:
        """Whether its training has ended."""
        return self.validated and (self.done >= self.steps or bool(self.fault))

    @property
    def error_mm(self) -> float | None:
        """The error of all views together at the last validation, see `validation`.

        None before the first.
        """
        return self.validation[-1][2] if self.validation else None

    def to_json(self) -> str:
        """Return the text of its file."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1)

    @classmethod
    def read(cls, folder: Path) -> Card:
        """Return the card of a model's folder.

        InputError for one that is missing, damaged, or of another format.
        """
        path = Path(folder) / CARD
        try:
            with path.open("rb") as stream:
                text = stream.read(MAX_CARD_BYTES + 1)
            content = json.loads(text)
        except FileNotFoundError:
            raise InputError(
                f"{folder}: found no {CARD}, expected the folder of a trained model; train one "
                "(train in Python, mvreg train)."
            ) from None
        except (ValueError, NotADirectoryError):
            raise InputError(
                f"{path}: is damaged, expected the card of a trained model; train it again."
            ) from None
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise InputError(f"{path}: is no card of a trained model; choose the folder of one.")
        if content.pop("version", None) != VERSION:
            raise InputError(
                f"{path}: was written by another version of this program; train the model again."
            )
        try:
            card = cls(**content)
            _check(card)
        except (TypeError, InputError) as error:
            what = f" (at {error.key.partition('[')[0]})" if isinstance(error, InputError) else ""
            raise InputError(
                f"{path}: was changed or damaged{what}; train the model again."
            ) from None
        if Path(card.weights).name != card.weights:
            raise InputError(f'{path}: "weights" is no file beside it; train the model again.')
        return card


#: Pixels of a side of a window, of which training images are made.
_MAX_SIDE = 4096


def _check(card: Card) -> None:
    """InputError, whose key is of a field, where a value is not of its kind."""
    read = JsonObject(CARD, "", vars(card))
    for field in fields(Card):
        read.value(field.name, "", _KINDS.get(str(field.type), object))
    for key in ("steps", "every", "done", "minutes", "hardness", "seconds"):
        read.number(key, "", least=0)
    for key in ("steps", "every"):
        read.number(key, "", above=0)
    read.number("done", "", most=card.steps)
    widths = read.section("half_widths")
    for key in widths.values:
        widths.number(key, "", least=0)
    read.array("world_from_ct", (4, 4), "")
    read.array("centroid", (3,), "")
    for camera in read.sections("cameras", ""):
        camera.array("intrinsics", (3, 3), "")
        camera.array("camera_from_world", (4, 4), "")
        camera.array("size", (2,), "", _MAX_SIDE)
    if card.shortened is not None:
        read.array("shortened", (2,), "")
    rest = {
        "half_widths": len(card.half_widths) == 6,
        "seed": 0 <= card.seed < 2**53,
        "losses": all(_is_row(row, 2) for row in card.losses),
        "validation": all(_is_row(row, 3) for row in card.validation),
        "expected": not card.expected or _is_row(card.expected, 3),
    }
    for key, good in rest.items():
        if not good:
            read.refuse_value(key, "")


_KINDS: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "dict": dict,
    "list": list,
    "list | None": (list, type(None)),
    "Sequence[list]": (list, tuple),
    "Sequence[float]": (list, tuple),
}


def _is_row(values: object, least: int) -> bool:
    """Return whether these are so many numbers or more, finite or not: a training may fail."""
    return (
        isinstance(values, list)
        and len(values) >= least
        and all(isinstance(v, (int, float)) for v in values)
    )


@dataclass(frozen=True)
class StoredModel:
    """A model in the store: its folder, its card, and its size on disk in bytes."""

    folder: Path
    card: Card
    bytes: int

    @property
    def name(self) -> str:
        """When it was begun, unique among the models of its CT."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        """Whether its training has ended."""
        return self.card.finished


def is_in_store(folder: Path) -> bool:
    """Return whether a folder is there, and in the store."""
    return folder.is_dir() and folder.resolve().is_relative_to((data_folder() / "models").resolve())


def models_of(ct_sha256: str) -> list[StoredModel]:
    """Return the models of a CT, the newest first."""
    return _models(data_folder() / "models" / ct_sha256[:_CHARACTERS])


def all_models() -> list[StoredModel]:
    """Return the models of all CTs, the newest first of each."""
    root = data_folder() / "models"
    return list(itertools.chain(*map(_models, sorted(root.glob("*/")))))


def new_folder(ct_sha256: str) -> Path:
    """Return a folder for a new model of a CT; not made yet."""
    parent = data_folder() / "models" / ct_sha256[:_CHARACTERS]
    name = now = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    for number in itertools.count(2):
        if not (parent / name).exists():
            break
        name = f"{now}-{number}"
    return parent / name


def remove_model(stored: StoredModel) -> None:
    """Remove a model, and its CT's folder if that is empty then.

    InputError where that is not possible.
    """
    try:
        shutil.rmtree(stored.folder)
    except OSError as error:
        raise InputError(
            f"{stored.folder}: could not be removed ({error.strerror or error}); close what uses "
            "it."
        ) from None
    with suppress(OSError):
        stored.folder.parent.rmdir()


def _models(parent: Path) -> list[StoredModel]:
    """Return the models in a folder, without unreadable ones."""
    found = []
    for folder in parent.glob("*/"):
        with suppress(InputError, OSError):
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            found.append(StoredModel(folder, Card.read(folder), size))
    return sorted(found, key=lambda stored: (stored.card.created, stored.name), reverse=True)


def save_checkpoint(folder: Path, card: Card, tensors: Mapping[str, Tensor]) -> Card:
    """Write a state; returns the card as written. OSError where it cannot be written.

    Then the state before is still there.
    """
    from safetensors.torch import save as to_bytes

    data = to_bytes({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    card = replace(card, weights=f"weights-{digest[:12]}{SUFFIX}", weights_sha256=digest)
    write_atomically(folder / card.weights, data)
    write_atomically(folder / CARD, card.to_json())
    for old in folder.glob(f"weights-*{SUFFIX}"):
        if old.name != card.weights:
            with suppress(OSError):  # another program reads it, on Windows
                old.unlink()
    return card


def load_checkpoint(folder: Path) -> tuple[Card, dict[str, Tensor]]:
    """Return the state in a folder.

    InputError where there is none, or it is not what was written: cut short, changed, or no
    safetensors at all.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    card = Card.read(folder)
    path = Path(folder) / card.weights
    if not card.weights.endswith(SUFFIX) or not path.is_file():
        raise InputError(
            f"{folder}: found no weights as safetensors, expected those that {CARD} names; train "
            "the model again."
        )
    if path.stat().st_size > MAX_WEIGHT_BYTES or sha256(path) != card.weights_sha256:
        raise InputError(
            f"{path}: is not the file that was written (cut short, damaged or changed); train the "
            "model again."
        )
    try:
        return card, from_bytes(path.read_bytes())
    except SafetensorError:
        raise InputError(
            f"{path}: holds no weights as safetensors; train the model again."
        ) from None


def ct_sha256(ct: CT) -> str:
    """SHA-256 in hex of a CT's values, unit and grid: the same however it was stored, with any mask.

    The slices of a left-handed grid are taken the other way round, as in files that 3D Slicer
    writes.
    """
    values = ct.volume.values
    grid = ct.volume.ct_from_index
    if np.linalg.det(grid[:3, :3]) < 0:
        values = values[::-1]
        grid = grid @ [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, len(values) - 1], [0, 0, 0, 1]]
    digest = hashlib.sha256(ct.unit.encode())
    digest.update(np.array(values.shape, np.int64).tobytes())
    digest.update((np.rint(grid / _SAME_MM) + 0.0).tobytes())
    digest.update(np.ascontiguousarray(values, np.float32).data)
    return digest.hexdigest()

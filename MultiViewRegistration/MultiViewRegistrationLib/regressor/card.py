"""What a trained network is for, and how it came to be: plain data in JSON beside its weights. Standard library only."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import InputError

FORMAT = "MultiViewRegistration regressor"
VERSION = 1
CARD = "card.json"
#: So near, a refinement is expected to get from there to the answer.
NEAR_MM = 25.0
#: No card is larger.
MOST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Card:
    """All that is known of a model but its weights. Nothing in it names a patient.

    ct_sha256: of the CT it is for, see `model.ct_sha256`.
    cameras: of the images it was trained on, one a view: intrinsics (3, 3), camera_from_world (4, 4) and size, as in case.json.
    world_from_ct: (4, 4), the nominal pose.   centroid: (3,) CT mm.   half_widths: by the names of `poses.AXES`, the poses about it.
    poses: how they are drawn, see `training.POSES`.   network, loss, seed: see `training.Plan`.
    device: where it was trained: "cpu", or a CUDA device.
    minutes: asked for, which became `steps`, once.   every: steps from one validation to the next.
    hardness: of the images, which grows with the steps, see `training.hardness_of`.
    done: steps so far.   seconds: that took.
    shortened: (step, progress) from which the rest of the training was hurried, as the error had stopped falling; None if it had not.
    losses: [step, mean loss since the last], about a hundred.
    validation: [step, seconds, error of all views together, of each view alone, ...], geometric means of the mTRE in mm at the
        landmarks, of random images.
    expected: 50th, 95th percentile of the fused error, and the share within NEAR_MM, at the last validation.
    fault: why training stopped before its end, where it did for a reason of its own; "" otherwise.
    weights, weights_sha256: the file of the weights, "" if there are none yet.   versions: of the program and of PyTorch.
    """

    ct_sha256: str
    cameras: list
    world_from_ct: list
    centroid: list
    half_widths: dict
    poses: str
    network: str
    loss: str
    seed: int
    minutes: float
    steps: int
    every: int
    created: str
    versions: dict
    device: str = "cpu"
    hardness: float = 0.0
    done: int = 0
    seconds: float = 0.0
    shortened: list | None = None
    losses: list = ()
    validation: list = ()
    expected: list = ()
    fault: str = ""
    weights: str = ""
    weights_sha256: str = ""

    @property
    def validated(self) -> bool:
        """Whether it is known how well the network does after the steps so far; before the first there is nothing to know."""
        return self.done == (self.validation[-1][0] if self.validation else 0)

    @property
    def finished(self) -> bool:
        return self.validated and (self.done >= self.steps or bool(self.fault))

    @property
    def error_mm(self) -> float | None:
        """The error of all views together at the last validation, see `validation`; None before the first."""
        return self.validation[-1][2] if self.validation else None

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1)

    @classmethod
    def read(cls, folder: Path) -> Card:
        """The card of a model's folder. InputError for one that is missing, damaged, or of another format."""
        path = Path(folder) / CARD
        try:
            with path.open("rb") as stream:
                text = stream.read(MOST_BYTES + 1)
            content = json.loads(text)
        except FileNotFoundError:
            raise InputError(
                f"{folder}: found no {CARD}, expected the folder of a trained model; train one with mvreg train."
            ) from None
        except (ValueError, NotADirectoryError):
            raise InputError(f"{path}: is damaged, expected the card of a trained model; train it anew.") from None
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise InputError(f"{path}: is no card of a trained model; choose the folder of one.")
        if content.pop("version", None) != VERSION:
            raise InputError(f"{path}: was written by another version of this program; train the model anew.")
        for name, before in (("device", "cpu"), ("hardness", 0.0)):  # cards from before there was a choice
            content.setdefault(name, before)
        wrong = _fault(content)
        if wrong:
            raise InputError(f"{path}: {wrong}, so it was changed or damaged; train the model anew.")
        return cls(**content)


def _fault(content: dict) -> str:
    """What is wrong with a card's content, in words; "" if nothing is."""
    kinds = {
        "str": str,
        "int": int,
        "float": (int, float),
        "list": list,
        "dict": dict,
        "list | None": (list, type(None)),
    }
    known = {field.name: kinds[field.type] for field in fields(Card)}
    for name, kind in known.items():
        if name not in content or not isinstance(content[name], kind) or isinstance(content[name], bool):
            return f'"{name}" is missing or of another kind'
    if content.keys() - known.keys():
        return f'"{min(content.keys() - known.keys())}" is not known'
    matrices = [
        content["world_from_ct"],
        *(camera.get("camera_from_world") for camera in content["cameras"] if isinstance(camera, dict)),
    ]
    if len(matrices) < 2 or not all(_numbers(matrix, 4, 4) for matrix in matrices):
        return "a matrix is not 4 rows of 4 numbers"
    if not all(
        _numbers(camera.get("intrinsics"), 3, 3) and _numbers([camera.get("size")], 1, 2)
        for camera in content["cameras"]
    ):
        return "a camera is not as in case.json"
    if not _numbers([content["centroid"]], 1, 3) or not _numbers([list(content["half_widths"].values())], 1, 6):
        return '"centroid" or "half_widths" are no numbers'
    if not all(
        _numbers([row], 1, len(row))
        for key in ("losses", "validation")
        for row in content[key]
        if isinstance(row, list)
    ):
        return "a learning curve holds what is no number"
    if not 0 <= content["hardness"] <= 1:
        return '"hardness" is not between 0 and 1'
    if Path(content["weights"]).name != content["weights"]:
        return '"weights" is no file beside it'
    return ""


def _numbers(rows: object, height: int, width: int) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) == height
        and all(isinstance(row, list) and len(row) == width for row in rows)
        and all(isinstance(x, (int, float)) and math.isfinite(x) for row in rows for x in row)
    )

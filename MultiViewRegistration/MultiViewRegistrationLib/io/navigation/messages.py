"""A result as OpenIGTLink messages: TRANSFORM, IMAGE and STATUS, packed by pyigtl. No name of patient, case or view is in them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..axes import turned
from .handover import Handover

#: Device names, of which OpenIGTLink allows 20 characters.
CT_TO_WORLD, CT_TO_REFERENCE, STATUS = "CTToWorld", "CTToReference", "MultiViewReg"
DEVICES = {"world_from_ct": CT_TO_WORLD, "reference_from_ct": CT_TO_REFERENCE}
#: Of the protocol's STATUS codes: OK; device not ready, for what a person has yet to judge; device disabled, for what must not be used.
OK, NOT_READY, DISABLED = 1, 13, 15
#: What a verdict rests on: an OK is no promise for real X-rays, and who navigates by it must be able to show that.
BASIS = "calibrated on simulated X-rays alone"


@dataclass(frozen=True)
class Messages:
    """What a peer gets. Each function packs a message anew, with the time of that moment.

    small: TRANSFORM and STATUS, which are repeated.   images: the overlays, sent once a connection.
    """

    small: list[Callable[[], bytes]]
    images: list[Callable[[], bytes]]


def messages_of(handover: Handover) -> Messages:
    """The messages of a result: its poses in RAS (float32, as the protocol has it), STATUS with the verdict, an overlay of each view.

    InputError where pyigtl is missing, or a picture cannot be read.
    """
    try:
        import pyigtl
    except ImportError:
        raise InputError(
            "OpenIGTLink: the Python package pyigtl is missing, expected it; pip install multiview-registration[navigation]."
        ) from None
    told = {
        "Verdict": json.dumps(handover.verdict),
        "TransformStatus": "UNKNOWN" if handover.caution else "OK",
        **({"Override": handover.caution} if handover.caution else {}),
        **({"Basis": BASIS} if handover.verdict else {}),
    }

    def packed(kind: type, device: str, further: dict[str, str], **content) -> bytes:
        message = kind(device_name=device, **content)
        message.header_version = 2  # the one with metadata
        message.metadata = {key: _ascii(value) for key, value in (told | further).items()}
        return message.pack()

    def pose(name: str, matrix: np.ndarray) -> Callable[[], bytes]:
        return lambda: packed(
            pyigtl.TransformMessage, DEVICES[name], {"Pose": f"{name}, mm, RAS"}, matrix=turned(matrix)
        )

    def overlay(number: int, pixels: np.ndarray) -> Callable[[], bytes]:
        return lambda: packed(pyigtl.ImageMessage, f"Overlay{number}", {}, image=pixels)

    body = _status(handover)
    status = type("StatusMessage", (pyigtl.messages.MessageBase,), {"_pack_content": lambda _: body})

    def packed_status() -> bytes:
        message = status(device_name=STATUS)
        message._message_type = "STATUS"
        return message.pack()

    return Messages(
        small=[*(pose(name, matrix) for name, matrix in handover.poses.items()), packed_status],
        images=[
            overlay(number, _pixels(view.picture))
            for number, view in enumerate(handover.views, start=1)
            if view.picture
        ],
    )


def _status(handover: Handover) -> bytes:
    """The body of STATUS: code, subcode, name and message (OpenIGTLink protocol, STATUS). The message is JSON."""
    code = DISABLED if handover.caution else OK if handover.verdict == "accept" else NOT_READY
    name = "override" if handover.caution else handover.verdict or "not assessed"
    message = {
        "verdict": handover.verdict,
        "override": handover.caution,
        "poses": [DEVICES[name] for name in handover.poses],
        **({"basis": BASIS} if handover.verdict else {}),
    }
    return struct.pack("> H q 20s", code, 0, name.encode()) + json.dumps(message).encode("ascii") + b"\0"


def _pixels(picture) -> np.ndarray:
    """(1, rows, columns, 3)."""
    from PIL import Image  # the panel, which knows the names above, opens without it

    try:
        with Image.open(picture) as image:
            return np.asarray(image.convert("RGB"))[None]
    except (OSError, ValueError, Image.DecompressionBombError):
        raise InputError(
            f"{picture}: cannot be read as a picture, expected the overlay of a view; write the result again, or remove it."
        ) from None


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()

"""What a history keeps of bones: their poses, and what a result.json says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

import numpy as np

from ..errors import BoneVerdict, Use, from_codes, with_codes
from ..io.files import JsonObject
from ..io.result_json import StoredVerdict, UseVerdict


@dataclass(frozen=True)
class KnownBone(StoredVerdict):
    """A bone at a pose of its own; one that was moved by hand since has no verdict, and nothing that belongs to one.

    Attributes
    ----------
    world_from_ct, similarity, moved, predicted_tre_mm
        As in a result.json.
    """

    world_from_ct: list[list[float]] = field(default_factory=list)
    similarity: dict[str, float] = field(default_factory=dict)
    moved: dict[str, Any] | None = None
    predicted_tre_mm: dict[str, float] | None = None

    @classmethod
    def kept(cls, content: Mapping[str, Any]) -> KnownBone:
        """Return the bone of what `to_json` returned."""
        known = {each.name: content[each.name] for each in fields(cls) if each.name in content}
        return cls(**known | judged(content))

    @classmethod
    def of_content(cls, content: JsonObject) -> KnownBone:
        """Read an entry of a result.json; InputError for what is none."""
        content.rigid("world_from_ct")
        content.section("similarity")
        content.optional("moved", content.section)
        told = cls.read(content, get_args(BoneVerdict))
        return replace(cls.kept({**content.values, "uses": {}}), **vars(told))

    def to_json(self) -> dict[str, Any]:
        """Return its fields, and the codes of its reasons."""
        return {**vars(self), **with_codes(self.reasons)}

    @property
    def error_mm(self) -> float | None:
        """The likely error where it is usable; of a bone of one CT if the cameras are right.

        Theirs moves all bones alike, and is in the error of the whole CT. None where it is not known.
        """
        known = self.verdict in ("accept", "check") and self.predicted_tre_mm
        return known["mean"] if known else None

    @property
    def pose(self) -> np.ndarray:
        """The pose world_from_ct (4, 4), LPS."""
        return np.array(self.world_from_ct, float)


def judged(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reasons and uses that a scene has of a pose, or of a bone."""
    uses = {use: UseVerdict(**told) for use, told in content.get("uses", {}).items()}
    return {"reasons": from_codes(content), "uses": uses}


def uses_of_bones(bodies: Mapping[str, KnownBone]) -> dict[Use, UseVerdict]:
    """Return `HistoryEntry.uses` of bones: for each use the verdict of the one that is the least certain."""
    found: dict[Use, UseVerdict] = {}
    for use in get_args(Use):
        if told := [body.uses[use] for body in bodies.values() if use in body.uses]:
            found[use] = max(
                told,
                key=lambda each: (
                    each.verdict != "accept",
                    each.typical_mm is None,
                    each.typical_mm or 0.0,
                ),
            )
    return found


def any_usable(bodies: Mapping[str, KnownBone]) -> bool:
    """Return whether the pose of any bone may be exported to navigation."""
    return any(each.verdict in ("accept", "check") for each in bodies.values())

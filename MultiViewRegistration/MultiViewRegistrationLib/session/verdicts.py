"""Verdicts as a result.json has them, of a pose and of its bones, as a history keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np

from ..errors import BoneVerdict, Use
from ..io.files import JsonObject
from ..io.result_json import StoredVerdict, bones_in


def bodies_of_content(fields: JsonObject) -> dict[str, dict]:
    """Return the bones of a result.json."""
    found = {}
    for name, each in bones_in(fields).items():
        each.rigid("world_from_ct")
        each.section("similarity")
        each.optional("moved", each.section)
        told = StoredVerdict.read(each, get_args(BoneVerdict))
        found[name] = {**each.values, "reasons": told.reasons}
    return found


def of_use(body: dict, use: Use) -> dict:
    """Return what `HistoryEntry.bodies` has of a bone with the verdict of another use; the overlay's without it."""
    uses = body.get("uses", {})
    told = uses.get(use) or uses.get("overlay")
    return {**body, "verdict": told["verdict"]} if told else body


def uses_of_bones(bodies: Mapping[str, dict]) -> dict[Use, dict]:
    """Return `HistoryEntry.uses` of bones: for each use the verdict of the one that is the least certain."""
    found: dict[Use, dict] = {}
    for use in get_args(Use):
        told = [body["uses"][use] for body in bodies.values() if use in body.get("uses", ())]
        doubts = [(each["verdict"] != "accept", each.get("typical_mm", np.inf)) for each in told]
        if told:
            found[use] = told[doubts.index(max(doubts))]
    return found


def usable_in_room(bodies: Mapping[str, dict]) -> bool:
    """Return whether the pose of any bone may be handed to navigation."""
    return any(of_use(each, "room")["verdict"] in ("accept", "check") for each in bodies.values())

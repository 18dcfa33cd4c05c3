"""Verdicts as a result.json has them, of a pose and of its bones, as a history keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from ..errors import BoneVerdict, Reason, Use, from_codes
from ..io.files import JsonObject
from ..io.result_json import EDGES_OFF, bones_in


def reasons_of_content(content: dict[str, Any]) -> list[Reason]:
    """Return the reasons of a pose but what a person saw, which the edge_checks tell."""
    return [each for each in from_codes(content) if each.code != EDGES_OFF]


def bodies_of_content(fields: JsonObject) -> dict[str, dict]:
    """Return the bones of a result.json."""
    bones = bones_in(fields)
    for each in bones.values():
        each.rigid("world_from_ct")
        if each.value("verdict", "a verdict or null") is not None:
            each.choice("verdict", get_args(BoneVerdict))
        each.section("similarity")
        each.optional("moved", each.section)
        each.texts("reasons", "a list of sentences")
    values = {name: each.values for name, each in bones.items()}
    return {name: {**each, "reasons": reasons_of_content(each)} for name, each in values.items()}


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

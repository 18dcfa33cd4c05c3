"""`mvreg plan`: which further view would determine the pose best."""

from __future__ import annotations

import argparse

from ..api import register
from ..assessment.next_view import plan_view
from ..assessment.verdict import targets_of
from ..finding import start_pose
from ..io.case import Case
from ..registration.prepared_ct import PreparedCT
from .options import Parser, add_json, add_one_case, add_progress, progress_of

#: So many views are listed.
LISTED = 5


def add_plan(command: Parser) -> None:
    """Add the options of `mvreg plan`."""
    command.describe(
        "CASE [options]", "case.json", "case.json --at-start   # before anything is registered"
    )
    add = command.add_argument
    add_json(command)
    add_progress(command)
    add_one_case(command)
    add(
        "--at-start",
        action="store_true",
        help="plan at the case's start pose (default: at the pose that a registration finds)",
    )
    command.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> dict:
    case = Case.load(options.case)
    case.warn_of_other_bones()
    with progress_of(options, "Planning") as line:
        anatomy = PreparedCT(case.ct)
        views = case.views
        if options.at_start:
            pose = start_pose(case, anatomy.centroid)
        else:
            result = register(case, anatomy=anatomy, progress=line)
            pose = result.world_from_ct
            views = result.refinement.views
        targets, _ = targets_of(anatomy, views, pose, case.targets)
        plan = plan_view(anatomy, views, pose, targets, case.shared_unknowns)
    if not options.json:
        lines = [f"  {each.words}: {each.error_mm:.2g} mm" for each in plan.views[:LISTED]]
        verdict = "" if options.at_start else f" The verdict on the pose: {result.verdict}."
        print("\n".join([plan.sentence + verdict, *lines]))
    return plan.to_json()

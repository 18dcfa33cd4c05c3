"""`mvreg plan`: which further view would determine the pose best."""

from __future__ import annotations

import argparse

from ..api import register
from ..assessment.next_view import Plan, plan_view
from ..assessment.verdict import targets_of
from ..finding import start_pose
from ..imaging.structures import WHOLE
from ..io.case import Case
from ..registration.prepared_ct import PreparedCT, anatomies_of
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
    bodies = case.bodies
    with progress_of(options, "Planning") as line:
        anatomy = PreparedCT(case.ct)
        views = case.views
        verdict = ""
        plans: dict[str, Plan] = {}
        together = []
        if options.at_start:
            case.warn_of_other_bones()
            poses = [start_pose(case, anatomy.centroid)]
        else:
            result = register(case, anatomy=anatomy, progress=line)
            views = result.views
            verdict = f" The verdict on the pose: {result.verdict}."
            together = result.together.bodies
            poses = [result.bodies[body.name or WHOLE].world_from_ct for body in bodies]
        for body, own, pose in zip(bodies, anatomies_of(bodies, anatomy), poses, strict=False):
            targets, _ = targets_of(own, views, pose, None if plans else case.targets)
            plan = plan_view(own, views, pose, targets, case.shared_unknowns)
            plans[body.name or WHOLE] = plan
    plans |= {body.name: body.plan for body in together if body.plan}
    first = plans[bodies[0].name or WHOLE]
    if not options.json:
        lines = [f"{name}: {each.sentence}" for name, each in plans.items()]
        lines[0] += verdict
        lines[1:1] = [f"  {each.words}: {each.error_mm:.2g} mm" for each in first.views[:LISTED]]
        print("\n".join(lines).removeprefix(f"{WHOLE}: "))
    return first.to_json() | {"bodies": {name: each.to_json() for name, each in plans.items()}}

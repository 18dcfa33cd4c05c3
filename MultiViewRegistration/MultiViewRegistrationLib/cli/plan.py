"""`mvreg plan`: which further view would determine the pose best."""

from __future__ import annotations

import argparse
from dataclasses import replace

from ..api import register
from ..assessment.metrics import targets_of
from ..assessment.next_view import Plan, plan_bones, plan_view
from ..finding import check_structures, start_pose
from ..imaging.body import WHOLE
from ..io.case import Case
from ..registration.bone import Background
from ..registration.prepared_ct import PreparedCT, anatomies_of
from ..registration.register_bones import register_bones
from .options import Parser, add_one_case, add_progress, progress_of, tell

#: So many views are listed.
LISTED = 5


def add_plan(command: Parser) -> None:
    """Add the options of `mvreg plan`."""
    command.describe(
        _plan,
        "CASE [options]",
        "case.json",
        "case.json --at-start   # before anything is registered",
    )
    add = command.add_argument
    add_progress(command)
    add_one_case(command)
    add(
        "--at-start",
        action="store_true",
        help="plan at the case's start poses (default: at those that a registration finds)",
    )


def _plan(options: argparse.Namespace) -> dict:
    case = Case.load(options.case)
    bodies = case.bodies
    bones = case.structures
    names = bones.names
    check_structures(case)
    with progress_of(options, "Planning") as line:
        anatomy = PreparedCT(case.ct)
        anatomies = anatomies_of(bodies, anatomy)
        views = case.views
        verdict = ""
        plans: dict[str, Plan] = {}
        of_bones: dict[str, Plan] = {}
        if options.at_start:
            poses = [
                start_pose(replace(case, bodies=(body,)), own.centroid)
                for body, own in zip(bodies, anatomies, strict=True)
            ]
            if names:
                there = register_bones(Background.of(bones, anatomy, poses[0]), views, levels=())
                uses = dict.fromkeys(range(len(names)), case.use or "room")
                of_each = plan_bones(uses, there, views, case.shared_unknowns)
                of_bones = dict(zip(names, of_each, strict=True))
        else:
            result = register(case, anatomy=anatomy, progress=line)
            views = result.views
            verdict = f" The verdict on the pose: {result.verdict}."
            of_bones = {body.name: body.plan for body in result.together.bodies if body.plan}
            poses = [result.bodies[body.title].world_from_ct for body in bodies]
        for body, own, pose in zip(bodies, anatomies, poses, strict=True):
            targets, _ = targets_of(own, views, pose, None if plans else case.targets)
            plan = plan_view(own, views, pose, targets, case.shared_unknowns)
            plans[body.title] = plan
    plans |= of_bones
    first = next(iter(plans.values()))
    lines = [f"{name}: {each.sentence}" for name, each in plans.items()]
    lines[0] = f"{lines[0].removeprefix(f'{WHOLE}: ')}{verdict}"
    lines[1:1] = [f"  {each.words}: {each.error_mm:.2g} mm" for each in first.views[:LISTED]]
    tell(options, *lines)
    return first.to_json() | {"bodies": {name: each.to_json() for name, each in plans.items()}}

"""Writes simulated cases: python -m benchmarks make_cases OUT --anatomy pelvis --separation 90 35-55 --count 8"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from .people import ct_path
from .random_case import random_case
from .simulation.cases import Patient

#: What may be in X-rays, by its part of a case's name.
NUISANCES = {
    "round": "round field",
    **{name: name for name in ("straight", "shutters", "wires", "metal")},
}


def degrees(text: str) -> tuple[float, float]:
    """ "90" or "35-55" as (least, largest)."""
    low, _, high = text.partition("-")
    return float(low), float(high or low)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--anatomy", choices=("chest", "pelvis"), required=True)
    parser.add_argument("--ct", type=Path, help="another CT of that anatomy")
    parser.add_argument(
        "--separation",
        type=degrees,
        nargs="+",
        default=[(90.0, 90.0)],
        metavar="DEGREES",
        help="angles between the first view and the others, each 90 or 35-55; a set of cases for each",
    )
    parser.add_argument("--count", type=int, default=1, help="cases in a set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--views", type=int, choices=(1, 2, 3), default=2)
    parser.add_argument("--with", dest="hard", choices=NUISANCES, nargs="+", default=[])
    parser.add_argument("--truncated", choices=("sideways",), help="the CT ends within the body")
    args = parser.parse_args()

    drift = np.random.default_rng(args.seed).uniform(-0.2, 0.2, 2).tolist()
    patient = Patient(
        args.ct or ct_path(args.anatomy),
        args.anatomy == "chest",
        drift=drift,
    )
    for number, separation in enumerate(args.separation):
        for n in range(args.count):
            start = time.monotonic()
            seed = 10000 * args.seed + 100 * number + n
            angles = [f"{angle:g}" for angle in dict.fromkeys(separation)] if args.views > 1 else []
            hard = [*args.hard, *["truncated"] * bool(args.truncated)]
            name = "-".join([args.anatomy, f"{args.views}view", *angles, *hard, f"{n:02d}"])
            path = random_case(
                args.out / name,
                patient,
                seed,
                args.views,
                separation,
                [NUISANCES[each] for each in args.hard],
                bool(args.truncated),
            )
            print(f"{path} {time.monotonic() - start:.1f} s", flush=True)
    return 0

"""The likely cause of a poor fit, found by testing what may be wrong with the case.

The case is registered under each hypothesis at the two coarsest resolutions: from the pose that was
found, from the start, and from the pose of each view alone (if one view is at fault, another one
still shows where the CT is). A hypothesis holds if all X-rays resemble the CT under it and the
evidence is clearly higher than without it.

The likeliest kinds go first. The work does not depend on the clock: the same case gives the same
cause on any computer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..extensions import find, name_of, names
from ..imaging.xray import View
from .camera_causes import camera_cause
from .cause import MIN_EVIDENCE_GAIN, MIN_NCC, Cause
from .hypotheses import (
    Hypothesis,
    angle_hypotheses,
    half_turn,
    image_hypotheses,
    mirrored_ct,
    own_hypotheses,
    tube_hypotheses,
)
from .level_causes import ct_too_short, other_level, other_part
from .places import shares_at
from .trials import Trials

#: Of images, in which order they are tried, the likeliest first. Of what the same symmetry makes
#: alike the best is named.
KINDS = (
    ("mirrored", "mirrored ct", "half turn", "angle sign", "tube side"),
    ("inverted",),
    ("swapped",),
    ("upside down", "turned 180"),
    ("turned 90", "turned 270"),
)


@dataclass(eq=False)
class CauseSearch(Trials):
    """The search for the likely cause of a poor fit.

    Parameters
    ----------
    faults
        Own ones, which are tried beside those that installed packages register.
    """

    faults: Sequence[type] = ()

    def cause(self, *, placed: bool = False) -> Cause | None:
        """Return the first cause that holds; None if no hypothesis explains the fit.

        Takes and raises what `causes` does.
        """
        return next((cause for cause in self.causes(placed=placed) if cause.holds), None)

    def causes(self, *, placed: bool = False) -> Iterator[Cause]:
        """Yield the likeliest cause of each kind, whether it holds or not.

        Of the images (KINDS), own ones, the cameras, the level, the part.

        Parameters
        ----------
        placed
            Most tiles of each X-ray are in place (`places.carried_risk`): no image is at fault, and
            no other part of the CT is shown.

        Raises
        ------
        Cancelled
            `progress` returned False.
        """
        alone = self.alone()
        coarse = self.coarse(self.tied, [self.pose, self.start, *alone.values()])
        here = self.best_refined(self.tied, coarse)
        evidence = here.fit.evidence if here else 0.0
        least = coarse[0].fit.evidence if coarse else 0.0
        every = [*angle_hypotheses(self.tied), *tube_hypotheses(self.tied)]
        every += [of_ct(self.tied, self.anatomy.centroid) for of_ct in (mirrored_ct, half_turn)]
        if not placed:
            every += image_hypotheses(self.tied)
        alike = here and min(here.fit.similarity) >= MIN_NCC  # as no image but a mirrored one
        kinds = KINDS[:1] if alike else KINDS
        groups = [[each for each in every if each.cause in causes] for causes in kinds]
        given = [name_of("fault", fault) for fault in self.faults]
        own = [find("fault", name)() for name in dict.fromkeys([*given, *names("fault")])]
        groups += [list(own_hypotheses(self.tied, fault)) for fault in own]
        signs = []
        by_places = []
        for group in groups:
            likeliest = self._of_images(group, alone, least, evidence)
            if likeliest is None:
                continue
            if likeliest.in_place and likeliest.holds:  # by less than a likeness: others may, too
                by_places.append(likeliest)
            elif likeliest.cause == "angle sign":  # other faults of cameras may explain it better
                signs.append(likeliest)
                if likeliest.holds:
                    break
            else:
                yield likeliest
        if by_places:
            yield max(by_places, key=lambda cause: cause.gain)
        if cause := camera_cause(self, alone, evidence, signs):
            yield cause
        if here and (cause := other_level(self, here)):
            yield cause
        if not placed and (cause := other_part(self, evidence)):
            yield cause
        if cause := ct_too_short(self):
            yield cause

    def _of_images(
        self, group: list[Hypothesis], alone: dict[str, np.ndarray], least: float, evidence: float
    ) -> Cause | None:
        """Return the likeliest of a group, if at the coarsest resolution it tells more than `least`, the evidence there as things are."""
        tried = []
        for each in group:
            unharmed = [
                pose for name, pose in alone.items() if each.about and name not in each.about
            ]
            poses = [each.pose(pose) for pose in (self.start, *unharmed)]
            tried.append((self.coarse(each.views, poses, search=not unharmed), each))
        better = [
            (minima, each) for minima, each in tried if minima and minima[0].fit.evidence > least
        ]
        runs = [(self.best_refined(each.views, minima), each) for minima, each in better]
        refined = [(run, each) for run, each in runs if run]
        if not refined:
            return None
        run, each = max(refined, key=lambda pair: pair[0].fit.evidence)
        cause = Cause.of_run(each.cause, each.about, each.sentence, run, evidence)
        unlike = cause.gain >= MIN_EVIDENCE_GAIN and not cause.clear
        return replace(
            cause,
            in_place=self._in_place(each.views, run.world_from_ct) if unlike else (),
            world_from_ct=each.pose(cause.world_from_ct),
            corrected_from_ct=each.corrected_from_ct,
        )

    def _in_place(self, views: list[View], pose: np.ndarray) -> tuple[float, ...]:
        """Return the share of each view's tiles in place at the second resolution, 0 where unknown."""
        level = self.anatomy.levels(views, self.start)[1]
        objective = self.anatomy.objective(views, level, pose)
        return tuple(np.nan_to_num(shares_at(objective, pose)).tolist())

"""The likely cause of a poor fit, found by testing what may be wrong with the case.

The case is registered under each hypothesis at the two coarsest resolutions: from the pose that was
found, from the start, and from the pose of each view alone (if one view is at fault, another one
still shows where the CT is). A hypothesis holds if all X-rays resemble the CT under it and the
evidence is clearly higher than without it.

The likeliest kinds go first. The work does not depend on the clock: the same case gives the same
cause on any computer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..extensions import find, name_of, names
from ..geometry import rigid
from ..imaging.xray import View
from ..registration.cameras import OWN, CameraCorrections
from ..registration.objective import PoseFit
from ..registration.optimizer import (
    KEEP_AFTER_FINER,
    Descent,
    DescentStart,
    cluster_minima,
    pose_difference,
    prune,
)
from ..registration.pipeline import TRIED_STEPS, RegistrationPipeline
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import MIN_PIXELS
from .hypotheses import (
    MIN_EVIDENCE_GAIN,
    MIN_NCC,
    TURNS,
    Cause,
    Hypothesis,
    Trials,
    angle_hypotheses,
    camera_hypotheses,
    evidence_gain,
    half_turn,
    image_hypotheses,
    mirrored_ct,
    own_hypotheses,
    pixel_mm,
    tube_hypotheses,
)
from .parts import shares_at

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
            Most tiles of each X-ray are in place (`parts.carried_risk`): no image is at fault, and
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


#: Spacings of vertebrae, and how far from the CT's axis a shift by one may point; so many of them go
#: on after a few steps.
LEVELS_MM = (20.0, 30.0, 40.0)
ALONG = np.cos(np.radians(30))
LEVELS_TRIED = 2
#: A shift along the body of at least this is another level, if turned by no more.
LEAST_LEVEL_MM = 10.0
MOST_TURN_DEG = 10.0
#: How far along the body the start may be off, where the X-rays show another part of it than the
#: start says.
FAR_MM = (60.0, 90.0, 120.0, 150.0, 180.0)
#: Where more of a view's field than this sees beyond the cut ends of the CT, the CT is too short.
MOST_BEYOND = 0.5


def other_level(trials: Trials, here: Descent) -> Cause | None:
    """Return a pose shifted along the CT's long axis, by about a vertebra, that fits as well as `here`."""
    registration = trials.registration(trials.tied)
    minima: list[Descent] = []
    for mm in LEVELS_MM:
        starts = [DescentStart(_shifted(trials.pose, side * mm)) for side in (1, -1)]
        ends = registration.descend(1, starts, TRIED_STEPS)
        minima = cluster_minima(minima, ends, trials.anatomy.centroid)
    evidence = here.fit.evidence
    for run in registration.descend(1, minima[:LEVELS_TRIED]) if minima else ():
        length, along, degrees = _distance(trials, run, trials.pose)
        if length >= LEAST_LEVEL_MM and abs(along) >= ALONG * length and degrees <= MOST_TURN_DEG:
            better = evidence_gain(run, evidence) > MIN_EVIDENCE_GAIN
            sentence = (
                f"The CT may be registered to the wrong vertebra\n: moved by {length:.0f} mm "
                f"towards the {_end(along)}, it fits {'better' if better else 'about as well'}. "
                "Count the levels."
            )
            return Cause.of_run("level", (), sentence, run, evidence)
    return None


def other_part(trials: Trials, evidence: float) -> Cause | None:
    """Return the best pose farther along the CT's long axis, from the start.

    Where nothing fits the answer may be turned any way.
    """
    length_mm = np.ptp(trials.anatomy.corners()[:, 2])
    poses = [
        _shifted(trials.start, side * mm) for mm in FAR_MM if mm < length_mm for side in (1, -1)
    ]
    run = trials.best_refined(trials.tied, trials.coarse(trials.tied, poses))
    if run is None:
        return None
    length, along, _ = _distance(trials, run, trials.start)
    if abs(along) < max(ALONG * length, FAR_MM[0] / 2):
        return None
    sentence = (
        "The X-rays show another part of the CT than the start says\n: moved by "
        f"{length:.0f} mm towards the {_end(along)}, the CT fits. Check the start."
    )
    return Cause.of_run("part", (), sentence, run, evidence)


def ct_too_short(trials: Trials) -> Cause | None:
    """Return the view with the largest share beyond the cut ends of the CT, if that is most of it."""
    projector = trials.anatomy.projector(trials.anatomy.picture_level)
    beyond = {
        view.name: float(np.mean(projector.seen(view.camera, trials.pose)[view.xray.valid] == 0))
        for view in trials.tied
        if view.xray.valid.any()
    }
    name = max(beyond, key=beyond.__getitem__, default="")
    if not name or beyond[name] < MOST_BEYOND:
        return None
    sentence = (
        f"The CT is too short, or {name} shows another part of the body\n: "
        f"{100 * beyond[name]:.0f} % of this X-ray lies beyond the ends of the CT."
    )
    similarity = tuple(trials.found.fit.similarity)
    return Cause("short", (name,), sentence, 1.0, similarity, trials.pose)


def _distance(trials: Trials, run: Descent, pose: np.ndarray) -> tuple[float, float, float]:
    """Return the distance of a pose from another one (4, 4).

    Mm, mm along the CT's long axis towards the head, degrees.
    """
    centroid = trials.anatomy.centroid
    mm, degrees = pose_difference(run.world_from_ct, pose, centroid)
    here, there = (rigid.transform_points(each, centroid) for each in (run.world_from_ct, pose))
    return mm, float((here - there) @ pose[:3, 2]), degrees


def _shifted(pose: np.ndarray, mm: float) -> np.ndarray:
    """Return a pose (4, 4) moved along the CT's long axis."""
    return rigid.translation(mm * pose[:3, 2]) @ pose


def _end(along: float) -> str:
    return "head" if along > 0 else "feet"


#: One unknown number that explains nearly as much as six is the likelier cause.
SIMPLER_CAUSE_RATIO = 0.97
#: A distance or an angle that comes out nearer to what was given was no fault.
LEAST_SHARE = 0.01
LEAST_DEG = 0.5
LEAST_MM = 1.5
#: A principal point, mm on the detector, or a CT's scale that comes out nearer to what was given
#: was no fault; nor is one within so many standard deviations of what the case says.
LEAST_PRINCIPAL_POINT_MM = 1.5
LEAST_SCALE = 0.01
STATED_SDS = 3.0
#: By these shares a CT's slice spacing is tried, about 0 and about the best so far; what lies
#: between follows from a parabola.
SPACING_STEPS = (0.03, 0.01)
#: Rounds at the second resolution in which cameras are found, the last of them one by which the
#: evidence grows by less than this factor.
ROUNDS = 3
SETTLED = 1.002
#: All faults of cameras are tried by a few steps first. If the evidence has grown by LEAST_GAIN under
#: any, those go on under which it has grown by the largest such gain to the power of PROMISING, and
#: every X-ray's NCC lacks at most NEARLY of MIN_NCC.
LEAST_GAIN = 1.02
PROMISING = 0.5
NEARLY = 0.05


def camera_cause(
    trials: Trials, alone: dict[str, np.ndarray], evidence: float, signs: Sequence[Cause]
) -> Cause | None:
    """Return the likeliest fault of cameras or of the CT's scale.

    Of those that explain nearly as much as any, it is that with the fewest unknowns. A CT's
    scale and a distance explain nearly the same: of cameras that are known well it is the CT's.

    Parameters
    ----------
    alone
        (4, 4) pose of each view alone, by its name.
    evidence
        Of the pose that was found.
    signs
        Causes of wrong signs of angles, which have no unknowns.
    """
    causes = [(0, cause) for cause in signs]
    size_share = 0.0
    for each, registration, minima in _promising(trials, alone, evidence):
        best = _several_rounds(registration, minima)
        if best is None:
            continue
        of_all = each.cause == "distance" and not each.about
        if of_all and not _rows_in_mm(trials):
            size_share = _distance_share(each, best)
        if words := _camera_in_words(trials, each, best):
            sentence = f"{each.sentence} {words}. {each.advice}".strip()
            cause = Cause.of_run(each.cause, each.about, sentence, best, evidence)
            unknowns = len(CameraCorrections(each.views, each.shared).free)
            causes.append((unknowns, replace(cause, size_share=size_share) if of_all else cause))
    calibrated = all(view.distance_sd_percent < 100 * LEAST_SHARE for view in trials.tied)
    scales = [(1, cause) for cause in _of_scale(trials, evidence, size_share)]
    causes = [*scales, *causes] if calibrated else [*causes, *scales]
    most = max((cause.gain for _, cause in causes), default=0.0)
    likely = [pair for pair in causes if pair[1].gain >= SIMPLER_CAUSE_RATIO * most]
    return min(likely, key=lambda pair: pair[0])[1] if likely else None


def _promising(
    trials: Trials, alone: dict[str, np.ndarray], evidence: float
) -> list[tuple[Hypothesis, RegistrationPipeline, list[Descent]]]:
    """Return the faults of cameras that may be the cause, with where a few steps lead."""
    tried = []
    for each in camera_hypotheses(trials.tied, trials.shared):
        registration = trials.registration(each.views, each.shared)
        nothing = CameraCorrections(each.views, each.shared).none
        starts = [DescentStart(trials.pose, corrections=nothing)]
        if each.cause == "motion":
            starts += _where_each_view_has_it(each.views, alone)
        elif each.cause == "distance" and not each.about:
            starts.append(DescentStart(trials.start, corrections=nothing))
        minima = registration.descend(1, starts, TRIED_STEPS)
        if minima:
            tried.append((each, registration, minima))
    most = max((evidence_gain(minima[0], evidence) for *_, minima in tried), default=0.0)
    if most < LEAST_GAIN:
        return []
    return [
        (each, registration, minima)
        for each, registration, minima in tried
        if evidence_gain(minima[0], evidence) >= most**PROMISING
        and min(minima[0].fit.similarity) >= MIN_NCC - NEARLY
    ]


def _where_each_view_has_it(views: list[View], alone: dict[str, np.ndarray]) -> list[DescentStart]:
    """Return the pose of each other view alone, with the corrections that give the last view the same pose."""
    *others, last = (alone.get(view.name) for view in views)
    starts = []
    for pose in others:
        if pose is not None and last is not None:
            motion = last @ rigid.inverse(pose)
            own = [*rigid.log_so3(motion[:3, :3]), *motion[:3, 3]]
            corrections = np.array([0.0] * OWN * len(others) + own + [0.0] * (OWN - 6 + 6))
            starts.append(DescentStart(pose, corrections=corrections))
    return starts


def _several_rounds(
    registration: RegistrationPipeline,
    starts: Sequence[DescentStart | Descent],
    rounds: int = ROUNDS,
) -> Descent | None:
    """Return the best minimum at the second resolution."""
    minima = registration.descend(1, starts)
    for _ in range(rounds - 1):
        if not minima:
            break
        before = minima[0].fit.evidence
        minima = registration.descend(1, prune(minima, *KEEP_AFTER_FINER)[0])
        if minima and minima[0].fit.evidence < SETTLED * before:
            break
    return minima[0] if minima else None


def _of_scale(trials: Trials, evidence: float, size_share: float) -> Iterator[Cause]:
    """Yield that the CT's slice spacing is wrong, or its scale, by about what the distance to the detector would be wrong by.

    The rows of a slot scan tell the one from the other.
    """
    apart = np.array([0, 0, 1])
    whole = np.ones(3)
    spacing = _share(trials, apart, evidence)
    check = "how it was exported, and the distance to the detector"
    if _rows_in_mm(trials):
        size_share = _share(trials, whole, evidence)
        check = "how it was exported"
    for kind, what, share, axes in (
        ("slice spacing", "slice spacing", spacing, apart),
        ("ct scale", "scale", size_share, whole),
    ):
        if abs(share) < max(LEAST_SCALE, _stated(trials, "distance_sd_percent") / 100):
            continue
        run = _scaled(trials, share * axes, rounds=ROUNDS)
        if run is None:
            continue
        words = f"{100 * abs(share):.1f} % {'larger' if share > 0 else 'smaller'}"
        sentence = f"The CT's {what} seems to be wrong\n: {words}, it fits. Check {check}."
        corrected = trials.anatomy.scaled(share * axes).corrected_from_ct
        cause = Cause.of_run(kind, (), sentence, run, evidence)
        yield replace(cause, corrected_from_ct=corrected)


def _rows_in_mm(trials: Trials) -> bool:
    """Return whether a view's rows are mm apart wherever the CT lies, as a slot scan's are."""
    return any(view.camera.is_slot_scan for view in trials.tied)


def _share(trials: Trials, axes: np.ndarray, evidence: float) -> float:
    """Return by what share the CT fits best when it is larger along these axes (3,)."""
    share = 0.0
    for step in SPACING_STEPS:
        tried = [_scaled(trials, (share + side * step) * axes) for side in (-1, 0, 1)]
        share += _vertex(step, *(evidence_gain(run, evidence) if run else 0.0 for run in tried))
        if abs(share) < LEAST_SCALE / 2:
            break
    return share


def _scaled(trials: Trials, shares: np.ndarray, rounds: int = 1) -> Descent | None:
    """Return the best pose of the CT with its voxels larger by these shares (3,), from the pose that was found."""
    registration = trials.registration(trials.tied, anatomy=trials.anatomy.scaled(shares))
    return _several_rounds(registration, [DescentStart(trials.pose)], rounds)


def _vertex(step: float, below: float, here: float, above: float) -> float:
    """Return where a parabola through three values at -step, 0 and step has its maximum, at most 2 steps off.

    Where it has none, return the best of the three.
    """
    bend = below - 2 * here + above
    if bend >= 0:
        return step if above > below else -step
    return float(np.clip(step * (below - above) / (2 * bend), -2 * step, 2 * step))


def _distance_share(each: Hypothesis, run: Descent) -> float:
    """Return by what share a distance from source to detector comes out longer."""
    own = run.corrections[:-6].reshape(-1, OWN)
    return float(own[:, 6].sum() + run.corrections[-6] / each.views[0].camera.focal_px)


def _camera_in_words(trials: Trials, each: Hypothesis, run: Descent) -> str:
    """Describe how the cameras differ from the given ones.

    "" if by too little to be the cause.
    """
    own = run.corrections[:-6].reshape(-1, OWN)
    if each.cause == "distance":
        share = _distance_share(each, run)
        if abs(share) < max(LEAST_SHARE, _stated(trials, "distance_sd_percent") / 100):
            return ""
        return f"{100 * abs(share):.1f} % {'longer' if share > 0 else 'shorter'}, the X-rays fit"
    if each.cause == "principal point":
        column, row = own[-1, 7:9]
        least = LEAST_PRINCIPAL_POINT_MM / pixel_mm(each.views[-1])
        if np.hypot(column, row) < max(least, _stated(trials, "principal_point_sd_px")):
            return ""
        return f"moved by {column:.0f} columns and {row:.0f} rows, the X-rays fit"
    motion = rigid.turn_and_shift(own[-1, :3], own[-1, 3:6])
    there = rigid.transform_points(run.world_from_ct, trials.anatomy.centroid)
    mm = float(np.linalg.norm(rigid.transform_points(motion, there) - there))
    degrees = float(np.degrees(np.linalg.norm(own[-1, :3])))
    if degrees < LEAST_DEG and mm < LEAST_MM:
        return ""
    return f"with the CT {mm:.1f} mm and {degrees:.1f} degrees elsewhere in it, the X-rays fit"


def _stated(trials: Trials, key: str) -> float:
    """Return how far off the case says that the cameras may be."""
    return STATED_SDS * max(getattr(view, key) for view in trials.tied)


#: Local NCC at the scanner's pose: of a head's scouts 0.70 and 0.74, of the same 6 mm away 0.08 and
#: 0.16 (docs/scouts.md).
LEAST_NCC = 0.3
TURNED_NCC = 0.6


def misfits(anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray) -> list[str]:
    """Return a sentence for each view that does not show the CT at the scanner's pose (4, 4).

    Raises
    ------
    InputError
        For a view that shows it once its image is mirrored or turned back.
    """
    sentences = []
    for view in views:
        fit = anatomy.fit([view], world_from_ct, world_from_ct)
        if fit.shown[0] < MIN_PIXELS:
            sentences.append(
                f"{view.name} shows hardly anything of the CT where the scanner has it."
            )
            continue
        turned = {words: _fit(anatomy, view, world_from_ct, back) for words, back in TURNS.values()}
        words, best = max(turned.items(), key=lambda each: each[1].evidence if each[1] else 0.0)
        if (
            best
            and best.min_similarity > TURNED_NCC
            and best.evidence > MIN_EVIDENCE_GAIN * fit.evidence
        ):
            raise InputError(
                f"{view.name}: its image is {words} against its header, expected it as the scanner "
                "stored it: turned back, it shows the CT where the scanner has it; export it "
                "again."
            )
        if fit.min_similarity < LEAST_NCC:
            sentences.append(
                f"{view.name} does not show the CT where the scanner has it (local NCC "
                f"{fit.min_similarity:.2f}): the patient moved, or it is of another patient or "
                "part, cropped, mirrored or turned."
            )
    return sentences


def _fit(
    anatomy: PreparedCT, view: View, pose: np.ndarray, back: Callable[[np.ndarray], np.ndarray]
) -> PoseFit | None:
    """Return the fit of a view whose image is turned back; None where that has another size."""
    turned = view.turned(back)
    return None if turned is None else anatomy.fit([turned], pose, pose)

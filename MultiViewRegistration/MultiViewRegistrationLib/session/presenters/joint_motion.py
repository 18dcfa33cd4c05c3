"""How two bones lie to each other, and along which axes."""

from __future__ import annotations

from functools import partial

from ...assessment.joint_motion import in_words
from ...errors import InputError
from ...translation import _
from ..bones import CT_AXES, BonePair
from .form import Choice, Form, Option, Table, Text, choose_among, group, line
from .section import Presenter, node_options


class JointMotionPresenter(Presenter):
    """How two bones lie to each other: which, in which frame, six numbers and words."""

    def form(self) -> Form:
        """Return the controls."""
        bones = self.session.bones
        names = [each.name for each in bones.states() if each.own]
        if len(names) < 2:
            return []
        options = choose_among((name, name) for name in names)
        pair = bones.pair
        lists = bones.frames()
        principal = _("principal axes of {name}").format(name=pair.fixed or _("the bone"))
        first, *points = node_options(principal, lists)
        frames = (first, Option(CT_AXES, _("the axes of the CT")), *points)
        return [
            group(
                "motion_of_bones",
                self._title(pair),
                *(
                    Choice(
                        f"pair_{key}",
                        title,
                        partial(self._choose, key),
                        value=getattr(pair, key),
                        options=choices,
                        tip=tip,
                    )
                    for key, title, choices, tip in (
                        ("moving", _("Moving"), options, _("The upper vertebra, or the far bone.")),
                        ("fixed", _("Against"), options, _("The bone that counts as fixed.")),
                        (
                            "frame",
                            _("Along"),
                            frames,
                            _(
                                "A list of three points can be a frame: the origin, one along the "
                                "first axis, one to the side of the second. With a CT for each "
                                "bone, one under the moving bone's transform gives its axes."
                            ),
                        ),
                    )
                ),
                *self._numbers(),
                open=bool(pair.fixed and pair.moving),
            )
        ]

    def _title(self, pair: BonePair) -> str:
        if not (pair.fixed and pair.moving):
            return _("Motion of two bones")
        return _("Motion of {moving} against {fixed}").format(moving=pair.moving, fixed=pair.fixed)

    def _numbers(self) -> Form:
        pair = self.session.bones.pair
        try:
            motion = self.session.bones.motion()
        except InputError as error:
            return [Text("motion_problem", str(error), tone="error")]
        if motion is None:
            return []
        by_points = pair.frame not in ("", CT_AXES)
        axes = ("1", "2", "3") if by_points else (_("to the left"), _("to the back"), _("up"))
        rows = zip(axes, motion.rotation_deg, motion.shift_mm, strict=True)
        title = _("{moving} against {fixed}, since the CT.")
        words = [] if by_points else in_words(motion, pair.moving)
        if pair.moving in self.registration.apart:  # no CT says how it lay before
            title = _("The axes and the middle of {moving}, from those of {fixed}.")
            words = []
        title = title.format(moving=pair.moving, fixed=pair.fixed)
        return [
            Text("motion_now", " ".join([title, ", ".join(words)]), tone="strong"),
            Table(
                "six",
                _("Six numbers"),
                columns=(_("Axis"), _("Turn (\u00b0)"), _("Shift (mm)")),
                lines=tuple(
                    line(axis, axis, _number(turn), _number(shift)) for axis, turn, shift in rows
                ),
            ),
        ]

    def _choose(self, key: str, value: str) -> None:
        bones = self.session.bones
        bones.pair = bones.pair._replace(**{key: value})


def _number(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}"  # not -0

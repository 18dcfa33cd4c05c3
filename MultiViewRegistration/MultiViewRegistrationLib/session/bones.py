"""Bones at poses of their own: their surfaces and outlines, what is known of each, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..assessment.bodies import BodyResult
from ..assessment.joint_motion import (
    JointMotion,
    frame_of_points,
    joint_motion,
    joint_pose,
    principal_axes,
)
from ..assessment.records import RELIABILITY, Verdict
from ..errors import InputError
from ..geometry import rigid
from ..imaging.body import Body, Structures
from ..imaging.bone_names import vertebra
from ..imaging.field import nearest
from ..io.placement import sees
from ..mrml import ct_3d, overlay
from ..mrml import ct_3d as scene_bones
from ..mrml.ct_3d import Places, SceneBone, bones_of
from ..mrml.nodes import (
    Colour,
    array_of,
    box_in_labelmap,
    in_time,
    is_under,
    lps_from_ras,
    nodes_of_class,
    place_of_voxels,
    placed,
    positions,
    ras_from_lps,
    segments_of,
    transform_to_ras,
)
from ..mrml.structures import (
    LABELMAP,
    MISFIT_COLOUR,
    TESTED_COLOUR,
    KnownOutlines,
    Outline,
    Shape,
    shape_of,
)
from ..mrml.targets import show_targets
from ..mrml.xray import DetectorPlane
from ..report.messages import cautions, in_mm, sentences
from ..translation import _
from .marks import IN_PLACE_COLOUR, TargetRing, marks_of, target_rings
from .parts import Parts
from .tasks import BackgroundValue

if TYPE_CHECKING:
    from .session import Session

#: Seconds between two looks at whether the result still stands, and at names and colours.
CHECK_S = 0.3
#: The share of a line that lies in a bone which it moves with, at least.
LEAST_INSIDE = 0.25


@dataclass(frozen=True)
class BoneState:
    """A bone as it is now.

    Attributes
    ----------
    colour
        Red, green, blue from 0 to 1.
    own
        Whether it has a pose of its own; else it lies as the CT does.
    mm, degrees
        Displacement and rotation against the pose of the whole CT; None for a bone with a separate
        CT.
    verdict
        Verdict on its 3D position; None if it was not registered here, or was moved since.
    verdict_in_words
        As of `HistoryEntry.verdict_of`; "" without a verdict.
    error_mm
        Expected error of its 3D position; None if unknown, or if it must not be used.
    reasons
        The message about each finding that limits its verdict.
    """

    name: str
    colour: Colour
    own: bool = True
    mm: float | None = 0.0
    degrees: float | None = 0.0
    verdict: Verdict | None = None
    verdict_in_words: str = ""
    error_mm: float | None = None
    reasons: tuple[str, ...] = ()


#: The frame of the CT's own axes, among those of a pair.
CT_AXES = "ct"


class BonePair(NamedTuple):
    """Two bones whose motion is measured.

    Attributes
    ----------
    fixed, moving
        Their names; "" for none.
    frame
        The ID of a list of three points; CT_AXES; "" for the principal axes of the fixed bone.
    """

    fixed: str = ""
    moving: str = ""
    frame: str = ""


class Bones:
    """The bones of a session's registration.

    `update` makes surfaces in a thread, and keeps true what the scene has of them.

    Attributes
    ----------
    parts
        What is drawn of CT and bones.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._registration = session.registration
        self._history = session.history
        self._shapes = BackgroundValue()
        self._marks = BackgroundValue()
        self.parts = Parts(session)
        self._checked = -CHECK_S
        self._moved = False
        self._of = self._stands = ""
        self._colours: dict[str, Colour] = {}
        self._ghost: tuple[bool, bool] | None = None
        self._pair: BonePair | None = None
        self._outlines = KnownOutlines()
        self._rings: list[TargetRing] = []
        self._ringed = ""

    def update(self) -> None:
        """Follow segments and result; call it from a timer."""
        moved = self._history.moved
        if moved != self._moved or monotonic() - self._checked > CHECK_S:
            self._moved = moved
            self._look()
        if self._of:
            self._shapes.update(self._of, lambda: partial(surfaces, self._session.bodies()))
            self._dress()
        self.parts.update(self._of)
        if self._stands:
            self._marks.update(self._stands, self._make_marks)

    def _look(self) -> None:
        """See which bones there are, and whether the result stands."""
        registration = self._registration
        self._checked = monotonic()
        self._colours = scene_bones.named_bones(registration)
        there = bones_of(registration)
        self._of = self._session.of_structures if self._colours and there else ""
        self._stands = self._standing()
        if self._stands != self._ringed:
            entry = self._history.current
            self._ringed = self._stands
            self._rings = target_rings(entry) if self._stands and entry else []
            doubtful = [ring for ring in self._rings if ring.colour != IN_PLACE_COLOUR]
            show_targets(registration, {ring.number: ring.point_mm for ring in doubtful})
        if self._of and any(bone.surface is not None for bone in there.values()):
            self._take_lines_along()
        ghost = bool(there), ct_3d.surface_is_current(registration)
        if ghost != self._ghost:
            ct_3d.fade_surface(registration, ghost[0])
            self._ghost = ghost

    # Which there are

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the bones that were chosen, in the order of their segments."""
        return tuple(scene_bones.named_bones(self._registration))

    @property
    def chosen(self) -> str:
        """The name of the bone that a person sees and moves; "" for none."""
        name = scene_bones.chosen_bone(self._registration)
        return name if name in self.names else ""

    @property
    def by_hand(self) -> list[str]:
        """The names of the bones with poses of their own that were moved from where they were registered.

        An implant that was added since is not registered yet.
        """
        added = self._history.added_implants
        own = [each for each in self.states() if each.own and each.name not in added]
        return [each.name for each in own if each.verdict is None]

    @property
    def moving(self) -> SceneBone | None:
        """The bone that a hand moves; None where it moves the whole CT."""
        return scene_bones.moved_bone(self._registration)

    @property
    def moving_name(self) -> str:
        """The name of the bone that a hand moves; "" where it moves the whole CT."""
        return "" if self.moving is None else self.moving.name

    def separate(self) -> None:
        """Have each bone lie by itself, those that do not yet where the CT lies."""
        there = scene_bones.places_of(self._registration)
        scene_bones.put_bones(
            self._registration, {name: there.get(name, there[""]) for name in self.names}
        )

    def join(self) -> None:
        """Have all bones lie as the CT does: they move with it as one body."""
        self._history.note_here()
        scene_bones.put_bones(self._registration, {})
        self._history.note("one body")

    def put_back(self, name: str) -> None:
        """Put a bone back to where it was registered last.

        Raises
        ------
        InputError
            For one that never was.
        """
        history = self._history
        for entry in reversed(history.entries):
            if name in entry.bodies and entry.bodies[name].verdict is not None:
                history.note_here()
                places = scene_bones.places_of(self._registration)
                places[name] = entry.bone_poses[name]
                places.pop("")
                scene_bones.put_bones(self._registration, places)
                history.note("by hand")
                return
        raise InputError(
            _("{name}: was not registered yet, expected a pose to go back to; register it."),
            name=name,
        )

    def extent(self, name: str) -> np.ndarray | None:
        """Return the corners (8, 3), world LPS mm, of the box about a bone where it is now.

        None where its segment cannot be used.
        """
        try:
            bodies = self._session.bodies()
        except InputError:
            return None
        body = next((body for body in bodies if name in body.bone_names), None)
        if body is None:
            return None
        volume = body.ct.volume
        ends = [(-0.5, count - 0.5) for count in volume.size]
        if name in body.bones.names:
            box = body.bones.boxes[body.bones.names.index(name)]
            ends = [(side.start - 0.5, side.stop - 0.5) for side in box[::-1]]
        corners = rigid.grid_points(*ends)
        places = scene_bones.places_of(self._registration)
        world_from_index = places.get(name, places[""]) @ volume.ct_from_index
        return rigid.transform_points(world_from_index, corners)

    def segments_in_xrays(self) -> set[str] | None:
        """Return the IDs of the segments that any X-ray shows where the CT is now; None where nothing says where that is."""
        registration = self._registration
        cameras = [view.camera for view in registration.placed_xrays]
        if not (cameras and self._session.placed):
            return None
        found = set()
        ct_from_segmentation = registration.ct_from_segmentation
        world_from_ct = registration.world_from_ct
        for segment_id, segment in segments_of(registration.segmentation).items():
            labelmap = segment.GetRepresentation(LABELMAP)
            box = labelmap and box_in_labelmap(labelmap, segment.GetLabelValue())
            if not box:
                continue
            place = ct_from_segmentation @ place_of_voxels(labelmap)
            low = np.array([side.start - 0.5 for side in box[::-1]])
            high = np.array([side.stop - 0.5 for side in box[::-1]])
            world_from_index = world_from_ct @ lps_from_ras(place)
            if any(sees(camera, world_from_index, low, high) for camera in cameras):
                found.add(segment_id)
        return found

    # What is known of each

    def states(self) -> list[BoneState]:
        """Return what is known of each bone, in the order of the segments."""
        registration = self._registration
        entry = self._history.current
        places = scene_bones.places_of(registration)
        there = bones_of(registration)
        known = {} if entry is None else entry.as_checked.bodies
        states = []
        for name, colour in scene_bones.named_bones(registration).items():
            moves = name not in registration.apart  # of those no CT says how they lay before
            state = _state(name, colour, places, there.get(name), known.get(name), moves)
            if entry is not None and state.verdict:
                state = replace(state, verdict_in_words=entry.verdict_of(name) or "")
            states.append(state)
        return states

    def summary(self) -> str:
        """Return the state of the target in the greatest doubt, and of the chosen bone, in a few words; "" for none."""
        beside = scene_bones.beside_targets(self._registration)
        own = [each for each in self.states() if each.own]
        worst = max(
            (each for each in own if each.name not in beside),
            key=lambda each: (
                RELIABILITY.index(each.verdict),
                np.inf if each.error_mm is None else each.error_mm,
            ),
            default=None,
        )
        chosen = self.chosen
        if worst is None:
            return ""
        if worst.verdict is None:
            return _("{name}: not registered").format(name=worst.name)
        of_chosen = next((each for each in own if each.name == chosen != worst.name), None)
        # Without a whole CT the answer's own words are those of its worst bone.
        of_worst = worst.name if worst.mm is None else _in_words(worst)
        said = [_("worst bone {bone}").format(bone=of_worst)]
        if of_chosen is not None:
            said.append(_("chosen {bone}").format(bone=_in_words(of_chosen)))
        return " \u00b7 ".join(said)

    # How two of them have moved against each other

    @property
    def pair(self) -> BonePair:
        """The two whose motion is measured; of two bones these, as long as none were chosen."""
        own = sorted(bones_of(self._registration), key=lambda name: -(vertebra(name) or 0))
        if self._pair is None and len(own) == 2:
            return BonePair(*own)
        return self._pair or BonePair()

    @pair.setter
    def pair(self, pair: BonePair) -> None:
        self._pair = pair

    def frames(self) -> list[Any]:
        """Return the lists of three points that can be an anatomical frame, markups nodes."""
        scene = self._registration.scene
        lists = nodes_of_class("vtkMRMLMarkupsFiducialNode", scene)
        return [node for node in lists if len(placed(node)) == 3 and not node.GetHideFromEditors()]

    def ct_from_frame(self) -> np.ndarray:
        """Return the chosen anatomical frame (4, 4), LPS mm, to the CT.

        Raises
        ------
        InputError
            Where points on one line are to be one, and before the surfaces are made.
        """
        fixed = self.pair.fixed
        node = next((each for each in self.frames() if each.GetID() == self.pair.frame), None)
        bone = bones_of(self._registration).get(fixed)
        pose = self._registration.world_from_ct
        if bone is not None and (fixed in self._registration.apart or _goes_with(node, bone)):
            pose = bone.world_from_ct
        return self._axes(fixed, node, pose)

    def _axes(self, name: str, node: Any, world_from_ct: np.ndarray) -> np.ndarray:
        """Return the frame (4, 4) of three points in the CT at a pose; without any, the axes of the CT or of a bone, as was chosen."""
        if node is not None:
            points = lps_from_ras(positions(node))
            return frame_of_points(rigid.transform_points(rigid.inverse(world_from_ct), points))
        return np.eye(4) if self.pair.frame == CT_AXES else principal_axes(self._points(name))

    def motion(self) -> JointMotion | None:
        """Return how the moving bone of the pair lies to the fixed one now, against how it does in the CT.

        Of bones with a CT each, how its own axes lie to the frame. In a tracked frame with the
        bounds of its errors. None without a pair.

        Raises
        ------
        InputError
            As `ct_from_frame`.
        """
        places = scene_bones.places_of(self._registration)
        if not self.pair.fixed or not self.pair.moving:
            return None
        fixed, moving = (places.get(name, places[""]) for name in self.pair[:2])
        frame = self.ct_from_frame()
        middle = self.middle(self.pair.moving)
        if self.pair.moving in self._registration.apart:
            own = rigid.from_rotation_translation(self._own_axes()[:3, :3], middle)
            motion = joint_pose(fixed, moving, frame, own)
        else:
            motion = joint_motion(fixed, moving, frame, middle)
        shown = self._session.sequence.frame
        tracked = shown.bones if shown else {}
        if not {*self.pair[:2]} <= tracked.keys():
            return motion
        of_fixed, of_moving = (tracked[name].pose_error for name in self.pair[:2])
        if of_fixed is None or of_moving is None:
            return motion
        place = rigid.transform_points(moving, middle)
        return motion.with_bounds(of_fixed, of_moving, place, (fixed @ frame)[:3, :3])

    def _own_axes(self) -> np.ndarray:
        """Return the axes (4, 4) of the moving bone in its own CT: those of three points that lie under it, if any."""
        bone = bones_of(self._registration)[self.pair.moving]
        lists = [] if self.pair.frame == CT_AXES else self.frames()
        node = next((each for each in lists if _goes_with(each, bone)), None)
        return self._axes(self.pair.moving, node, bone.world_from_ct)

    def middle(self, name: str) -> np.ndarray:
        """Return the middle (3,) of a bone, CT mm.

        Raises
        ------
        InputError
            Before the surfaces are made.
        """
        return self._points(name).mean(axis=0)

    def _points(self, name: str) -> np.ndarray:
        """Return the points (n, 3) of a bone's surface, CT mm."""
        bone = bones_of(self._registration).get(name)
        mesh = None if bone is None or bone.surface is None else bone.surface.GetPolyData()
        if mesh is None or not mesh.GetNumberOfPoints():
            raise InputError(
                _("{name}: has no surface yet, expected a registered bone; register it."), name=name
            )
        return lps_from_ras(array_of(mesh.GetPoints()))

    # What is seen

    def outlines(self, detector: DetectorPlane) -> list[Outline]:
        """Return the outlines in an X-ray: of the bones `outlined`, and `marks`."""
        found = []
        chosen = self.chosen
        there = bones_of(self._registration)
        rejected = self._rejected()
        for name in self.outlined:
            _mesh, shape = self._made()[name]
            pose = there[name].world_from_ct
            colour = MISFIT_COLOUR if name in rejected else self._colours.get(name)
            lines = self._outlines.of(name, shape, transform_to_ras(pose), detector)
            found.append(Outline(name, colour or MISFIT_COLOUR, lines, name == chosen))
        for colour, (pose, shape) in self.marks.items():
            lines = self._outlines.of(colour, shape, transform_to_ras(pose), detector)
            found.append(Outline("", colour, lines))
        place = transform_to_ras(self._registration.world_from_ct)
        for ring in self.rings:
            lines = self._outlines.of(ring.number, ring.shape, place, detector)
            found.append(Outline(str(ring.number), ring.colour, lines))
        return found

    @property
    def rings(self) -> list[TargetRing]:
        """Rings around the targets at the current pose; empty if the overlay is off."""
        return [] if overlay.mode_of(self._registration) == "off" else self._rings

    @property
    def marks(self) -> dict[Colour, tuple[np.ndarray, Shape]]:
        """Pose and shape, once made, of the points at which bone is displaced, and at which that would be visible.

        The latter are blue, and hidden where the DRR is blue; an X-ray alone has no marks.
        """
        mode = overlay.mode_of(self._registration)
        made = dict(self._marks.value_of(self._stands) or {})
        if mode in overlay.WITH_BLUE_DRR:
            made.pop(TESTED_COLOUR, None)
        return {} if mode == "off" else made

    @property
    def outlined(self) -> tuple[str, ...]:
        """The names of the bones that are outlined; none over an X-ray alone."""
        if overlay.mode_of(self._registration) == "off":
            return ()
        there = bones_of(self._registration)
        return tuple(name for name in self._made() if name in there)

    def _rejected(self) -> set[str]:
        entry = self._history.current
        states = {} if entry is None else entry.bodies
        return {name for name, each in states.items() if each.verdict == "reject"}

    # Within

    def _made(self) -> Mapping[str, tuple[Any, Shape]]:
        """Return surface and shape of each bone, as far as they are made of the segments as they are."""
        return self._shapes.value_of(self._of) or {}

    def _dress(self) -> None:
        """Put the surfaces under the bones that lack one, in the colours of their segments."""
        making = in_time()
        for name, bone in bones_of(self._registration).items():
            if bone.surface is None and name in self._made():
                mesh = self._made()[name][0]
                if mesh.GetNumberOfPoints() and making():
                    scene_bones.put_bone_surface(bone, mesh, self._colours.get(name, MISFIT_COLOUR))
            elif name in self._colours:
                scene_bones.colour_surface(bone, self._colours[name])

    def _take_lines_along(self) -> None:
        """Have lines that were drawn in the CT move with the bones that they lie in."""
        try:
            structures = self._session.structures()
            volume = self._session.ct().volume
        except InputError:
            return
        name_at = partial(_bone_at, structures, np.linalg.inv(volume.ct_from_index))
        scene_bones.follow_bones(self._registration, name_at)

    def _standing(self) -> str:
        """Return what identifies the marks of an entry that hold for the pose as it is; "" for none."""
        session = self._session
        entry = self._history.current
        marked = entry and entry.assessment and len(entry.assessment.tested)
        if entry is None or not marked or self._registration.ct is None:
            return ""
        if self._history.is_displaced or session.sequence.frame is not None:
            return ""
        stands = self._history.inputs in entry.inputs
        return entry.key if stands else ""

    def _make_marks(self) -> Callable[[], dict[Colour, tuple[np.ndarray, Shape]]]:
        entry = self._history.current
        return lambda: {} if entry is None else marks_of(entry)


def _goes_with(node: Any, bone: SceneBone) -> bool:
    """Return whether there is a node, and it moves with a bone."""
    return node is not None and is_under(node, bone.node)


def _in_words(state: BoneState) -> str:
    verdict = state.verdict or _("not registered")
    if state.error_mm is None:
        return _("{name}: {verdict}").format(name=state.name, verdict=verdict)
    text = _("{name}: {verdict}, expected error {mm}")
    return text.format(name=state.name, verdict=verdict, mm=in_mm(state.error_mm))


def _state(
    name: str,
    colour: Colour,
    places: Places,
    bone: SceneBone | None,
    known: BodyResult | None,
    moves: bool,
) -> BoneState:
    """Return the displayed state of a bone.

    Verdict and error are those of `known`, its result in the history, if it was registered at the
    current pose.
    """
    if bone is None:
        return BoneState(name=name, colour=colour, own=False)
    pose = places[name]
    centre = bone.centre_in_ct
    mm = degrees = None
    if moves:
        away = rigid.transform_points(pose, centre) - rigid.transform_points(places[""], centre)
        turned = rigid.rotation_distance(pose, places[""])
        mm = float(np.linalg.norm(away))
        degrees = float(np.degrees(turned))
    state = BoneState(name=name, colour=colour, mm=mm, degrees=degrees)
    if known is None or not np.allclose(known.world_from_ct, pose, rtol=0, atol=1e-6):
        return state
    if known.assessment is None:
        return state
    if known.moved:
        state = replace(state, mm=known.moved.mm, degrees=known.moved.degrees)
    position = known.uses.get("position")
    return replace(
        state,
        verdict=known.verdict,
        error_mm=position.typical_mm if position and known.is_usable else None,
        reasons=tuple(sentences(cautions(known.assessment.findings))),
    )


def _bone_at(structures: Structures, index_from_ct: np.ndarray, points: np.ndarray) -> str:
    """Return the name of the structure that most of some points (n, 3), CT mm, lie in, of those in any; "" for none.

    At least LEAST_INSIDE of all lie in it.
    """
    labels = nearest(structures.labels, rigid.transform_points(index_from_ct, points))
    counts = np.bincount(labels, minlength=len(structures.names) + 1)[1:]
    if not counts.size or counts.max() < LEAST_INSIDE * len(points):
        return ""
    return structures.names[int(counts.argmax())]


def surfaces(bodies: Sequence[Body]) -> dict[str, tuple[Any, Shape]]:
    """Return the surface of each bone, RAS mm in its CT's frame, and what its outlines are made from, by name."""
    meshes = {body.name: ct_3d.structure_surface(body.ct) for body in bodies if body.name}
    for body in bodies:
        grid = body.ct.volume.ct_from_index
        meshes |= {name: _surface(body.bones, n, grid) for n, name in enumerate(body.bones.names)}
    return {name: (mesh, shape_of(mesh)) for name, mesh in meshes.items()}


def _surface(structures: Structures, n: int, ct_from_index: np.ndarray) -> Any:
    box = structures.boxes[n]
    place = ct_from_index @ rigid.translation([side.start for side in box[::-1]])
    return ct_3d.mask_surface(structures.labels[box] == n + 1, ras_from_lps(place))

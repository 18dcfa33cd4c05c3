"""The scene's content for the backend.

Made once, checked, and prepared in threads for DRRs and registrations.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.landmarks import LandmarkFit, LandmarkResidual, locate
from ..imaging.body import Body, Structures
from ..imaging.ct import CT as CTVolume
from ..imaging.xray import XRay
from ..io.case import Case
from ..io.dicom_identity import DAY, PATIENT, MismatchWarning
from ..jobs import start_compiling
from ..mrml.case import bodies_of, case_of, ct_of, landmarks_of, xray_of
from ..mrml.ct_3d import places_of, put_surface, surface_is_current, take_surface
from ..mrml.fingerprints import of_bones, of_ct, of_image, of_view
from ..mrml.identity import (
    ct_uid,
    identity_mismatches,
    origin_of,
    said_same_patient,
    say_same_patient,
    true_pose,
)
from ..mrml.image import refresh
from ..mrml.nodes import has_voxels
from ..mrml.registration import Registration, check_place
from ..mrml.xray import ATTRIBUTE, XRayView
from ..translation import _
from .geometry import missing_in_header, needs_geometry
from .tasks import BackgroundValue, Task, ended

if TYPE_CHECKING:
    from ..registration.prepared_ct import PreparedCT
    from .adding import Scouts

#: By what the CT and its structures are kept among the views' nodes.
CT = "CT"
BODIES = "bodies"


#: How two X-rays are `twins`.
ALIKE = {
    "geometry": _("{} and {} have the same geometry"),
    "image": _("{} and {} have the same image"),
}
#: In the record: the digests of the warnings that were acknowledged.
ACKNOWLEDGED = "acknowledged"


def _digest(sentence: str) -> str:
    return sha256(sentence.encode()).hexdigest()[:16]


class UnreadNotices:
    """Warnings shown until the user acknowledges them, which the scene keeps."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._warnings: list[str] = []

    def loaded(self, warnings: list[str]) -> None:
        """Store the warnings of loaded files except for mismatches, which are derived from the scene."""
        self._warnings = [text for text in warnings if not isinstance(text, MismatchWarning)]

    def warn(self, sentence: str) -> None:
        """Add a warning."""
        self._warnings.append(sentence)

    @property
    def sentences(self) -> list[str]:
        """The warnings to show now."""
        read = self._acknowledged()
        return [
            sentence
            for sentence, digest in self._digests_by_warning().items()
            if digest not in read
        ]

    def _digests_by_warning(self) -> dict[str, str]:
        """Return all warnings with their digests. Digests of header mismatches depend on the images.

        Different patients (a question) and different days (a note) are not warnings.
        """
        registration = self._registration
        nodes = [registration.ct, *(view.node for view in registration.xrays)]
        images = " ".join(node.GetID() for node in nodes if node is not None)
        mismatches = (
            each.sentence
            for each in identity_mismatches(registration)
            if each.kind not in (PATIENT, DAY)
        )
        of_images = {sentence: _digest(f"{sentence} {images}") for sentence in mismatches}
        return {**of_images, **{sentence: _digest(sentence) for sentence in self._warnings}}

    def _acknowledged(self) -> set[str]:
        return set(self._registration.kept(ACKNOWLEDGED, "").split())

    def acknowledge(self) -> None:
        """Hide the present warnings."""
        read = self._acknowledged().union(self._digests_by_warning().values())
        self._registration.keep(ACKNOWLEDGED, " ".join(sorted(read)))

    def say_same_patient(self) -> None:
        """Store the user's confirmation that CT and X-rays are of one patient, and hide these warnings."""
        say_same_patient(self._registration)
        self.acknowledge()


class Inputs:
    """The CT, the X-rays and the case of a registration; only read on the main thread.

    Attributes
    ----------
    case_path
        Of the case.json that the scene was filled from, None where it was not, or that is not
        known.
    """

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self.case_path: Path | None = None
        self._scouts: tuple[str, Scouts | None] = "", None
        self._made: dict[
            str, tuple[str, object]
        ] = {}  # fingerprint, and what was made or the InputError, by node
        self._sources: dict[
            str, tuple[str, int]
        ] = {}  # source and the time of its last change, by the view's node

    @property
    def scouts(self) -> Scouts | None:
        """The scouts that were read with the CT as it is chosen now; None for none."""
        ct = self.registration.ct
        return self._scouts[1] if ct is not None and ct.GetID() == self._scouts[0] else None

    def keep_scouts(self, ct: Any, scouts: Scouts | None) -> None:
        """Keep the scouts that were read with a CT, by its volume node."""
        self._scouts = ct.GetID(), scouts

    def cache_case(self, case: Case) -> None:
        """Keep the parts of the `io.case.Case` that the scene has just been filled from."""
        self.case_path = case.path
        xrays = {view.name: view.xray for view in case.views}
        self._made[CT] = of_ct(self.registration), case.ct
        self._made[BODIES] = self.of_structures, case.bodies
        for view in self.registration.xrays:
            if view.name in xrays:
                self._made[view.id] = of_view(view), xrays[view.name]

    def cache_ct(self, ct: CTVolume) -> None:
        """Keep the `imaging.ct.CT` that the chosen volume was just made from; of the whole CT."""
        self._made[CT] = of_ct(self.registration), ct

    def cache_xray(self, view: XRayView, xray: XRay) -> None:
        """Keep the `imaging.xray.XRay` that a view has just been given, with its picture."""
        self._made[view.id] = of_view(view), xray
        self._source_changed(view)

    def case(self, *, placed: bool = True) -> Case:
        """Return the `io.case.Case` of the scene as it is.

        Parameters
        ----------
        placed
            Whether the poses as they are now mean anything; if not, the case has none.

        Raises
        ------
        InputError
            For missing or invalid values, and for two views with one geometry, or image.
        """
        case = case_of(self.registration, self.xray, self.bodies(placed=placed))
        if sentence := problem_of_twins(self.registration):
            raise InputError(f"X-rays: {sentence}")
        case.dicom = origin_of(self.registration)
        case.mismatches = identity_mismatches(self.registration)
        case.same_patient = said_same_patient(self.registration)
        if case.truth_world_from_ct is None:
            case.truth_world_from_ct = true_pose(self.registration)
        used = self.registration.used_xrays
        case.inputs = {
            "ct": of_ct(self.registration),
            **{view.name: of_view(view) for view in used},
        }
        case.images = tuple(map(of_image, used))
        return case

    def corrected_case(self) -> Case:
        """Return the case with the cameras as a registration has corrected them.

        Raises
        ------
        InputError
            As `case`.
        """
        case = self.case()
        cameras = {view.name: camera_of(view) for view in self.registration.xrays}
        return replace(
            case, views=[replace(view, camera=cameras[view.name]) for view in case.views]
        )

    def ct(self) -> CTVolume:
        """Return the `imaging.ct.CT`.

        Raises
        ------
        InputError
            As `mrml.case.ct_of`.
        """
        if self.registration.ct is not None:
            check_place(self.registration.ct)
        return self._kept(CT, of_ct(self.registration), lambda: ct_of(self.registration))

    def structures(self) -> Structures:
        """Return the `imaging.body.Structures` that get a pose of their own each; InputError as `bodies`."""
        return self.bodies(placed=False)[0].bones

    def bodies(self, *, placed: bool = True) -> list[Body]:
        """Return the bodies, where they are now if that means anything.

        InputError as `mrml.case.ct_of` and `bodies_of`.
        """
        places = places_of(self.registration) if placed else {}
        make = partial(bodies_of, self.registration, self.ct())
        made = self._kept(BODIES, self.of_structures, make)
        uid = partial(ct_uid, self.registration)
        return [
            replace(body, world_from_ct=places.get(body.name), uid=uid(body.name)) for body in made
        ]

    @property
    def of_structures(self) -> str:
        """The fingerprint of the CT and of the bones that get a pose of their own each."""
        return " ".join([of_ct(self.registration), *of_bones(self.registration)])

    def xray(self, view: XRayView) -> XRay:
        """Return the view's `imaging.xray.XRay`.

        Raises
        ------
        InputError
            As `mrml.case.xray_of`.
        """
        return self._kept(view.id, of_view(view), lambda: xray_of(view))

    def check_next(self) -> bool:
        """Check one X-ray that has changed, and show it where its volume has. Call it from a timer.

        Returns
        -------
        bool
            Whether there was one.
        """
        for view in self.registration.xrays:
            view.keep_in_place()
            changed = self._source_changed(view)
            if changed or self._made.get(view.id, ("",))[0] != of_view(view):
                with suppress(InputError):  # `problem` has it
                    xray = self.xray(view)
                    if changed:
                        refresh(view, xray)
                return True
        return False

    def problem(self, view: XRayView) -> str:
        """Return the problem with an X-ray, a sentence.

        "" where there is none, or it was not checked yet.
        """
        if view.size == (0, 0):
            return _("{name}: has no image, expected an X-ray; remove it, or add it again.").format(
                name=view.name
            )
        try:
            view.check_place()
            camera_of(view)
        except InputError as error:
            return str(error)
        made = self._made.get(view.id, ("", None))[1]
        return str(made) if isinstance(made, InputError) else ""

    def _source_changed(self, view: XRayView) -> bool:
        """Return whether the volume that a picture was made from is another one than at the last call."""
        source = view.source
        if not has_voxels(source):
            return False
        now = (source.GetID(), source.GetImageData().GetMTime())
        before = self._sources.get(view.id)
        self._sources[view.id] = now
        return before is not None and before != now

    def _kept(self, name: str, key: str, make: Callable[[], object]) -> Any:
        """Return the value made for the same key, also an error.

        A timer reads it again and again.
        """
        if self._made.get(name, ("",))[0] != key:
            try:
                self._made[name] = key, make()
            except InputError as error:
                self._made[name] = key, error
        made = self._made[name][1]
        if isinstance(made, InputError):
            raise made
        return made


def camera_of(view: XRayView) -> Camera:
    """Return an X-ray's camera.

    Raises
    ------
    InputError
        For one without a geometry, which names what its header does not say.
    """
    if needs_geometry(view) and (missing := missing_in_header(view)):
        raise InputError(
            _("{name}: its header does not say all of the geometry; enter {fields}."),
            name=view.name,
            fields=", ".join(missing),
        )
    return view.camera


def twins(registration: Registration) -> tuple[str, XRayView, XRayView] | None:
    """Return a key of ALIKE, and two X-rays that are used with the same image or geometry; None where there are none."""
    views = [view for view in registration.used_xrays if any(view.size)]
    for one, other in combinations(views, 2):
        if of_image(one) == of_image(other):
            return "image", one, other
        if one.placed and other.placed and one.camera.same_as(other.camera):
            return "geometry", one, other
    return None


def problem_of_twins(registration: Registration) -> str:
    """Return that two X-rays are `twins`, and what to do, in a sentence; "" where none are."""
    if (same := twins(registration)) is None:
        return ""
    what, one, other = same
    alike = ALIKE[what].format(one.name, other.name)
    return _("{alike}, expected another for each; change one of them, or skip it.").format(
        alike=alike
    )


#: Seconds that a child process may compile.
COMPILE_TIMEOUT_S = 300.0
PREPARING = _("preparing the CT")
FIRST_TIME = _("preparing for the first time (once, about 10 s)")
_loading = Lock()
#: Processes that compile or have compiled.
_children: list[subprocess.Popen] = []


class NotCached(Exception):
    """A kernel would have to be compiled."""


def load_kernels(prepare: Callable, compiling: Callable[[], object]) -> None:
    """Call `prepare`, a function of `registration.prepared_ct`, in this thread, once a child process has compiled what is not cached.

    Parameters
    ----------
    compiling
        Called before that.
    """
    from ..rendering.devices import without_pool

    with _loading, without_pool():
        if _loaded(prepare):
            return
        compiling()
        if not _children or _children[-1].poll() is not None:
            _compile()
        until = monotonic() + COMPILE_TIMEOUT_S
        while _children and _children[-1].poll() is None and monotonic() < until:
            sleep(0.3)
            if _loaded(prepare):
                return
        prepare()  # what the child could not compile, too


def begin_compiling() -> None:
    """Begin to compile the kernels in a child process of low priority, so that no CT has to wait for them. It is begun once."""
    if not _children:
        _compile()


def load_or_begin_compiling() -> None:
    """Load the kernels, if they are cached."""
    from ..registration.warm_up import warm_up

    if not _loaded(warm_up):
        begin_compiling()


def _loaded(prepare: Callable) -> bool:
    """Return whether `prepare` found all its kernels in numba's cache."""
    from ..rendering.devices import when_compiling, without_pool

    with suppress(NotCached), without_pool(), when_compiling(_refuse):
        prepare()
        return True
    return False


def _refuse() -> None:
    raise NotCached


def _compile() -> None:
    """Have a child process fill numba's cache; its failure does not matter here."""
    if child := start_compiling("warm_up", nice=5):
        _children.append(child)


def prepare_for_drr(ct: CTVolume, on_progress: Callable) -> PreparedCT:
    """Return the `registration.prepared_ct.PreparedCT` of a CT, with all that a DRR which follows the CT would have to wait for."""
    from ..registration.prepared_ct import PreparedCT
    from ..registration.warm_up import warm_up_drr

    load_kernels(warm_up_drr, lambda: on_progress(FIRST_TIME))
    anatomy = PreparedCT(ct)
    for level in (1, 2):
        anatomy.projector(level)
    return anatomy


def prepare_for_registration(anatomy: PreparedCT, on_progress: Callable) -> None:
    """Load what the first sharp DRR, and the first registration, would wait for."""
    from ..registration.warm_up import warm_up

    anatomy.projector(0)
    load_kernels(warm_up, lambda: on_progress(FIRST_TIME))


class Preparation:
    """Prepares the CT of a registration, first for DRRs, then for a registration.

    Again whenever it has changed.

    Attributes
    ----------
    message
        Why the last one failed, a sentence.
    stage
        In a few words.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._of = ""
        self._drr: Task[PreparedCT] | None = None
        self._rest: Task[None] | None = None
        self._told = True
        self.message = ""
        self.stage = PREPARING

    @property
    def working(self) -> bool:
        """Whether the CT is being prepared."""
        return self._rest is not None and not (self._told and ended(self._rest))

    def anatomy(self) -> PreparedCT | None:
        """Return the `registration.prepared_ct.PreparedCT` of the CT as it is now.

        None where there is none yet.
        """
        if self._drr is None or not self._told or self._of != of_ct(self._inputs.registration):
            return None
        return self._drr.result_or(None)

    def all_ready(self) -> Callable[[Callable], PreparedCT]:
        """Return a function that gives it to another task's thread once a registration can begin, as `Task.result_for`."""
        drr = self._drr
        rest = self._rest
        assert drr is not None and rest is not None, "begin comes before"

        def wait(on_progress: Callable) -> PreparedCT:
            rest.result_for(on_progress)
            return drr.result

        return wait

    def use(self, drr: Task[PreparedCT]) -> None:
        """Take what a task that began earlier makes of the CT as it is now."""
        self._drr = drr
        self._of = of_ct(self._inputs.registration)
        self.message = ""
        self._told = False
        self._rest = Task(
            lambda on_progress: prepare_for_registration(drr.result_for(on_progress), on_progress)
        )

    def begin(self, *, again: bool) -> None:
        """Prepare the CT as it is now, where it is not.

        Parameters
        ----------
        again
            Also where that has failed before.

        Raises
        ------
        InputError
            As `Inputs.ct`.
        """
        of = of_ct(self._inputs.registration)
        ct = self._inputs.ct()
        if self._drr is None or self._of != of or (again and self._drr.state == "failed"):
            self.stage = PREPARING
            self.use(Task(lambda on_progress: prepare_for_drr(ct, on_progress)))

    def poll(self) -> bool:
        """Return whether the CT has just become ready for DRRs, or failed to."""
        for task in (self._drr, self._rest):
            if task is not None:
                self.stage = task.poll(0) or self.stage
        if self._told or not ended(self._drr):
            return False
        self._told = True
        self.message = self._drr.message
        return True


class BoneSurfaceUpdater:
    """Has the surface of a registration's CT made, in a thread, where there is none of the CT as it is."""

    def __init__(self) -> None:
        self._made = BackgroundValue()

    def update(self, registration: Registration) -> None:
        """Call it from a timer."""
        of = registration.node.GetID(), of_ct(registration)
        made = self._made.update(
            of, lambda: None if surface_is_current(registration) else take_surface(registration)
        )
        if made and self._made.value is not None and self._made.made_of == of:
            put_surface(registration, self._made.value)
            self._made = BackgroundValue()  # of the same CT in a new scene it is made again


class LandmarkFitUpdater:
    """Keeps `fit`, the pose that landmarks have; None while there are too few, or none fits them."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._found = BackgroundValue()

    @property
    def fit(self) -> LandmarkFit | None:
        """The newest fit."""
        return self._found.value

    @property
    def residuals(self) -> dict[tuple[str, str], LandmarkResidual]:
        """The residuals, by the names of landmark and X-ray."""
        return {} if self.fit is None else {(one.name, one.view): one for one in self.fit.residuals}

    def update(self) -> bool:
        """Follow the scene, from a timer, and return whether there is another fit."""
        views = self._registration.placed_xrays
        found = landmarks_of(self._registration, views)
        cameras = {view.name: view.camera for view in views}
        points = []
        for one in found:
            pixels = {name: pixel.tobytes() for name, pixel in one.pixels.items()}
            points.append((one.name, one.ct.tobytes(), pixels))
        geometries = [(view.name, view.node.GetAttribute(ATTRIBUTE)) for view in views]
        return self._found.update((points, geometries), lambda: partial(locate, found, cameras))

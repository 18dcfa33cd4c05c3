"""The phantom and its views as a registration in a scene, for tests that need something to register in a moment."""

from functools import lru_cache

import numpy as np

from helpers.assessments import assessed
from helpers.phantom import CORNERS, TRUE_POSE, make_ct, make_views, off
from helpers.planted_dicom import write_ct, write_xray
from MultiViewRegistrationLib.assessment.bodies import BodyResult

#: As a person leaves a CT who set it about right.
START = off(TRUE_POSE, [2.0, -3.0, 2.0], [4.0, -3.0, 5.0])


@lru_cache(maxsize=1)
def phantom():
    """The CT and its views; not to be changed."""
    ct = make_ct()
    return ct, make_views(ct)


def phantom_volume(scene, ct=None):
    """The node of the phantom's CT, or of another one."""
    from MultiViewRegistrationLib.mrml.loading import volume_node

    volume = (ct or phantom()[0]).volume
    return volume_node(scene, "Phantom", volume.values, volume.ct_from_index)


def make_registration(scene, ct, views, pose=TRUE_POSE, name="Registration"):
    """A `scene.registration.Registration` of a CT at a pose and views, whose images are line integrals.

    With targets: places all over its bone would be asked in their stead, which takes longer than all else.
    """
    from MultiViewRegistrationLib.mrml.case import change_settings
    from MultiViewRegistrationLib.mrml.registration import Registration

    registration = Registration.create(scene, name)
    registration.ct = phantom_volume(scene, ct)
    for view in views:
        add_view(registration, view)
    registration.world_from_ct = pose
    change_settings(registration, targets=CORNERS)
    return registration


def add_view(registration, view):
    """The X-ray of a view in a registration."""
    from MultiViewRegistrationLib.mrml.image import set_source
    from MultiViewRegistrationLib.mrml.loading import volume_node

    xray = registration.add_xray(view.name)
    xray.change(
        geometry=view.camera,
        intensity="log",
        uncertainty={
            "rotation_sd_deg": view.rotation_sd_deg,
            "translation_sd_mm": view.translation_sd_mm,
            "principal_point_sd_px": 0.5,  # exact by construction
        },
    )
    image = view.xray.line_integrals[None]
    set_source(xray, volume_node(registration.scene, f"{view.name} image", image, np.eye(4)))
    return xray


def dicom_registration(scene, folder, ct, xray, name):
    """A registration of a small CT and an X-ray in DICOM with these tags, read as the panel reads them."""
    from MultiViewRegistrationLib.imaging.ct import load_ct
    from MultiViewRegistrationLib.mrml.identity import header_of_ct, keep_header
    from MultiViewRegistrationLib.mrml.loading import volume_node
    from MultiViewRegistrationLib.mrml.registration import Registration
    from MultiViewRegistrationLib.session import adding

    hu = np.where(np.linalg.norm(np.indices((12, 12, 12)) - 5.5, axis=0) < 4, 900, -1000)
    place = np.diag([4.0, 4, 4, 1])
    place[:3, 3] = -22
    slices = write_ct(folder / "ct", hu, place, **ct)
    registration, read = Registration.create(scene, "Test"), load_ct(slices)
    node = volume_node(scene, "CT", read.volume.values, read.volume.ct_from_index)
    keep_header(node, header_of_ct(sorted(slices.iterdir())))
    registration.ct = node
    adding.read(write_xray(folder / name, **xray))(registration)
    return registration


def begun(registration):
    """The registration as one that a person has worked on: nothing begins by itself."""
    from MultiViewRegistrationLib.session.history import History

    History(registration).note("before")
    return registration


def phantom_registration(scene, name="Phantom", world_from_ct=START):
    """A registration of the phantom, its CT at a pose, with the X-rays view1 and view2."""
    return make_registration(scene, *phantom(), world_from_ct, name)


def settled_session(scene, name="Phantom", **told):
    """Return a session whose pose, the true one, is stored as a registration result; parameters as of `settle`."""
    from MultiViewRegistrationLib.session.session import Session

    session = Session(phantom_registration(scene, name))
    settle(session, **told)
    return session


def settle(session, pose=TRUE_POSE, method="given", verdict=None, findings=(), bodies=(), **fields):
    """Store a pose (4, 4), by default the true one, as the result of a registration that was not run.

    Parameters
    ----------
    verdict, findings
        As of `assessments.assessed`.
    bodies
        List of `BodyResult`.
    fields
        "position", "overlay", "tested", "risk" and "cause" of the assessment, and fields of `HistoryEntry`.
    """
    from MultiViewRegistrationLib.mrml.fingerprints import fingerprint
    from MultiViewRegistrationLib.session.history import HistoryEntry

    keys = fields.keys() & {"position", "overlay", "tested", "risk", "cause"}
    assessment = assessed(verdict, findings, **{key: fields.pop(key) for key in keys})
    registration = session.registration
    registration.world_from_ct = pose
    fields["fingerprint"] = fingerprint(registration)
    fields = {"assessment": assessment, "bodies": {each.name: each for each in bodies}, **fields}
    session.history.add(HistoryEntry.now(method, registration.world_from_ct, **fields))


def body(name, verdict, findings=(), *, position=None, overlay=None, **fields):
    """Return a `BodyResult` with a verdict, at START and visible in view1.

    Parameters
    ----------
    verdict, findings, position, overlay
        As of `assessments.assessed`.
    fields
        Fields of `BodyResult`.
    """
    assessment = assessed(verdict, findings, position=position, overlay=overlay)
    fields = {"world_from_ct": START, "similarity": {"view1": 0.9}, **fields}
    return BodyResult(name, assessment=assessment, **fields)


def remove(registration):
    """Remove a registration with all that was made for it."""
    from MultiViewRegistrationLib.mrml.display import take_down

    scene = registration.scene
    take_down(registration)
    scene.RemoveNode(registration.node)

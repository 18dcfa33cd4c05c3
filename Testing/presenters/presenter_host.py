"""A host of presenters without Qt and without a page.

What a person does is done at once, and what goes wrong is raised.
"""

from contextlib import contextmanager
from functools import cached_property
from time import monotonic, sleep
from types import SimpleNamespace

from helpers.running_session import poll

from MultiViewRegistrationLib.mrml.ct_3d import bones_of
from MultiViewRegistrationLib.mrml.loading import read_case
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session.presenters.answer import AnswerPresenter
from MultiViewRegistrationLib.session.presenters.files import FilesPresenter
from MultiViewRegistrationLib.session.presenters.form import visible, walk
from MultiViewRegistrationLib.session.presenters.sections import Sections
from MultiViewRegistrationLib.session.result_files import take_messages
from MultiViewRegistrationLib.session.session import Session


class SwitchedHand:
    """A switch that nothing hangs on."""

    on = False

    def keys(self):
        return "Drag: along the image"

    def toggle(self):
        self.on = not self.on

    def step(self):
        return False

    def exit(self):
        self.on = False


class PresenterHost:
    """Holds a registration and its session; outside Slicer where `slicer_tools` is None.

    told: sentences that a person was told.   drawn: the X-rays whose mask is drawn.   shown: the sections that were unfolded.
    camera: of a 3D view, if any.
    """

    patience_s = 10.0
    missing, waits_for, replaces, reading = "", "", True, False
    installs_packages, register_keys = True, "Ctrl+Return"
    segmenter = SimpleNamespace(installed=False)

    def __init__(self, scene, registration=None):
        self.scene, self.told, self.drawn, self.camera = scene, [], [], None
        self.opened, self.shown, self.slicer_tools = [], [], self
        self.boxes = {}  # that the X-rays show
        self._presenters = {}  # those that a test has asked for, which are followed
        self.views = SimpleNamespace(
            camera=lambda: self.camera,
            size=lambda: (400, 300),
            show_ct_slices=lambda: None,
            show_in_xrays=self.boxes.update,
        )
        self.hand = SwitchedHand()
        self.registration = self.session = None
        if registration is not None:
            self.choose(registration)

    def choose(self, registration):
        self.registration, self.session = registration, registration and Session(registration)
        for presenter in self._presenters.values():
            presenter.reset()

    @cached_property
    def presenters(self):
        """The `Sections`."""
        found = Sections.of(self)
        self._presenters |= found.by_name()
        return found

    @cached_property
    def files(self):
        """The `FilesPresenter`, with those that it hands files to."""
        self._presenters["files"] = FilesPresenter(self, self.presenters)
        return self._presenters["files"]

    @property
    def files_presenter(self):
        return self.files

    @cached_property
    def answer(self):
        """The `AnswerPresenter`, with the sections whose acts it offers."""
        self._presenters["answer"] = AnswerPresenter(self, self.presenters)
        return self._presenters["answer"]

    def take_files(self, paths, folder=None, preferred=""):
        self.files.take(paths, folder, preferred)

    def open_whole(self, path, folder=None):
        self.opened.append(path)

    def open_demo(self):
        self.opened.append("demo")

    def close_registration(self):
        self.choose(None)

    def begin(self):
        if self.registration is None:
            self.choose(Registration.create(self.scene))

    @contextmanager
    def ui_action(self):
        yield

    def show_message(self, sentence):
        self.told.append(sentence)

    def invalidate(self):
        """Forms are made whenever a test looks."""

    def missing_packages(self):
        return self.missing

    def waiting(self):
        return self.waits_for

    def show_geometry(self, xray=None):
        geometry = self.presenters.xrays.geometry
        geometry.show(xray)
        self.show_section("geometry", geometry.key_to_focus())

    def show_section(self, name, key=""):
        self.shown.append(f"{name}/{key}" if key else name)

    def question(self):
        return self.files.question() if "files" in self._presenters else ""

    def draw_mask(self, view):
        self.drawn.append(view.name)

    def show_in_module(self, node):
        self.opened.append(node)

    def stop_moving(self):
        """Nothing moves."""

    @property
    def taking(self):
        """Whether files are being recognised or read."""
        return "files" in self._presenters and bool(self.files.looking)

    def wait(self, presenter, until, seconds=120.0):
        """Poll as a host does, until something is so."""
        end = monotonic() + seconds
        while not until():
            assert monotonic() < end, "it did not happen"
            if self.session is not None:
                self.session.poll(0.01)
                presenter.update_views()
                presenter.tick()
                if "files" in self._presenters:
                    for other in (
                        self.presenters.ct,
                        self.presenters.xrays,
                        self.presenters.start,
                        self.files,
                    ):
                        if other is not presenter:
                            other.tick()
            elif "files" in self._presenters:
                self.files.tick()
            sleep(0.001)


def of_case(scene, folder):
    """A host of the case in a folder, which keeps the bones that it was asked to show in `seen`."""
    read = read_case(folder / "case.json")
    host = PresenterHost(scene, read(scene))
    host.session.cache_case(read.case)
    host.seen = []
    host.views = SimpleNamespace(camera=lambda: None, show_bone=host.seen.append)
    return host


def control(presenter, key):
    """A control of its form, None where it is not seen."""
    return walk(visible(presenter.form())).get(key)


def questions(files):
    """The selected answers of the question about files, by their keys; empty for no question."""
    found = {key: each for key, each in walk(visible(files.form())).items() if "asked." in key}
    return {
        key.removeprefix("asked."): getattr(each, "value", getattr(each, "text", None))
        for key, each in found.items()
        if hasattr(each, "value") or hasattr(each, "text")
    }


def answer(files, **answers):
    """Select answers, and continue."""
    for key, value in answers.items():
        act(files, f"asked.{key}", value)
    act(files, "asked.use")


def settled(host):
    """Wait until files are recognised and read."""
    host.wait(host.files, lambda: not host.taking)


def drop(host, *paths, **more):
    """Drop files, and wait until they are asked about or added."""
    host.files.take(paths, **more)
    settled(host)


def text(presenter, key):
    """What is read of a control; "" where it is not seen."""
    found = control(presenter, key)
    return "" if found is None else getattr(found, "text", found.label)


def cells(presenter, key):
    """The texts of a table."""
    return [[cell.text for cell in line.cells] for line in control(presenter, key).lines]


def options(presenter, key):
    """What can be chosen, by what is read of it."""
    return {option.title: option.value for option in control(presenter, key).options}


def act(presenter, key, *args):
    """Do what a person does at a control that is seen and enabled."""
    found = control(presenter, key)
    assert found is not None and found.enabled, f"{key}: {found}"
    return found.action(*args)


def dressed(session):
    """Until each bone has its surface."""

    def done():
        bones = bones_of(session.registration).values()
        return bool(bones) and all(bone.surface is not None for bone in bones)

    poll(session, 60.0, done)
    assert done()


def devices(session):
    """The names under which navigation gets what, by the headers of OpenIGTLink's messages."""
    _told, messages = take_messages(session)()
    return {pack()[14:34].rstrip(b"\0").decode() for pack in messages.small}

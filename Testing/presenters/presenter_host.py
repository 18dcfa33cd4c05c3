"""A host of presenters without Qt and without a page: what a person does is done at once, and what goes wrong is raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from types import SimpleNamespace


class PresenterHost:
    """Holds a registration and its session.   told: sentences that a person was told.   drawn: the X-rays whose mask is drawn.
    shown: the sections that were unfolded.

    presenters: made by `open`, which forget what belongs to a registration where another is chosen.   camera: of a 3D view, if any.
    """

    patience_s = 10.0
    in_slicer, missing, waits_for, replaces = True, "", "", True
    installs_packages, register_keys, hand = True, "Ctrl+Return", None

    def __init__(self, scene, registration=None) -> None:
        self.scene, self.told, self.drawn, self.presenters, self.camera = scene, [], [], [], None
        self.sections, self.opened, self.shown, self._files = {}, [], [], None
        self.views = SimpleNamespace(camera=lambda: self.camera, size=lambda: (400, 300), show_ct_slices=lambda: None)
        self.registration = self.session = None
        if registration is not None:
            self.choose(registration)

    def choose(self, registration) -> None:
        from MultiViewRegistrationLib.session.session import Session

        self.registration, self.session = registration, registration and Session(registration)
        for presenter in self.presenters:
            presenter.reset()

    def open(self, kind):
        """A presenter of this kind."""
        presenter = kind(self)
        self.presenters.append(presenter)
        self.sections[kind.__name__.removesuffix("Presenter").lower()] = SimpleNamespace(presenter=presenter)
        return presenter

    @property
    def files(self):
        """The `FilesPresenter`, with those that it hands files to."""
        from MultiViewRegistrationLib.session.presenters.ct import CTPresenter
        from MultiViewRegistrationLib.session.presenters.files import FilesPresenter
        from MultiViewRegistrationLib.session.presenters.start import StartPresenter
        from MultiViewRegistrationLib.session.presenters.xrays import XRaysPresenter

        if self._files is None:
            for name, kind in {"ct": CTPresenter, "xrays": XRaysPresenter, "start": StartPresenter}.items():
                if name not in self.sections:
                    self.open(kind)
            self._files = self.open(FilesPresenter)
        return self._files

    def take_files(self, paths, folder=None, preferred: str = "") -> None:
        self.files.take(paths, folder, preferred)

    def open_whole(self, path, folder=None) -> None:
        self.opened.append(path)

    def open_demo(self) -> None:
        self.opened.append("demo")

    def close_registration(self) -> None:
        self.choose(None)

    def open_all(self):
        """The sections that the answer goes to, and the answer, which is returned."""
        from MultiViewRegistrationLib.session.presenters.answer import AnswerPresenter
        from MultiViewRegistrationLib.session.presenters.ct import CTPresenter
        from MultiViewRegistrationLib.session.presenters.export import ExportPresenter
        from MultiViewRegistrationLib.session.presenters.register import RegisterPresenter
        from MultiViewRegistrationLib.session.presenters.sequence import SequencePresenter
        from MultiViewRegistrationLib.session.presenters.start import StartPresenter
        from MultiViewRegistrationLib.session.presenters.xrays import XRaysPresenter

        for kind in (
            CTPresenter,
            XRaysPresenter,
            StartPresenter,
            RegisterPresenter,
            ExportPresenter,
            SequencePresenter,
        ):
            if kind.__name__.removesuffix("Presenter").lower() not in self.sections:
                self.open(kind)
        return self.open(AnswerPresenter)

    def begin(self) -> None:
        from MultiViewRegistrationLib.mrml.registration import Registration

        if self.registration is None:
            self.choose(Registration.create(self.scene))

    @contextmanager
    def ui_action(self) -> Iterator[None]:
        yield

    def show_message(self, sentence: str) -> None:
        self.told.append(sentence)

    def invalidate(self) -> None:
        """Forms are made whenever a test looks."""

    def missing_packages(self) -> str:
        return self.missing

    def waiting(self) -> str:
        return self.waits_for

    def show_geometry(self, xray=None) -> None:
        next(each.geometry for each in self.presenters if hasattr(each, "geometry")).show(xray)

    def show_section(self, name: str) -> None:
        self.shown.append(name)

    def draw_mask(self, view) -> None:
        self.drawn.append(view.name)

    def stop_moving(self) -> None:
        """Nothing moves."""

    def wait(self, presenter, until: Callable[[], object], seconds: float = 120.0) -> None:
        """Poll as a host does, until something is so."""
        end = monotonic() + seconds
        while not until():
            assert monotonic() < end, "it did not happen"
            if self.session is not None:
                self.session.poll(0.01)
                presenter.update_views()
                presenter.tick()
                for section in self.sections.values() if self._files is not None else ():
                    if section.presenter is not presenter:
                        section.presenter.tick()
            elif presenter is self._files:
                presenter.tick()
            sleep(0.001)


def control(presenter, key: str):
    """A control of its form, None where it is not seen."""
    from MultiViewRegistrationLib.session.presenters.form import visible, walk

    return walk(visible(presenter.form())).get(key)


def text(presenter, key: str) -> str:
    """What is read of a control; "" where it is not seen."""
    found = control(presenter, key)
    return "" if found is None else getattr(found, "text", found.label)


def cells(presenter, key: str) -> list[list[str]]:
    """The texts of a table."""
    return [[cell.text for cell in line.cells] for line in control(presenter, key).lines]


def act(presenter, key: str, *args):
    """Do what a person does at a control that is seen and enabled."""
    found = control(presenter, key)
    assert found is not None and found.enabled, f"{key}: {found}"
    return found.action(*args)

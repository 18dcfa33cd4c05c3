"""A host of presenters without Qt and without a page: what a person does is done at once, and what goes wrong is raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

import pytest
from scene_fixtures import scene, slicer_app, watch


class PresenterHost:
    """Holds a registration and its session.   told: sentences that a person was told."""

    turn_s, patience_s = 0.02, 10.0
    installs_packages, register_keys = True, "Ctrl+Return"

    def __init__(self, scene, registration=None) -> None:
        self.scene, self.told = scene, []
        self.registration = self.session = None
        if registration is not None:
            self.choose(registration)

    def choose(self, registration) -> None:
        from MultiViewRegistrationLib.session.session import Session

        self.registration, self.session = registration, Session(registration)

    def begin(self) -> None:
        from MultiViewRegistrationLib.mrml.registration import Registration

        if self.registration is None:
            self.choose(Registration.create(self.scene))

    @contextmanager
    def acting(self) -> Iterator[None]:
        yield

    def tell(self, sentence: str) -> None:
        self.told.append(sentence)

    def invalidate(self) -> None:
        """Forms are made whenever a test looks."""

    def stop_moving(self) -> None:
        """Nothing moves."""

    def wait(self, presenter, until: Callable[[], object], seconds: float = 30.0) -> None:
        """Poll as a host does, until something is so."""
        end = monotonic() + seconds
        while not until():
            assert monotonic() < end, "it did not happen"
            self.session.poll(0.01)
            presenter.tick()
            sleep(0.001)


def control(presenter, key: str):
    """A control of its form, None where it is not seen."""
    from MultiViewRegistrationLib.session.presenters.form import visible, walk

    return walk(visible(presenter.form())).get(key)


def act(presenter, key: str, *args):
    """Do what a person does at a control that is seen and enabled."""
    found = control(presenter, key)
    assert found is not None and found.enabled, f"{key}: {found}"
    return found.action(*args)


@pytest.fixture
def presenter_host(scene) -> PresenterHost:
    """With the phantom and its two X-rays."""
    from phantom_scene import phantom_registration

    return PresenterHost(scene, phantom_registration(scene))


__all__ = ["PresenterHost", "act", "control", "presenter_host", "scene", "slicer_app", "watch"]

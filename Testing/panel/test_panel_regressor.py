"""A training, which is a process of its own, and the life of the panel."""

from __future__ import annotations

import pytest
from driven_panel import Driven
from phantom_scene import make_registration
from tiny_store import TinyStore

pytestmark = pytest.mark.slow


@pytest.fixture
def driven(host, ct, views, monkeypatch, tmp_path):
    TinyStore(monkeypatch, tmp_path, ct).behave("waits")
    driven = Driven(host, ct, views)
    driven.drawn("start", "regressor").widget.collapsed = False
    driven.wait(lambda: driven.session.regressors.up_to_date)
    driven.press("start", "train")
    driven.wait(lambda: driven.session.regressors.training.progress is not None)
    yield driven
    driven.panel.close()


def test_it_goes_on_while_another_registration_or_module_is_shown_and_ends_with_its_own(driven, ct, views):
    assert driven.header("start").startswith("\u25b6 training") and driven.widget("register", "register").enabled
    first, session = driven.registration, driven.session
    driven.host.leave(driven.module_widget)
    driven.host.process(0.2)
    assert session.regressors.is_training
    driven.host.enter(driven.module_widget)
    driven.panel.choose(make_registration(driven.host.scene, ct, views, name="Another"))
    driven.host.process(0.2)
    assert session.regressors.is_training and driven.control("start", "training") is None
    child = session.regressors.training._job._process
    driven.host.scene.RemoveNode(first.node)
    driven.host.process(60, until=lambda: child.poll() is not None)


def test_the_end_of_the_panel_ends_the_child(driven):
    child = driven.session.regressors.training._job._process
    driven.panel.close()
    assert child.wait(5.0) == 130

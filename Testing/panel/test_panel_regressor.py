"""A training, which is a process of its own, and the life of the panel."""

import pytest
from helpers.phantom_scene import begun, make_registration
from helpers.tiny_store import TinyStore

pytest.importorskip(
    "torch", reason="needs torch, which Slicer's Python has by an extension of its own"
)
pytestmark = pytest.mark.slow


@pytest.fixture
def person(monkeypatch, tmp_path, ct, request):
    TinyStore(monkeypatch, tmp_path, ct).behave("waits")
    person = request.getfixturevalue("person")
    person.drawn("start", "regressor").widget.collapsed = False
    person.wait(lambda: person.session.regressors.up_to_date)
    person.press("start", "train")
    person.wait(lambda: person.session.regressors.training.progress is not None)
    yield person
    person.panel.close()


def test_it_goes_on_while_another_registration_or_module_is_shown_and_ends_with_its_own(
    person, ct, views
):
    assert person.header("start").startswith("\u25b6 training")
    regressors = person.session.regressors
    person.host.leave(person.module_widget)
    person.host.process(0.2)
    person.host.enter(person.module_widget)
    person.panel.choose(begun(make_registration(person.host.scene, ct, views, name="Another")))
    person.host.process(0.2)
    assert regressors.is_training and person.control("start", "training") is None
    child = regressors.training._job._process
    person.host.scene.RemoveNode(person.registration.node)
    person.wait(lambda: child.poll() is not None)


def test_the_end_of_the_panel_ends_the_child(person):
    child = person.session.regressors.training._job._process
    person.panel.close()
    assert child.wait(5.0) == 130

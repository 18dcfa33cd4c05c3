"""Packages that do not come with Slicer.

The panel opens without them, and every action that needs one asks and then works.
"""

from subprocess import CalledProcessError

import pytest
import slicer
from gui_driver import MODULE, GuiDriver
from helpers.phantom_scene import make_registration

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.panel import packages
from MultiViewRegistrationLib.session import session

pytestmark = pytest.mark.slow

REQUIREMENTS = str(MODULE / "Resources" / "requirements.txt")
SENTENCE = "Rendering needs the Python package numba, which does not come with Slicer."
OFFLINE = """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('...')': /simple/numba/
ERROR: Could not find a version that satisfies the requirement numba>=0.60 (from versions: none)
ERROR: No matching distribution found for numba>=0.60"""
FAILED = CalledProcessError(1, "pip install")


@pytest.fixture
def person(host, ct, views, monkeypatch):
    """With a CT, in a Slicer without numba, as far as find_spec says; pip brings it."""
    find_spec = packages.find_spec
    for module in (packages, session):
        monkeypatch.setattr(
            module,
            "find_spec",
            lambda name: find_spec(name) if name != "numba" or host.shown("pip") else None,
        )
    person = GuiDriver(host)
    person.begin("ct", make_registration(host.scene, ct, views))
    person.wait_until_read()
    return person


def test_an_action_that_needs_a_package_asks_and_works_then(person):
    person.choose("check", "overlay", "Edges")
    (asked,) = person.host.shown("question")
    assert asked.startswith(SENTENCE) and person.host.shown("pip") == [
        "matplotlib>=3.8 numba>=0.60"
    ]
    person.wait(lambda: person.session.anatomy is not None, 60)  # by itself
    person.wait_for_work()
    assert person.message == "" and person.control("ct", "install") is None


def test_declining_is_a_message(person):
    person.host.answers.yes = False
    person.press("ct", "install")
    assert "numba is not installed, expected your consent" in person.message
    assert person.host.shown("pip") == []
    person.host.answers.yes = True
    person.press("ct", "install")
    assert person.message == "" and person.host.shown("pip")


@pytest.mark.parametrize(
    "failure, printed, why",
    [
        (FAILED, OFFLINE, "the package index cannot be reached; check the network, or the proxy."),
        (FAILED, "", "pip failed; the Python console has its output."),
        (RuntimeError("PythonSlicer executable not found"), "", "PythonSlicer executable not found."),
        (None, "", "Python does not find it; restart Slicer."),  # as in Slicer's own tests
    ],
)  # fmt: skip
def test_why_it_cannot_be_installed(host, monkeypatch, capsys, failure, printed, why):
    def install(*what, **how):
        print(printed)
        if failure is not None:
            raise failure

    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    monkeypatch.setattr(slicer.packaging, "pip_ensure", install)
    with pytest.raises(InputError) as raised:
        packages.ensure(REQUIREMENTS)
    assert str(raised.value) == f"Packages: matplotlib, numba could not be installed: {why}"
    assert printed in capsys.readouterr().out  # the console has it, too


def test_another_numpy_needs_a_restart(host, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: object() if host.shown("pip") else None)
    monkeypatch.setattr(packages, "version", lambda name: "1.0")
    with pytest.raises(InputError, match="restart Slicer"):
        packages.ensure(REQUIREMENTS)

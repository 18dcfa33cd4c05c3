"""Packages that do not come with Slicer.

The panel opens without them, and every action that needs one asks and then works.
"""

from __future__ import annotations

from pathlib import Path
from subprocess import CalledProcessError

import pytest
from gui_driver import GuiDriver
from phantom_scene import make_registration

from MultiViewRegistrationLib.errors import InputError

SENTENCE = "Rendering needs the Python package numba, which does not come with Slicer."
OFFLINE = """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('...')': /simple/numba/
ERROR: Could not find a version that satisfies the requirement numba>=0.59 (from versions: none)
ERROR: No matching distribution found for numba>=0.59"""
FULL = """Collecting numba>=0.59
ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device
"""


@pytest.fixture
def person(host, monkeypatch):
    """In a Slicer without numba, as far as find_spec says; pip brings it."""
    from MultiViewRegistrationLib.panel import packages
    from MultiViewRegistrationLib.session import session

    person, find_spec = GuiDriver(host), packages.find_spec
    for module in (packages, session):
        monkeypatch.setattr(
            module,
            "find_spec",
            lambda name: find_spec(name) if name != "numba" or host.shown("pip") else None,
        )
    return person


@pytest.fixture
def requirements():
    return str(
        Path(__file__).resolve().parents[2]
        / "MultiViewRegistration"
        / "Resources"
        / "requirements.txt"
    )


def registers(person):
    person.press("register", "register")


def chooses_an_overlay(person):
    person.choose("check", "overlay", "Edges")


ACTIONS = [registers, chooses_an_overlay]


@pytest.mark.parametrize("act", ACTIONS)
def test_an_action_that_needs_a_package_asks_and_works_then(person, ct, views, act):
    person.begin("ct", make_registration(person.host.scene, ct, views))
    person.wait_until_read()
    act(person)
    (asked,) = person.host.shown("question")
    assert asked.startswith(SENTENCE) and person.host.shown("pip") == ["numba>=0.59"]
    assert person.message == "" and person.text("ct", "packages") == ""
    person.wait(lambda: person.panel.session.anatomy is not None, 60)  # by itself
    person.wait_for_work()
    assert person.message == "" and person.control("ct", "install") is None


@pytest.mark.parametrize("packaging", [True, False], ids=["5.11", "5.10"])
def test_declining_is_a_message(person, ct, views, packaging, monkeypatch):
    if not packaging:
        monkeypatch.setitem(__import__("sys").modules, "slicer.packaging", None)
        monkeypatch.delattr(person.host.slicer, "packaging", raising=False)
    person.begin("ct", make_registration(person.host.scene, ct, views))
    person.wait_until_read()
    person.host.answers.yes = False
    person.press("ct", "install")
    assert (
        "numba is not installed, expected your consent" in person.message
        and person.host.shown("pip") == []
    )
    person.host.answers.yes = True
    person.press("ct", "install")
    assert person.message == "" and "requirements.txt" in person.host.shown("pip")[0] or packaging


@pytest.mark.parametrize(
    "failure, printed, why",
    [
        (
            CalledProcessError(1, "pip install"),
            OFFLINE,
            "the package index cannot be reached; check the network, or the proxy.",
        ),
        (
            CalledProcessError(1, "pip install"),
            FULL,
            "Could not install packages due to an OSError: [Errno 28] No space left on device.",
        ),
        (
            CalledProcessError(2, "pip install"),
            "",
            "pip failed; the Python console has its output.",
        ),
        (
            RuntimeError("PythonSlicer executable not found"),
            "",
            "PythonSlicer executable not found.",
        ),
        (
            None,
            "",
            "Python does not find it; restart Slicer.",
        ),  # Slicer installs nothing in its own tests
    ],
)
def test_why_it_cannot_be_installed(host, requirements, monkeypatch, capsys, failure, printed, why):
    import slicer

    from MultiViewRegistrationLib.panel import packages

    def install(*what, **how):
        print(printed)
        if failure is not None:
            raise failure

    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    monkeypatch.setattr(slicer.packaging, "pip_ensure", install)
    with pytest.raises(InputError) as raised:
        packages.ensure(requirements)
    assert str(raised.value) == f"Packages: numba could not be installed: {why}"
    assert printed in capsys.readouterr().out  # the console has it, too


def test_another_numpy_needs_a_restart(host, requirements, monkeypatch):
    from MultiViewRegistrationLib.panel import packages

    monkeypatch.setattr(packages, "find_spec", lambda name: object() if host.shown("pip") else None)
    monkeypatch.setattr(packages, "version", lambda name: "1.0")
    with pytest.raises(InputError, match="restart Slicer"):
        packages.ensure(requirements)

"""How the panel looks: colours in a light and a dark theme, sizes, what is cut off."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from person import MODULE, Person

DARK = {"Window": "#353535", "WindowText": "#ffffff", "Base": "#191919", "AlternateBase": "#353535", "Text": "#ffffff",
        "Button": "#353535", "ButtonText": "#ffffff", "Highlight": "#2a82da", "HighlightedText": "#000000", "ToolTipBase": "#353535",
        "ToolTipText": "#ffffff", "PlaceholderText": "#a0a0a0", "Light": "#505050", "Midlight": "#454545", "Mid": "#282828",
        "Dark": "#202020", "Shadow": "#101010"}
#: Windows of Slicer's light style, Windows 11 and macOS; those of Slicer's dark style, Windows 11 and macOS.
WINDOWS = ("#efefef", "#ececec", "#f0f0f0", "#ffffff"), ("#353535", "#202020", "#1e1e1e", "#323232")


@pytest.fixture
def themes(host):
    """Puts the application into its "light" or "dark" theme; the light one stays behind."""
    from PySide6 import QtGui

    light = QtGui.QPalette(host.app.palette())

    def choose(name: str) -> None:
        palette = QtGui.QPalette(light)
        for role, colour in DARK.items() if name == "dark" else ():
            palette.setColor(getattr(QtGui.QPalette.ColorRole, role), QtGui.QColor(colour))
        host.app.setPalette(palette)
        host.process(0.05)

    yield choose
    choose("light")


@pytest.fixture
def person(host):
    return Person(host)


def luminance(colour) -> float:
    """WCAG 2's relative luminance of a QColor."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (colour.redF(), colour.greenF(), colour.blueF())]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# colours ---------------------------------------------------------------------------------------------------------------

def test_contrast_is_wcags():
    from PySide6.QtGui import QColor

    assert contrast(QColor("#000000"), QColor("#ffffff")) == pytest.approx(21)
    assert contrast(QColor("#b00020"), QColor("#353535")) == pytest.approx(1.7, abs=0.05)


def labels(person) -> list:
    from PySide6 import QtWidgets

    return person.widget.parent.findChildren(QtWidgets.QLabel)


def least_contrast(person) -> dict[str, float]:
    """Of each label that has a tone against the window behind it, by its tone."""
    from MultiViewRegistrationLib.panel.colours import COLOURS

    found = {}
    for label in labels(person):
        tone, palette = label.property("tone"), label.palette
        if tone:
            ratio = contrast(palette.color(label.foregroundRole()), palette.color(palette.ColorRole.Window))
            assert palette.color(label.foregroundRole()).name() in COLOURS[tone], label.objectName
            found[tone] = min(ratio, found.get(tone, 99))
    return found


def test_what_stands_out_is_readable_in_both_themes_and_follows_a_change_of_them(person, themes):
    person.panel.tell("Something is wrong; do something.")
    for theme in ("light", "dark", "light", "dark"):
        themes(theme)
        found = least_contrast(person)
        assert set(found) == {"error", "caution", "quiet"} and min(found.values()) >= 4.5, (theme, found)


def test_a_module_opened_in_a_dark_theme_is_readable(host, themes):
    themes("dark")
    person = Person(host)
    assert min(least_contrast(person).values()) >= 4.5


def test_all_colours_are_readable_on_the_windows_there_are(host):
    from PySide6.QtGui import QColor

    from MultiViewRegistrationLib.panel.colours import COLOURS

    for pair in COLOURS.values():
        for colour, windows in zip(pair, WINDOWS, strict=True):
            assert min(contrast(QColor(colour), QColor(window)) for window in windows) >= 4.5, colour


def test_colours_are_in_one_place():
    files = [*(MODULE / "Resources" / "UI").glob("*.ui"), *(MODULE / "MultiViewRegistrationLib" / "panel").glob("*.py")]
    fixed = re.compile(r"colou?r:\s*[#\w]|#[0-9a-fA-F]{6}\b|<color\b|Qt\.(red|gray|yellow|darkRed)\b")
    found = {path.name for path in files if fixed.search(Path(path).read_text(encoding="utf-8"))}
    assert found == {"colours.py"}

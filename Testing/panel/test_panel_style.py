"""How the panel looks: colours in a light and a dark theme, sizes, what is cut off."""

import pytest
import qt
from gui_driver import GuiDriver
from helpers.hosts import IN_SLICER
from helpers.phantom import TRUE_POSE
from helpers.phantom_scene import begun, make_registration

from MultiViewRegistrationLib.panel.drawn import COLOURS

DARK = {
    "#353535": ("Window", "AlternateBase", "Button", "ToolTipBase"),
    "#ffffff": ("WindowText", "Text", "ButtonText", "ToolTipText"),
    "#191919": ("Base",),
    "#2a82da": ("Highlight",),
    "#000000": ("HighlightedText",),
    "#a0a0a0": ("PlaceholderText",),
}
LONG = "pelvis-three-views-wires-of-a-patient-with-a-long-name"


def luminance(colour):
    """WCAG 2's relative luminance of a QColor."""
    red, green, blue = (
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
        for c in (colour.redF(), colour.greenF(), colour.blueF())
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def least_contrast(window):
    """Of each label that has a tone against the window behind it, by its tone."""
    found = {}
    for label in window.findChildren(qt.QLabel):
        tone, palette = label.property("tone"), label.palette
        if tone:
            colour = palette.color(label.foregroundRole())
            ratio = contrast(colour, palette.color(qt.QPalette.Window))
            assert colour.name() in COLOURS[tone], label.objectName
            found[tone] = min(ratio, found.get(tone, 99))
    return found


@pytest.fixture
def palettes(host):
    """Of the light theme, which stays behind, and of the dark one."""
    light, dark = qt.QPalette(host.app.palette()), qt.QPalette(host.app.palette())
    for colour, roles in DARK.items():
        for role in roles:
            dark.setColor(getattr(qt.QPalette.ColorRole, role), qt.QColor(colour))
    yield light, dark
    host.app.setPalette(light)
    host.process(0.05)


@pytest.mark.slow
def test_coloured_text_is_readable_in_both_themes(host, palettes):
    person = GuiDriver(host)
    person.panel.show_message("Something is wrong; do something.")
    for palette in 2 * palettes:
        host.app.setPalette(palette)
        host.process(0.05)
        found = least_contrast(person.module_widget.parent)
        assert set(found) == {"error", "caution", "quiet"} and min(found.values()) >= 4.5, found


@pytest.fixture
def font_size(host):
    """A function: gives the application a font of so many points; that of before comes back."""
    before = host.app.font()

    def give(points):
        font = qt.QFont(before)
        font.setPointSizeF(points)
        host.app.setFont(font)
        return font

    yield give
    host.app.setFont(before)


@pytest.fixture(params=[9, 13.5], ids=["100 %", "150 %"])
def full(host, ct, views, font_size, request):
    """The panel with a registration of long names, in a font of this size, and all that unfolds unfolded."""
    font_size(request.param)
    person = GuiDriver(host, width=100)
    registration = begun(make_registration(host.scene, ct, views, TRUE_POSE, name=LONG))
    registration.ct.SetName(LONG)
    registration.xrays[1].change(geometry=None)
    person.begin("xrays", registration)
    for section in person.panel.sections.values():
        for box in section.widget.findChildren(object):
            if hasattr(box, "collapsed"):
                box.collapsed = False
    host.process(0.1)
    return person


@pytest.mark.quick_variants("100 %")
def test_the_panel_has_one_width_and_nothing_is_cut_off(full):
    root, widths = full.ui.messageLabel.parentWidget(), set()
    for name, section in full.panel.sections.items():
        full.begin(name)
        widths.add(full.module_widget.parent.minimumSizeHint.width())
        margins = section.button.layout().contentsMargins()
        needed = section.widget.minimumSizeHint.width() + margins.left() + margins.right()
        assert needed <= root.minimumWidth, (name, needed, root.minimumWidth)
    assert len(widths) == 1 and root.minimumSizeHint.width() <= root.minimumWidth
    if not IN_SLICER and full.host.app.font().pointSizeF() == 9:
        assert 360 <= root.minimumWidth <= 400

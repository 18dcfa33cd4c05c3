"""How the panel looks: colours in a light and a dark theme, sizes, what is cut off."""

from __future__ import annotations

import pytest
import slicer
from gui_driver import GuiDriver
from hosts import IN_SLICER

DARK = {
    "Window": "#353535",
    "WindowText": "#ffffff",
    "Base": "#191919",
    "AlternateBase": "#353535",
    "Text": "#ffffff",
    "Button": "#353535",
    "ButtonText": "#ffffff",
    "Highlight": "#2a82da",
    "HighlightedText": "#000000",
    "ToolTipBase": "#353535",
    "ToolTipText": "#ffffff",
    "PlaceholderText": "#a0a0a0",
    "Light": "#505050",
    "Midlight": "#454545",
    "Mid": "#282828",
    "Dark": "#202020",
    "Shadow": "#101010",
}


@pytest.fixture
def themes(host):
    """Puts the application into its "light" or "dark" theme; the light one stays behind."""
    import qt

    light = qt.QPalette(host.app.palette())

    def choose(name: str) -> None:
        palette = qt.QPalette(light)
        for role, colour in DARK.items() if name == "dark" else ():
            palette.setColor(getattr(qt.QPalette.ColorRole, role), qt.QColor(colour))
        host.app.setPalette(palette)
        host.process(0.05)

    yield choose
    choose("light")


@pytest.fixture
def person(host):
    return GuiDriver(host)


def luminance(colour) -> float:
    """WCAG 2's relative luminance of a QColor."""
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
        for c in (colour.redF(), colour.greenF(), colour.blueF())
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# colours
# ---------------------------------------------------------------------------------------------------------------


def labels(person) -> list:
    import qt

    return person.module_widget.parent.findChildren(qt.QLabel)


def least_contrast(person) -> dict[str, float]:
    """Of each label that has a tone against the window behind it, by its tone."""
    from MultiViewRegistrationLib.panel.style import COLOURS

    found = {}
    for label in labels(person):
        tone, palette = label.property("tone"), label.palette
        if tone:
            ratio = contrast(
                palette.color(label.foregroundRole()), palette.color(palette.ColorRole.Window)
            )
            assert palette.color(label.foregroundRole()).name() in COLOURS[tone], label.objectName
            found[tone] = min(ratio, found.get(tone, 99))
    return found


def test_coloured_text_is_readable_in_both_themes(person, themes):
    person.panel.show_message("Something is wrong; do something.")
    for theme in ("light", "dark", "light", "dark"):
        themes(theme)
        found = least_contrast(person)
        assert set(found) == {"error", "caution", "quiet"} and min(found.values()) >= 4.5, (
            theme,
            found,
        )


# sizes
# -----------------------------------------------------------------------------------------------------------------

LONG = "pelvis-three-views-wires-of-a-patient-with-a-long-name"


@pytest.fixture(params=[9, 13.5], ids=["100 %", "150 %"])
def full(host, ct, views, request):
    """The panel with a registration of long names, in a font of this size, and all that unfolds unfolded."""
    import qt
    from phantom import TRUE_POSE
    from phantom_scene import begun, make_registration

    before, font = host.app.font(), qt.QFont(host.app.font())
    font.setPointSizeF(request.param)
    host.app.setFont(font)
    person = GuiDriver(host, width=100)
    registration = begun(make_registration(host.scene, ct, views, TRUE_POSE, name=LONG))
    registration.ct.SetName(LONG)
    registration.xrays[1].change(geometry=None)
    person.panel.choose(registration)
    for section in person.panel.sections.values():
        for box in section.widget.findChildren(object):
            if hasattr(box, "collapsed"):
                box.collapsed = False
    host.process(0.1)
    yield person
    host.app.setFont(before)


def open_alone(person, name: str) -> None:
    for each, section in person.panel.sections.items():
        section.button.collapsed = each != name
    person.host.process(0.1)


def test_the_panel_has_one_width_and_nothing_is_cut_off(full):
    root, widths = full.ui.messageLabel.parentWidget(), set()
    for name, section in full.panel.sections.items():
        open_alone(full, name)
        widths.add(full.module_widget.parent.minimumSizeHint.width())
        margins = section.button.layout().contentsMargins()
        needed = section.widget.minimumSizeHint.width() + margins.left() + margins.right()
        assert needed <= root.minimumWidth, (name, needed, root.minimumWidth)
    assert len(widths) == 1 and root.minimumSizeHint.width() <= root.minimumWidth
    if not IN_SLICER and full.host.app.font().pointSizeF() == 9:
        assert 360 <= root.minimumWidth <= 400


def test_a_table_shows_its_rows_also_where_the_font_has_grown_meanwhile(host, ct, views):
    import qt
    from phantom_scene import begun, make_registration

    person, before = GuiDriver(host), host.app.font()
    person.begin("xrays", begun(make_registration(host.scene, ct, views)))
    font = qt.QFont(before)
    font.setPointSizeF(1.5 * before.pointSizeF())
    host.app.setFont(font)
    host.process(0.3)
    table = person.widget("xrays", "xrays")
    height = sum(table.rowHeight(row) for row in range(table.rowCount))
    letters = qt.QFontMetrics(font).height()
    host.app.setFont(before)
    assert table.rowHeight(0) > letters and table.viewport().height >= height


def test_the_geometry_window_shows_whole_numbers(full):
    from MultiViewRegistrationLib.geometry.c_arm import CArm

    geometry = CArm(
        source_to_detector_mm=1020.5,
        source_to_isocentre_mm=742.25,
        pixel_mm=(0.3876, 0.3876),
        size=(512, 512),
        principal_point=(261.53, 251.72),
        rao_lao_deg=-12.75,
        cra_cau_deg=17.25,
    )
    full.panel.registration.xrays[0].change(geometry=geometry)
    full.begin("xrays")
    full.open_geometry(0)
    for key in ("source_to_detector_mm", "rao_lao_deg", "principal_point"):
        edit = full.drawn("geometry", full.field(0, key)).edit
        assert edit.fontMetrics().horizontalAdvance(edit.text) < edit.width - 4, edit.text
    bars = slicer.util.findChildren(full.panel.geometry.dialog, "qt_scrollarea_hcontainer")
    assert bars and not any(bar.visible for bar in bars)


class Touched:
    """Counts what lays out and paints the panel again; to be made at a panel, and asked for `kinds`."""

    def __init__(self) -> None:
        import qt

        kinds = qt.QEvent
        self.kinds: list[str] = []
        watched = (
            *(kinds.LayoutRequest, kinds.UpdateRequest, kinds.Polish, kinds.StyleChange),
            *(kinds.PaletteChange, kinds.FontChange, kinds.EnabledChange, kinds.ToolTipChange),
            *(kinds.ShowToParent, kinds.HideToParent, kinds.DynamicPropertyChange),
        )

        class Filter(qt.QObject):
            def eventFilter(_self, widget, event) -> bool:
                if event.type() in watched:
                    self.kinds.append(f"{event.type()} {widget.property('objectName')}")
                return False

        self._filter = Filter()
        qt.QApplication.instance().installEventFilter(self._filter)


def test_what_has_not_changed_is_not_set_again(full):
    full.begin("xrays")
    full.open_geometry(0)
    for section in full.panel.sections.values():
        section.button.collapsed = False
    full.wait_until_read()
    full.panel._timer.stop()
    full.panel.refresh()
    full.host.process(0.2)
    touched = Touched()
    full.panel.refresh()
    assert touched.kinds == []


@pytest.mark.skipif(IN_SLICER, reason="Slicer's dock has its width")
def test_a_long_header_is_elided_and_whole_in_its_tool_tip(full):
    full.module_widget.parent.resize(100, 900)
    full.host.process(0.1)
    button = full.panel.sections["ct"].button
    assert (
        button.text.endswith("\u2026")
        and button.fontMetrics().horizontalAdvance(button.text) < button.width
    )
    assert LONG in button.toolTip
    full.module_widget.parent.resize(1000, 900)
    full.host.process(0.1)
    assert button.text.endswith(LONG) and button.toolTip == ""

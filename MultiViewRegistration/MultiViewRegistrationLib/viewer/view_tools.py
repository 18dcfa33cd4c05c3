"""The buttons over the 3D view and the slices."""

from __future__ import annotations

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.translation import _


def over_3d(views) -> None:
    """Make those of the 3D view.   views: the `views.Views` that do it."""
    html.Div("{{ views.case }}", classes="mv-case")
    with html.Div(classes="mv-over mv-tools", role="toolbar", aria_label="3D view"):
        _button("mdi-fit-to-page-outline", _("Show all: X-rays, sources and CT"), click=views.stand_back)
        _button(
            "mdi-bone", _("Bone surface of the CT"), click=(views.show_bones, "[!in_3d.bones]"), active="in_3d.bones"
        )
        _button(
            "mdi-cube-scan",
            _("Volume rendering of the CT (slow without a graphics card)"),
            active="in_3d.volume",
            click=(views.show_volume, "[!in_3d.volume]"),
            disabled=("!in_3d.possible",),
        )
        with v.VMenu():
            with v.Template(v_slot_activator="{ props }"):
                v.VBtn(
                    icon="mdi-eye-outline",
                    size="x-small",
                    variant="text",
                    v_bind="props",
                    title=_("Look from the source of an X-ray"),
                    aria_label=_("Look from the source of an X-ray"),
                    color=("in_3d.along ? 'primary' : ''",),
                )
            with v.VList(density="compact"):
                v.VListItem(
                    v_for="source in in_3d.sources",
                    key="source.value",
                    title=(f"`{_('From')} ${{source.title}}`",),
                    click=(views.look_from, "[source.value]"),
                    active=("in_3d.along === source.value",),
                )
        _maximise(views, "view_3D")


def over_slice(views, name: str, orientation: str, colour: str) -> None:
    """Make those of a slice of the CT."""
    html.Div("{{ views.case }}", classes="mv-case")
    with html.Div(classes="mv-over", style=f"color: {colour}"):
        html.Span(orientation)
        _maximise(views, f"view_{name}")


def _maximise(views, template: str) -> None:
    v.VBtn(
        icon=(f"views.maximised === '{template}' ? 'mdi-arrow-collapse' : 'mdi-arrow-expand'",),
        size="x-small",
        variant="text",
        click=(views.maximise, f"['{template}']"),
        title=_("This view alone, or all"),
        aria_label=_("This view alone, or all"),
    )


def _button(icon: str, title: str, *, active: str = "false", **more) -> None:
    v.VBtn(
        icon=icon,
        size="x-small",
        variant="text",
        title=title,
        aria_label=title,
        color=(f"{active} ? 'primary' : ''",),
        aria_pressed=(f"{active} ? 'true' : 'false'",),
        **more,
    )

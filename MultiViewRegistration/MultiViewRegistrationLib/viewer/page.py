"""The page: the steps in one column beside the views."""

from __future__ import annotations

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as v

from ..mrml import layout
from ..session.presenters.section import CHECK, DONE, PROBLEM, READY, REJECT, RUNNING, TODO
from ..session.translation import _
from . import elements, views_bar
from .starting import THEME, TITLE

#: Of Material Design Icons, by how far a step has come; each has a word beside it, or a shape of its own.
ICONS = {
    TODO: "mdi-circle-outline",
    READY: "mdi-circle-half-full",
    RUNNING: "mdi-play-circle",
    DONE: "mdi-check-circle",
    PROBLEM: "mdi-alert",
    CHECK: "mdi-alert",
    REJECT: "mdi-close-circle",
}


def build(application) -> None:
    """Make the page of an application."""
    server = application.server
    server.state.icons = ICONS
    with VAppLayout(server, vuetify_config=THEME):
        register = application.sections["register"]
        elements.Keys(**{key: (register.act, f"['{key}']") for key in ("undo", "redo", "register")})
        with html.Div(classes="mv-app"):
            with html.Aside(classes="mv-steps", aria_label="Steps"):
                _head(application)
                v.VProgressLinear(v_if="saving", indeterminate=True, height=3)
                html.Div(
                    _("Reading {{ opening }}…"),
                    v_if="opening && has_registration",
                    classes="mv-fact mv-message",
                    role="status",
                )
                v.VAlert(
                    "{{ message }}",
                    v_if="message",
                    type="error",
                    variant="tonal",
                    density="compact",
                    classes="mv-message",
                    role="alert",
                    closable=True,
                    click_close="message = ''",
                )
                with v.VAlert(
                    v_if="notices.length",
                    type="warning",
                    variant="tonal",
                    density="compact",
                    classes="mv-message",
                    role="alert",
                ):
                    html.Div("{{ notice }}", v_for="notice in notices", key="notice")
                    v.VBtn(_("Understood"), click=application.understood, size="small", variant="tonal")
                with html.Div(classes="mv-list"):
                    _steps(application)
                html.Div(_("For research use only."), classes="mv-foot")
            with html.Main(v_if="has_registration", classes="mv-work"):
                views_bar.build(application)
                _views(application)
            with html.Main(v_else=True, classes="mv-start"):
                _start_page(application)


def _head(application) -> None:
    with html.Div(classes="mv-head"):
        html.H1(TITLE, classes="mv-title")
        _open_another(application)
        elements.Fetch(
            v_if="has_registration",
            trigger="mvreg_save",
            label=_("Save"),
            icon="mdi-content-save",
            title=_("Save the scene as a file that 3D Slicer and this page open (.mrb)"),
        )


def _open_another(application) -> None:
    """A button for a dialog: what is open is only ever closed there, where it can be kept."""
    with html.Div(v_if="has_registration"), v.VDialog(v_model=("opening_another",), max_width=560):
        with v.Template(v_slot_activator="{ props }"):
            v.VBtn(
                "Open",
                v_bind="props",
                prepend_icon="mdi-folder-open",
                size="small",
                variant="tonal",
                disabled=("!!opening",),
                title=_("Open another case, result or scene"),
            )
        with v.VCard(title=_("Open something else")), v.VCardText():
            html.P(_("What is open now will be closed. Save it first if it is to be kept."))
            _openable(application, _("What would you like to open?"))
            v.VBtn(_("Keep what is open"), click="opening_another = false", variant="text")


def _openable(application, drop: str) -> None:
    """Files of a case, a result or a scene, or a case with nothing in it."""
    with elements.Files(
        target="open",
        hint=_("case.json, result.json or scene (.mrb), with all its files"),
        folder=True,
        disabled=("!!opening",),
        classes="mv-drop",
    ):
        html.H3(drop)
    v.VBtn(_("Begin with an empty case"), click=application.begin_empty, variant="text", disabled=("!!opening",))


def _steps(application) -> None:
    with v.VExpansionPanels(v_model=("open_steps",), multiple=True, variant="accordion", flat=True, static=True):
        for number, section in enumerate(application.sections.values(), start=1):
            with v.VExpansionPanel(value=section.name):
                with v.VExpansionPanelTitle(classes="mv-step"):
                    v.VIcon(
                        f"{{{{ icons[{section.state_name}.state.kind] }}}}",
                        size="small",
                        classes=(f"'mv-' + {section.state_name}.state.kind",),
                    )
                    html.Span(f"{number}. {section.title}", classes="mv-step-name")
                    html.Span(f"{{{{ {section.state_name}.state.text }}}}", classes="mv-step-text")
                with v.VExpansionPanelText():
                    client.ServerTemplate(name=f"step_{section.name}")  # see Application


def _views(application) -> None:
    with html.Div(classes=("'mv-views' + (views.maximised ? ' one' : '')",)):
        with (
            html.Div(
                classes="mv-xrays",
                v_show="!views.maximised || views.xrays.some(x => x.template === views.maximised)",
                style=("{ gridTemplateColumns: `repeat(${views.maximised ? 1 : views.columns}, minmax(0, 1fr))` }",),
            ),
            html.Div(
                v_for="xray in views.xrays",
                key="xray.template",
                classes="mv-cell",
                v_show="!views.maximised || views.maximised === xray.template",
                style=("{ borderTopColor: xray.colour }",),
            ),
        ):
            client.ServerTemplate(name=("xray.template",))
        with html.Div(
            classes="mv-scene",
            v_show="!views.maximised || views.maximised.startsWith('view_')"
            " && !views.xrays.some(x => x.template === views.maximised)",
        ):
            with html.Div(classes="mv-cell mv-3d", v_show="!views.maximised || views.maximised === 'view_3D'"):
                client.ServerTemplate(name="view_3D")
            for name in [each[0] for each in layout.CT_SLICES]:
                with html.Div(
                    classes="mv-cell", v_show=f"views.slices && !views.maximised || views.maximised === 'view_{name}'"
                ):
                    client.ServerTemplate(name=f"view_{name}")


def _start_page(application) -> None:
    with html.Div(classes="mv-welcome"):
        v.VIcon("mdi-vector-triangle", size="64", color="primary")
        html.H2(_("Find where a CT lies in the world of two or more X\u2011rays."))
        with html.Div(v_for="one in left", key="one.key", classes="mv-row"):
            v.VBtn(
                _("Go on where you were ({{ one.name }}, {{ one.saved }})"),
                click=(application.opening.go_on, "[one.key]"),
                color="primary",
                disabled=("!!opening",),
                prepend_icon="mdi-history",
                classes="mv-as-written",
                title=_("As this program kept it before it ended"),
            )
            v.VBtn(
                _("Remove"),
                click=(application.opening.remove_left, "[one.key]"),
                variant="text",
                disabled=("!!opening",),
                title=_("Remove it from this computer"),
            )
        v.VBtn(
            _("Open the demo"),
            click=application.opening.open_demo,
            size="x-large",
            color="primary",
            disabled=("!!opening",),
        )
        html.P(_("A chest CT and two X-rays of it, with a start that is off."), classes="mv-fact")
        html.P(_("Reading {{ opening }}…"), v_if="opening", role="status")
        _openable(application, _("Or drop a case here"))

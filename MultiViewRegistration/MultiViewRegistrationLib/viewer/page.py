"""The page: the steps in one column beside the views."""

from __future__ import annotations

from pathlib import Path

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as v

TITLE = "Multi-view 2D/3D registration"
THEME = {"theme": {"defaultTheme": "dark"}}


def build(application) -> None:
    """Make the page of an application."""
    application.server.enable_module(elements.MODULE)
    server = application.server
    server.state.trame__title = TITLE
    with VAppLayout(server, vuetify_config=THEME, theme="dark"):
        client.Style(Path(__file__).with_name("page.css").read_text(encoding="utf-8"))
        with html.Main(classes="mv-app"):
            with html.Div(classes="mv-steps"):
                _head(application)
                v.VProgressLinear(v_if="opening", indeterminate=True)
                v.VAlert("{{ message }}", v_if="message", type="error", variant="tonal", density="compact", classes="mv-message",
                         role="alert")
                with html.Div(classes="mv-list"):
                    _steps(application)
            with html.Div(v_if="has_registration", classes="mv-views", style=("{ gridTemplateColumns: '1fr 1fr' }",)):
                _views(application)
            with html.Div(v_if="!has_registration"):
                _start_page(application)


def _head(application) -> None:
    with html.Div(classes="mv-head"):
        html.Div(TITLE, classes="mv-title")


def _steps(application) -> None:
    application.state.open_steps = ["register"]
    with v.VExpansionPanels(v_model=("open_steps",), multiple=True, variant="accordion", flat=True):
        for number, section in enumerate(application.sections.values(), start=1):
            with v.VExpansionPanel(value=section.NAME):
                with v.VExpansionPanelTitle():
                    html.Span(f"{number}. {section.TITLE}")
                    html.Span(f"{{{{ {section.NAME}.state.text }}}}", classes="mv-fact", style="margin-left: 8px")
                with v.VExpansionPanelText():
                    section.build()


def _views(application) -> None:
    with html.Div(classes="mv-cell"):
        client.ServerTemplate(name="view_3D")
    with html.Div(v_for="xray in views.xrays", key="xray.template", classes="mv-cell"):
        client.ServerTemplate(name=("xray.template",))
    with html.Div(v_for="name in ['Red', 'Green', 'Yellow']", v_if="views.slices", key="name", classes="mv-cell"):
        client.ServerTemplate(name=("'view_' + name",))


def _start_page(application) -> None:
    with html.Div(classes="mv-start"):
        html.H1(TITLE)
        v.VBtn("Open the demo", click=application.opening.open_demo, size="large", color="primary", disabled=("!!opening",))
        html.Div("Reading {{ opening }}…", v_if="opening")

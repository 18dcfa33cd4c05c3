"""The page: the steps in one column beside the views."""

from __future__ import annotations

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as v

from ..mrml import layout
from ..session.presenters.check import OVERLAYS
from ..session.presenters.section import CHECK, DONE, PROBLEM, READY, REJECT, RUNNING, TODO
from ..session.translation import _
from . import elements

#: Of Material Design Icons, by how far a step has come; each has a word beside it, or a shape of its own.
STEP_ICONS = {
    TODO: "mdi-circle-outline",
    READY: "mdi-circle-half-full",
    RUNNING: "mdi-play-circle",
    DONE: "mdi-check-circle",
    PROBLEM: "mdi-alert",
    CHECK: "mdi-alert",
    REJECT: "mdi-close-circle",
}
#: Of each overlay mode.
OVERLAY_ICONS = {
    "blend": "mdi-circle-opacity",
    "flicker": "mdi-swap-horizontal",
    "checkerboard": "mdi-checkerboard",
    "edges": "mdi-vector-polyline",
    "colours": "mdi-set-center",
    "difference": "mdi-minus-box-outline",
    "off": "mdi-eye-off-outline",
}
ALERT = dict(variant="tonal", density="compact", classes="mv-message", role="alert")
SMALL_ICON = dict(size="x-small", variant="text")
WAIT = dict(disabled=("!!opening",))


def build(application) -> None:
    """Make the page of an application."""
    server = application.server
    server.state.icons = STEP_ICONS
    with VAppLayout(server, vuetify_config=elements.THEME):
        register = application.sections["register"]
        elements.Shortcuts(**{key: (register.act, f"['{key}']") for key in ("undo", "redo", "register")})
        with html.Div(classes="mv-app"):
            with html.Aside(classes="mv-steps", aria_label=_("Steps")):
                _head(application)
                v.VProgressLinear(v_if="saving", indeterminate=True, height=3)
                html.Div(
                    "{{ opening }}", v_if="opening && has_registration", classes="mv-fact mv-message", role="status"
                )
                v.VAlert(
                    "{{ message }}", v_if="message", type="error", closable=True, click_close="message = ''", **ALERT
                )
                with v.VAlert(v_if="notices.length", type="warning", **ALERT):
                    html.Div("{{ notice }}", v_for="notice in notices", key="notice")
                    v.VBtn(_("Understood"), click=application.acknowledge_warnings, size="small", variant="tonal")
                with html.Div(classes="mv-list"):
                    _steps(application)
                html.Div(_("For research use only."), classes="mv-foot")
            with html.Main(v_if="has_registration", classes="mv-work"):
                _bar(application.views)
                _views()
            with html.Main(v_else=True, classes="mv-start"):
                _start_page(application)


def _head(application) -> None:
    with html.Div(classes="mv-head"):
        html.H1(elements.TITLE, classes="mv-title")
        _open_another(application)
        elements.DownloadButton(
            v_if="has_registration",
            trigger="mvreg_save",
            label=_("Save"),
            icon="mdi-content-save",
            title=_("Save the scene as a file that 3D Slicer and this page open (.mrb)"),
        )


def _open_another(application) -> None:
    """The dialog that closes the open registration, with a chance to keep it."""
    with html.Div(v_if="has_registration"), v.VDialog(v_model=("opening_another",), max_width=560):
        with v.Template(v_slot_activator="{ props }"):
            v.VBtn(
                _("Open"),
                v_bind="props",
                prepend_icon="mdi-folder-open",
                size="small",
                variant="tonal",
                title=_("Open another case, result or scene"),
                **WAIT,
            )
        with v.VCard(title=_("Open something else")), v.VCardText():
            html.P(_("What is open now will be closed. Save it first if it is to be kept."))
            _openable(application, _("What would you like to open?"))
            v.VBtn(_("Keep what is open"), click="opening_another = false", variant="text")


def _openable(application, title: str) -> None:
    """Files of a case, a result or a scene, or a case with nothing in it."""
    with elements.FileDrop(
        target="open",
        hint=_("case.json, result.json or scene (.mrb), with all its files"),
        folder=True,
        classes="mv-drop",
        **WAIT,
    ):
        html.H3(title)
    v.VBtn(_("Begin with an empty case"), click=application.begin_empty, variant="text", **WAIT)


def _steps(application) -> None:
    with v.VExpansionPanels(v_model=("open_steps",), multiple=True, variant="accordion", flat=True, static=True):
        for number, section in enumerate(application.sections.values(), start=1):
            state = f"{section.state_name}.state"
            with v.VExpansionPanel(value=section.name):
                with v.VExpansionPanelTitle(classes="mv-step"):
                    v.VIcon(f"{{{{ icons[{state}.kind] }}}}", size="small", classes=(f"'mv-' + {state}.kind",))
                    html.Span(f"{number}. {section.title}", classes="mv-step-name")
                    html.Span(f"{{{{ {state}.text }}}}", classes="mv-step-text")
                with v.VExpansionPanelText():
                    section.build()


def _bar(views) -> None:
    """The choice of overlays on the X-rays, and of the views beside them."""
    with html.Div(classes="mv-bar", role="toolbar", aria_label=_("Views")):
        with v.VBtnToggle(
            model_value=("overlay.mode",),
            update_modelValue=(views.act, "['overlay', $event]"),
            mandatory=True,
            density="compact",
            variant="text",
            color="primary",
            divided=True,
        ):
            for mode, (name, legend) in OVERLAYS.items():
                v.VBtn(
                    name,
                    value=mode,
                    prepend_icon=OVERLAY_ICONS[mode],
                    size="small",
                    title=legend or name,
                    aria_label=_("Overlay: {name}").format(name=name),
                )
        v.VSlider(
            v_show="overlay.mode === 'blend'",
            model_value=("overlay.opacity",),
            update_modelValue=(views.act, "['opacity', $event]"),
            min=0,
            max=1,
            step=0.05,
            classes="mv-opacity",
            aria_label=_("Share of the DRR"),
            title=_("X-ray alone … DRR alone"),
        )
        html.Div(classes="mv-spring")
        v.VBtn(
            _("Slices"),
            prepend_icon="mdi-view-week-outline",
            click="slices = !slices",
            size="small",
            variant="text",
            color=("slices ? 'primary' : ''",),
            title=_("Show slices of the CT beside the 3D view"),
        )


def _views() -> None:
    with html.Div(classes=("'mv-views' + (maximised ? ' one' : '')",)):
        with (
            html.Div(
                classes="mv-xrays",
                v_show="!maximised || views.xrays.some(x => x.template === maximised)",
                style=("{ gridTemplateColumns: `repeat(${maximised ? 1 : views.columns}, minmax(0, 1fr))` }",),
            ),
            html.Div(
                v_for="xray in views.xrays",
                key="xray.template",
                classes="mv-cell",
                v_show="!maximised || maximised === xray.template",
                style=("{ borderTopColor: xray.colour }",),
            ),
        ):
            client.ServerTemplate(name=("xray.template",))
        with html.Div(
            classes="mv-scene",
            v_show="!maximised || !views.xrays.some(x => x.template === maximised)",
        ):
            for name in ("3D", *(each[0] for each in layout.CT_SLICES)):
                seen = "" if name == "3D" else "slices && "
                with html.Div(
                    classes="mv-cell mv-3d" if name == "3D" else "mv-cell",
                    v_show=f"{seen}!maximised || maximised === 'view_{name}'",
                ):
                    client.ServerTemplate(name=f"view_{name}")


def build_3d_tools(views) -> None:
    """Make the buttons over the 3D view, for `page_views.PageViews`."""
    html.Div("{{ views.case }}", classes="mv-case")
    with html.Div(classes="mv-over mv-tools", role="toolbar", aria_label=_("3D view")):
        _button("mdi-fit-to-page-outline", _("Show all: X-rays, sources and CT"), click=views.stand_back)
        _button(
            "mdi-bone",
            _("Bone surface of the CT"),
            active="in_3d.bones",
            click=(views.act, "['bones', !in_3d.bones]"),
        )
        _button(
            "mdi-cube-scan",
            _("Volume rendering of the CT (slow without a graphics card)"),
            active="in_3d.volume",
            click=(views.act, "['volume', !in_3d.volume]"),
            disabled=("!in_3d.possible",),
        )
        with v.VMenu():
            with v.Template(v_slot_activator="{ props }"):
                _button("mdi-eye-outline", _("Look from the source of an X-ray"), active="in_3d.along", v_bind="props")
            with v.VList(density="compact"):
                v.VListItem(
                    v_for="source in in_3d.sources",
                    key="source.value",
                    title=("source.title",),
                    click=(views.act, "['source', source.value]"),
                    active=("in_3d.along === source.value",),
                )
        _maximise("view_3D")


def build_slice_tools(name: str, orientation: str, colour: str) -> None:
    """Make the buttons over a slice of the CT."""
    html.Div("{{ views.case }}", classes="mv-case")
    with html.Div(classes="mv-over", style=f"color: {colour}"):
        html.Span(orientation)
        _maximise(f"view_{name}")


def _maximise(template: str) -> None:
    title = _("This view alone, or all")
    v.VBtn(
        icon=(f"maximised === '{template}' ? 'mdi-arrow-collapse' : 'mdi-arrow-expand'",),
        click=f"maximised = maximised === '{template}' ? '' : '{template}'",
        title=title,
        aria_label=title,
        **SMALL_ICON,
    )


def _button(icon: str, title: str, *, active: str = "false", **more) -> None:
    v.VBtn(
        icon=icon,
        title=title,
        aria_label=title,
        color=(f"{active} ? 'primary' : ''",),
        aria_pressed=(f"{active} ? 'true' : 'false'",),
        **SMALL_ICON,
        **more,
    )


def _start_page(application) -> None:
    opener = application.opener
    with html.Div(classes="mv-welcome"):
        v.VIcon("mdi-vector-triangle", size="64", color="primary")
        html.H2(_("Find where a CT lies in the world of two or more X\u2011rays."))
        with html.Div(v_for="one in autosaved", key="one.key", classes="mv-row"):
            v.VBtn(
                "{{ one.offer }}",
                click=(opener.open_autosaved, "[one.key]"),
                color="primary",
                prepend_icon="mdi-history",
                classes="mv-as-written",
                title=_("As this program kept it before it ended"),
                **WAIT,
            )
            v.VBtn(
                _("Remove"),
                click=(opener.remove_autosaved, "[one.key]"),
                variant="text",
                title=_("Remove it from this computer"),
                **WAIT,
            )
        v.VBtn(_("Open the demo"), click=opener.open_demo, size="x-large", color="primary", **WAIT)
        html.P(_("A chest CT and two X-rays of it, with a start that is off."), classes="mv-fact")
        html.P("{{ opening }}", v_if="opening", role="status")
        _openable(application, _("Or drop a case here"))

"""The page: the steps in one column beside the views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as v

from ..mrml import layout
from ..session.presenters.check import OVERLAYS
from ..session.presenters.files import DEMO, WELCOME
from ..session.presenters.start import MOVE
from ..translation import _
from . import elements
from .autosave import MAX_KEPT

if TYPE_CHECKING:
    from .application import Application
    from .page_views import PageViews

#: Material Design Icons by how far a step has come; each has a word beside it, or a shape of
#: its own.
STEP_ICONS = {
    "todo": "mdi-circle-outline",
    "ready": "mdi-circle-half-full",
    "running": "mdi-play-circle",
    "done": "mdi-check-circle",
    "problem": "mdi-alert",
    "check": "mdi-alert",
    "reject": "mdi-close-circle",
}
#: Icon of each overlay mode.
OVERLAY_ICONS = {
    "blend": "mdi-circle-opacity",
    "flicker": "mdi-swap-horizontal",
    "checkerboard": "mdi-checkerboard",
    "edges": "mdi-vector-polyline",
    "colours": "mdi-set-center",
    "difference": "mdi-minus-box-outline",
    "off": "mdi-eye-off-outline",
}
#: Where it is about to be closed.
SAVE_OPEN = _("Save what is open")
SAVE = _("Save the scene as a file that 3D Slicer and this page open (.mrb)")
ALERT = dict(variant="tonal", density="compact", classes="mv-message", role="alert")
#: Name, icon and title of each view.
LAYOUTS = (
    ("xrays", "mdi-view-column-outline", _("X-rays, large (1)")),
    ("all", "mdi-view-dashboard-outline", _("All views (2)")),
    ("ct", "mdi-cube-outline", _("3D and slices (3)")),
)
#: What is seen, of LAYOUTS, also while a view is alone.
PARTS = "look.alone ? (views.xrays.some(x => x.pane === look.alone) ? 'xrays' : 'ct') : look.layout"
THEME_ICONS = {
    "auto": "mdi-theme-light-dark",
    "light": "mdi-white-balance-sunny",
    "dark": "mdi-weather-night",
}
THEME_NAMES = {"auto": _("as the system"), "light": _("light"), "dark": _("dark")}
WAIT = dict(disabled=("!!opening",))
KEPT = _("The {count} newest are kept on this computer; the page removes older ones.").format(
    count=MAX_KEPT
)
#: What is taken anywhere in the page.
HINT = _("CT, X-rays, calibration, case or scene")


def build(application: Application) -> None:
    """Make the page of an application."""
    server = application.server
    server.state.icons = STEP_ICONS
    with VAppLayout(server, vuetify_config=elements.THEME):
        register = application.sections["register"]
        answer = application.answer
        keys = {"undo": answer, "redo": register, "register": register}
        acts = {key: (form.act, f"['{key}']") for key, form in keys.items()}
        elements.Shortcuts(**acts, move=application.toggle_move, leave=application.hide_geometry)
        elements.Look(slices=("slices_wanted",), xrays=("views.xrays",), sought=("sought",))
        elements.Help()
        with html.Div(classes=("'mv-app' + (look.alone && has_registration ? ' alone' : '')",)):
            _head(application)
            with html.Div(classes="mv-body", style=("{ '--steps': look.stepsPx + 'px' }",)):
                _column(application)
                html.Div(
                    v_if="has_registration && look.steps",
                    classes="mv-scrim",
                    click="look.steps = false",
                )
                with html.Main(classes="mv-main"):
                    _messages(application)
                    with html.Div(v_if="has_registration", classes="mv-work"):
                        answer.build()
                        _bar(application)
                        _geometry(application)
                        _views()
                    with html.Div(v_else=True, classes="mv-start"):
                        _start_page(application)
                    _asked(application)
                    elements.WindowDrop(target="files", **WAIT)


def _head(application: Application) -> None:
    with html.Header(classes="mv-head"):
        _icon(
            "mdi-menu",
            _("Steps (b)"),
            v_if="has_registration",
            active="look.steps",
            click="look.steps = !look.steps",
        )
        html.H1(f"{{{{ case_title || '{elements.TITLE}' }}}}", classes="mv-title")
        _open_another(application)
        _save(_("Save"), v_if="has_registration")
        html.Div(classes="mv-spring")
        with html.Div(
            v_if="has_registration", classes="mv-group", role="group", aria_label=_("Layout")
        ):
            for layout_name, icon, title in LAYOUTS:
                _icon(
                    icon,
                    title,
                    active=f"look.layout === '{layout_name}'",
                    click=f"look.choose('{layout_name}')",
                )
        for theme, icon in THEME_ICONS.items():
            title = _("Colours: {theme}; press for the next").format(theme=THEME_NAMES[theme])
            _icon(icon, title, v_if=f"look.theme === '{theme}'", click="look.nextTheme()")
        _icon("mdi-keyboard-outline", _("Mouse, fingers and keys (?)"), click="look.help = true")


def _column(application: Application) -> None:
    with html.Aside(
        classes="mv-steps", v_show="has_registration && look.steps", aria_label=_("Steps")
    ):
        v.VProgressLinear(v_if="saving", indeterminate=True, height=3, aria_label=_("Saving"))
        with html.Div(classes="mv-list", tabindex="0"):
            _steps(application)
        html.Div(_("For research use only."), classes="mv-foot")
        elements.Splitter(kind="steps")


def _messages(application: Application) -> None:
    """Put what a person has to read above the views."""
    with html.Div(classes="mv-messages"):
        html.Div(
            "{{ opening }}",
            v_if="opening && has_registration",
            classes="mv-fact mv-message",
            role="status",
        )
        v.VAlert(
            "{{ message }}",
            v_if="message",
            type="error",
            closable=True,
            click_close="message = ''",
            **ALERT,
        )
        with v.VAlert(v_if="notices.length", type="warning", **ALERT):
            html.Div("{{ notice }}", v_for="notice in notices", key="notice")
            v.VBtn(
                _("Understood"),
                click=application.acknowledge_notices,
                size="small",
                variant="tonal",
            )


def _open_another(application: Application) -> None:
    """Put in the dialog that closes the open registration, with a chance to keep it."""
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
            elements.FileDrop(target="open", hint=HINT, folder=True, **WAIT)
            with html.Div(classes="mv-row"):
                v.VBtn(_("New case"), click=application.new_case, variant="tonal", **WAIT)
                v.VBtn(_("Open the demo"), click=application.open_demo, variant="tonal", **WAIT)
                _save(SAVE_OPEN)
                v.VBtn(_("Keep what is open"), click="opening_another = false", variant="text")


def _save(label: str, **shown: str) -> None:
    """Put in a button that saves what is open."""
    elements.DownloadButton(
        trigger="mvreg_save", label=label, icon="mdi-content-save", title=SAVE, **shown
    )


def _steps(application: Application) -> None:
    with v.VExpansionPanels(
        v_model=("open_steps",), multiple=True, variant="accordion", flat=True, static=True
    ):
        for number, section in enumerate(application.steps.values(), start=1):
            state = f"{section.state_name}.state"
            with v.VExpansionPanel(value=section.name):
                with v.VExpansionPanelTitle(classes="mv-step", data_key=f"{section.name}/"):
                    v.VIcon(
                        f"{{{{ icons[{state}.kind] }}}}",
                        size="small",
                        classes=(f"'mv-' + {state}.kind",),
                    )
                    html.Span(f"{number}. {section.title}", classes="mv-step-name")
                    html.Span(f"{{{{ {state}.text }}}}", classes="mv-step-text")
                with v.VExpansionPanelText():
                    section.build()


def _bar(application: Application) -> None:
    """Put in the choice of overlays on the X-rays, where any is seen, and the switch for moving the CT."""
    views = application.views
    with html.Div(
        classes="mv-bar", v_show=f"({PARTS}) !== 'ct'", role="toolbar", aria_label=_("Overlays")
    ):
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
            MOVE,
            prepend_icon="mdi-cursor-move",
            size="small",
            variant=("hand.on ? 'flat' : 'tonal'",),
            color=("hand.on ? 'warning' : ''",),
            aria_pressed=("String(hand.on)",),
            disabled=("!hand.possible",),
            click=application.toggle_move,
            aria_label=MOVE,
            title=_("Drags and keys in the X-rays move the CT (m); Escape ends it"),
        )


def _views() -> None:
    with html.Div(
        classes=(
            f"'mv-views ' + ({PARTS}) + (look.alone ? ' alone' : look.beside ? ' beside' : '')",
        ),
        style=("{ '--share': look.share + 'fr', '--rest': (100 - look.share) + 'fr' }",),
    ):
        with (
            elements.XRays(count=("look.alone ? 1 : views.xrays.length",)),
            html.Div(
                v_for="xray in views.xrays",
                key="xray.template",
                classes="mv-cell",
                data_view=("xray.pane",),
                v_show="!look.alone || look.alone === xray.pane",
                style=("{ borderTopColor: xray.colour }",),
            ),
        ):
            client.ServerTemplate(name=("xray.template",))
        elements.Splitter(kind="views")
        with html.Div(classes="mv-scene"):
            for name in ("3D", *(each[0] for each in layout.CT_SLICES)):
                with html.Div(
                    classes="mv-cell mv-3d" if name == "3D" else "mv-cell mv-slice",
                    data_view=name,
                    v_show=f"!look.alone || look.alone === '{name}'",
                ):
                    client.ServerTemplate(name=f"view_{name}")


def _geometry(application: Application) -> None:
    """Put the table of the X-rays' geometry above the views, which show what is typed."""
    section = application.sections["geometry"]
    with html.Section(
        v_if=f"{section.state_name}.controls.length",
        classes="mv-sheet",
        aria_label=section.title,
    ):
        with html.Div(classes="mv-sheet-head"):
            html.H2(section.title)
            _icon("mdi-close", _("Close the table"), click=application.hide_geometry)
        section.build()


def build_3d_tools(views: PageViews) -> None:
    """Make the buttons over the 3D view, for `page_views.PageViews`."""
    elements.Eye()
    html.Div("{{ views.case }}", classes="mv-case")
    with html.Div(classes="mv-tools", role="toolbar", aria_label=_("3D view")):
        _icon(
            "mdi-fit-to-page-outline", _("Show all: X-rays, sources and CT"), click=views.stand_back
        )
        _icon(
            "mdi-bone",
            _("Bone surface of the CT"),
            active="in_3d.bones",
            click=(views.act, "['bones', !in_3d.bones]"),
        )
        _icon(
            "mdi-cube-scan",
            _("Volume rendering of the CT (slow without a graphics card)"),
            active="in_3d.volume",
            click=(views.act, "['volume', !in_3d.volume]"),
            disabled=("!in_3d.possible",),
        )
        with v.VMenu():
            with v.Template(v_slot_activator="{ props }"):
                _icon(
                    "mdi-eye-outline",
                    _("Look from the source of an X-ray"),
                    active="in_3d.along",
                    v_bind="props",
                )
            with v.VList(density="compact"):
                v.VListItem(
                    v_for="source in in_3d.sources",
                    key="source.value",
                    title=("source.title",),
                    click=(views.act, "['source', source.value]"),
                    active=("in_3d.along === source.value",),
                )
        _alone("3D")


def build_slice_tools(name: str, orientation: str, colour: str) -> None:
    """Make the buttons over a slice of the CT."""
    with elements.SliceOverlay(
        title=orientation, colour=colour, at=(f"slices_at['{orientation}']",), greys=("ct_greys",)
    ):
        _alone(name)


def _alone(view: str) -> None:
    icon = f"look.alone === '{view}' ? 'mdi-arrow-collapse' : 'mdi-arrow-expand'"
    _icon(
        (icon,), _("This view alone, or all (f, or a double click)"), click=f"look.toggle('{view}')"
    )


def _icon(icon: str | tuple[str], title: str, *, active: str = "", **more) -> None:
    """Put in a button with an icon; pressed where the expression `active` is true."""
    pressed = (
        {
            "color": (f"{active} ? 'primary' : ''",),
            "aria_pressed": (f"{active} ? 'true' : 'false'",),
        }
        if active
        else {}
    )
    v.VBtn(
        icon=icon,
        title=title,
        aria_label=title,
        size="small",
        variant="text",
        rounded="lg",
        **pressed,
        **more,
    )


def _start_page(application: Application) -> None:
    """Put in what to do with an empty page: work from before first, then files, then the demo."""
    autosave = application.autosave
    with html.Div(classes="mv-welcome"):
        html.H2(_("Find where a CT lies in the world of two or more X\u2011rays."))
        with (
            html.Div(v_if="autosaved.length", classes="mv-left"),
            html.Div(v_for="one in autosaved", key="one.key", classes="mv-row mv-autosaved"),
        ):
            html.Img(v_if="one.picture", src=("one.picture",), alt="")
            with html.Div(classes="mv-about"):
                html.Strong("{{ one.name }}")
                html.Div("{{ one.facts }}", classes="mv-fact")
            v.VBtn(
                _("Go on where you were"),
                click=(autosave.open, "[one.key]"),
                color="primary",
                prepend_icon="mdi-history",
                title=_("As this program kept it before it ended"),
                **WAIT,
            )
            v.VBtn(
                _("Remove"),
                click=(autosave.remove, "[one.key]"),
                variant="text",
                title=_("Remove it from this computer"),
                **WAIT,
            )
        html.P(KEPT, v_if="autosaved.length", classes="mv-fact")
        with elements.FileDrop(target="files", hint=HINT, folder=True, classes="mv-drop", **WAIT):
            v.VIcon("mdi-tray-arrow-down", size="48", color="primary")
            for line in WELCOME:
                html.P(line)
        with html.Div(classes="mv-row mv-demo"):
            v.VBtn(
                _("Open the demo"),
                click=application.open_demo,
                variant="tonal",
                color="primary",
                **WAIT,
            )
            html.Span(DEMO, classes="mv-fact")
        html.P("{{ opening }}", v_if="opening", role="status")
        html.P(_("For research use only."), classes="mv-fact")


def _asked(application: Application) -> None:
    """Put the question about files, and the list of unused ones, below everything else."""
    files = application.files
    with html.Section(
        v_if=f"{files.state_name}.controls.length",
        classes="mv-asked",
        aria_label=_("Files"),
        aria_live="polite",
    ):
        files.build()
        _save(SAVE_OPEN, v_if="closes")

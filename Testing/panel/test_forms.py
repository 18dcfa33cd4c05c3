"""The renderer of forms in Qt: every kind of control, drawn, changed, used."""

from __future__ import annotations

import pytest
from driven_panel import Driven


@pytest.fixture
def driven(host, ct, views):
    return Driven(host, ct, views)


def test_register(driven):
    form = driven.panel.sections["register"].form
    driven.choose_start("search")
    press = form.drawn["register"].widget
    assert press.enabled and "Ctrl+Return" in press.toolTip
    driven.host.click(press)
    assert form.drawn["progress"].widget.visible and form.drawn["cancel"].widget.enabled and not press.enabled
    driven.wait()
    print(form.drawn["outcome"].widget.text, driven.header("register"))
    driven.host.grab(driven.panel.sections["register"].button, "/tmp/reg.png")
    driven.host.choose(form.drawn["compare"].widget, form.drawn["compare"].widget.itemText(0))
    driven.host.process(20, until=lambda: "Orange" in form.drawn["compared"].widget.text)
    driven.host.process(0.2)
    driven.host.grab(driven.panel.sections["register"].button, "/tmp/reg2.png")
    driven.host.click(form.drawn["undo"].widget)
    driven.host.grab(driven.panel.sections["register"].button, "/tmp/reg3.png")
    assert driven.message() == ""

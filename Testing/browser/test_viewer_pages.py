"""Pages come and go, and the work in the server goes on."""

from __future__ import annotations


def begin_long_search(tab) -> None:
    """A registration that takes some seconds."""
    tab.page.get_by_label("How far").first.click(force=True)
    tab.page.get_by_role("option", name="Anywhere (90°, 150 mm)").click()
    tab.wait_state("(c('start', 'rotation_deg') || {}).text === '90'")
    tab.button("Register").click()
    tab.wait_state("(c('register', 'progress') || { percent: null }).percent !== null")


def test_a_reload_finds_the_work_where_it_is(tab):
    begin_long_search(tab)
    tab.page.reload()
    tab.page.wait_for_selector(".mv-app")
    tab.wait_state(
        "c('register', 'progress') || ['done', 'check'].includes((s.register_form || {state: {}}).state.kind)"
    )
    tab.shot("reloaded")
    tab.wait_state(
        "c('register', 'register').enabled && ['done', 'check', 'reject'].includes(s.register_form.state.kind)"
    )
    tab.drawn()


def test_a_run_is_cancelled_and_the_ct_is_where_it_was(tab):
    before = tab.numbers()
    begin_long_search(tab)
    tab.button("Cancel").click()
    tab.wait_state("c('register', 'register').enabled && c('register', 'outcome').label.startsWith('Cancelled')")
    assert "Cancelled" in tab.control("register", "outcome")["label"]
    tab.wait_state(f"n().join() === '{','.join(before)}'")


def test_two_pages_show_the_same_and_one_may_go_away(tab, open_tab, server):
    other = open_tab(server)
    other.ready()
    other.page.get_by_role("button", name="Overlay: Edges").click()
    tab.wait_state("s.overlay.mode === 'edges'")
    begin_long_search(other)
    tab.wait_state("c('register', 'progress')")
    other.close()
    tab.wait_state(
        "c('register', 'register').enabled && ['done', 'check', 'reject'].includes(s.register_form.state.kind)"
    )
    tab.page.get_by_role("button", name="Overlay: Blend").click()
    tab.wait_state("s.overlay.mode === 'blend'")


def test_a_saved_scene_is_opened_again_where_it_was(tab, open_tab, serve, tmp_path):
    outcome = tab.control("register", "outcome")["label"]
    with tab.page.expect_download() as download:
        tab.button("Save").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.suffix == ".mrb" and outcome
    again = open_tab(serve(saved))
    again.ready()
    again.shot("reopened")
    assert again.control("register", "outcome")["label"] == outcome
    assert again.control("register", "undo")["enabled"]
    assert [view["name"] for view in again.state("views.xrays")] == ["view1", "view2"]

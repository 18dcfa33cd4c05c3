"""The work saved as a scene, and opened again."""

from __future__ import annotations

import zipfile


def test_a_saved_scene_is_opened_again_where_it_was(tab, open_tab, serve, tmp_path):
    tab.register()
    similarity = tab.state("register.outcome")
    with tab.page.expect_download() as download:
        tab.button("Save").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.suffix == ".mrb"
    assert any(name.endswith(".mrml") for name in zipfile.ZipFile(saved).namelist())
    again = open_tab(serve(saved))
    again.ready()
    again.shot("reopened")
    assert again.state("register.outcome") == similarity
    assert again.state("register.can_undo")
    assert [view["name"] for view in again.state("views.xrays")] == ["view1", "view2"]

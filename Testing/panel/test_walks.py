"""The panel's walks of the wrist's bones, on Slicer's stand-in: what they click is there, and what they wait for comes."""

import importlib.util
import io
import sys
from pathlib import Path

import pytest
from gui_driver import GuiDriver
from hosts import IN_SLICER
from PIL import Image

pytestmark = pytest.mark.skipif(IN_SLICER, reason="the walk itself runs there")
WALKS = Path(__file__).resolve().parents[1] / "walks"


@pytest.fixture
def walks(host, shared_data, monkeypatch):
    """The module walks/panel.py, whose file dialogs answer with the folder that a walk has made."""
    monkeypatch.syspath_prepend(str(WALKS))
    spec = importlib.util.spec_from_file_location("panel_walks", WALKS / "panel.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def when_asked(answer) -> None:
        host.answers.directory = answer.args[0]

    monkeypatch.setattr(module.hands, "when_asked", when_asked)
    yield module
    for name in ("material", "counted_walk", "walk"):
        sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["bones", "sequence"])
def test_a_walk_of_the_wrists_bones(walks, host, task, tmp_path, monkeypatch):
    from MultiViewRegistrationLib.panel import self_test

    person = GuiDriver(host)

    def picture() -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (40, 30)).save(file, "PNG")
        return file.getvalue()

    monkeypatch.setattr(walks, "picture", picture)
    files = tmp_path / task
    walks.MATERIAL[task](files)
    by = self_test.Walk(person.module_widget, lambda said: None)
    walk = walks.PanelWalk(task, tmp_path / "walks", by)
    try:
        walks.STEPS[task](walk, files)
        walk.end()
    finally:
        by.end()
    assert (tmp_path / "walks" / "walks.json").is_file()

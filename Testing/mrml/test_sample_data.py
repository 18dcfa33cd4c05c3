"""The sample in Slicer's Sample Data module: what a click on it does; what it downloads: Testing/demo/test_chest.py."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import slicer
from helpers import sample_data_module

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.mrml import loading

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration"


@pytest.fixture
def click(scene, monkeypatch):
    """A function: a click on the sample's picture, where this makes its case, also where it was registered twice."""
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(sampleDataSources={}), raising=False)
    monkeypatch.setitem(sys.modules, "SampleData", sample_data_module)

    def do(demo_case):
        monkeypatch.setattr(loading, "demo_case", demo_case)
        for _ in range(2):
            loading.register_sample_data(MODULE, str)
        (source,) = slicer.modules.sampleDataSources[loading.CATEGORY]
        assert Path(source.thumbnailFileName).is_file()
        return source.customDownloader(source)

    return do


def test_a_click_loads_the_sample(click):
    assert click(lambda: Path("case.json")) == "case.json"


def test_where_it_is_not_to_be_had_a_message_says_why(click, monkeypatch):
    def fail():
        raise InputError("pip could not download it.")

    said = []
    monkeypatch.setattr(slicer.util, "errorDisplay", said.append)
    assert click(fail) is None and said == ["pip could not download it."]

"""What a person does to the CT in Slicer's other modules: Segment Editor, Transforms, Markups, Data."""

from dataclasses import replace

import numpy as np
import pytest
import slicer
from gui_driver import GuiDriver
from helpers.phantom_scene import begun, make_registration, settle
from helpers.running_session import STARTED_AT

pytestmark = pytest.mark.slow

MIN_BONE_HU = 300


@pytest.fixture
def person(host, ct, views):
    """At a pose that was accepted."""
    person = GuiDriver(host)
    person.begin("register", begun(make_registration(host.scene, ct, views, STARTED_AT)))
    settle(person.session)
    person.session.history.add(replace(person.session.history.current, verdict="accept"))
    person.wait(lambda: accepted(person))
    return person


def accepted(person):
    return "ACCEPT" in person.answer()


def draw_bone(person):
    """By Threshold of the Segment Editor, on the CT where it lies."""
    ct = person.registration.ct
    segmentation = person.host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    segment = segmentation.GetSegmentation().AddEmptySegment("bone", "bone")
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(ct)
    editor.mrmlSegmentEditorNode().SetSelectedSegmentID(segment)
    person.host.process(0.1)
    editor.setActiveEffectByName("Threshold")
    effect = editor.activeEffect()
    effect.setParameter("MinimumThreshold", str(MIN_BONE_HU))
    effect.setParameter("MaximumThreshold", "10000")
    effect.self().onApply()
    editor.setActiveEffectByName("")
    person.host.enter(person.module_widget)
    return segmentation


def test_a_segment_that_was_drawn_on_the_placed_ct_is_registered_as_drawn(person):
    drawn, voxels = draw_bone(person), slicer.util.arrayFromVolume(person.registration.ct)
    person.choose("ct", "structure", "bone")
    assert person.registration.segmentation is drawn and not accepted(person)
    assert np.array_equal(person.session.ct().mask, voxels >= MIN_BONE_HU)
    person.choose("ct", "structure", "the whole CT")
    person.wait(lambda: accepted(person))

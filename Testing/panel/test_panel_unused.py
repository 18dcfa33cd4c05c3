"""A module that was only looked at leaves nothing behind."""

import slicer
from gui_driver import GuiDriver
from running_session import nodes


def test_a_module_that_was_opened_and_left_unused_leaves_the_scene_as_it_was(host):
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(host.scene)  # as in Slicer
    before = nodes(host.scene)
    person = GuiDriver(host)
    for _ in range(2):
        host.enter(person.module_widget)
        host.process(0.3)
        host.leave(person.module_widget)
        assert nodes(host.scene) == before and not tree.GetNumberOfItems()

"""A module that was only looked at leaves nothing behind."""

from __future__ import annotations

from gui_driver import GuiDriver


def nodes(scene) -> list[str]:
    return sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes()))


def test_a_module_that_was_opened_and_left_unused_leaves_the_scene_as_it_was(host):
    import slicer

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(host.scene)  # as in Slicer
    before = nodes(host.scene)
    person = GuiDriver(host)
    host.process(0.3)
    host.leave(person.module_widget)
    host.process(0.1)
    assert nodes(host.scene) == before and not tree.GetNumberOfItems()
    host.enter(person.module_widget)
    host.process(0.3)
    host.leave(person.module_widget)
    assert nodes(host.scene) == before

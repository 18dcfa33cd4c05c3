"""Whatever is chosen, loaded or reopened.

The panes, the 3D view and the slices show the patient that the panel names, and no other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gui_driver import GuiDriver
from phantom import TRUE_POSE, off
from phantom_scene import begun, make_registration, remove

MODULE = "MultiViewRegistration"


def other_patient(views) -> list:
    """X-rays that cannot be taken for the phantom's own, one more of them."""
    turned = [
        replace(
            view,
            xray=replace(
                view.xray, line_integrals=np.ascontiguousarray(view.xray.line_integrals[::-1])
            ),
        )
        for view in views
    ]
    return [
        *turned,
        replace(
            turned[0],
            name="third",
            camera=replace(
                turned[0].camera,
                camera_from_world=turned[0].camera.camera_from_world
                @ off(np.eye(4), (0, 20, 0), (0, 0, 0)),
            ),
        ),
    ]


@pytest.fixture
def person(host, ct, views):
    """At the views of registration A, over which lie DRRs; B is of another patient."""
    person = GuiDriver(host)
    person.give_views()
    person.a = begun(make_registration(host.scene, ct, views, TRUE_POSE, name="A"))
    person.b = begun(
        make_registration(
            host.scene, ct, other_patient(views), off(TRUE_POSE, (3, 2, 0), (5, 0, 4)), name="B"
        )
    )
    person.panel.choose(person.a)
    host.click(person.ui.layoutButton)
    host.click(person.ui.ctSlicesBox)
    person.wait(
        lambda: all(composite.GetForegroundVolumeID() for composite in panes(person).values())
    )
    return person


def panes(person) -> dict:
    """The composite nodes of the panes on the screen that are X-rays'."""
    names = [name for name in person.views.sliceViewNames() if name.startswith("XRay")]
    return {name: person.views.sliceWidget(name).mrmlSliceCompositeNode() for name in names}


def own(registration) -> set:
    """The IDs of a registration's nodes: what a view of it may show."""
    scene, ids = registration.scene, {registration.node.GetID(), registration.ct.GetID()}
    for _generation in range(3):
        ids |= {
            node.GetID()
            for node in map(scene.GetNthNode, range(scene.GetNumberOfNodes()))
            if node.GetNodeReferenceID(f"{MODULE}.owner") in ids
        }
    return ids


def sees_only(person, registration) -> None:
    """All that is on the screen is this registration's."""
    person.host.process(0.2)
    assert (
        person.panel.registration == registration
        and person.ui.registrationSelector.currentNode() is registration.node
    )
    composites, views, ids = panes(person), registration.xrays, own(registration)
    assert len(composites) == len(views)
    for view, (name, composite) in zip(views, sorted(composites.items()), strict=True):
        assert composite.GetBackgroundVolumeID() == view.node.GetID()
        assert composite.GetForegroundVolumeID() in {None, *ids}
        assert (
            view.node.GetNodeReference("label")
            .GetNthControlPointLabel(0)
            .startswith(f"{view.name} \u2013 {registration.name}")
        )
        shown = person.views.sliceWidget(name).sliceLogic().GetBackgroundLayer().GetVolumeNode()
        assert shown is view.node
    for name in ("Red", "Green", "Yellow"):
        if name in person.views.sliceViewNames():
            composite = person.views.sliceWidget(name).mrmlSliceCompositeNode()
            assert composite.GetBackgroundVolumeID() in (None, registration.ct.GetID())
    for other in (
        other for other in (person.a, person.b) if other != registration and other.scene is not None
    ):
        assert not [node for node in visible(person.host.scene) if node.GetID() in own(other) - ids]


def visible(scene) -> list:
    """Displayable nodes but volumes that are shown in any view."""
    import slicer

    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLDisplayableNode", scene)
        if not node.IsA("vtkMRMLVolumeNode")
        and node.GetDisplayVisibility()
        and node.GetDisplayNode() is not None
    ]


def test_another_registration_is_chosen(person):
    sees_only(person, person.a)
    before = person.picture(1)
    person.ui.registrationSelector.setCurrentNode(person.b.node)
    sees_only(person, person.b)
    assert (person.picture(1) != before).mean() > 0.1
    person.ui.registrationSelector.setCurrentNode(person.a.node)
    sees_only(person, person.a)


def test_what_marks_the_xrays_is_kept_and_not_made_again(person):
    """Nodes that come and go are what takes Slicer longest."""
    roles = ("frustum", "label", "label3D")
    marks = [view.node.GetNodeReference(role) for view in person.a.xrays for role in roles]
    for other in (person.b, person.a):
        person.ui.registrationSelector.setCurrentNode(other.node)
        sees_only(person, other)
        assert all(node.GetScene() is person.host.scene for node in marks)
    assert marks == [view.node.GetNodeReference(role) for view in person.a.xrays for role in roles]
    assert all(node.GetDisplayVisibility() for node in marks)


def test_none_an_empty_one_and_another_after_one_was_removed(person):
    from MultiViewRegistrationLib.mrml.registration import Registration

    for node in (None, Registration.create(person.host.scene, "Empty").node):
        person.ui.registrationSelector.setCurrentNode(node)
        person.host.process(0.2)
        assert not panes(person) and not visible(person.host.scene)
    person.ui.registrationSelector.setCurrentNode(person.a.node)
    person.host.scene.RemoveNode(person.a.node)
    person.host.process(0.2)
    assert person.panel.registration is None
    person.ui.registrationSelector.setCurrentNode(person.b.node)
    person.host.click(person.ui.layoutButton)
    sees_only(person, person.b)


@pytest.mark.parametrize("elsewhere", (False, True))
def test_a_scene_with_two_is_reopened(person, tmp_path, elsewhere):
    """elsewhere: another module is open meanwhile."""
    person.panel.choose(person.b)
    person.host.process(0.2)
    assert person.host.app._core.io_manager.write_scene(tmp_path / "scene.mrb")
    if elsewhere:
        person.host.leave(person.module_widget)
    person.host.scene.Clear(False)
    assert person.host.app._core.io_manager.load_scene(tmp_path / "scene.mrb")
    if elsewhere:
        person.host.enter(person.module_widget)
    person.host.process(0.5)
    from MultiViewRegistrationLib.mrml.registration import Registration

    person.a, person.b = sorted(
        Registration.all(person.host.scene), key=lambda registration: registration.name
    )
    sees_only(person, person.b)


def test_the_program_loads_another_case_while_one_is_shown(person, tmp_path):
    """By a script, without a choice in the panel."""
    from MultiViewRegistrationLib.session.result_files import write_case_folder

    person.panel.choose(person.b)
    write_case_folder(person.panel.session, tmp_path)()
    person.panel.choose(person.a)
    remove(person.b)
    person.b = person.panel.logic.loadCase(next(tmp_path.rglob("case.json")))
    sees_only(person, person.a)


# Where Slicer's own slice views are on the screen, and where its modules choose what a view shows


def four_up(person) -> None:
    """Slicer's own layout, with none of the panel's views."""
    from MultiViewRegistrationLib.mrml import layout

    cells = "".join(
        f'<item><view class="vtkMRMLSliceNode" singletontag="{name}"></view></item>'
        for name in ("Red", "Green", "Yellow")
    )
    node = layout.layout_node(person.host.scene)
    node.AddLayoutDescription(3, f'<layout type="horizontal">{cells}</layout>')
    node.SetViewArrangement(3)
    person.host.process(0.2)


def own_slices(person) -> list:
    """What Slicer's own slice views show, on the screen or not."""
    import slicer

    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", person.host.scene)
    return [
        each.GetBackgroundVolumeID()
        for each in composites
        if not each.GetLayoutName().startswith("XRay")
    ]


@pytest.mark.parametrize("own_layout", (False, True))
def test_slices_show_the_ct_of_the_one_chosen_in_any_layout(person, own_layout):
    from MultiViewRegistrationLib.mrml.registration import Registration
    from MultiViewRegistrationLib.mrml.slice_view import position_in

    if own_layout:
        four_up(person)
    assert person.a.ct.GetID() in own_slices(person)
    person.ui.registrationSelector.setCurrentNode(
        Registration.create(person.host.scene, "Empty").node
    )
    person.host.process(0.2)
    assert not any(own_slices(person))
    person.panel.choose(person.a)
    person.host.click(person.ui.layoutButton)
    person.host.click(person.ui.ctSlicesBox)
    four_up(person)
    assert own_slices(person) == 3 * [person.a.ct.GetID()]
    person.panel.choose(person.b)
    person.host.process(0.2)
    assert own_slices(person) == 3 * [person.b.ct.GetID()]
    selection = person.host.scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    assert selection.GetActiveVolumeID() != person.a.ct.GetID()
    red = person.views.sliceWidget("Red")
    at = position_in(person.b.ct, red.sliceView().mrmlSliceNode())
    assert at.low < at.mm < at.high


def test_slices_show_another_ct_that_is_chosen(person):
    from MultiViewRegistrationLib.mrml.loading import volume_node

    four_up(person)
    other = volume_node(person.host.scene, "Another CT", np.zeros((5, 6, 7), np.int16), np.eye(4))
    person.panel.sections["ct"].presenter.choose(other.GetID())
    assert own_slices(person) == 3 * [other.GetID()]


@pytest.mark.parametrize("how", ["the Segment Editor", "setSliceViewerLayers", "another X-ray"])
def test_a_pane_shows_its_xray_whatever_other_modules_show(person, how):
    import slicer

    before, ct = person.picture(1), person.a.ct
    person.host.leave(person.module_widget)
    if how == "setSliceViewerLayers":
        slicer.util.setSliceViewerLayers(
            background=ct, foreground=person.b.ct, foregroundOpacity=0.5
        )
    else:
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSourceVolumeNode(ct if how == "the Segment Editor" else person.a.xrays[1].node)
    for view, (_name, composite) in zip(person.a.xrays, sorted(panes(person).items()), strict=True):
        assert composite.GetBackgroundVolumeID() == view.node.GetID()
        assert composite.GetForegroundVolumeID() in {None, *own(person.a)}
    person.host.enter(person.module_widget)
    person.wait(
        lambda: all(composite.GetForegroundVolumeID() for composite in panes(person).values())
    )
    person.wait(lambda: person.panel.session.drawing.sharp)
    assert np.corrcoef(person.picture(1).ravel(), before.ravel())[0, 1] > 0.98


def test_a_drr_is_laid_over_nothing_but_its_xray(person):
    """Not even where nobody looks after the panes."""
    from MultiViewRegistrationLib.mrml import overlay

    person.module_widget.watch.stop()
    composite = panes(person)["XRay1"]
    composite.SetBackgroundVolumeID(person.a.ct.GetID())
    overlay.lay(person.a, 0.0)
    assert composite.GetForegroundVolumeID() is None and composite.GetForegroundOpacity() == 0


def test_the_panel_says_that_the_ct_was_moved_by_another_hand(person):
    """Another registration takes the CT and moves it."""
    from phantom_scene import settle

    settle(person.session)
    person.session.history.add(
        replace(person.session.history.current, verdict="accept", typical_mm=0.4)
    )
    person.wait(lambda: "ACCEPT" in person.answer())
    person.panel.choose(person.b)
    person.panel.sections["ct"].presenter.choose(person.a.ct.GetID())
    person.host.process(0.1)
    assert "Phantom is the CT of A, too" in person.ui.noticeLabel.text
    person.panel.choose(person.a)
    person.wait(lambda: "ACCEPT" in person.answer())
    person.b.world_from_ct = off(person.a.world_from_ct, (0, 0, 0), (80, 0, 0))
    person.wait(lambda: "NOT ASSESSED" in person.answer(), 5.0)
    assert "the CT was moved" in person.answer()
    person.b.ct = None
    person.wait(lambda: "ACCEPT" in person.answer(), 5.0)

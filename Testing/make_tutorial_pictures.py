"""Makes the pictures of docs/slicer.md that Testing/slicer_tests/walk.py does not make in Slicer itself:

    PYTHONPATH=MultiViewRegistration:Testing:Testing/panel python Testing/make_tutorial_pictures.py
    [folder]

The panel is the module's own, in the stand-in for Slicer of Testing/slicer_host; scene and views
are those of slicer-core. It takes about five minutes without a graphics card.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from gui_driver import GuiDriver
from moving import swing, write_moving_case, write_track
from PIL import Image
from slicer_host import Host

ROOT = Path(__file__).resolve().parents[1]
JPEG = {"quality": 84, "optimize": True, "progressive": True}
GAP, WHITE, MARGIN = 6, (255, 255, 255), 16
ZOOM = 2.0
#: Slicer's layout with the 3D view alone.
ONE_3D = 4
#: Of two pedicle screws in a thoracic vertebra of the sample: entry and tip, CT LPS mm.
SCREWS = {
    "Right screw": ((-16.2, 102.5, -135.0), (-4.3, 69.5, -135.0)),
    "Left screw": ((14.7, 102.5, -135.0), (2.7, 69.5, -135.0)),
}
#: What the linked cursor is put on: the front edge of that vertebra, CT LPS mm.
POINT = (-1.0, 66.0, -135.0)


class Pictures:
    """Takes pictures of a person's panel and views, into a folder."""

    def __init__(self, person: GuiDriver, folder: Path) -> None:
        self.person, self.host, self.folder = person, person.host, folder

    def section(self, name: str, file: str) -> None:
        """A section of the panel, unfolded, by itself."""
        self.save([[self.section_image(name)]], file)

    def section_image(self, name: str) -> Image.Image:
        """The same, not saved, without what is empty below."""
        self.person.panel.sections[name].button.collapsed = False
        self.host.process(0.2)
        image = self._image(self.person.panel.sections[name].button, 1.5)
        pixels = np.asarray(image)
        filled = np.flatnonzero((pixels != pixels[-1]).any(axis=(1, 2)))
        return image.crop((0, 0, image.width, min(filled[-1] + MARGIN, image.height)))

    def box(self, widget) -> Image.Image:
        """A part of a section."""
        self.host.process(0.2)
        return self._image(widget, 1.5)

    def views(self, *numbers: int) -> list[Image.Image]:
        """The X-rays' views as they are now."""
        self.host.process(0.3)
        return [Image.fromarray(self.person.picture(number)) for number in numbers]

    def scene(self) -> Image.Image:
        """The 3D view."""
        return Image.fromarray(self.person.views.threeDWidget(0).threeDView()._pixels())

    def save(self, rows: list[list[Image.Image]], file: str) -> None:
        """Pictures in rows, as one file."""
        width = max(sum(image.width for image in row) + GAP * (len(row) - 1) for row in rows)
        height = sum(max(image.height for image in row) for row in rows) + GAP * (len(rows) - 1)
        whole, top = Image.new("RGB", (width, height), WHITE), 0
        for row in rows:
            left = 0
            for image in row:
                whole.paste(image, (left, top))
                left += image.width + GAP
            top += max(image.height for image in row) + GAP
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            whole = whole.quantize(128, dither=Image.Dither.NONE)
        whole.save(path, **(JPEG if path.suffix == ".jpg" else {"optimize": True}))
        print(f"{path.name}: {whole.width} x {whole.height}, {path.stat().st_size / 1000:.0f} kB")

    def _image(self, widget, scale: float = 1.0) -> Image.Image:
        with tempfile.TemporaryDirectory() as folder:
            self.host.grab(widget, Path(folder, "widget.png"), scale)
            return Image.open(Path(folder, "widget.png")).convert("RGB")


def main(folder: Path) -> None:
    host = Host()
    person = GuiDriver(host, width=440)
    take = Pictures(person, folder)
    volume_rendering(host)
    load_sample(person)
    open_views(person, 1000, 1000)
    before = overlay(person, take, "Two colours")
    register(person)
    take.save(
        [list(pair) for pair in zip(before, overlay(person, take, "Two colours"), strict=True)],
        "before_after.jpg",
    )
    blend, edges, tiles, difference = (
        overlay(person, take, mode)[0] for mode in ("Blend", "Edges", "Checkerboard", "Difference")
    )
    take.save([[blend, edges], [tiles, difference]], "overlays.jpg")
    linked_cursor(person, take)
    planned_screws(person, take)
    regressor(person, take)
    scene(person, take)
    sequence(person, take)
    host.close()


def load_sample(person: GuiDriver) -> None:
    import slicer

    (source,) = slicer.modules.sampleDataSources["MultiViewRegistration"]
    source.customDownloader(source)
    person.wait_until_read()


def only(person: GuiDriver, *names: str) -> None:
    """Unfold these sections, and fold the others."""
    for name, section in person.panel.sections.items():
        section.button.collapsed = name not in names
    person.host.process(0.1)


def open_views(person: GuiDriver, width: int, height: int) -> None:
    """The X-rays' views at a good size, beside a 3D view that is quick, without the box about the scene."""
    person.give_views(width, height)
    person.host.click(person.ui.layoutButton)
    person.press("ct", "in_3d")  # off
    view = person.views.threeDWidget(0).threeDView().mrmlViewNode()
    view.SetBoxVisible(False)
    view.SetAxisLabelsVisible(False)
    person.wait(lambda: not person.panel.session.preparing, 200)


def overlay(person: GuiDriver, take: Pictures, mode: str) -> list[Image.Image]:
    """Pictures of both X-rays with an overlay, sharp."""
    person.choose("check", "overlay", mode)
    person.host.process(0.1)
    person.panel.session.drawing.finish()
    return take.views(1, 2)


def register(person: GuiDriver) -> None:
    person.wait(
        lambda: person.panel.session.result is not None and not person.panel.session.running
    )  # by itself
    if person.panel.session.error() > 0.1:
        raise SystemExit("the sample was not registered")


def linked_cursor(person: GuiDriver, take: Pictures) -> None:
    from MultiViewRegistrationLib.geometry.rigid import transform_points

    person.choose("check", "overlay", "X-ray alone")
    person.press("check", "place_cursor")
    world = transform_points(person.pose, np.array(POINT))
    pixels = [view.camera.project(world) for view in person.panel.registration.xrays]
    person.click_pixel(1, pixels[0])
    first = take.views(1, 2)
    person.click_pixel(2, pixels[1])
    take.save([first, take.views(1, 2)], "cursor.jpg")
    person.press("check", "place_cursor")
    person.press("check", "clear_cursor")


def planned_screws(person: GuiDriver, take: Pictures) -> None:
    for name, (entry, tip) in SCREWS.items():
        add_screw(person, name, np.array(entry) * [-1, -1, 1], np.array(tip) * [-1, -1, 1])
    windows = [
        zoom(person, number, np.mean([tip for _, tip in SCREWS.values()], axis=0))
        for number in (1, 2)
    ]
    take.save([take.views(1, 2)], "screws.jpg")
    for number, (view, window) in enumerate(
        zip(person.panel.registration.xrays, windows, strict=True), start=1
    ):
        view.node.GetDisplayNode().SetWindowLevelMinMax(*window)
        person.views.sliceWidget(f"XRay{number}").fitSliceToBackground()


def zoom(person: GuiDriver, number: int, point: np.ndarray) -> tuple[float, float]:
    """Zoom an X-ray's view into where it shows a point of the CT, with more contrast, as the mouse does; the contrast before."""
    import slicer

    from MultiViewRegistrationLib.geometry.rigid import transform_points

    view, node = person.panel.registration.xrays[number - 1], person.view(number).mrmlSliceNode()
    column, row = view.camera.project(transform_points(person.pose, point))
    off = (np.array([column, row]) - (np.array(view.size) - 1) / 2) * view.node.GetSpacing()[:2]
    width, height, depth = node.GetFieldOfView()
    node.SetFieldOfView(width / ZOOM, height / ZOOM, depth)
    node.SetXYZOrigin(off[0], -off[1], 0)
    display, near = (
        view.node.GetDisplayNode(),
        [slice(max(round(at) - 110, 0), round(at) + 110) for at in (row, column)],
    )
    before = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    display.SetWindowLevelMinMax(
        *np.percentile(slicer.util.arrayFromVolume(view.node)[0, near[0], near[1]], (0.5, 99.8))
    )
    return before


def sequence(person: GuiDriver, take: Pictures) -> None:
    """The phantom, tracked through six frames."""
    with tempfile.TemporaryDirectory() as folder:
        track = write_track(
            write_moving_case(Path(folder), swing(6)), Path(folder, "track"), "thorough"
        )
        only(person, "sequence")
        person.open_files("sequence", "open", track / "track.json")
        person.wait(lambda: not person.panel.opening.under_way)
        for number in (0, 3):
            person.panel.session.sequence.player.go(number)
            person.wait(lambda number=number: person.panel.session.sequence.player.number == number)
        take.section("sequence", "sequence.png")


def add_screw(person: GuiDriver, name: str, entry: np.ndarray, tip: np.ndarray) -> None:
    """A screw of 5 mm, planned in the CT (RAS mm), as a model under the CT's transform."""
    import vtk

    axis, whole = (tip - entry) / np.linalg.norm(tip - entry), vtk.vtkAppendPolyData()
    for start, end, radius in ((entry, tip, 2.5), (entry - 8 * axis, entry, 4.5)):
        line, tube = vtk.vtkLineSource(), vtk.vtkTubeFilter()
        line.SetPoint1(*start)
        line.SetPoint2(*end)
        tube.SetInputConnection(line.GetOutputPort())
        tube.SetRadius(radius)
        tube.SetNumberOfSides(24)
        tube.CappingOn()
        whole.AddInputConnection(tube.GetOutputPort())
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputConnection(whole.GetOutputPort())
    triangles.Update()
    node = person.host.scene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(triangles.GetOutput())
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetColor(0.3, 1.0, 0.4)
    node.SetAndObserveTransformNodeID(person.panel.registration.ct_transform.GetID())


def regressor(person: GuiDriver, take: Pictures) -> None:
    """The box of section Start before a network is trained, while it is, for a minute, and after that."""
    box = person.drawn("start", "regressor").widget
    box.collapsed = False
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MVREG_DATA"] = folder
        learning = person.panel.session.regressors
        learning.reload()
        person.wait(lambda: learning.up_to_date)
        before = take.box(box)
        person.type("start", "minutes", "1")
        person.press("start", "train")
        person.wait(
            lambda: (
                learning.training.progress is not None and learning.training.progress.fraction > 0.4
            ),
            900,
        )
        during = take.box(box)
        person.wait(lambda: not learning.is_training, 900)
        person.wait(lambda: learning.up_to_date)
        take.save([[before], [during], [take.box(box)]], "regressor.png")
        del os.environ["MVREG_DATA"]
    box.collapsed = True


def volume_rendering(host: Host) -> None:
    """Slicer's module of this name, of which the stand-in has none."""
    import slicer

    logic = host.app._core.volume_rendering._logic
    slicer.modules.volumerendering = SimpleNamespace(logic=lambda: logic)


def scene(person: GuiDriver, take: Pictures) -> None:
    person.choose("check", "overlay", "X-ray alone")
    person.press("ct", "in_3d")
    person.views = person.host.open_views(1000, 640)
    person.views.setLayout(ONE_3D)
    person.host.process(0.1)
    person.panel.views.stand_back()
    person.host.process(0.2)
    take.save([[take.scene()]], "scene.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "slicer")

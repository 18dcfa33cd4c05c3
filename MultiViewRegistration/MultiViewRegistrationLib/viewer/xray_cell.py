"""The cell of the page that shows one X-ray."""

from __future__ import annotations

from trame_slicer.views import ViewLayout

from .xray_view.view import XRayView


def build(application, view):
    """The `xray_view.XRayView` of an X-ray, its element made in a template of its own, `template_of` it."""
    moving = application.moving

    def put(column: float, row: float) -> None:
        """A point was clicked: a landmark while those are placed, else the linked cursor."""
        landmarks = application.sections["start"].presenter.landmarks
        with application.acting():
            (landmarks if landmarks.placing else application.cursor).put(view, column, row)

    cell = XRayView(
        application.server,
        application.session,
        view,
        may_move=moving.possible,
        on_begin=moving.begin,
        on_moved=moving.moved,
        on_end=moving.end,
        on_point=put,
        cursor=lambda: application.cursor.cursor,
    )
    with ViewLayout(application.server, template_name=template_of(cell)):
        cell.build()
    return cell


def template_of(cell: XRayView) -> str:
    """The name to include it by: another for each cell that there has ever been, so that no page keeps anything of the one before."""
    return f"view_{cell.name}"

"""The cell of the page that shows one X-ray."""

from __future__ import annotations

from .xray_view import XRayView


def build(application, view):
    """The `xray_view.XRayView` of an X-ray, its element made in the template at hand."""
    points, moving = application.points, application.moving
    cell = XRayView(application.server, application.session, view.node.GetID(), may_move=moving.possible, on_begin=moving.begin,
                    on_moved=moving.moved, on_end=moving.end, on_point=lambda column, row: points.put(view, column, row),
                    cursor=lambda: points.cursor)
    cell.build()
    return cell

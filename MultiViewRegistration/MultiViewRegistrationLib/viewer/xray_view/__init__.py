"""An X-ray in the page, with the CT over it: what is seen, and moving the CT with mouse and keys."""

from .view import XRayView

__all__ = ["XRayView"]

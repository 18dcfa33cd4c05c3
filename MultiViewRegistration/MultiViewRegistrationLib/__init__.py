"""Rigid registration of a CT to two or more X-ray images.

from MultiViewRegistrationLib import Case, register, save_result
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import assess as assess
    from .api import register as register
    from .io.case import Case as Case
    from .report.result_page import save_result as save_result

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # On first use: importing the package for its version, or one room of it, must not compile kernels.
    if name == "Case":
        from .io.case import Case

        return Case
    if name == "save_result":
        from .report.result_page import save_result

        return save_result
    if name in ("register", "assess"):
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

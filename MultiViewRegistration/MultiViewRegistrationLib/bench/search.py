"""Part (e): success and time of the search without a start, against the number of poses that it tries. No peer has one."""

from __future__ import annotations

from .job import Job
from .setting import Setting


def jobs(setting: Setting) -> list[Job]:
    """None yet."""
    return []

"""What a header says of a C-arm's reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False)
class Found:
    """A reading as it is put together.

    values: by the keys of a case.json's c_arm, plain numbers and lists.
    lacking: the keys that are not known, each with the attributes that would say it, or why what they say cannot be used.
    assumptions: a sentence each.
    patient_from_isocentre: (3, 3) the patient's axes (LPS) from those of the machine; None where the header does not say how he lies.
    table: what kind of position it is, and (3,) that of the table along the machine's axes in mm; None where the header does not say it.
    machine: the maker's number of the machine, "" for none; only ever compared.
    """

    values: dict[str, Any] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    patient_from_isocentre: np.ndarray | None = None
    table: tuple[str, np.ndarray] | None = None
    machine: str = ""

    def needs(self, key: str) -> bool:
        """Whether nobody has given this key."""
        return key not in self.values

    def lack(self, key: str, why: str) -> None:
        if self.needs(key):
            self.lacking[key] = why

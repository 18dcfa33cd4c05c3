"""What a worker process of a cohort does: a case, written down where it will not be done again.

All that is sent to a worker is a folder, the name of a plan in it, and a case's number; all that it sends back is the number and a word.
"""

from __future__ import annotations

import base64
import warnings
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from . import __version__
from .cohort_records import Plan, Record, digest
from .errors import InputError
from .evaluation import Evaluated, check, evaluate_case, method_of
from .evaluation_method import Method
from .io.case import hashes
from .registration import kernels
from .registration.ranges import Range

#: What came of a case: done now, kept from before, failed; or nothing, as this process does not see the folder or is of another version.
DONE, KEPT, FAILED, UNSEEN, OTHER_VERSION = "done", "kept", "failed", "unseen", "other version"

#: A process does one case at a time, on all its threads, and keeps the CT for the next.
_busy = Lock()
_last: Evaluated | None = None


def work(number: int, folder: str, plan: str) -> dict[str, object]:
    """Evaluate a case of a plan, unless that was done before with the same files, options and version.

    Returns {"number", "state"}. What is wrong with a case is written down, not raised: Dask logs what is raised, and messages name files.
    """
    try:
        told = Plan.read(Path(folder, plan))
    except OSError:
        return {"number": number, "state": UNSEEN}
    if told.version != __version__:
        return {"number": number, "state": OTHER_VERSION, "version": __version__}
    with _busy:
        return {"number": number, "state": _done(told, number, Path(folder))}


def method(options: dict[str, Any]) -> Method:
    """How cases are registered, from plain data: the arguments of `evaluation.method_of`, and `minutes`. InputError as there."""
    search = Range(*options["search"]) if options["search"] else None
    return method_of(**{key: value for key, value in options.items() if key != "minutes"} | {"search": search})


def _done(plan: Plan, number: int, folder: Path) -> str:
    path = plan.record(folder, number)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("default")
        try:
            fingerprint = _fingerprint(plan, number)
            before = Record.read(path)
            if before and before.outcome and before.fingerprint == fingerprint:
                return KEPT
            record = _evaluated(plan, number, fingerprint)
        except InputError as error:
            record = Record("", None, error=str(error))
        except MemoryError:
            record = Record("", None, error="not enough memory; use fewer workers, or crop the CT to what the X-rays show.")
        except Exception as error:  # of one case of hundreds: the others go on
            record = Record("", None, error=f"{type(error).__name__}: {error}")
    told = list(dict.fromkeys(str(each.message) for each in given if issubclass(each.category, UserWarning)))
    Record(**{**asdict(record), "warnings": told}).write(path)
    return DONE if record.outcome else FAILED


def _fingerprint(plan: Plan, number: int) -> str:
    """Of all on which a case's outcome hangs. InputError for a case that cannot be read."""
    inputs, _ = hashes(check(plan.cases[number]))
    return digest([plan.version, plan.options, inputs])


def _evaluated(plan: Plan, number: int, fingerprint: str) -> Record:
    global _last
    kernels.prepare()
    pictures: dict[str, bytes] = {}
    last, _last = _last, None  # what a case leaves half done is not kept
    done = _last = evaluate_case(plan.cases[number], method(plan.options), pictures, last=last)
    return Record(fingerprint, asdict(done.outcome), {name: base64.b64encode(data).decode() for name, data in pictures.items()},
                  None if done.world_from_ct is None else done.world_from_ct.tolist(), digest(done.case.anatomy_key))

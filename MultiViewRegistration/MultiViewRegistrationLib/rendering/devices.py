"""The computing device: a CUDA device, or this machine's processor with one pool of threads for the kernels, which release the GIL.

    device = ComputeDevice("auto")
    device.name, device.display_name, device.fallback_reason

Nothing fails without a device: the processor does the work then (docs/gpu.md). PyTorch is imported
only where a device is requested.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from ..errors import InputError, warn

Item = TypeVar("Item")
Made = TypeVar("Made")

CPU = "cpu"
AUTO = "auto"
CUDA = "cuda"
XPU = "xpu"
MPS = "mps"
#: Kinds of device that PyTorch works on; on the last two nothing here was ever run.
CARDS = CUDA, XPU, MPS
#: What a device does, done by PyTorch on the processor: slow, to test it where there is none.
TORCH_CPU = "torch-cpu"
#: What "auto" takes to register, and to track; to learn, and for published refinements, it takes a
#: card. On an H100 a registration in a running process took 0.42 to 0.55 s, on its 16 cores 0.31 to
#: 0.50 s, and a process begins 2 s later by importing PyTorch. The kernels since were not measured.
AUTO_REGISTERS_ON = CPU
#: A CUDA device with less free memory than this is not used.
MIN_FREE_BYTES = 1 << 30
#: Below this many samples of a volume, handing work to another thread costs more than it saves.
SAMPLES_PER_TASK = 40_000


class Lock:
    """A lock that is made anew where what it guards is pickled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()


class ComputeDevice:
    """The device that does the work.

    A warning says where it is not the requested one, but not for "auto".

    Parameters
    ----------
    requested
        "cpu", numba on all cores; "cuda", "cuda:N", "mps", "xpu" or "xpu:N", PyTorch on such a
        device; "auto", the first CUDA device where it can be used, else "cpu"; or TORCH_CPU.
    registering
        For "auto", see AUTO_REGISTERS_ON.

    Attributes
    ----------
    name
        "cpu", "cuda:N", "mps:0", "xpu:N" or TORCH_CPU.
    card
        What such a device is, "" on the processor.
    fallback_reason
        Why `name` is not what was requested, or "". For "auto" only on a machine with an NVIDIA
        driver.

    Raises
    ------
    InputError
        For another word.
    """

    def __init__(self, requested: str = CPU, *, registering: bool = False) -> None:
        self.requested = requested
        taken = AUTO_REGISTERS_ON if registering and requested == AUTO else requested
        self.name, self.card, self.fallback_reason = _resolve(taken)
        self._warn()

    def fall_back(self, reason: str) -> None:
        """Use the processor after all."""
        self.name = CPU
        self.card = ""
        self.fallback_reason = reason
        self._warn()

    def _warn(self) -> None:
        if self.fallback_reason and self.requested != AUTO:
            warn(self.fallback_message)

    @property
    def fallback_message(self) -> str:
        """`fallback_reason` as a sentence, or ""."""
        if not self.fallback_reason:
            return ""
        return f"device {self.requested}: {self.fallback_reason}; the processor does the work."

    @property
    def torch_device(self) -> str:
        """The name that PyTorch uses."""
        return CPU if self.name == TORCH_CPU else self.name

    @property
    def display_name(self) -> str:
        """The device of PyTorch's work, "" where numba does it."""
        if self.name == CPU:
            return ""
        if self.name == TORCH_CPU:
            return "the processor by PyTorch"
        return f"{self.card} ({self.name}) by PyTorch"

    def describe(self, processor: str) -> str:
        """Return the name of a refinement's device; `processor` is this machine's."""
        return f"{processor}; refined on {self.display_name}" if self.display_name else processor

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.name, self.card)))


def torch_device(requested: str) -> str:
    """Return PyTorch's name of a device.

    Raises
    ------
    InputError
        For another word, and where the device cannot be used.
    """
    name, _, reason = _resolve(requested)
    if reason:
        raise InputError(
            f"device {requested}: {reason}, expected a device that can be used; run this where "
            "there is one, or leave the device out."
        )
    return CPU if name == TORCH_CPU else name


def _resolve(requested: str) -> tuple[str, str, str]:
    """Return `name`, `card` and `fallback_reason` of a `ComputeDevice`."""
    if requested not in (CPU, AUTO, TORCH_CPU) and not re.fullmatch(
        rf"({'|'.join(CARDS)})(:\d{{1,3}})?", requested
    ):
        raise InputError(
            f'device: found "{requested}", expected auto, cpu, cuda or cuda:N (the Nth CUDA device, from 0), mps or xpu; '
            "correct it."
        )
    if requested == CPU or (requested == AUTO and not has_card()):  # without importing PyTorch
        return CPU, "", ""
    if requested == TORCH_CPU:
        reason = _missing_package()
        return (CPU if reason else TORCH_CPU), "", reason
    kind, _, rest = requested.replace(AUTO, CUDA).partition(":")
    number = int(rest or 0)
    reason = _why_unusable(kind, number)
    if reason:
        return CPU, "", reason
    import torch

    card = "Apple GPU" if kind == MPS else getattr(torch, kind).get_device_name(number)
    return f"{kind}:{number}", card, ""


def _why_unusable(kind: str, number: int) -> str:
    """Return why a device cannot be used, in words; "" where it can."""
    if missing := _missing_package():
        return missing
    import torch

    if kind != CUDA:
        count = torch.xpu.device_count() if kind == XPU else int(torch.backends.mps.is_available())
        return (
            f"PyTorch finds {count} such devices"
            if number >= count
            else _failure_at_work(kind, number)
        )
    if not torch.backends.cuda.is_built():
        return "this PyTorch was built without CUDA"
    try:
        torch.cuda.init()
        count = torch.cuda.device_count()
    except (RuntimeError, AssertionError) as error:
        message = first_line(error)
        if "no NVIDIA driver" in message:
            return "there is no NVIDIA driver"
        if "too old" in message:
            return "the NVIDIA driver is too old for this PyTorch"
        return f"CUDA does not start ({message})"
    if number >= count:
        return (
            f"PyTorch finds {count} CUDA device{'s' * (count > 1)}, counted from 0"
            if count
            else "there is no CUDA device"
        )
    return _failure_at_work(kind, number)


def has_card() -> bool:
    """Return whether the machine has an NVIDIA driver, for PyTorch or not."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def present_devices() -> list[str]:
    """Return the devices that this machine seems to have, without importing PyTorch, which alone knows what can be used."""
    folder = Path("/proc/driver/nvidia/gpus")
    found = [f"{CUDA}:{n}" for n in range(len(list(folder.glob("*"))) or has_card())]
    if sys.platform == "darwin" and platform.machine() == "arm64":
        found.append(f"{MPS}:0")
    if torch := sys.modules.get("torch"):
        found += [f"{XPU}:{n}" for n in range(torch.xpu.device_count())]
    return [CPU, *found]


def _missing_package() -> str:
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return "PyTorch is not installed (pip install torch)"
    return ""


def _failure_at_work(kind: str, number: int) -> str:
    """Return why a device that is there cannot be worked on.

    A first sum shows what only work shows.
    """
    import torch

    try:
        if kind == MPS:
            free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        else:
            free = getattr(torch, kind).mem_get_info(number)[0]
        if free < MIN_FREE_BYTES:
            return f"it has {free / 2**20:.0f} MiB of free memory, and {MIN_FREE_BYTES / 2**20:.0f} MiB are needed"
        torch.ones(8, device=f"{kind}:{number}").sum().item()
    except Exception as error:  # whatever compilers and drivers may raise
        return f"it does not work ({first_line(error)}); its driver may be too old, or its memory in use"
    return ""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or what it is."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def load_triton() -> None:
    """Load Triton, where it is installed, with an LLVM of its own.

    PyTorch loads it for its optimisers, too, and in a process in which VTK draws without a graphics
    card, by Mesa and its LLVM, both would become one, which ends the process.
    """
    if "vtkmodules" not in sys.modules or not hasattr(os, "RTLD_DEEPBIND"):
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        with suppress(ImportError):
            import triton  # noqa: F401
    finally:
        sys.setdlopenflags(flags)


def available_threads() -> int:
    """Return cores this process may use, or the number in the environment variable MVREG_THREADS."""
    wanted = os.environ.get("MVREG_THREADS", "").strip()
    if re.fullmatch("[0-9]{1,4}", wanted, re.ASCII) and int(wanted) > 0:
        return int(wanted)
    if wanted:
        _warn_of_threads(wanted[:30])
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=8)  # once
def _warn_of_threads(wanted: str) -> None:
    warn(
        f'MVREG_THREADS is "{wanted}", expected a whole number from 1 to 9999; all cores are used.'
    )


_here = threading.local()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        threads, thread_name_prefix="mvreg", initializer=lambda: setattr(_here, "in_pool", True)
    )


if hasattr(os, "register_at_fork"):  # a forked child inherits the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


@contextmanager
def when_compiling(react: Callable[[], object]) -> Iterator[None]:
    """Call `react` whenever this thread is about to compile a kernel, which numba's cache does not hold."""
    from numba.core import event

    here = threading.get_ident()

    class Listener(event.Listener):
        def on_start(self, event: object) -> None:
            if threading.get_ident() == here:
                react()

        def on_end(self, event: object) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield


@contextmanager
def without_pool() -> Iterator[None]:
    """Have this thread do its tasks itself meanwhile.

    While one waits for the compiler, the pool is free for others.
    """
    had = hasattr(_here, "in_pool")
    _here.in_pool = True
    try:
        yield
    finally:
        if not had:
            del _here.in_pool


def run_tasks(tasks: Sequence[Callable[[], object]]) -> None:
    """Run all tasks, wait for them, and raise an error of one.

    This thread takes part, so that it never waits for the tasks of other threads. Within a task all
    is done by that task's own thread.
    """
    _shared(tasks, len(tasks) - 1)()


def run_each(work: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """Return what `work` makes of each item, in their order; see `run_tasks`."""
    given = list(items)
    made: list = [None] * len(given)

    def run(n: int) -> None:
        made[n] = work(given[n])

    run_tasks([partial(run, n) for n in range(len(given))])
    return made


def begin_tasks(tasks: Sequence[Callable[[], object]]) -> Callable[[], None]:
    """Have other threads begin to run tasks; what is returned does the rest as `run_tasks`."""
    return _shared(tasks, len(tasks))


def _shared(tasks: Sequence[Callable[[], object]], most: int) -> Callable[[], None]:
    """Share tasks with `most` other threads at most; what is returned does the rest."""
    helpers = 0 if hasattr(_here, "in_pool") else min(available_threads() - 1, most)
    left = deque(tasks)

    def work() -> None:
        while left:
            try:
                task = left.popleft()
            except IndexError:  # another thread was faster
                return
            task()

    helping = [_pool(available_threads() - 1).submit(work) for _ in range(helpers)]

    def finish() -> None:
        try:
            with without_pool() if helping else nullcontext():
                work()
        finally:
            begun = [each for each in helping if not each.cancel()]
            wait(begun)
        for each in begun:
            each.result()

    return finish


def row_blocks(rows: int, samples: int) -> list[tuple[int, int]]:
    """Split `rows` of an image that needs `samples` samples into as many blocks as are worth a thread each."""
    count = max(1, min(rows, 2 * available_threads(), samples // SAMPLES_PER_TASK))
    edges = [round(i * rows / count) for i in range(count + 1)]
    return list(pairwise(edges))

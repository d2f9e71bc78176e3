"""What a run spends, counted only while it works."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock on the wall and of the processors, involuntary context switches, bytes above the beginning.

    system_seconds: of cpu_seconds, those inside the operating system. Many switches or much of it: the machine was
    disturbed. peak_memory is None where the system does not tell; the others are then 0.
    """

    seconds: float
    cpu_seconds: float
    system_seconds: float
    switches: int
    peak_memory: int | None


class Clock:
    """Starts and stops; `seconds` is cheap and may be read while it runs."""

    def __init__(self, device: torch.device | None = None, now: Callable[[], float] = time.perf_counter):
        self._now, self._device = now, device if device is not None and device.type == "cuda" else None
        self._seconds, self._usage, self._peak = 0.0, (0.0, 0.0, 0), 0
        self._resident = _memory("VmRSS")

    def start(self) -> None:
        _forget_peak()
        self._usage_then = _usage()
        self._then = self._now()

    @property
    def seconds(self) -> float:
        """Up to now, while it runs."""
        if self._device is not None:
            torch.cuda.synchronize(self._device)
        return self._seconds + self._now() - self._then

    def stop(self) -> Spent:
        self._seconds = self.seconds
        user, system, switches = (
            total + after - before for total, after, before in zip(self._usage, _usage(), self._usage_then, strict=True)
        )
        self._usage = (user, system, int(switches))
        peak = None
        if self._resident is not None:
            self._peak = max(self._peak, (_memory("VmHWM") or 0) - self._resident)
            peak = self._peak
        return Spent(self._seconds, user + system, system, int(switches), peak)


def _usage() -> tuple[float, float, int]:
    if resource is None:
        return 0.0, 0.0, 0
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime, usage.ru_nivcsw


def _memory(entry: str) -> int | None:
    """Bytes that this process holds (VmRSS) or held at most since the peak was forgotten (VmHWM); Linux alone tells."""
    if not sys.platform.startswith("linux"):
        return None
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(entry + ":"))


def _forget_peak() -> None:
    with suppress(OSError):  # not Linux, or not allowed: the peak is then that of the process
        Path("/proc/self/clear_refs").write_text("5")

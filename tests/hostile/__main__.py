"""The long run: `PYTHONPATH=tests python -m hostile --minutes 60` tries the doors in turn and says what failed.

Each turn is a process of its own with bounded memory, so that a crash, a hang or a giant allocation is a failure of one
door, with the case that made it. Cases are drawn anew in each turn, from a seed that is printed.
"""

import argparse
import io
import json
import multiprocessing
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from contextlib import redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hostile.all_doors import DOORS
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import UnsatisfiedAssumption

MEMORY = 12 * 2**30
HANGS = 60
"""Seconds of one case that are no answer."""

SHOWN = 1500


class Hang(BaseException):
    """A case took too long."""


class Over(BaseException):
    """The turn is."""


def place_of(error: BaseException) -> str:
    """What was raised, and the last line of the package or of the door that it came through."""
    steps = [
        step
        for step in traceback.extract_tb(error.__traceback__)
        if "nmf_nets/" in step.filename or "hostile/" in step.filename
    ]
    named = [step for step in steps if "/nmf_nets/" in step.filename] or steps
    step = named[-1]
    return f"{type(error).__name__} at {Path(step.filename).name}:{step.lineno} ({step.name})"


def turn(name: str, number: int, seconds: float, directory: Path) -> None:
    """Tries cases of the door for so long, and leaves what it saw in the directory."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("error")
    for words in ("Sparse CSR tensor support is in beta", ".*LeafSpec.*is deprecated", "The ``noload`` loader"):
        warnings.filterwarnings("ignore", words)
    door, until, cases, failures = DOORS[name], time.monotonic() + seconds, 0, {}
    last = (directory / "last").open("w")

    def hang(*_: Any) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, hang)

    def tried(inputs: Any) -> None:
        nonlocal cases
        if time.monotonic() > until:
            raise Over
        last.seek(0)
        last.truncate()
        last.write(repr(inputs)[:SHOWN])
        last.flush()
        cases += 1
        signal.setitimer(signal.ITIMER_REAL, HANGS, 5)
        try:
            with redirect_stdout(io.StringIO()):
                door.law(inputs)
        except UnsatisfiedAssumption:
            raise
        except (Exception, Hang) as error:
            place, shown = place_of(error), f"{error}"[:200] + " " + repr(inputs)
            count, least = failures.get(place, (0, shown))
            failures[place] = (count + 1, min(least, shown, key=len))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    for part in range(1000):
        if time.monotonic() > until:
            break
        rules = settings(
            max_examples=500,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        with suppress(Over):
            seed(1000 * number + part)(rules(given(door.inputs)(tried)))()
    (directory / "seen.json").write_text(json.dumps({"cases": cases, "failures": failures}))


def attended(name: str, number: int, seconds: float) -> tuple[int, dict[str, tuple[int, str]]]:
    """A turn in another process: how many cases, and by the place of each failure how often and the shortest case."""
    with TemporaryDirectory() as made:
        directory = Path(made)
        process = multiprocessing.get_context("fork").Process(target=turn, args=(name, number, seconds, directory))
        process.start()
        process.join(seconds + 3 * HANGS)
        if process.is_alive():
            process.kill()
            process.join()
        if (directory / "seen.json").exists():
            seen = json.loads((directory / "seen.json").read_text())
            return seen["cases"], seen["failures"]
        last = (directory / "last").read_text() if (directory / "last").exists() else ""
        return 1, {f"the process ended with {process.exitcode}": (1, last)}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hostile", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each turn")
    parser.add_argument("--doors", default="", help="those whose names hold one of these words, by commas; else all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=None, help="a file of JSON lines, one a turn")
    asked = parser.parse_args()
    names = [name for name in DOORS if any(word in name for word in asked.doors.split(","))]
    until, number = time.monotonic() + 60 * asked.minutes, asked.seed
    cases, failed, shown = Counter(), Counter(), {}
    while time.monotonic() < until:
        for name in names:
            if time.monotonic() >= until:
                break
            number += 1
            began = time.monotonic()
            count, failures = attended(name, number, min(asked.seconds, max(1.0, until - began)))
            cases[name] += count
            failed[name] += sum(many for many, _ in failures.values())
            say(f"{name}: {count} cases in {time.monotonic() - began:.0f} s, seed {number}")
            for place, (many, case) in failures.items():
                if (name, place) not in shown:
                    say(f"  FAILED {many} times: {place}\n    {case[:SHOWN]}")
                shown[name, place] = case
            if asked.log is not None:
                with asked.log.open("a") as log:
                    said = {"door": name, "seed": number, "cases": count, "failures": failures}
                    log.write(json.dumps(said) + "\n")
    say(f"\n{'door':40} {'cases':>9} {'failing':>8} {'places':>7}")
    for name in names:
        say(f"{name:40} {cases[name]:9} {failed[name]:8} {sum(door == name for door, _ in shown):7}")
    sys.exit(1 if shown else 0)


if __name__ == "__main__":
    main()

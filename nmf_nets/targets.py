"""Which classes a configuration may name: instantiating what a stranger wrote would run his code."""

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue

from nmf_nets.refusal import Refusal, first_line, refuse_names

PARTS = (
    "nmf_nets.constraints",
    "nmf_nets.data",
    "nmf_nets.divergences",
    "nmf_nets.encoders",
    "nmf_nets.heads",
    "nmf_nets.penalties",
    "nmf_nets.preprocessing",
    "nmf_nets.updates",
)
"""What a saved model is made of."""

ALLOWED = (
    *PARTS,
    "nmf_nets.benchmark.methods",
    "nmf_nets.benchmark.task",
    "nmf_nets.callbacks",
    "nmf_nets.decoders",
    "nmf_nets.effort",
    "nmf_nets.exact",
    "nmf_nets.extrapolation",
    "nmf_nets.inits",
    "nmf_nets.loggers",
    "nmf_nets.modules",
    "nmf_nets.optimizers",
    "nmf_nets.selection",
    "nmf_nets.solver",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks",
    "pytorch_lightning.loggers",
    "torch.optim",
)
"""The rooms of this package that hold parts, not those that read and write, and what of other packages is meant."""

DEEPEST = 64
"""No configuration of ours is nested as deeply; one that names itself is nested without end."""


def refuse_foreign_targets(config: Any, allow: Sequence[str] = (), allowed: Sequence[str] = ALLOWED) -> None:
    """Raises Refusal for the first `_target_`, at any depth, that neither `allowed` nor `allow` vouches for.

    A name must be that of a class or a function in one of these places, public, and made there: what a module has only
    imported, as `os`, is not its own. References are followed, as what they lead to may hold a `_target_` too.
    """
    refuse_names("allow", allow)
    places = [name.rstrip(".") for name in (*allowed, *allow)]
    for where, target in targets(config):
        objection = _objection(target, places)
        if objection is not None:
            raise Refusal(f"the configuration names {target!r} at {where}, which {objection}.")


def refuse_references(config: Any) -> None:
    """Raises Refusal for a text that refers to something else, as no saved configuration does: they are resolved."""
    for where, value in _walk(config, "", 0):
        if isinstance(value, str) and "${" in value:
            raise Refusal(f"the configuration refers to {value!r} at {where}, but what is saved holds no references.")


def targets(config: Any) -> Iterator[tuple[str, Any]]:
    """Every `_target_`, and where it stands."""
    for where, node in nodes(config):
        if "_target_" in node:
            yield f"{where}._target_".lstrip("."), node["_target_"]


def nodes(config: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping, with what it refers to in place, and where it stands."""
    for where, node in _walk(config, "", 0):
        if isinstance(node, dict):
            yield where, node


def _walk(node: Any, place: str, depth: int) -> Iterator[tuple[str, Any]]:
    """The mappings of a tree of mappings and sequences, as dictionaries, and its leaves, each with where it stands."""
    if depth > DEEPEST:
        raise Refusal(f"the configuration is nested more than {DEEPEST} deep at {place[:60]}…; it may refer to itself.")
    if isinstance(node, Mapping | DictConfig):
        held = {str(key): _resolved(node, key) for key in node}
        yield place, held
        for key, value in held.items():
            yield from _walk(value, f"{place}.{key}".lstrip("."), depth + 1)
    elif isinstance(node, list | tuple | ListConfig):
        for number in range(len(node)):
            yield from _walk(_resolved(node, number), f"{place}[{number}]", depth + 1)
    else:
        yield place, node


def _resolved(node: Any, key: Any) -> Any:
    """What stands there; where it refers to what is not there, which nothing can be made of either, its text."""
    try:
        return node[key]
    except (InterpolationResolutionError, MissingMandatoryValue):
        return OmegaConf.to_container(node, resolve=False)[key]  # pyright: ignore


def _objection(target: Any, places: Sequence[str]) -> str | None:
    """What is wrong with the name, in the words that follow it."""
    parts = target.split(".") if isinstance(target, str) else []
    place = next((place for place in places if _within(str(target), place)), None)
    if place is None or not all(part.isidentifier() for part in parts):
        if parts[:1] == ["nmf_nets"]:
            return "is not allowed: it is no part of a model, of its data or of its training"
        return f"is not allowed; if you trust it, add 'allow=[{str(target).partition('.')[0]}]' on the command line"
    module, _, name = target.rpartition(".")
    if any(part.startswith("_") for part in parts) or not module:
        return "is no public class or function"
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        return f"cannot be imported: {first_line(error)}"
    made_here = inspect.isclass(found) or inspect.isfunction(found)
    home = place if target != place else parts[0]
    if not made_here or found.__name__ != name or not _within(found.__module__, home):
        return f"is not allowed: {home} did not make it, but has it from elsewhere"
    return None


def _within(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")

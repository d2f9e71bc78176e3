"""Of which kind the values of a configuration must be: what the signatures say that they are for."""

import inspect
import pydoc
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from omegaconf import DictConfig, ListConfig

from nmf_nets.refusal import Refusal
from nmf_nets.targets import nodes

READ = ("nmf_nets.", "pytorch_lightning.Trainer", "pytorch_lightning.trainer.")
"""Whose signatures are heeded. Lightning's trainer looks at some values only when it is in the midst of its work."""

PLAIN = {bool: "true or false", int: "an integer", float: "a number", str: "a text", NoneType: "null"}
TEXTS = {Path: "a path", torch.device: "a device"}
"""What a text stands for."""


def refuse_kinds(config: Any) -> None:
    """`refuse_arguments` for every `_target_` of ours, at any depth."""
    for where, node in nodes(config):
        target = node.get("_target_")
        if isinstance(target, str) and target.startswith(READ):
            refuse_arguments(pydoc.locate(target), node, where)


def refuse_arguments(made: Any, given: Mapping[str, Any], where: str = "") -> None:
    """Raises Refusal for the first value that is not of the kind that the class or function asks for.

    What mappings hold is not looked at, nor what refers to nothing; bounds are left to what is made.
    """
    hints = _hints(made)
    for name, value in given.items():
        refers = isinstance(value, str) and "${" in value
        if name in hints and not refers and not _fits(value, hints[name]):
            raise Refusal(f"{f'{where}.{name}'.lstrip('.')} is {value!r}, but must be {_said(hints[name])}.")


def _hints(made: Any) -> dict[str, Any]:
    """Of the arguments of a function, or of a class and all that it is derived from."""
    makers = [vars(kind).get("__init__") for kind in reversed(made.__mro__)] if inspect.isclass(made) else [made]
    found: dict[str, Any] = {}
    for maker in makers:
        if inspect.isfunction(maker) and maker.__module__.startswith(READ):
            found |= get_type_hints(maker)
    return found


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    kind = get_origin(hint) or hint
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int and isinstance(value, float):
        return value.is_integer()  # 0.0, of a part of the rows, where another class counts them
    if kind in PLAIN:
        return type(value) is kind
    if _is_part(kind):
        return isinstance(value, Mapping | DictConfig) and "_target_" in value
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return isinstance(value, Mapping | DictConfig)
    if inspect.isclass(kind) and issubclass(kind, Collection):
        held = (*get_args(hint), Any)[0]
        return isinstance(value, list | tuple | ListConfig) and all(_fits(each, held) for each in value)
    return kind not in TEXTS or isinstance(value, str)


def _is_part(kind: Any) -> bool:
    return kind is Callable or (inspect.isclass(kind) and kind.__module__.startswith("nmf_nets."))


def _said(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_said(each) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    kind = get_origin(hint) or hint
    if kind in PLAIN:
        return PLAIN[kind]
    if _is_part(kind):
        return "a part with a _target_" if kind is Callable else f"{kind.__name__}, a part with a _target_"
    if not (inspect.isclass(kind) and issubclass(kind, Collection)):
        return TEXTS.get(kind, str(kind))
    if issubclass(kind, Mapping):
        return "a mapping"
    return f"a list, each of it {_said(get_args(hint)[0])}" if get_args(hint) else "a list"

"""Which classes a configuration may name: instantiating what a stranger wrote would run his code."""

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from nmf_nets.refusal import Refusal

ALLOWED = (
    "nmf_nets.",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.loggers.",
    "torch.optim.",
)


def refuse_foreign_targets(config: DictConfig, allow: Sequence[str] = ()) -> None:
    """Raises Refusal for the first `_target_`, at any depth, that neither this package nor `allow` vouches for.

    An allowed name may not lead out of its package: one part after another must be an identifier.
    """
    allowed = (*ALLOWED, *allow)
    for place, target in _targets(OmegaConf.to_container(config, resolve=False), ""):
        named = isinstance(target, str) and all(part.isidentifier() for part in target.split("."))
        if not named or not any(target == name or target.startswith(name.rstrip(".") + ".") for name in allowed):
            raise Refusal(
                f"the configuration names {target!r} at {place}, which is not allowed; if you trust it, add "
                f"'allow=[{str(target).partition('.')[0]}]' on the command line."
            )


def _targets(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict | DictConfig):
        for key, value in node.items():
            here = f"{place}.{key}".lstrip(".")
            if key == "_target_":
                yield here, value
            else:
                yield from _targets(value, here)
    elif isinstance(node, list | ListConfig):
        for number, value in enumerate(node):
            yield from _targets(value, f"{place}[{number}]")

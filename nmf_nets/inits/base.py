"""What the inits share."""

from collections.abc import Callable
from numbers import Integral

import torch
from torch import Tensor

from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal

Init = Callable[[Matrix, int, torch.Generator], Factorization]
"""Makes a start from the data, n_components and chance."""


def refuse_n_components(n_components: object, most: int | None = None) -> None:
    """Raises Refusal unless n_components is an integer from 1 to `most`."""
    if not isinstance(n_components, Integral) or isinstance(n_components, bool) or n_components < 1:
        raise Refusal(f"n_components must be an integer of at least 1, but is {n_components!r}.")
    if most is not None and int(n_components) > most:
        raise Refusal(
            f"n_components is {n_components}, but this init has no more than min(n_samples, n_features) = {most} "
            "singular vectors to start from; lower n_components or use init=random."
        )


def refuse_equal_components(start: Factorization) -> None:
    """Raises Refusal where no step could tell one component from another."""
    if start.n_components > 1 and bool((start.H[:, :1] == start.H).all() & (start.W[:1] == start.W).all()):
        raise Refusal("all components of start are the same, and would stay so; start from different ones.")


def uniform(shape: tuple[int, int], like: Matrix, generator: torch.Generator) -> Tensor:
    """U(0, 1) drawn in float64 on the generator's device, so that a seed means the same start in every dtype."""
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
    return drawn.to(like.device, like.dtype)

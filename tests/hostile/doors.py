"""The doors of the package, each with what is brought to it and what must hold whatever that is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hostile.strategies import fingerprint
from hypothesis import strategies as st

from nmf_nets.refusal import Refusal


@dataclass(frozen=True)
class Door:
    """law: fails for one of the inputs where the package is at fault. examples: in the tests' short run."""

    name: str
    inputs: st.SearchStrategy[Any]
    law: Callable[[Any], None]
    examples: int
    typed: bool
    """Whether what is brought has the types that signatures ask for, so that the shape-checked run lets it through."""


DOORS: dict[str, Door] = {}


def door(
    inputs: st.SearchStrategy[Any], examples: int = 60, typed: bool = False
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    def entered(law: Callable[[Any], None]) -> Callable[[Any], None]:
        name = law.__name__.removesuffix("_")
        DOORS[name] = Door(name, inputs, law, examples, typed)
        return law

    return entered


class Refused:
    """What the block under `attempt` raised, if it was a clear refusal."""

    because: Exception | None = None

    def __bool__(self) -> bool:
        return self.because is not None


@contextmanager
def attempt(*untouched: Any, also: tuple[type[Exception], ...] = ()) -> Iterator[Refused]:
    """Lets refusals of one sentence pass, and what else is allowed; asserts that the arguments are as they were."""
    before, refused = [fingerprint(value) for value in untouched], Refused()
    try:
        yield refused
    except Refusal as refusal:
        refused.because = refusal
        said = str(refusal)
        assert len(said) > 20, said
        assert said.endswith((".", "…", "?", ")")) or "\n" not in said, said
    except also as error:
        refused.because = error
    assert [fingerprint(value) for value in untouched] == before, "an argument was changed"


def by_scikit_learn(error: BaseException) -> bool:
    """Whether its validation refused, as its API demands."""
    step = error.__traceback__
    while step is not None:
        if "sklearn/utils" in step.tb_frame.f_code.co_filename:
            return True
        step = step.tb_next
    return False


def as_numpy(M: Any) -> np.ndarray:
    return M.detach().cpu().numpy() if isinstance(M, torch.Tensor) else np.asarray(M)


def assert_factor(M: Any, shape: tuple[int, int], signed: bool = False) -> np.ndarray:
    values = as_numpy(M)
    assert values.shape == shape, (values.shape, shape)
    assert values.dtype in (np.float32, np.float64), values.dtype
    assert np.isfinite(values).all(), values
    assert signed or (values >= 0).all(), values
    return values.astype(np.float64)

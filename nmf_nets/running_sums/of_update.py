"""Which sums an update has."""

from nmf_nets.refusal import Refusal
from nmf_nets.running_sums.base import RunningSums
from nmf_nets.running_sums.gram import GramSums
from nmf_nets.running_sums.multiplicative import MultiplicativeSums
from nmf_nets.running_sums.newton import NewtonSums
from nmf_nets.updates.base import GramUpdate, Update
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.scalar_newton import ScalarNewton


def sums_of(update: Update, repeats: int = 2, memory: float = 0.9, aging: float = 0.0) -> RunningSums:
    """The sums from which W is found as the update finds it.

    Raises Refusal for an update that has none.
    """
    if isinstance(update, Multiplicative):
        return MultiplicativeSums(repeats, memory, aging)
    if isinstance(update, GramUpdate):
        return GramSums(repeats, memory, aging, update)
    if isinstance(update, ScalarNewton):
        return NewtonSums(repeats, memory, aging)
    raise Refusal(
        f"there are no sums over rows from which {type(update).__name__} could find W; use optimizer=block on full "
        "batches, or another update."
    )

"""How well sounds were told apart, in decibels."""

import warnings
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from nmf_nets.extras import extra
from nmf_nets.refusal import Refusal

Signals = Float[Tensor, "sources samples"]
PerSource = Float[Tensor, " sources"]


class Separation(NamedTuple):
    """Of each source: signal to distortion, to interference by the other sources, and to artefacts, in dB."""

    SDR: PerSource
    SIR: PerSource
    SAR: PerSource


def bss_eval(found: Signals, sources: Signals) -> Separation:
    """What was found of each source, in the same order, as the source through a filter of 512 taps, the other sources
    through such filters, and the rest.

    Raises Refusal for a source or a find that is silent, of which no ratio is known, and Missing without mir_eval.
    Source: Vincent, Gribonval & Févotte (2006), by mir_eval (Raffel et al. 2014).
    """
    _refuse(found, sources)
    measure = extra("mir_eval.separation", "separation").bss_eval_sources
    given = (sources.double().cpu().numpy(), found.double().cpu().numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # 0.9 will be without it; the extra asks for 0.8
        ratios = measure(*given, compute_permutation=False)[:3]
    return Separation(*(torch.from_numpy(ratio) for ratio in ratios))


def si_sdr(found: Signals, sources: Signals) -> PerSource:
    """10 log₁₀ ‖α s‖² / ‖α s − ŝ‖² of each, α s the projection of ŝ onto s: no filter is forgiven, only a factor.

    Source: Le Roux et al. (2019).
    """
    _refuse(found, sources)
    alpha = (found * sources).sum(1) / sources.square().sum(1)
    return signal_to_error(found, alpha[:, None] * sources)


def signal_to_error(found: Float[Tensor, "... samples"], signal: Float[Tensor, "... samples"]) -> Float[Tensor, "..."]:
    """10 log₁₀ ‖s‖² / ‖s − ŝ‖²: infinity where nothing is missed."""
    return 10 * torch.log10(signal.square().sum(-1) / (signal - found).square().sum(-1))


def _refuse(found: Tensor, sources: Tensor) -> None:
    if found.shape != sources.shape:
        raise Refusal(
            f"what was found has shape {tuple(found.shape)}, but the sources {tuple(sources.shape)}; give one signal "
            "of the same length for each source, in the same order."
        )
    for name, signals in {"source": sources, "what was found of source": found}.items():
        silent = torch.nonzero(signals.square().sum(1) == 0).flatten().tolist()
        if silent:
            raise Refusal(f"{name} {silent[0]} is silent, so that no ratio to it is known; leave it out.")

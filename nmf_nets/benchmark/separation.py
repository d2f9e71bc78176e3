"""Planted mixtures taken apart: `python -m nmf_nets.benchmark.separation [SECONDS] [SEEDS]`."""

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import pandas as pd
import torch
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.instruments import INSTRUMENTS, RATE, Mixture, melody, mixture
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.encoders.convolutional import Convolutional
from nmf_nets.encoders.table import Table as CodeTable
from nmf_nets.factorization import Factorization
from nmf_nets.fit import DIVERGENCES
from nmf_nets.inits.random import random
from nmf_nets.lags import delayed
from nmf_nets.loader import ResidentLoader
from nmf_nets.metrics.separation import bss_eval, signal_to_error
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.pages.table import Table
from nmf_nets.sound import Sound, Spectrogram

N_FFT, HOP = 1024, 256
FLOOR = 1e-8
"""Of the mean, added to powers for Itakura and Saito, which cannot do without."""

NOTHING = 120.0
"""Decibels from which on there are no artefacts, but of rounding."""


class Method(NamedTuple):
    """How components are found, how others are coded, what of the spectrogram, and what each component has copies of.

    fit: (X, n_components, seed) to factors. code: (X, W, n_components) to the factors of other frames.
    """

    fit: Callable[[Tensor, int, int], Factorization]
    code: Callable[[Tensor, Tensor, int], Factorization]
    power: float = 1.0
    lags: int = 1


def _fit(divergence: str, X: Tensor, n_components: int, seed: int) -> Factorization:
    found = nmf_nets.factorize(X, n_components, divergence=divergence, init="random", seed=seed, max_iter=300)
    return Factorization(found.H, found.W)


def _code(divergence: str, X: Tensor, W: Tensor, n_components: int) -> Factorization:
    start = (None, W)
    found = nmf_nets.factorize(X, n_components, divergence=divergence, start=start, frozen_W=True, max_iter=300)
    return Factorization(found.H, found.W)


def _scikit_learn(divergence: str, X: Tensor, n_components: int, seed: int) -> Factorization:
    given = X.clamp(min=torch.finfo(X.dtype).tiny).numpy()
    loss: dict[str, Any] = {"beta_loss": DIVERGENCES[divergence], "solver": "mu", "init": "random"}
    loss["n_components"] = n_components
    H, W, _ = non_negative_factorization(given, random_state=seed, max_iter=300, **loss)
    return Factorization(torch.from_numpy(H), torch.from_numpy(W))


def _scikit_learn_codes(divergence: str, X: Tensor, W: Tensor, n_components: int) -> Factorization:
    loss: dict[str, Any] = {"beta_loss": DIVERGENCES[divergence], "solver": "mu", "init": "random"}
    given: dict[str, Any] = {
        "n_components": n_components,
        "H": W.numpy(),
        "update_H": False,
        "random_state": 0,
        "max_iter": 300,
    }
    H, *_ = non_negative_factorization(X.numpy(), **given, **loss)
    return Factorization(torch.from_numpy(H), W)


def _net(X: Tensor, n_components: int, seed: int, epochs: int = 100) -> Factorization:
    rows = as_matrix(X)
    net = KullbackLeiblerNMF(random(rows, n_components, torch.Generator().manual_seed(seed)))
    return _trained(net, X, epochs).factorize(rows).detach()


def _net_codes(X: Tensor, W: Tensor, n_components: int) -> Factorization:
    return KullbackLeiblerNMF(Factorization(X.new_ones(len(X), n_components), W)).factorize(as_matrix(X)).detach()


def _nmfd(lags: int, X: Tensor, n_components: int, seed: int, epochs: int = 100) -> Factorization:
    start = random(as_matrix(X), n_components, torch.Generator().manual_seed(seed))
    decoder = Convolutive(start, Projected(), lags)
    table = CodeTable(decoder.start_of_encoder(start), Projected())
    net = NonNegativeAutoencoder(table, decoder, beta_divergence(1.0), Multiplicative)
    return _trained(net, X, epochs).own_factors(as_matrix(X)).detach()


def _nmfd_codes(lags: int, X: Tensor, W: Tensor, n_components: int) -> Factorization:
    start = Factorization(X.new_ones(len(X), n_components), W[:n_components])
    H = Convolutional(start, beta_divergence(1.0), lags, warm=0)(as_matrix(X), W)
    return Factorization(delayed(H, lags), W, lags)


def _trained(net: NonNegativeAutoencoder, X: Tensor, epochs: int) -> NonNegativeAutoencoder:
    optimizer = net.configure_optimizers()
    for _ in range(epochs):
        for batch in ResidentLoader(as_matrix(X)):
            optimizer.step(lambda batch=batch: net.objective(batch))  # pyright: ignore
    return net.eval()


def methods(lags: int = 4) -> dict[str, Method]:
    """All by at most 300 iterations, nets and NMFD 100 epochs."""
    names = {"frobenius": "Frobenius", "kullback_leibler": "KL", "itakura_saito": "IS"}
    solvers = {
        f"NMF, {name}": Method(partial(_fit, D), partial(_code, D), 2.0 if name == "IS" else 1.0)
        for D, name in names.items()
    }
    theirs = {
        f"scikit-learn mu, {name}": Method(
            partial(_scikit_learn, D), partial(_scikit_learn_codes, D), 2.0 if name == "IS" else 1.0
        )
        for D, name in names.items()
    }
    motifs = Method(partial(_nmfd, lags), partial(_nmfd_codes, lags), lags=lags)
    return {**solvers, "net, unrolled, KL": Method(_net, _net_codes), f"NMFD, {lags} lags, KL": motifs, **theirs}


def look(method: Method, sound: Sound) -> tuple[Spectrogram, Tensor]:
    """The spectrogram, and X of the sound."""
    spectrogram = Spectrogram(RATE, N_FFT, HOP, power=method.power)
    X = spectrogram.of(sound)
    return spectrogram, X + FLOOR * X.mean() if method.power == 2 else X


def blind(
    method: Method, mixed: Mixture, n_components: int, seed: int
) -> tuple[Spectrogram, Factorization, list[list[int]]]:
    """Components of the mixture alone; an oracle that hears the sources gives each to the one it has more energy of."""
    spectrogram, X = look(method, mixed.sound)
    factors = method.fit(X, n_components, seed)
    powers = [spectrogram.transform(source.signal).abs().square() for source in mixed.sources]
    groups: list[list[int]] = [[], []]
    for k, mask in enumerate(spectrogram.masks(factors)):
        groups[int((mask * powers[1]).sum() > (mask * powers[0]).sum())].append(k)
    return spectrogram, factors, groups


def supervised(
    method: Method, mixed: Mixture, n_components: int, seed: int
) -> tuple[Spectrogram, Factorization, list[list[int]]]:
    """Half of the components from another melody of each instrument; the mixture is coded on both."""
    half, seconds = n_components // 2, len(mixed.sound.signal) / RATE
    lessons = [look(method, melody(name, seconds, 1000 + seed))[1] for name in mixed.names]
    learned = [method.fit(X, half, seed).W.reshape(method.lags, half, -1) for X in lessons]
    spectrogram, X = look(method, mixed.sound)
    W = torch.cat(learned, 1).reshape(-1, X.shape[1])
    return spectrogram, method.code(X, W, 2 * half), [list(range(half)), list(range(half, 2 * half))]


SETTINGS = {"blind": blind, "supervised": supervised}


def separated(
    mixed: Mixture, setting: str, n_components: int, seed: int, among: Mapping[str, Method]
) -> Iterator[dict[str, Any]]:
    """A line for each method and source, the mixture itself and the ideal mask last."""
    sources = torch.stack([source.signal for source in mixed.sources])
    spectrogram = Spectrogram(RATE, N_FFT, HOP, power=2.0)
    powers = [spectrogram.of(source) for source in mixed.sources]
    S = spectrogram.transform(mixed.sound.signal)
    whole = torch.stack(powers).sum(0)
    ideal = torch.stack(
        [spectrogram.inverse(torch.where(whole > 0, S * P / whole, 0), sources.shape[1]) for P in powers]
    )
    for name, method in among.items():
        began = time.perf_counter()
        spectrogram, factors, groups = SETTINGS[setting](method, mixed, n_components, seed)
        if not all(groups):
            print(f"{name} gives all components to one source of {mixed.names}", file=sys.stderr)  # noqa: T201
            continue
        parts = spectrogram.parts([mixed.sound], factors, groups, exponent=2 / method.power)
        found = torch.stack([part.signal for (part,) in parts])
        yield from _lines(name, mixed, found, sources, time.perf_counter() - began)
    yield from _lines("the mixture itself", mixed, mixed.sound.signal.expand(2, -1) / 2, sources, 0.0)
    yield from _lines("ideal mask", mixed, ideal, sources, 0.0)


def _lines(method: str, mixed: Mixture, found: Tensor, sources: Tensor, seconds: float) -> Iterator[dict[str, Any]]:
    measured = bss_eval(found, sources)
    of_sum = float(signal_to_error(found.sum(0), mixed.sound.signal))
    for i, name in enumerate(mixed.names):
        values = {key: float(value[i]) for key, value in measured._asdict().items()}
        values["SAR"] = values["SAR"] if values["SAR"] < NOTHING else math.nan
        yield {
            "method": method,
            "source": name,
            **values,
            "sum, dB": of_sum if of_sum < math.inf else math.nan,
            "seconds": seconds,
        }


def separation(setting: str, seconds: float = 5.0, seeds: int = 2, n_components: int = 24) -> list[Table]:
    """Means over seeds: for each pair of instruments the ratios of both."""
    tables = []
    for pair in combinations(INSTRUMENTS, 2):
        lines = [
            line
            for seed in range(seeds)
            for line in separated(mixture(*pair, seconds, seed), setting, n_components, seed, methods())
        ]
        frame = pd.DataFrame(lines)
        wide = frame.pivot_table(index="method", columns="source", values=["SDR", "SIR", "SAR"], sort=False)
        wide.columns = [f"{ratio}, {source}" for ratio, source in wide.columns]
        order = [f"{ratio}, {source}" for source in pair for ratio in ("SDR", "SIR", "SAR")]
        rest = frame.groupby("method", sort=False)[["sum, dB", "seconds"]].mean()
        shown = wide[order].join(rest).reset_index()
        formats = {**dict.fromkeys(order, "{:.1f}"), "sum, dB": "{:.0f}", "seconds": "{:.2f}"}
        title = f"{' and '.join(pair)}, {setting}"
        note = f"Decibels, means of {seeds} mixtures of {seconds:g} s; {n_components} components."
        tables.append(Table("separation", title, shown, formats, note))
    return tables


def main() -> None:
    given = sys.argv[1:]
    seconds, seeds = float(given[0]) if given else 5.0, int(given[1]) if len(given) > 1 else 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for setting in SETTINGS:
            list(separated(mixture("pluck", "drum", 1.0, 0), setting, 4, 0, methods()))  # compiles what is compiled
            for table in separation(setting, seconds, seeds):
                print(table.markdown(), flush=True)  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

"""How a run ends: the net beside classical solvers and scikit-learn's, on training and on held-out rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from rich import box
from rich.table import Table

from nmf_nets.benchmark.base import Method, Problem
from nmf_nets.benchmark.best_known import BestKnown
from nmf_nets.benchmark.methods.classical import Classical
from nmf_nets.benchmark.methods.scikit_learn import ScikitLearn
from nmf_nets.benchmark.recorder import ENDED_WELL, Budget, Recorder, Run, Status
from nmf_nets.benchmark.task import fingerprint, identity_of
from nmf_nets.criterion import Criterion, Terms
from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.refined import REFINED
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.dead_components import dead_components
from nmf_nets.metrics.kkt_residual import codes_residual, kkt_residual
from nmf_nets.metrics.recovery import matched_cosines, motif_cosines
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.relative_gap import relative_gap
from nmf_nets.metrics.svd_excess import svd_error
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.part import part_name
from nmf_nets.refusal import Refusal
from nmf_nets.run_directory import peak_memory
from nmf_nets.shapes import Labels
from nmf_nets.solver import Solver
from nmf_nets.solvers import fastest, named
from nmf_nets.updates.base import Update
from nmf_nets.weight import named_weights

NOTABLE = 1e-5
"""What a percentage of three decimals shows."""

LEAST_SECONDS = 0.5
"""Given to a classical solver even if the net took less: shorter runs measure the first call, not the solver."""


@dataclass(frozen=True)
class Line:
    """One row of the final table, None where there is nothing to say; `gap` is above the best classical value.

    divergence_value: with penalties, where there are any; on held-out rows without those on H that couple rows.
    kkt_residual: that of H and W, which is none of the codes and weights that W and H are made of where a component has
    copies.
    """

    rows: str
    who: str
    divergence_value: float
    gap: float
    relative_error: float
    kkt_residual: float | None
    dead_components: int
    seconds: float | None


@dataclass(frozen=True)
class Summary:
    """summary.json; values are of the divergence, with the penalties of the model, and None where there are none.

    gap: divergence_value / min(classical_value, sklearn_value) − 1.

    refined_codes_value: with REFINED half-steps from the net's own codes. classical_value: the best of our solvers.
    best_known_value: the least that any run has found for the training rows, here or in the benchmark, this one
    included; best_known_gap is how far the net's own codes stand above it.
    recovery: mean cosine of the true components, where they are known, with those that were found.
    observed: the part of the entries of the training rows that count, None where all count alike; values and errors are
    of these alone, there are no sklearn_value and svd_error then, and no values of other runs.
    accuracy: the part of held-out rows that the head names right by the net's own codes.
    peak_memory: bytes that the process held at most until the end of training, all imports included.
    """

    divergence: str
    encoder: str
    n_components: int
    seed: int
    divergence_value: float
    refined_codes_value: float | None
    exact_codes_value: float | None
    classical_value: float | None
    sklearn_value: float | None
    gap: float
    best_known_value: float
    best_known_gap: float
    relative_error: float
    svd_error: float | None
    observed: float | None
    heldout_value: float | None
    heldout_refined_codes_value: float | None
    heldout_exact_codes_value: float | None
    kkt_residual: float | None
    dead_components: int
    recovery: float | None
    head: str | None
    training_accuracy: float | None
    accuracy: float | None
    seconds: float
    peak_memory: int | None


@dataclass(frozen=True)
class Verdict:
    """The table, and what stands in summary.json.

    uncounted: weights of the decoder with penalties of their own, which are in no line, as rivals have no such weights.
    lost: rivals that came to no end that could be compared, each with what became of it.
    sample: what the training rows of the lines are, where more were trained on.
    """

    lines: list[Line]
    summary: Summary
    uncounted: Sequence[str] = ()
    lost: Sequence[str] = ()
    sample: str | None = None

    @property
    def columns(self) -> list[str]:
        return list(asdict(self.lines[0]))

    @property
    def cells(self) -> list[list[str]]:
        return [_cells(line) for line in self.lines]

    def table(self) -> Table:
        about = self.summary
        notes = [
            "gap: above the best classical value. Classical solvers: from the same start, for as long; held-out rows",
            "coded exactly on their W.",
        ]
        if self.sample is not None:
            notes.append(self.sample)
        if about.svd_error is not None:
            notes += [
                f"No {about.n_components} components have a training error below",
                f"{about.svd_error:.4f}, that of the truncated SVD.",
            ]
        if about.observed is not None:
            notes.append(
                f"Of the training entries {about.observed:.2%} count, by their weights, and no others anywhere here; "
                "scikit-learn's solver, which needs them all, takes no part."
            )
        best = min(value for value in (about.classical_value, about.sklearn_value) if value is not None)
        if about.best_known_value < best * (1 - NOTABLE):
            notes.append(
                f"The best that any run has found is {about.best_known_value:.6g}: own codes are "
                f"{about.best_known_gap:+.3%} from it."
            )
        if self.uncounted:
            notes.append(f"Penalties on {', '.join(self.uncounted)} are not in these values.")
        notes += [f"Without a line: {what}." for what in self.lost]
        if about.recovery is not None:
            notes.append(f"The true components were found with a mean cosine of {about.recovery:.4f}.")
        if about.accuracy is not None:
            notes.append(f"The {about.head} names {about.accuracy:.2%} of held-out rows right, by the net's own codes.")
        table = Table(
            title=f"{about.divergence}, encoder {about.encoder}, {about.n_components} components",
            caption=" ".join(notes),
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            title_justify="left",
            caption_justify="left",
        )
        for name in HEADINGS:
            table.add_column(name, justify="left" if name in ("rows", "who") else "right", no_wrap=True)
        for before, line in zip([None, *self.lines], self.lines, strict=False):
            if before is not None and before.rows != line.rows:
                table.add_section()
            table.add_row(*_cells(line))
        return table


def judge(
    net: NonNegativeAutoencoder,
    data: MatrixDataModule,
    start: Factorization,
    update: Update,
    seconds: float,
    seed: int,
    best_known: Path,
    rivals: Mapping[str, Method],
    plain_rivals: bool = True,
) -> Verdict:
    """Runs the solver of the net's own update, the fastest one, scikit-learn's and further rivals from the start of the
    net for the seconds that it trained, and lines all up. Those that cannot serve the model take no part.
    plain_rivals: whether the first three do, which know no constraint on W; false where that makes it another model.

    Held-out rows are the test rows, or the validation rows where there are none. Solvers have no codes for those of
    their own and get exact ones on their W.
    """
    memory = peak_memory()
    criterion, divergence, X = net.criterion, net.divergence, data.training
    net_cpu = net.to("cpu")
    own = net_cpu.own_factors(X)
    peer = f"scikit-learn {'cd' if isinstance(divergence, Frobenius) else 'mu'}"
    ours: dict[str, Method] = {type(update).__name__: Classical(Solver(update), random)}
    fast = fastest(X, divergence)
    solver = named(fast, X, divergence)
    if type(solver.update) is not type(update) or replace(solver, update=update) != Solver(update):
        ours[fast] = Classical(fast, random)
    problem = Problem(
        X, divergence, start.n_components, seed, criterion.on_H, criterion.on_W, own.n_components, criterion.between
    )
    plain = {**ours, peer: ScikitLearn(peer[-2:])} if plain_rivals else {}
    runs = _runs({**plain, **rivals}, problem, start, seconds)
    found = {name: run.end for name, run in runs.items() if run.status in ENDED_WELL}
    lost = [f"{name} {run.status}, as {run.error}" for name, run in runs.items() if name not in found]
    if not found:
        raise Refusal(f"no classical solver came to an end that the net could be compared with: {'; '.join(lost)}.")
    values = {name: last.measured.value for name, (_, last) in found.items()}
    best = min(values.values())
    coder, coupled = _Coder(Exact(None, update), criterion.on_H), net.decoder.couples_rows

    own_line = _line("training", "net, own codes", X, own, criterion, best, seconds)
    lines = [own_line]
    if not coupled:
        for who, factors in {"net, refined codes": coder.refined(X, own), "net, exact codes": coder(X, own.W)}.items():
            lines.append(_line("training", who, X, factors, criterion, best, None))
    lines += [
        _line("training", name, X, factors, criterion, best, last.spent.seconds)
        for name, (factors, last) in found.items()
    ]
    trained = {line.who: line.divergence_value for line in lines}
    held_out = data.test if data.test is not None else data.validation
    held_labels = data.test_labels if data.test is not None else data.validation_labels
    held_lines: list[Line] = []
    held_own = None if held_out is None or not net.encoder.codes_unseen_rows else net_cpu.factorize(held_out)
    if held_out is not None:
        rows_apart = replace(coder, terms=criterion.on_H.unseen)
        held_lines = _held_out_lines(
            net_cpu,
            held_out,
            held_own,
            {name: factors for name, (factors, _) in found.items()},
            rows_apart,
            criterion.unseen,
        )
    held = {line.who: line.divergence_value for line in held_lines}
    known = min(trained.values())
    if problem.plain and own.n_components == start.n_components:
        identity = identity_of(fingerprint(X), divergence, start.n_components)
        book = BestKnown(best_known)
        book.improve(identity, known, method=min(trained, key=lambda who: trained[who]), seed=seed)
        known = min(book.value(identity) or known, known)
    summary = Summary(
        divergence=part_name(divergence),
        encoder=part_name(net.encoder),
        n_components=start.n_components,
        seed=seed,
        divergence_value=own_line.divergence_value,
        refined_codes_value=trained.get("net, refined codes"),
        exact_codes_value=trained.get("net, exact codes"),
        classical_value=min((value for name, value in values.items() if name != peer), default=None),
        sklearn_value=values.get(peer),
        gap=own_line.gap,
        best_known_value=known,
        best_known_gap=relative_gap(own_line.divergence_value, known, divergence.rounding(X)),
        relative_error=own_line.relative_error,
        svd_error=None if X.weights is not None else svd_error(X, start.n_components),
        observed=None if X.weights is None else int((X.weights > 0).sum()) / math.prod(X.shape),
        heldout_value=held.get("net, own codes"),
        heldout_refined_codes_value=held.get("net, refined codes"),
        heldout_exact_codes_value=held.get("net, exact codes"),
        kkt_residual=own_line.kkt_residual,
        dead_components=own_line.dead_components,
        recovery=_recovery(net, data.dataset),
        seconds=seconds,
        head=None if net.head is None else part_name(net.head),
        training_accuracy=_accuracy(net_cpu, own, data.training_labels),
        accuracy=_accuracy(net_cpu, held_own, held_labels),
        peak_memory=memory,
    )
    uncounted = [name for name, weight in named_weights(net.decoder).items() if weight.terms.penalties]
    return Verdict(lines + held_lines, summary, uncounted, lost, _sample(data))


def _sample(data: MatrixDataModule) -> str | None:
    sample, n = data.dataset.sample, data.training.shape[0]
    if sample is None:
        return None
    which = "the first of the stream" if sample.n_rows is None else f"random ones of {sample.n_rows}"
    return f"The {n} training rows here are {which} that the net was trained on, and all that the solvers are given."


def _recovery(net: NonNegativeAutoencoder, dataset: Dataset) -> float | None:
    if dataset.motifs is not None:
        decoder = net.decoder
        motifs = decoder.motifs if isinstance(decoder, Convolutive) else decoder.W[:, None]
        return float(motif_cosines(motifs.detach(), dataset.motifs).mean())
    return None if dataset.truth is None else float(matched_cosines(net.decoder.W.detach(), dataset.truth).mean())


def _accuracy(net: NonNegativeAutoencoder, factors: Factorization | None, labels: Labels | None) -> float | None:
    return None if net.head is None or factors is None or labels is None else net.head.accuracy(factors, labels)


def _held_out_lines(
    net: NonNegativeAutoencoder,
    X: Matrix,
    proposed: Factorization | None,
    rivals: dict[str, Factorization],
    coder: "_Coder",
    criterion: Criterion,
) -> list[Line]:
    """Where rows are coupled there are own codes alone, and nothing of rivals that couple rows as well."""
    candidates = {name: coder(X, factors.W) for name, factors in rivals.items() if factors.copies == 1}
    own: dict[str, Factorization] = {}
    if proposed is not None:
        own["net, own codes"] = proposed
    if not net.decoder.couples_rows:
        if proposed is not None:
            own["net, refined codes"] = coder.refined(X, proposed)
        own["net, exact codes"] = coder(X, net.decoder.W.detach())
    best = min((float(criterion.total(X, factors)) for factors in (candidates or own).values()), default=0.0)
    return [
        _line("held out", who, X, factors, criterion, best, None, fitted=False)
        for who, factors in (own | candidates).items()
    ]


@dataclass(frozen=True)
class _Coder:
    """Codes on given components, by half-steps that heed the penalties on H."""

    exact: Exact
    terms: Terms

    def __call__(self, X: Matrix, W: torch.Tensor) -> Factorization:
        W = W.to(X.dtype)
        return Factorization(self.exact(X, W, terms=self.terms), W)

    def refined(self, X: Matrix, factors: Factorization) -> Factorization:
        return Factorization(self.exact.update.on(X, factors.W, self.terms).codes(factors.H, REFINED), factors.W)


def _runs(methods: Mapping[str, Method], problem: Problem, start: Factorization, seconds: float) -> dict[str, Run]:
    """Of the methods from the start, without those that cannot serve the problem."""
    recorder = Recorder(problem, Budget(max(seconds, LEAST_SECONDS)), growth=1e9)
    runs = {name: recorder.record(method, start) for name, method in methods.items()}
    served = {name: run for name, run in runs.items() if run.status is not Status.UNSUPPORTED}
    if not served:
        raise Refusal(f"no classical algorithm serves this model: {'; '.join(str(run.error) for run in runs.values())}")
    return served


def _line(
    rows: str,
    who: str,
    X: Matrix,
    factors: Factorization,
    criterion: Criterion,
    best: float,
    seconds: float | None,
    fitted: bool = True,
) -> Line:
    """fitted: whether W was fitted to these rows; if not, the KKT residual is that of the codes."""
    X, factors = X.to(torch.float64), factors.to(torch.float64)
    value, divergence, on_H = float(criterion.total(X, factors)), criterion.divergence, criterion.on_H
    residual = None
    if factors.copies == 1 and fitted:
        residual = kkt_residual(X, factors, divergence, on_H, criterion.on_W)
    elif factors.copies == 1:
        residual = codes_residual(X, factors.H, factors.W, divergence, on_H)
    return Line(
        rows,
        who,
        value,
        relative_gap(value, best, divergence.rounding(X)),
        relative_error(X, factors),
        residual,
        dead_components(factors),
        seconds,
    )


HEADINGS = ("rows", "who", "divergence", "gap", "error", "KKT", "dead", "seconds")
FORMATS = {
    "divergence_value": "{:.6g}",
    "gap": "{:+.3%}",
    "relative_error": "{:.4f}",
    "kkt_residual": "{:.1e}",
    "seconds": "{:.2f}",
}


def _cells(line: Line) -> list[str]:
    items: Sequence[tuple[str, object]] = list(asdict(line).items())
    return ["—" if value is None else FORMATS.get(name, "{}").format(value) for name, value in items]

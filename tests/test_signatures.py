"""Signatures: matches, mixtures, exposures, resampling, and what a run leaves of them."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from stand_ins import breast21_sbs96
from stand_ins.breast21_sbs96 import TYPES

from nmf_nets import verdict
from nmf_nets.as_matrix import as_matrix
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.metrics.recovery import matching
from nmf_nets.plots.signatures import COLOURS, draw_exposures, draw_signatures
from nmf_nets.refusal import Refusal
from nmf_nets.signatures import (
    Catalogue,
    bootstrap,
    component_names,
    exposures,
    interval,
    matches,
    mixture,
    read_catalogue,
    signatures_table,
)


@pytest.fixture(autouse=True)
def short_verdicts(monkeypatch):
    monkeypatch.setattr(verdict, "LEAST_SECONDS", 0.05)


def drawn(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def catalogue(count=6, seed=0):
    W = drawn(count, 96, seed=seed) ** 6
    return Catalogue(tuple(f"SBS{k}" for k in range(count)), W / W.sum(1, keepdim=True))


def planted(seed=0, n=20, r=3):
    """Counts, and the exposures and signatures that they were drawn from. Each signature lacks in two fifths of the
    genomes, so that no others explain them as well.
    """
    H, W = 200 + 3000 * drawn(n, r, seed=seed + 1) ** 2, catalogue(r, seed).W
    H = H * (drawn(n, r, seed=seed + 99) > 0.4)
    chance = torch.Generator().manual_seed(seed)
    return as_matrix(torch.poisson(H @ W, chance)), Factorization(H, W)


# A catalogue ----------------------------------------------------------------------------------------------------------


def test_a_catalogue_is_read_in_the_order_of_the_types_that_are_asked_for(tmp_path):
    breast21_sbs96.write(tmp_path)
    path = tmp_path / "cosmic_v3.4_sbs96.tsv"
    table = pd.read_csv(path, sep="\t", index_col=0)
    asked = TYPES[::-1]
    found = read_catalogue(path, asked)
    assert found.names == tuple(table.columns)
    np.testing.assert_allclose(found.W.numpy(), table.loc[asked].T / table.sum().to_numpy()[:, None], rtol=1e-12)
    with pytest.raises(Refusal, match=r"lacks 1 of the 97 features that are asked for: 'A\[C>A\]N'"):
        read_catalogue(path, [*TYPES, "A[C>A]N"])


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "zeros alone for 'SBS4'; leave that column out"), (-1.0, "must be non-negative")]
)
def test_a_catalogue_of_what_are_no_signatures_is_refused(tmp_path, value, said):
    breast21_sbs96.write(tmp_path)
    path = tmp_path / "cosmic_v3.4_sbs96.tsv"
    pd.read_csv(path, sep="\t", index_col=0).assign(SBS4=value).to_csv(path, sep="\t")
    with pytest.raises(Refusal, match=said):
        read_catalogue(path, TYPES)


# Matches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_assignment_is_the_best_of_all(seed):
    known, W = catalogue(5, seed), drawn(4, 96, seed=seed + 10) ** 3
    cosines = torch.nn.functional.normalize(W) @ torch.nn.functional.normalize(known.W).T
    best = max(float(sum(cosines[k, j] for k, j in enumerate(order))) for order in permutations(range(5), 4))
    found = matches(W, known)
    assert sum(match.cosine for match in found) == pytest.approx(best)
    assert len({match.assigned for match in found}) == 4
    for k, match in enumerate(found):
        assert match.cosine == pytest.approx(float(cosines[k, known.names.index(match.assigned)]))
        assert match.nearest_cosine == pytest.approx(float(cosines[k].max()))
        assert match.nearest == known.names[int(cosines[k].argmax())]


def test_matches_are_blind_to_scale_and_find_each_signature_itself():
    known = catalogue()
    order = [3, 0, 5]
    for match, j in zip(matches(known.W[order] * torch.tensor([[1e-6], [1.0], [1e6]]), known), order, strict=True):
        assert match.assigned == match.nearest == known.names[j]
        assert match.cosine == pytest.approx(1)
        assert match.mixture == ((known.names[j], 1.0),)


def test_what_is_left_over_and_what_is_dead_are_like_nothing():
    known = catalogue(2)
    W = torch.cat([known.W, known.W[:1] + 0.1 * known.W[1:], torch.zeros(1, 96)])
    first, second, third, dead = matches(W, known)
    assert (first.assigned, second.assigned, third.assigned) == ("SBS0", "SBS1", None)
    assert third.nearest == "SBS0"
    assert third.cosine == 0 < third.nearest_cosine
    assert (dead.assigned, dead.nearest_cosine, dead.mixture, dead.mixture_cosine) == (None, 0, (), 0)


def test_a_sum_of_signatures_is_found_with_its_shares():
    known = catalogue()
    shares, cosine = mixture(7 * (0.3 * known.W[4] + 0.7 * known.W[1]), known)
    assert [name for name, _ in shares] == ["SBS1", "SBS4"]
    assert [share for _, share in shares] == pytest.approx([0.7, 0.3])
    assert cosine == pytest.approx(1)


# Exposures ------------------------------------------------------------------------------------------------------------


def test_exposures_sum_to_the_mutations_of_a_genome_whatever_the_scales():
    X, truth = planted()
    fit = factorize(X, 3, divergence="kullback_leibler")
    found = exposures(X, Factorization(fit.H, fit.W))
    torch.testing.assert_close(found.sum(1), X.dense().sum(1))
    scales = torch.tensor([1e-3, 1.0, 50.0], dtype=torch.float64)
    torch.testing.assert_close(exposures(X, Factorization(fit.H * scales, fit.W / scales[:, None])), found)
    exact = as_matrix(truth.reconstruction)
    torch.testing.assert_close(exposures(exact, truth), truth.H)


def test_the_bootstrap_covers_planted_exposures():
    inside, total = 0, 0
    for seed in range(2):
        X, truth = planted(seed)
        fit = factorize(X, 3, divergence="kullback_leibler")
        order = matching(fit.W, truth.W)[1]
        found = bootstrap(X, Factorization(fit.H, fit.W), replicates=25, seed=seed)
        low, high = (M[:, order] for M in interval(found.exposures, 0.95))
        inside += int(((low <= truth.H) & (high >= truth.H)).sum())
        total += truth.H.numel()
        width = ((high - low) / truth.H)[truth.H > 0].median()
        assert 0.02 < width < 1, "neither no interval nor any"
    assert inside / total > 0.85


def test_the_bootstrap_keeps_components_in_their_places_and_repeats_itself():
    X, truth = planted()
    found, again = (bootstrap(X, truth, replicates=5, seed=3) for _ in range(2))
    assert torch.equal(found.exposures, again.exposures)
    assert (found.cosines(truth.W) > 0.95).all()
    assert (found.cosines(truth.W.flip(0))[:, 0] < 0.9).all()
    torch.testing.assert_close(found.W.sum(2), torch.ones(5, 3).double())
    assert not torch.equal(found.exposures, bootstrap(X, truth, replicates=5, seed=4).exposures)


def test_an_interval_holds_its_part_of_the_replicates():
    values = torch.arange(101).double()[:, None].repeat(1, 2)
    low, high = interval(values, 0.8)
    assert low.tolist() == pytest.approx([10, 10])
    assert high.tolist() == pytest.approx([90, 90])
    with pytest.raises(Refusal, match=r"level must lie between 0 and 1, but is 95"):
        interval(values, 95)
    with pytest.raises(Refusal, match=r"replicates must be an integer of at least 1, but is 0"):
        bootstrap(*planted(), replicates=0)


def test_the_table_speaks_of_references_where_there_are_some():
    X, truth = planted()
    found = bootstrap(X, truth, replicates=8)
    mutations = exposures(X, truth).sum(0)
    alone = signatures_table(truth.W, mutations, found)
    table = signatures_table(truth.W, mutations, found, catalogue())
    assert list(alone) == list(table)[:3]
    assert table["mutations"].sum() == pytest.approx(1)
    assert (table["cosine_low"] <= table["cosine_high"]).all()
    assert (table["cosine_low"] > 0.8).all()
    assert (alone["resampled_cosine"] > 0.95).all()


def test_names_go_on_after_z():
    names = component_names(30)
    assert names[:2] == ["SBS96A", "SBS96B"]
    assert names[25:27] == ["SBS96Z", "SBS96AA"]
    assert len(set(names)) == 30


# Figures --------------------------------------------------------------------------------------------------------------


def test_bars_stand_in_the_order_and_the_colours_of_the_field():
    W = torch.zeros(2, 96, dtype=torch.float64)
    shuffled = [TYPES[j] for j in np.random.default_rng(0).permutation(96)]
    W[0, shuffled.index("A[C>A]A")], W[0, shuffled.index("T[C>T]G")] = 1, 3
    axes = draw_signatures(W, shuffled, ["one", "dead"]).axes[0]
    heights = {i: bar.get_height() for i, bar in enumerate(axes.patches) if bar.get_height() > 0}
    assert heights == {0: pytest.approx(25), 2 * 16 + 14: pytest.approx(75)}
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches[::16]] == list(COLOURS.values())


@pytest.mark.parametrize(
    ("types", "said"), [(["T", *TYPES[1:]], "a feature is called 'T'"), (TYPES[:95], "but there are 95")]
)
def test_other_types_are_refused(types, said):
    with pytest.raises(Refusal, match=said):
        draw_signatures(drawn(2, len(types)), types, ["one", "two"])


def test_bars_of_genomes_are_stacked_to_their_mutations_most_first():
    values = 100 * drawn(4, 3)
    figure = draw_exposures(values, ["a", "b", "c", "d"], component_names(3))
    tops = [bar.get_y() + bar.get_height() for bar in figure.axes[0].patches[-4:]]
    assert tops == pytest.approx(sorted(values.sum(1).tolist(), reverse=True))
    assert [bar.get_y() + bar.get_height() for bar in figure.axes[1].patches[-4:]] == pytest.approx([100] * 4)
    order = values.sum(1).argsort(descending=True).tolist()
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["abcd"[i] for i in order]


# A run ----------------------------------------------------------------------------------------------------------------

RUN = ("experiment=signatures", "n_components=5", "trainer.max_epochs=60", "callbacks.signatures.replicates=3")
FILES = ("data.path=breast21_sbs96.tsv", "callbacks.signatures.references=cosmic_v3.4_sbs96.tsv")


def test_a_run_leaves_tables_that_agree_and_finds_what_was_planted(train, tmp_path):
    breast21_sbs96.write(tmp_path)
    assert train(*RUN, *FILES).code == 0
    folder = tmp_path / "run"
    counts = pd.read_csv(tmp_path / "breast21_sbs96.tsv", sep="\t", index_col=0)
    made = pd.read_csv(folder / "exposures.csv", index_col="genome")
    np.testing.assert_allclose(made.sum(axis=1), counts.sum(), rtol=1e-4)
    assert list(made.index) == list(counts.columns)
    profiles = read_catalogue(folder / "profiles.tsv", TYPES)
    assert list(profiles.names) == list(made.columns)
    table = pd.read_csv(folder / "signatures.csv")
    assert set(table["assigned"]) == {"SBS1", "SBS2", "SBS3", "SBS5", "SBS13"}
    assert (table["cosine"] > 0.9).sum() >= 3
    np.testing.assert_allclose(table["mutations"], made.sum() / made.to_numpy().sum(), rtol=1e-3)
    ends = pd.read_csv(folder / "intervals.csv")
    assert len(ends) == made.size
    assert (ends["low"] <= ends["high"]).all()
    np.testing.assert_allclose(ends["mutations"], made.to_numpy().ravel(), rtol=1e-4)
    assert all((folder / f"{name}.png").stat().st_size > 10_000 for name in ("signatures", "exposures"))


def test_a_run_without_references_says_nothing_of_them(train, tmp_path):
    breast21_sbs96.write(tmp_path)
    assert train(*RUN, FILES[0], "trainer.max_epochs=5").code == 0
    assert list(pd.read_csv(tmp_path / "run" / "signatures.csv")) == ["signature", "mutations", "resampled_cosine"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.transpose=false", "a feature is called 'PD4000a'"),
        ("data.validation=0.2", "callback=signatures is of all genomes; use data.validation=0 data.test=0"),
        ("callbacks.signatures.references=none.tsv", "'none.tsv' cannot be read, as there is no such file"),
        ("callbacks.signatures.replicates=0", "replicates must be an integer of at least 1"),
        ("data.index_column=22", "data.index_column is 22, but breast21_sbs96.tsv has the columns 0 to 21"),
    ],
)
def test_a_run_on_what_are_no_genomes_is_refused(train, tmp_path, override, said):
    breast21_sbs96.write(tmp_path)
    given = [word for word in (*RUN, *FILES) if word.partition("=")[0] != override.partition("=")[0]]
    ran = train(*given, override)
    assert ran.code == 2
    assert said in ran.sentence

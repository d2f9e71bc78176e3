"""Gene programmes: usages, scores, sets, types of cells, and what a run leaves of them."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.metrics import roc_auc_score
from stand_ins import pbmc68k_reduced
from stand_ins.pbmc68k_reduced import MARKERS

from nmf_nets import verdict
from nmf_nets.as_matrix import as_matrix
from nmf_nets.factorization import Factorization
from nmf_nets.plots.programmes import draw_programmes
from nmf_nets.programmes import associations, gene_lists, gene_scores, gmt, programme_names, rnk, usages
from nmf_nets.refusal import Refusal


@pytest.fixture(autouse=True)
def short_verdicts(monkeypatch):
    monkeypatch.setattr(verdict, "LEAST_SECONDS", 0.05)


CHANCE = np.random.default_rng(0)
U = torch.from_numpy(CHANCE.dirichlet([0.3] * 3, 50))
EXPRESSION = CHANCE.poisson(U.numpy() @ CHANCE.gamma(0.5, 4, (3, 12))).astype(float)
EXPRESSION[:, 5] = 3.0
GENES = [f"G{j}" for j in range(12)]


def test_usages_are_parts_of_a_cell_whatever_the_scales():
    H, W = torch.from_numpy(CHANCE.random((6, 3))), torch.from_numpy(CHANCE.random((3, 4)))
    H[2] = 0
    found = usages(Factorization(H, W))
    assert found.sum(1).tolist() == pytest.approx([1, 1, 0, 1, 1, 1])
    scales = torch.tensor([0.01, 1, 7], dtype=torch.float64)
    torch.testing.assert_close(usages(Factorization(H * scales, W / scales[:, None])), found)


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_scores_are_least_squares_coefficients_of_z_scores(kind):
    deviation = EXPRESSION.std(0)
    Z = (EXPRESSION - EXPRESSION.mean(0)) / np.where(deviation > 0, deviation, 1)
    expected = np.linalg.lstsq(U.numpy(), Z, rcond=None)[0]
    found = gene_scores(as_matrix(kind(EXPRESSION)), U)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)
    assert (found[:, 5] == 0).all(), "a gene that does not vary"


def test_a_housekeeping_gene_of_greatest_weight_leads_no_list():
    types = np.repeat([0, 1], 40)
    X = CHANCE.poisson(np.where(types[:, None] == [0, 0, 1, 1], 4.0, 0.2)).astype(float)
    X = np.column_stack([CHANCE.poisson(60, 80), X])
    factors = Factorization(
        torch.eye(2, dtype=torch.float64)[types], torch.tensor([[60.0, 4, 4, 0, 0], [60, 0, 0, 4, 4]]).double()
    )
    lists = gene_lists(gene_scores(as_matrix(X), usages(factors)), ["house", "a", "b", "c", "d"], count=2)
    assert [{gene for gene, _ in found} for found in lists] == [{"a", "b"}, {"c", "d"}]


def test_lists_fall_hold_no_gene_of_zero_and_no_more_than_asked_for():
    scores = torch.tensor([[0.5, -1, 2, 0], [-1, -1, -2, 0]])
    assert gene_lists(scores, list("abcd")) == [[("c", 2.0), ("a", 0.5)], []]
    assert gene_lists(scores, list("abcd"), 1) == [[("c", 2.0)], []]
    with pytest.raises(Refusal, match="count must be an integer of at least 1, but is 0"):
        gene_lists(scores, list("abcd"), 0)


def test_sets_and_ranked_lists_are_in_the_formats_of_enrichment_tools():
    scores = torch.tensor([[0.5, -1, 2, 0], [-1, -1, -2, 0]])
    assert gmt(gene_lists(scores, list("abcd")), "why") == "programme_0\twhy\tc\ta\n"
    assert rnk(scores[0], list("abcd")) == "c\t2\na\t0.5\nd\t0\nb\t-1\n"


def test_types_go_with_programmes_as_the_area_under_the_curve_says():
    types = CHANCE.permutation(np.repeat(["B", "T", "NK"], [25, 15, 10]))
    table = associations(U, types)
    assert len(table) == 9
    for row in table.to_dict("records"):
        k, inside = programme_names(3).index(row["programme"]), types == row["type"]
        values = U[:, k].numpy()
        assert row["auroc"] == pytest.approx(roc_auc_score(inside, values))
        assert row["usage"] == pytest.approx(values[inside].mean())
        assert row["usage_elsewhere"] == pytest.approx(values[~inside].mean())
        assert row["cells"] == inside.sum()
    assert table["q"].between(0, 1).all()
    own = associations(torch.eye(2).double()[(types == "B").astype(int)], np.where(types == "B", "B", "other"))
    assert (own["q"] < 1e-6).all()
    assert set(own["auroc"]) == {0.0, 1.0}


@pytest.mark.parametrize("types", [["B"] * 50, ["B", "T"]])
def test_types_that_are_not_one_for_each_cell_are_refused(types):
    with pytest.raises(Refusal, match="types must be one for each of 50 cells, and two kinds at least"):
        associations(U, types)


def test_the_heat_map_and_the_genes_stand_under_their_programmes():
    lists = [[("MS4A1", 2.0), ("CD79A", 1.0)], []]
    heat, words = draw_programmes(np.array([[0.2, 0.8]]), ["B"], programme_names(2), lists).axes
    assert [text.get_text() for text in heat.texts] == ["20", "80"]
    assert {text.get_text(): text.get_position()[0] for text in words.texts} == {"0": 0, "1": 1, "MS4A1": 0, "CD79A": 0}


# A run ----------------------------------------------------------------------------------------------------------------

RUN = ("experiment=gene_programmes", "data.path=pbmc68k_reduced.h5ad", "n_components=3", "data.labels=bulk_labels")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")  # anndata's
def test_annotated_data_go_in_and_come_out_with_programmes(train, tmp_path):
    anndata = pytest.importorskip("anndata")
    pbmc68k_reduced.write(tmp_path)
    assert train(*RUN, "trainer.max_epochs=60", "callbacks.gene_programmes.count=6").code == 0
    folder = tmp_path / "run"
    before = anndata.read_h5ad(tmp_path / "pbmc68k_reduced.h5ad")
    after = anndata.read_h5ad(folder / "programmes.h5ad")
    assert np.array_equal(after.X, before.X)
    assert after.obs.equals(before.obs)
    np.testing.assert_allclose(after.obsm["X_nmf"].sum(1), 1)
    np.testing.assert_allclose(after.varm["nmf"].sum(0), 1)
    assert after.uns["nmf"]["divergence"] == "kullback_leibler"
    assert after.uns["nmf"]["layer"] == "raw"

    sets = [line.split("\t") for line in (folder / "programmes.gmt").read_text().splitlines()]
    assert sorted(map(sorted, (line[2:] for line in sets))) == sorted(map(sorted, MARKERS.values()))
    ranked = pd.read_csv(folder / "ranked" / "programme_0.rnk", sep="\t", header=None, index_col=0)[1]
    assert ranked.is_monotonic_decreasing
    np.testing.assert_allclose(ranked[after.var_names], after.varm["nmf_scores"][:, 0], rtol=1e-4, atol=1e-6)

    table = pd.read_csv(folder / "types.csv")
    best = table.loc[table.groupby("programme")["auroc"].idxmax()]
    assert set(best["type"]) == set(MARKERS)
    assert (best["auroc"] > 0.95).all()
    by_name = {name: set(genes) for name, _, *genes in sets}
    assert all(by_name[row["programme"]] == set(MARKERS[row["type"]]) for row in best.to_dict("records"))
    assert (folder / "programmes.png").stat().st_size > 10_000


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")  # anndata's
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((*RUN, "data.test=0.1"), "callback=gene_programmes is of all cells; use data.validation=0 data.test=0"),
        ((*RUN, "callbacks.gene_programmes.count=0"), "count must be an integer of at least 1"),
        (("+callback@callbacks.own=gene_programmes",), "use data=anndata"),
    ],
)
def test_a_run_on_what_are_no_cells_is_refused(train, tmp_path, overrides, said):
    pytest.importorskip("anndata")
    pbmc68k_reduced.write(tmp_path)
    ran = train(*overrides)
    assert ran.code == 2
    assert said in ran.sentence


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")  # anndata's
def test_without_types_there_is_no_table_of_them(train, tmp_path):
    pytest.importorskip("anndata")
    pbmc68k_reduced.write(tmp_path)
    assert train(*RUN[:3], "trainer.max_epochs=5").code == 0
    assert not (tmp_path / "run" / "types.csv").exists()
    assert (tmp_path / "run" / "programmes.png").exists()

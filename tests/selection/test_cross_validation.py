"""The laws of criteria that score what a fit has not seen."""

import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.factorization import Factorization
from nmf_nets.held_out import cautious, fewest, row_means
from nmf_nets.matrix import DenseMatrix, SparseMatrix
from nmf_nets.refusal import Refusal
from nmf_nets.restarts import Restarts
from nmf_nets.selection.base import Selector
from nmf_nets.selection.bi_cross_validation import BiCrossValidation, block_splits, blocks
from nmf_nets.selection.masked_cross_validation import MaskedCrossValidation

BETAS = [2.0, 1.5, 1.0, 0.5, 0.0]
TRUE = 3
SELECTORS: dict[str, Selector] = {
    "blocks": BiCrossValidation(repeats=1, starts=1, max_iter=200, tol=1e-6),
    "entries": MaskedCrossValidation(repeats=2, max_iter=200, tol=1e-6),
}
SHORT: dict[str, Selector] = {
    "blocks": BiCrossValidation(repeats=1, starts=1, max_iter=20),
    "entries": MaskedCrossValidation(repeats=2, max_iter=20),
}

every_divergence = pytest.mark.parametrize("beta", BETAS)
every_selector = pytest.mark.parametrize("selector", SELECTORS.values(), ids=SELECTORS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def low_rank(n: int = 30, m: int = 24, r: int = TRUE) -> np.ndarray:
    chance = np.random.default_rng(0)
    H, W = chance.gamma(2, 0.5, (n, r)), chance.gamma(2, 0.5, (r, m))
    return (H * (chance.random(H.shape) < 0.6) + 0.01) @ (W * (chance.random(W.shape) < 0.6) + 0.01)


def counts(density_of: float = 4.0) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array(np.random.default_rng(1).poisson(0.1 * density_of * low_rank()).astype(float))


def judged(selector: Selector, X, beta: float, n_components: int, seed: int = 0):
    restarts = Restarts(as_matrix(X), beta_divergence(beta), [n_components])
    return selector.judge(restarts, n_components, seeded(seed))


@every_selector
@every_divergence
def test_without_noise_the_score_falls_to_nothing_at_the_planted_number_and_is_above_it_before(selector, beta):
    X = low_rank()
    scores = {n: judged(selector, X, beta, n).score for n in range(1, TRUE + 1)}
    assert scores[TRUE] < 0.15 * scores[1]  # multiplicative steps are slow to the last digits
    assert scores[TRUE] < 0.4 * scores[TRUE - 1]


def test_blocks_of_exactly_low_rank_data_are_predicted_exactly():
    selector = BiCrossValidation(repeats=1, starts=3, max_iter=1000, tol=1e-7)
    judgements = {n: judged(selector, low_rank(), 2.0, n) for n in range(1, TRUE + 2)}
    assert all(judgements[n].values.max() < 1e-3 for n in (TRUE, TRUE + 1))
    assert all(judgements[n].values.min() > 0.05 for n in range(1, TRUE))
    choice = selector.choose(judgements)
    assert (choice.n_components, choice.sureness) == (TRUE, 1.0)


@every_divergence
def test_a_block_that_is_held_out_has_no_part_in_its_prediction(beta):
    selector, D, X = BiCrossValidation(max_iter=30), beta_divergence(beta), low_rank()
    rows, columns = next(iter(block_splits(X.shape, 2, seeded())))
    other = X.copy()
    other[np.ix_(rows, columns)] = np.random.default_rng(5).random((len(rows), len(columns))) + 100
    made = [selector.predicted(blocks(as_matrix(M), rows, columns), 3, D, seeded()) for M in (X, other)]
    assert torch.equal(made[0].H, made[1].H)
    assert torch.equal(made[0].W, made[1].W)


@every_divergence
@pytest.mark.parametrize("kind", ["dense", "weights", "sparse", "stored"])
def test_entries_that_are_hidden_have_no_part_in_the_fit(kind, beta):
    if kind in ("sparse", "stored") and beta <= 0:
        pytest.skip("zeros")
    selector, D = MaskedCrossValidation(part=0.15, max_iter=20), beta_divergence(beta)
    X = low_rank() if kind in ("dense", "weights") else counts().toarray()
    weights = None if kind in ("dense", "sparse") else np.random.default_rng(3).random(X.shape) + 0.1
    if kind == "stored":
        weights = scipy.sparse.csr_array(weights * (X > 0))

    def matrix(values):
        return as_matrix(scipy.sparse.csr_array(values) if kind in ("sparse", "stored") else values, None, weights)

    _, held_out, factors = selector.fitted(matrix(X), 3, D, seeded(2))
    hidden = held_out.with_values(held_out.given_weights).dense().numpy() > 0
    assert 0 < hidden.sum() < 0.3 * X.size
    other = np.where(hidden, 7 * X + (X > 0), X)
    changed = selector.fitted(matrix(other), 3, D, seeded(2))
    assert torch.equal(factors.H, changed[2].H)
    assert torch.equal(factors.W, changed[2].W)
    assert not torch.equal(held_out.values, changed[1].values)


@pytest.mark.parametrize("beta", [2.0, 1.0, 0.5])
def test_imputing_what_is_hidden_of_sparse_data_lowers_what_weights_lower(beta):
    D, X = beta_divergence(beta), counts()
    losses = []
    for max_iter in (1, 11, 41):
        shown, held_out, factors = MaskedCrossValidation(0.2, max_iter=max_iter, tol=0).fitted(
            as_matrix(X), 3, D, seeded()
        )
        assert isinstance(shown, SparseMatrix)
        hidden = held_out.with_values(held_out.given_weights).dense().numpy() > 0
        losses.append(float(D.total(DenseMatrix(shown.dense(), torch.from_numpy(1.0 - hidden)), factors)))
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("selector", SHORT.values(), ids=SHORT)
@every_divergence
def test_scale_does_not_matter_and_the_generator_is_all_chance_that_there_is(selector, beta):
    X = low_rank() * np.random.default_rng(2).gamma(20, 0.05, (30, 24))
    values = judged(selector, X, beta, 2).values
    assert np.array_equal(judged(selector, X, beta, 2).values, values)
    np.testing.assert_allclose(judged(selector, 4.0**6 * X, beta, 2).values, values, rtol=1e-6)
    assert not np.allclose(judged(selector, X, beta, 2, seed=1).values, values, rtol=1e-3)


def test_blocks_follow_their_rows_and_columns():
    X = low_rank()
    rows, columns = torch.arange(0, 30, 2), torch.arange(0, 24, 3)
    p, q = torch.randperm(30, generator=seeded()), torch.randperm(24, generator=seeded(1))
    held, moved = (
        blocks(as_matrix(X), rows, columns),
        blocks(as_matrix(X[p][:, q]), p.argsort()[rows], q.argsort()[columns]),
    )
    for name in ("A", "B", "C", "D"):
        one, other = getattr(held, name).dense(), getattr(moved, name).dense()
        assert one.shape == other.shape
        assert torch.equal(one.flatten().sort().values, other.flatten().sort().values)


@pytest.mark.parametrize("beta", [2.0, 1.0])
def test_sparse_blocks_stay_sparse_and_score_as_dense_ones(beta):
    X = counts(20.0)
    rows, columns = next(iter(block_splits(X.shape, 2, seeded())))
    sparse, dense = blocks(as_matrix(X), rows, columns), blocks(as_matrix(X.toarray()), rows, columns)
    assert all(isinstance(part, SparseMatrix) for part in sparse)
    assert all(torch.equal(a.dense(), b.dense()) for a, b in zip(sparse, dense, strict=True))
    selector = BiCrossValidation(repeats=1, starts=1, max_iter=300, tol=1e-9)
    scores = [judged(selector, M, beta, 2).score for M in (X, X.toarray())]
    assert scores[0] == pytest.approx(scores[1], rel=0.1)


def test_rows_and_columns_are_held_out_once_a_repeat():
    seen = torch.zeros(11, 7)
    for rows, columns in block_splits((11, 7), 3, seeded()):
        seen[rows[:, None], columns] += 1
    assert bool((seen == 1).all())


def test_a_cautious_prediction_is_mixed_with_that_of_independence():
    X = as_matrix(np.outer([1.0, 2, 3], [1.0, 4]))
    none = torch.zeros_like(X.dense())
    zero = Factorization(none[:, :1], none[:1])
    from_nothing = cautious(beta_divergence(1), zero, row_means(X), row_means(X.T) / X.mean).reconstruction
    torch.testing.assert_close(from_nothing, 0.02 * X.dense())
    assert cautious(beta_divergence(2), zero, row_means(X), row_means(X.T)) is zero


def test_the_fewest_that_are_no_worse_than_the_best_fold_by_fold():
    hard = np.array([0.0, 5.0, 10.0, 3.0])  # what makes a fold hard has no part in it
    scores = {2: hard + 4, 3: hard + 1 + np.array([0.1, -0.1, 0.1, -0.1]), 4: hard + 1, 5: hard + 0.99}
    number, sureness, sentence = fewest(scores)
    assert number == 3
    assert 0.3 < sureness < 1
    assert "at 2" in sentence
    assert fewest({2: hard + 4, 3: hard + 1})[:2] == (3, 1.0)
    assert fewest({4: np.array([1.0]), 5: np.array([1.00001])})[0] == 4


REFUSED = [
    (lambda: BiCrossValidation(folds=1), "folds"),
    (lambda: BiCrossValidation(starts=0), "starts"),
    (lambda: judged(BiCrossValidation(folds=25), low_rank(), 2.0, 2), "at most 24"),
    (lambda: MaskedCrossValidation(part=1.0), "below 1"),
    (lambda: judged(MaskedCrossValidation(part=1e-9), low_rank(), 2.0, 2), "hides none"),
    (lambda: judged(MaskedCrossValidation(part=0.9), counts(), 2.0, 2), "bi_cross_validation"),
]


@pytest.mark.parametrize(("make", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_done_is_refused(make, said):
    with pytest.raises(Refusal, match=said):
        make()

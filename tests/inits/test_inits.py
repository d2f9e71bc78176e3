import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.decomposition._nmf import _initialize_nmf

from nmf_nets import spectrum
from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.inits.base import coded, completed, refuse_n_components
from nmf_nets.inits.kmeans import kmeans
from nmf_nets.inits.nndsvd import nndsvd
from nmf_nets.inits.nndsvda import nndsvda
from nmf_nets.inits.nndsvdar import nndsvdar
from nmf_nets.inits.random import random
from nmf_nets.inits.random_acol import random_acol
from nmf_nets.inits.rank_factorization import rank_factorization
from nmf_nets.inits.separable import separable
from nmf_nets.inits.spherical_kmeans import clustered, spherical_kmeans
from nmf_nets.refusal import Refusal
from nmf_nets.updates.pivoting import Pivoting

ANYTHING = [(random, "random"), (nndsvd, "nndsvd"), (nndsvda, "nndsvda"), (nndsvdar, "nndsvdar")]
FROM_ROWS = [
    (kmeans, "kmeans"),
    (spherical_kmeans, "spherical_kmeans"),
    (separable, "separable"),
    (random_acol, "random_acol"),
]
MEMBERS = ANYTHING + FROM_ROWS


def table(members):
    return pytest.mark.parametrize("init", [init for init, _ in members], ids=[name for _, name in members])


every_member = table(MEMBERS)
every_nndsvd = table(ANYTHING[1:])
every_one_from_rows = table(FROM_ROWS)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def numbers(n: int = 30, m: int = 20) -> np.ndarray:
    """Noise around five components, with an empty row and an empty column."""
    chance = np.random.default_rng(0)
    A = (chance.gamma(0.3, size=(n, 5)) @ chance.gamma(0.3, size=(5, m))) * chance.random((n, m))
    A[n // 2], A[:, m // 2] = 0, 0
    return A


def forms(A: np.ndarray) -> list:
    return [as_matrix(A), as_matrix(scipy.sparse.csr_array(A))]


def start(init, X, n_components: int = 4, seed: int = 0) -> Factorization:
    return init(X, n_components, torch.Generator().manual_seed(seed))


def check_close(F: Factorization, G: Factorization, tolerance: float) -> None:
    """Each factor within `tolerance` of its largest entry."""
    for a, b in ((F.H, G.H), (F.W, G.W)):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * float(b.max()))


@every_member
@every_dtype
@pytest.mark.parametrize("n_components", [1, 4, 19])
def test_a_start_is_non_negative_and_finite_and_fits_the_data(init, dtype, n_components):
    for X in forms(numbers()):
        F = start(init, X.to(dtype), n_components)
        assert F.H.shape == (30, n_components)
        assert F.W.shape == (n_components, 20)
        for M in (F.H, F.W):
            assert M.dtype == dtype
            assert bool((M >= 0).all())
            assert bool(M.isfinite().all())
            assert bool(M.any())


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
@every_member
def test_one_row_or_one_column(init, shape):
    A = np.random.default_rng(1).random(shape)
    for X in forms(A):
        F = start(init, X, 1)
        if init is not random:
            np.testing.assert_allclose(F.reconstruction.numpy(), A, rtol=1e-13)
        assert bool((F.reconstruction > 0).all())


@table(ANYTHING)
def test_data_of_zeros_have_a_start(init):
    for X in forms(np.zeros((30, 20))):
        F = start(init, X)
        assert not F.reconstruction.any()
        assert bool((F.H.isfinite().all()) & F.W.isfinite().all())


@every_member
def test_the_same_seed_is_the_same_start(init):
    for X in forms(numbers()):
        first, again = start(init, X, seed=5), start(init, X, seed=5)
        assert torch.equal(first.H, again.H)
        assert torch.equal(first.W, again.W)


@table([MEMBERS[i] for i in (0, 3, 4, 5, 7)])
def test_another_seed_is_another_start(init):
    X = as_matrix(numbers())
    first, other = start(init, X, seed=5), start(init, X, seed=6)
    assert not torch.equal(first.H, other.H)
    assert not torch.equal(first.W, other.W)


@every_member
def test_a_start_takes_no_chance_but_that_of_its_generator(init):
    before = torch.get_rng_state()
    start(init, as_matrix(numbers()))
    assert torch.equal(torch.get_rng_state(), before)


@table([MEMBERS[i] for i in (1, 2, 6)])
def test_no_generator_is_needed_where_there_is_no_chance(init):
    X = as_matrix(numbers())
    assert torch.equal(init(X, 4).H, start(init, X).H)


@every_member
def test_a_seed_means_the_same_start_in_every_dtype(init):
    X = as_matrix(numbers().astype(np.float32))
    narrow, wide = start(init, X), start(init, X.to(torch.float64))
    check_close(narrow.to(torch.float64), wide, 3e-6)


@every_member
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_scaling_the_data_scales_both_factors_by_the_root(init, scale):
    for X, cX in zip(forms(numbers()), forms(scale * numbers()), strict=True):
        F, G = start(init, X), start(init, cX)
        check_close(G, Factorization(scale**0.5 * F.H, scale**0.5 * F.W), 1e-9)


@pytest.mark.parametrize("power", [-13, -1, 1, 13])
@every_dtype
def test_scaling_the_data_by_a_power_of_four_changes_no_bit_of_a_random_start(power, dtype):
    for X, cX in zip(forms(numbers()), forms(4.0**power * numbers()), strict=True):
        F, G = start(random, X.to(dtype)), start(random, cX.to(dtype))
        assert torch.equal(G.H, 2.0**power * F.H)
        assert torch.equal(G.W, 2.0**power * F.W)


@every_member
def test_sparse_is_dense(init):
    dense, sparse = (start(init, X) for X in forms(numbers()))
    check_close(sparse, dense, 1e-6)


BLOCKS = np.kron(np.diag([1.0, 2.0, 4.0]), np.random.default_rng(2).random((10, 7)) + 0.1)


@every_nndsvd
def test_sparse_is_dense_for_separate_blocks(init):
    dense, sparse = (start(init, X) for X in forms(BLOCKS))
    check_close(sparse, dense, 1e-6)


@every_nndsvd
def test_dense_data_too_large_for_the_whole_decomposition_have_the_same_start(init, monkeypatch):
    X = as_matrix(numbers())
    whole = start(init, X)
    monkeypatch.setattr(spectrum, "SMALL", 0)
    check_close(start(init, X), whole, 1e-6)


# random ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 3, 10])
def test_a_random_start_has_the_mean_of_the_data(n_components):
    X = as_matrix(7.5 * numbers(150, 100))
    means = [float(start(random, X, n_components, seed).reconstruction.mean()) for seed in range(20)]
    assert np.mean(means) == pytest.approx(float(X.mean), rel=0.03)


def test_a_random_start_is_uniform():
    X = as_matrix(numbers(400, 300))
    top = 2 * (float(X.mean) / 5) ** 0.5
    F = start(random, X, 5)
    for M in (F.H, F.W):
        shares = torch.histc(M / top, bins=4, min=0, max=1) / M.numel()
        assert float(M.max()) <= top
        torch.testing.assert_close(shares, torch.full((4,), 0.25, dtype=M.dtype), rtol=0, atol=0.04)


def test_a_random_start_may_have_more_components_than_the_data_have_rows():
    assert start(random, as_matrix(numbers()), 50).n_components == 50


def test_a_random_start_has_full_rank():
    assert int(torch.linalg.matrix_rank(start(random, as_matrix(numbers()), 10).reconstruction)) == 10


# nndsvd and its two fillings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 3, 8])
def test_nndsvd_is_that_of_scikit_learn(n_components):
    A = numbers(60, 40)
    H, W = _initialize_nmf(A, n_components, init="nndsvd", random_state=0)
    for X in forms(A):
        F = start(nndsvd, X, n_components)
        assert np.linalg.norm(F.H.numpy() - H) <= 1e-3 * np.linalg.norm(H)
        assert np.linalg.norm(F.W.numpy() - W) <= 1e-3 * np.linalg.norm(W)


def test_the_leading_component_of_nndsvd_is_the_best_of_rank_one():
    A = numbers()
    U, s, Vt = np.linalg.svd(A)
    for X in forms(A):
        F = start(nndsvd, X)
        np.testing.assert_allclose(F.H[:, 0].numpy(), s[0] ** 0.5 * np.abs(U[:, 0]), rtol=0, atol=1e-12 * s[0] ** 0.5)
        np.testing.assert_allclose(F.W[0].numpy(), s[0] ** 0.5 * np.abs(Vt[0]), rtol=0, atol=1e-12 * s[0] ** 0.5)


def test_each_component_of_nndsvd_is_the_larger_half_of_its_singular_pair():
    A = numbers()
    U, s, Vt = np.linalg.svd(A)
    F = start(nndsvd, as_matrix(A))
    for k in range(4):
        pairs = [(np.maximum(sign * U[:, k], 0), np.maximum(sign * Vt[k], 0)) for sign in (1, -1)]
        u, v = max(pairs, key=lambda pair: np.linalg.norm(pair[0]) * np.linalg.norm(pair[1]))
        expected = s[k] * np.outer(u, v)
        np.testing.assert_allclose(torch.outer(F.H[:, k], F.W[k]).numpy(), expected, rtol=0, atol=1e-12 * s[0])
        assert float(F.H[:, k].norm()) == pytest.approx(float(F.W[k].norm()), rel=1e-12)


@table(ANYTHING[2:])
@pytest.mark.parametrize("A", [numbers(), BLOCKS], ids=["noise", "separate blocks"])
def test_a_filled_start_has_no_zeros_and_keeps_what_nndsvd_has(init, A):
    for X in forms(A):
        F, plain = start(init, X), start(nndsvd, X)
        least = 1e-6 * (float(X.mean) / 4) ** 0.5
        for M, N in ((F.H, plain.H), (F.W, plain.W)):
            assert bool((N == 0).any())
            assert float(M.min()) > least
            assert torch.equal(M[N > 0], N[N > 0])


def test_the_fill_of_nndsvda_has_the_units_of_a_factor():
    for scale in (1e-8, 1.0, 1e8):
        X = as_matrix(scale * numbers())
        F, plain = start(nndsvda, X), start(nndsvd, X)
        fill = 0.1 * (scale * numbers().mean() / 4) ** 0.5
        for M, N in ((F.H, plain.H), (F.W, plain.W)):
            torch.testing.assert_close(M[N == 0], torch.full_like(M[N == 0], fill), rtol=1e-12, atol=0)


def test_the_noise_of_nndsvdar_is_a_hundredth_of_a_factor():
    X = as_matrix(numbers(300, 200))
    F, plain = start(nndsvdar, X), start(nndsvd, X)
    top = (float(X.mean) / 4) ** 0.5 / 100
    for M, N in ((F.H, plain.H), (F.W, plain.W)):
        noise = M[N == 0]
        assert 0 < float(noise.min()) < 0.1 * top
        assert 0.9 * top < float(noise.max()) < top
        assert float(noise.mean()) == pytest.approx(top / 2, rel=0.1)


def test_the_start_of_nndsvd_is_better_than_a_random_one():
    A = numbers()
    errors = [np.linalg.norm(A - start(init, as_matrix(A)).reconstruction.numpy()) for init in (nndsvd, random)]
    assert errors[0] < 0.8 * errors[1]


# W from the rows, H the best ------------------------------------------------------------------------------------------


@every_one_from_rows
def test_codes_are_the_best_on_the_components_and_the_scale_is_the_best(init):
    for X in forms(numbers()):
        F = start(init, X)
        torch.testing.assert_close(Pivoting()(X, None, F.W), F.H, rtol=0, atol=1e-10 * float(F.H.max()))
        scale = float((X.dense() * F.reconstruction).sum() / F.reconstruction.square().sum())
        assert scale == pytest.approx(1, rel=1e-12)


@every_one_from_rows
def test_components_and_their_codes_are_of_one_size(init):
    F = start(init, as_matrix(numbers()))
    torch.testing.assert_close(F.H.norm(dim=0), F.W.norm(dim=1), rtol=1e-12, atol=0)


def test_a_component_that_no_row_uses_can_still_be_taken_up():
    X = as_matrix(np.eye(3)[[0, 0, 1, 1, 1]])
    W = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    F = coded(X, W, positive=False)
    assert not F.H[:, 2].any()
    assert float(F.W[2].norm()) == pytest.approx(float(F.W[:2].norm(dim=1).mean()), rel=0.1)


@every_one_from_rows
def test_a_start_from_rows_is_better_than_a_random_one(init):
    X = as_matrix(numbers())
    errors = [float((X.dense() - start(each, X).reconstruction).norm()) for each in (init, random)]
    assert errors[0] < 0.8 * errors[1]


@every_one_from_rows
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_positive_start_has_no_zeros_and_keeps_what_the_plain_one_has(init, scale):
    for X in forms(scale * numbers()):
        plain, F = start(init, X), init(X, 4, torch.Generator().manual_seed(0), positive=True)
        fill = 0.1 * float(X.mean / 4) ** 0.5
        for M, N in ((F.H, plain.H), (F.W, plain.W)):
            assert bool((N == 0).any())
            torch.testing.assert_close(M, torch.where(N > 0, N, fill), rtol=1e-12, atol=0)


@every_one_from_rows
def test_rows_of_zeros_make_no_component(init):
    A = np.zeros((12, 5))
    A[[2, 5, 9]] = np.random.default_rng(3).random((3, 5))
    for X in forms(A):
        np.testing.assert_allclose(start(init, X, 3).reconstruction.numpy(), A, rtol=0, atol=1e-12)


@every_one_from_rows
def test_components_are_never_equal(init):
    """Three different rows, many times, are three components, or a refusal where chance decides."""
    A = np.random.default_rng(4).random((3, 6))[np.arange(30) % 3]
    for X in forms(A):
        with pytest.raises(Refusal, match=r"too few different rows for 4; lower|only 3 rows of X can be selected"):
            init(X, 4, torch.Generator().manual_seed(0), **({"rows": 1} if init is random_acol else {}))
        if init is not random_acol:
            F = start(init, X, 3)
            np.testing.assert_allclose(F.reconstruction.numpy(), A, rtol=0, atol=1e-12)


@every_one_from_rows
@pytest.mark.parametrize("A", [np.zeros((30, 20)), np.eye(30, 20)[:3]], ids=["zeros", "three rows"])
def test_too_few_rows_are_refused(init, A):
    for X in forms(A):
        with pytest.raises(Refusal, match=r"n_components is 4, but (X has|only) \d rows .*lower n_components"):
            start(init, X)


COMPLETING = [member for member in ANYTHING[1:] + FROM_ROWS if member[0] is not separable]


def planted_and_hidden(share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Of rank four, and where it is seen: nothing of a row and of a column among it."""
    chance = np.random.default_rng(6)
    seen = chance.random((40, 25)) >= share
    seen[7], seen[:, 3] = False, False
    return chance.gamma(0.5, size=(40, 4)) @ chance.gamma(0.5, size=(4, 25)), seen


@table(COMPLETING)
def test_what_was_not_observed_is_guessed(init):
    A, seen = planted_and_hidden()
    found = start(init, as_matrix(np.where(seen, A, np.nan), weights=seen))
    other = start(init, as_matrix(np.where(seen, A, 1e9), weights=seen))
    assert torch.equal(found.H, other.H)
    assert torch.equal(found.W, other.W)
    X = as_matrix(A, weights=seen)
    assert Frobenius().total(X, found) < 0.7 * Frobenius().total(X, start(random, X))
    if init is random_acol:  # whose rows are drawn
        return
    as_zeros = start(init, as_matrix(np.where(seen, A, 0)))
    assert Frobenius().total(as_matrix(A), found) < Frobenius().total(as_matrix(A), as_zeros)


@table(COMPLETING)
def test_where_all_was_observed_nothing_is_guessed(init):
    for weights in (np.ones((30, 20)), np.full((30, 20), 3.0)):
        check_close(start(init, as_matrix(numbers(), weights=weights)), start(init, as_matrix(numbers())), 1e-12)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([[1, 1, 1], [1, 1, 0]], [[1, 2, 3], [4, 5, 4.5]]),  # mean of the row 4.5, of the column 3, of all 3
        ([[2, 2, 2], [2, 2, 1]], [[1, 2, 3], [4, 5, None]]),
        ([[0, 0, 0], [1, 1, 1]], [[4, 5, 6], [4, 5, 6]]),
    ],
)
def test_the_guess_is_that_of_independence(weights, expected):
    X = as_matrix(np.array([[1.0, 2, 3], [4, 5, 6]]), weights=np.array(weights, float))
    if expected[1][2] is None:  # half of what was seen, half of what the means say
        rows, columns, mean = 12 / 2.5, (3 + 0.5 * 6) / 1.5, 18 / 5.5
        expected = [[1, 2, 3], [4, 5, 0.5 * 6 + 0.5 * rows * columns / mean]]
    np.testing.assert_allclose(completed(X).dense().numpy(), expected)


@table(COMPLETING)
def test_sparse_data_are_not_made_dense_for_a_guess(init):
    A, seen = planted_and_hidden()
    with pytest.raises(Refusal, match=r"would make them dense; use init=random"):
        start(init, as_matrix(A, weights=scipy.sparse.csr_array(seen.astype(float))))


def test_rows_are_not_selected_by_a_guess():
    with pytest.raises(Refusal, match="X has weights; impute"):
        start(separable, as_matrix(numbers(), weights=np.ones((30, 20))))


def test_kmeans_starts_from_the_centroids_of_clusters_that_stand_apart():
    chance = np.random.default_rng(5)
    C = 10 * np.eye(3, 8) + 1
    A = C[np.arange(60) % 3] + 0.1 * chance.random((60, 8))
    means = np.stack([A[np.arange(60) % 3 == k].mean(0) for k in range(3)])
    for X in forms(A):
        W = start(kmeans, X, 3).W
        cosines = (W / W.norm(dim=1, keepdim=True)).numpy() @ (means / np.linalg.norm(means, axis=1)[:, None]).T
        np.testing.assert_allclose(np.sort(cosines.max(1)), 1, rtol=0, atol=1e-12)
        assert set(cosines.argmax(1)) == {0, 1, 2}


def unit_rows(A: np.ndarray) -> torch.Tensor:
    Y = torch.from_numpy(A)
    return Y / Y.norm(dim=1, keepdim=True)


def test_spherical_kmeans_does_not_mind_the_length_of_rows():
    A = numbers()[np.arange(30) != 15]
    lengths = np.random.default_rng(6).uniform(0.1, 10, (29, 1))
    first, other = (start(spherical_kmeans, as_matrix(each)).W for each in (A, lengths * A))
    torch.testing.assert_close(unit_rows(first.numpy()), unit_rows(other.numpy()), rtol=0, atol=1e-12)


def test_spherical_kmeans_ends_where_every_row_is_with_the_centroid_that_is_most_like_it():
    Y = unit_rows(numbers()[np.arange(30) != 15])
    for seed in range(5):
        seeds = torch.randperm(29, generator=torch.Generator().manual_seed(seed))[:4]
        W, labels = clustered(as_matrix(Y), Y[seeds])
        assert torch.equal((Y @ W.T).argmax(1), labels)
        for k in range(4):
            torch.testing.assert_close(W[k], torch.nn.functional.normalize(Y[labels == k].sum(0), dim=0))
        assert float((Y * W[labels]).sum()) >= float((Y @ Y[seeds].T).amax(1).sum()), "likeness never falls"


def test_an_empty_cluster_of_spherical_kmeans_begins_anew_from_the_row_least_like_its_own():
    Y = torch.eye(5, dtype=torch.float64)[[0, 0, 1, 1, 2]]
    W, labels = clustered(as_matrix(Y), Y[[0, 1, 2]])
    assert len(set(labels.tolist())) == 3
    assert torch.equal((Y @ W.T).amax(1), torch.ones(5, dtype=torch.float64))


def test_random_acol_takes_means_of_different_rows():
    X = as_matrix(np.eye(40) + 0.0)
    W = random_acol(X, 4, torch.Generator().manual_seed(0), rows=7).W
    assert ((W > 0).sum(1) == 7).all()
    assert ((W > 0).sum(0) <= 1).all()
    assert ((random_acol(X, 9, torch.Generator().manual_seed(0)).W > 0).sum(1) == 4).all(), "as many as there are"
    with pytest.raises(Refusal, match=r"init.rows must be an integer of at least 1, but is 0"):
        random_acol(X, 4, torch.Generator(), rows=0)


def test_a_separable_start_is_the_solution_for_separable_data():
    chance = np.random.default_rng(7)
    A = np.concatenate([np.eye(4), chance.dirichlet(np.ones(4), 40)]) @ chance.random((4, 12))
    for X in forms(A):
        np.testing.assert_allclose(start(separable, X).reconstruction.numpy(), A, rtol=1e-10)


def test_a_rank_factorization_is_exact_or_refused_with_what_was_tried():
    chance = np.random.default_rng(8)
    H, W = (M * (chance.random(M.shape) < 0.6) for M in (chance.random((20, 4)), chance.random((4, 15))))
    for X in forms(H @ W):
        F = start(rank_factorization, X)
        np.testing.assert_allclose(F.reconstruction.numpy(), H @ W, rtol=0, atol=1e-11)
    slack = np.array([[0.0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1], [1, 1, 0, 0]])
    with pytest.raises(Refusal, match=r"with 3 components: the best relative error after 30 starts is 0.2705\d+. Use"):
        start(rank_factorization, as_matrix(slack), 3)
    with pytest.raises(Refusal, match="n_components is 3, but X has rank 19"):
        start(rank_factorization, as_matrix(numbers()), 3)


@every_one_from_rows
def test_factorize_knows_them_by_name(init):
    found = factorize(numbers(), 4, init=init.__name__, max_iter=20)
    assert found.divergence_value < 0.5 * np.square(numbers()).sum()


# What they refuse -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [0, -1, True, False])
@every_member
def test_too_few_components_are_refused(init, n_components):
    with pytest.raises(Refusal, match=f"integer of at least 1, but is {n_components}"):
        start(init, as_matrix(numbers()), n_components)


@pytest.mark.parametrize("n_components", [2.5, 2.0, "abc", None, True, 0, -1, np.float64(3), [3]])
def test_what_is_not_a_number_of_components_is_refused(n_components):
    with pytest.raises(Refusal, match="integer of at least 1, but is"):
        refuse_n_components(n_components)


@pytest.mark.parametrize("n_components", [1, 7, np.int64(3)])
def test_every_kind_of_integer_is_a_number_of_components(n_components):
    refuse_n_components(n_components)
    refuse_n_components(n_components, 7)


@every_nndsvd
@pytest.mark.parametrize("shape", [(30, 20), (20, 30)])
def test_more_components_than_singular_vectors_are_refused(init, shape):
    X = as_matrix(numbers(*shape))
    assert start(init, X, 20).n_components == 20
    with pytest.raises(Refusal, match=r"n_components is 21, .* = 20 .*; lower n_components or use init=random"):
        start(init, X, 21)

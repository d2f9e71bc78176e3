import itertools
import math

import numpy as np
import pytest
import torch
from ranks import CASES, M, N, R, data, run, work

from nmf_nets.as_matrix import as_matrix
from nmf_nets.codes.drawn import Drawn
from nmf_nets.distributed import factorize_rows
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.penalties.smoothness import Smoothness
from nmf_nets.refusal import Refusal
from nmf_nets.sources.resident import Resident
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative

NUMBERS = {
    "hals": R * R + R * M + 1,
    "newton": R * (R + 1) // 2 * M + R * M + R + 1,
    "newton weighted": R * (R + 1) // 2 * M + 2 * R * M + 1,
    "mu sparse": R + R * M + 1,
    "mu 1.5": 2 * R * M + 1,
}
"""That ranks send each other in an iteration, without R(H) and three flags."""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """By the number of ranks, what each found and was refused, and where they left what others go on from."""
    directory = tmp_path_factory.mktemp("ranks")
    X = data().values.numpy().copy()
    X[37, 5] = np.nan
    np.save(directory / "nan.npy", X)
    torch.multiprocessing.spawn(work, (str(directory),), nprocs=3)
    found = {size: [torch.load(directory / f"{size}-{rank}.pt") for rank in range(size)] for size in (2, 3)}
    return found | {"places": directory}


@pytest.fixture(scope="module")
def alone():
    return {name: run(**case) for name, case in CASES.items()}


@pytest.mark.process
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_any_number_of_ranks_finds_the_same(ranks, alone, size, case):
    one, each = alone[case], [kept[case] for kept, _ in ranks[size]]
    for other in each:
        assert torch.equal(other["W"], each[0]["W"])
        assert other["losses"] == each[0]["losses"]
    for found, whole in ((each[0]["W"], one.W), (torch.cat([other["H"] for other in each]), one.H)):
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-10 * float(whole.max()))
    assert each[0]["losses"] == pytest.approx([moment.loss for moment in one.history], rel=1e-10)
    assert each[0]["value"] == pytest.approx(one.divergence_value, rel=1e-10)
    if case in NUMBERS:
        assert each[0]["sent"] == 8 * (NUMBERS[case] + 4)


@pytest.mark.process
@pytest.mark.parametrize("codes", ["memory", "disk"])
def test_a_run_of_three_ranks_goes_on_to_the_bit_and_on_two_or_one_to_rounding(ranks, codes):
    W = ranks[3][0][0][f"{codes}, undisturbed"]["W"]
    assert torch.equal(ranks[3][0][0][codes]["W"], W)
    one = run(kind="sparse", init="random", directory=ranks["places"] / f"{codes}-1", codes=codes)
    for fewer in (ranks[2][0][0][codes]["W"], one.W):
        torch.testing.assert_close(fewer, W, rtol=0, atol=1e-10 * float(W.max()))


@pytest.mark.process
@pytest.mark.parametrize("size", [2, 3])
def test_what_one_rank_finds_wrong_all_refuse(ranks, size):
    refusals = [refusals for _, refusals in ranks[size]]
    assert all("[37, 5] is nan" in refusal["nan"] for refusal in refusals)
    assert all("hold different W" in refusal["different"] for refusal in refusals)


@pytest.mark.parametrize("case", CASES)
def test_blocks_of_any_size_find_the_same(alone, case):
    for values in (1, 10**9):
        other = run(**CASES[case], values=values)
        torch.testing.assert_close(other.W, alone[case].W, rtol=1e-9, atol=1e-10 * float(other.W.max()))
        assert other.divergence_value == pytest.approx(alone[case].divergence_value, rel=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_the_loss_never_rises(case):
    losses = [moment.loss for moment in run(**CASES[case], check_every=1, max_iter=12).history]
    assert len(losses) == 12
    assert all(after <= before * (1 + 1e-10) + 1e-12 for before, after in itertools.pairwise(losses))


@pytest.mark.parametrize(
    ("solver", "divergence", "update"),
    [
        ("hals", Frobenius(), HALS()),
        ("mu", Frobenius(), Multiplicative(Frobenius())),
        ("mu", KullbackLeibler(), Multiplicative(KullbackLeibler())),
        ("mu", beta_divergence(1.5), Multiplicative(beta_divergence(1.5))),
    ],
    ids=["hals", "mu 2", "mu 1", "mu 1.5"],
)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_pass_takes_the_half_steps_of_the_solver_in_memory(solver, divergence, update, kind):
    X, few = data(kind), {"solver": solver, "divergence": divergence, "init": "random", "repeats": 1, "max_iter": 3}
    found = run(kind, **few)
    scale = 2 * math.sqrt(float(X.mean) / R)
    H = Drawn(R, scale, 0, torch.float64).rows(0, N)
    W = torch.from_numpy(scale * np.random.default_rng(0).random((R, M)))
    effort = update.effort
    for _ in range(3):
        H = update(X, H, W, 1, effort.progress)
        W = update(X.T, W.T, H.T, effort.most(X.T, R), effort.progress).T
    torch.testing.assert_close(found.W, W, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.H, update(X, H, W, 1, effort.progress), rtol=1e-9, atol=1e-12)
    expected = float(divergence.total(X, Factorization(found.H, found.W)))
    assert found.divergence_value == pytest.approx(expected, rel=1e-12)
    square = float(Frobenius().total(X, Factorization(found.H, found.W)))
    assert found.relative_error == pytest.approx(math.sqrt(2 * square / float(X.square_norm)), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("case", ["hals sparse", "newton weighted", "mu 1.5"])
def test_factors_follow_the_scale_of_the_data_also_beyond_float32(case, scale):
    choices = dict(CASES[case])
    X = data(choices.pop("kind", "dense"))
    scaled = X.divided(1 / scale)
    few = {"max_iter": 5, "tol": 0.0, "check_every": 5, **choices}
    D = beta_divergence({"frobenius": 2, "kullback_leibler": 1}.get(few.get("divergence", "frobenius"), 1.5))
    one, other = (factorize_rows(Resident(each), R, **few) for each in (X, scaled))
    torch.testing.assert_close(other.W / math.sqrt(scale), one.W, rtol=1e-6, atol=1e-8)
    assert other.divergence_value / scale**D.beta == pytest.approx(one.divergence_value, rel=1e-6)
    assert other.history[-1].loss / scale**D.beta == pytest.approx(one.history[-1].loss, rel=1e-6)


@pytest.mark.parametrize("divergence", ["frobenius", "kullback_leibler"])
def test_it_ends_where_the_solver_in_memory_does(divergence):
    """From a sample that is all there is."""
    X = data("sparse")
    found = factorize_rows(Resident(X), R, divergence=divergence, max_iter=500, tol=1e-8, values=100)
    assert found.reason == "tol"
    best = factorize(X, R, divergence=divergence, tol=1e-8).divergence_value
    assert found.divergence_value <= best * (1 + 1e-3)


def test_a_given_W_is_where_it_begins():
    W = factorize(data(), R).W
    found = run(start=W, max_iter=1)
    assert found.divergence_value < 1.01 * float(factorize(data(), R).divergence_value)


@pytest.mark.parametrize("codes", ["memory", "disk"])
def test_a_state_that_is_broken_is_warned_of_and_the_one_before_it_taken(tmp_path, codes):
    choices = {"init": "random", "directory": tmp_path, "codes": codes, "save_every": 2}
    W = run(init="random").W
    run(**choices, max_iter=4)
    states = sorted(path.name for path in tmp_path.glob("state*"))
    assert states == ["state.earlier.safetensors", "state.safetensors"]
    newest = tmp_path / "codes-1.npy"
    whole = bytearray(newest.read_bytes())
    whole[-3] ^= 1
    newest.write_bytes(whole)
    with pytest.warns(UserWarning, match="codes-1.npy that are not those that were saved; the state before"):
        again = run(**choices)
    assert torch.equal(again.W, W)
    (tmp_path / "state.safetensors").write_bytes(b"cut off")
    with pytest.warns(UserWarning, match="state.safetensors has 7 bytes"):
        assert torch.equal(run(**choices).W, W)
    for path in tmp_path.glob("state*.safetensors"):
        path.write_bytes(b"cut off")
    with pytest.warns(UserWarning, match="has 7 bytes"), pytest.raises(Refusal, match=r"none of .* is whole"):
        run(**choices)


def test_a_state_of_another_problem_is_refused(tmp_path):
    run(directory=tmp_path, max_iter=2)
    with pytest.raises(Refusal, match="solver hals, but this one has mu"):
        run(directory=tmp_path, solver="mu")


def test_what_needs_all_rows_at_once_is_refused():
    for message, choices in {
        "solver is 'anls-bpp'": {"solver": "anls-bpp"},
        "init is 'nndsvd'": {"init": "nndsvd"},
        "couples rows": {"solver": "mu", "penalties_H": [Smoothness(0.1, shape=[N])]},
        "needs a directory": {"codes": "disk"},
        "start must be W, of the shape": {"start": np.ones((3, 3))},
        "does not minimise": {"solver": "newton"},
    }.items():
        with pytest.raises(Refusal, match=message):
            run(**choices)
    with pytest.raises(Refusal, match="zero wherever it counts"):
        factorize_rows(Resident(as_matrix(np.zeros((3, 2)))), 1)


def test_newton_that_would_sum_too_much_gives_way_with_a_warning(monkeypatch):
    monkeypatch.setattr("nmf_nets.row_solver.MOST_NUMBERS", 100)
    with pytest.warns(UserWarning, match="solver=auto takes mu, as newton would sum"):
        assert run(divergence="kullback_leibler", max_iter=1).solver == "mu"
    assert run(divergence="kullback_leibler", solver="newton", max_iter=1).solver == "newton"

import pytest
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.group import Group
from nmf_nets.loader import Batch, ResidentLoader
from nmf_nets.matrix import DenseMatrix, Matrix


def data(kind: str = "dense", n: int = 10) -> Matrix:
    X = torch.rand(n, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    X = X * (X > 0.4)
    return as_matrix(X if kind == "dense" else scipy.sparse.csr_array(X.numpy()))


def epoch_of(loader: ResidentLoader, epoch: int) -> list[Batch]:
    loader.sampler.set_epoch(epoch)
    return list(loader)


def order_of(batches: list[Batch]) -> list[int]:
    return torch.cat([batch.rows for batch in batches]).tolist()


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(1, [1] * 10), (5, [5, 5]), (4, [4, 4, 2]), (9, [9, 1])], ids=lambda part: str(part)
)
def test_an_epoch_holds_every_row_once_in_batches_of_that_size_and_a_short_last_one(batch_size, sizes, kind):
    X = data(kind)
    loader = ResidentLoader(X, batch_size)
    batches = epoch_of(loader, 3)
    assert len(loader) == len(batches)
    assert [batch.X.shape for batch in batches] == [(size, 4) for size in sizes]
    assert [len(batch.rows) for batch in batches] == sizes
    assert sorted(order_of(batches)) == list(range(10))
    for batch in batches:
        assert type(batch.X) is type(X)
        assert torch.equal(batch.X.dense(), X.dense()[batch.rows])


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("batch_size", [None, 10, 11, 1000])
def test_a_batch_size_of_all_rows_or_more_yields_the_matrix_itself_in_its_own_order(batch_size, kind):
    X = data(kind)
    loader = ResidentLoader(X, batch_size)
    for epoch in (0, 1):
        (batch,) = epoch_of(loader, epoch)
        assert batch.X is X
        assert torch.equal(batch.rows, torch.arange(10))
    assert len(loader) == 1


def test_the_order_is_a_function_of_seed_and_epoch():
    X = data(n=50)
    loader = ResidentLoader(X, 8, seed=1)
    orders = [order_of(epoch_of(loader, epoch)) for epoch in range(4)]
    assert [order_of(epoch_of(ResidentLoader(X, 8, seed=1), epoch)) for epoch in (3, 1, 0, 2)] == [
        orders[epoch] for epoch in (3, 1, 0, 2)
    ]
    others = [order_of(epoch_of(ResidentLoader(X, 8, seed=2), epoch)) for epoch in range(4)]
    distinct = {tuple(order) for order in [*orders, *others, list(range(50))]}
    assert len(distinct) == 9


def test_the_order_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    epoch_of(ResidentLoader(data(), 3), 0)
    assert torch.equal(torch.get_rng_state(), before)


def rows_of(batches: list[Batch]) -> list[Tensor]:
    return [batch.rows for batch in batches]


@pytest.mark.parametrize("seen", [0, 1, 2, 3])
def test_a_loaded_state_goes_on_with_the_batches_that_were_left(seen):
    X = data()
    loader = ResidentLoader(X, 3, seed=7)
    loader.sampler.set_epoch(2)
    batches = iter(loader)
    for _ in range(seen):
        next(batches)
    state = loader.state_dict()
    left = rows_of(list(batches))

    resumed = ResidentLoader(X, 3, seed=7)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert [rows.tolist() for rows in rows_of(epoch_of(resumed, 2))] == [rows.tolist() for rows in left]
    assert order_of(epoch_of(resumed, 3)) == order_of(epoch_of(loader, 3))


@pytest.mark.parametrize("batch_size", [None, 3])
def test_the_state_at_the_end_of_an_epoch_is_that_of_its_beginning(batch_size):
    loader = ResidentLoader(data(), batch_size)
    fresh = loader.state_dict()
    epoch_of(loader, 0)
    assert loader.state_dict() == fresh
    loader.load_state_dict(fresh)
    assert len(epoch_of(loader, 1)) == len(loader)


def one_of(rank: int, size: int) -> Group:
    group = Group(alone=True)
    group.rank, group.size = rank, size
    return group


@pytest.mark.parametrize("kind", ["dense", "sparse", "weighted"])
@pytest.mark.parametrize("batch_size", [None, 4, 1])
def test_ranks_have_every_batch_between_them_and_each_knows_what_it_is_as_a_whole(batch_size, kind):
    X = DenseMatrix(data().values, 3 * data().values) if kind == "weighted" else data(kind)
    labels = torch.arange(10)
    whole = epoch_of(ResidentLoader(X, batch_size, labels=labels), 2)
    ranks = [epoch_of(ResidentLoader(X, batch_size, labels=labels, group=one_of(rank, 3)), 2) for rank in range(3)]
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert sorted(batch.rows.tolist()) == sorted(torch.cat([part.rows for part in parts]).tolist())
        for rank, part in enumerate(parts):
            assert all(rank * 10 // 3 <= row < (rank + 1) * 10 // 3 for row in part.rows)
            assert torch.equal(part.X.dense(), X.dense()[part.rows])
            assert torch.equal(part.labels, part.rows)
            assert part.n_rows == 10
            for of_part, of_batch in ((part.X.whole, batch.X.whole), (part.X.T.whole, batch.X.T.whole)):
                assert of_part.shape == of_batch.shape
                assert of_part.n_values == of_batch.n_values
                assert [float(of_part.total), float(of_part.mass)] == pytest.approx(
                    [float(of_batch.total), float(of_batch.mass)], rel=1e-14
                )
            assert float(Frobenius().unit(part.X)) == pytest.approx(float(Frobenius().unit(batch.X)), rel=1e-14)

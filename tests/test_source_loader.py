"""Laws of batches from a source: every row once an epoch, whatever the blocks, and the same after a resume."""

import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.matrix import Matrix
from nmf_nets.preprocessing.divided import Divided
from nmf_nets.source_loader import HELD, SourceLoader
from nmf_nets.sources.resident import Resident

N, M = 103, 4


def source(kind: str = "dense") -> Resident:
    """Rows that say their number."""
    X = torch.zeros(N, M, dtype=torch.float64)
    X[:, 0] = torch.arange(1, N + 1)
    X[::3, 1:] = 1  # rows of a sparse matrix differ in length
    return Resident(as_matrix(X if kind == "dense" else scipy.sparse.csr_array(X.numpy())))


def numbers(X: Matrix) -> list[int]:
    return (X.dense()[:, 0].long() - 1).tolist()


def epoch_of(loader: SourceLoader, epoch: int) -> list[list[int]]:
    loader.sampler.set_epoch(epoch)
    return [numbers(batch.X) for batch in loader]


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("values", [1, 40, 10**6])
@pytest.mark.parametrize("batch_size", [1, 7, 20, 1000])
def test_an_epoch_holds_every_training_row_once_in_batches_of_about_that_size(kind, batch_size, values):
    held_out = torch.tensor([0, 5, 6, 50, 51, 52, 53, 102])
    loader = SourceLoader(source(kind), batch_size, held_out=held_out, values=values)
    for epoch in (0, 1):
        batches = epoch_of(loader, epoch)
        assert len(batches) == len(loader)
        assert sorted(i for batch in batches for i in batch) == [i for i in range(N) if i not in held_out.tolist()]
        sizes = [len(batch) for batch in batches]
        assert max(sizes) <= 2 * batch_size
        assert sum(sizes) / len(sizes) > batch_size / 2 or batch_size > N
    assert loader.n_rows == N - 8
    assert {batch.n_rows for batch in loader} == {N - 8}
    assert {batch.rows for batch in loader} == {None}


def test_the_order_is_that_of_the_seed_and_the_epoch_and_mixes_blocks():
    def epochs(seed):
        loader = SourceLoader(source(), 10, seed, values=40)
        return [epoch_of(loader, epoch) for epoch in (2, 0, 2)]

    first, other, again = epochs(1)
    assert first == again
    assert first == epochs(1)[0]
    assert first != other
    assert first != epochs(2)[0]
    assert max(len({i // 10 for i in batch}) for batch in first) == HELD


@pytest.mark.parametrize("after", [1, 3, 6])
def test_a_resumed_epoch_goes_on_with_the_batches_of_an_uninterrupted_one(after):
    def loader():
        made = SourceLoader(source("sparse"), 9, values=30)
        made.sampler.set_epoch(4)
        return made

    whole, stopped, resumed = loader(), loader(), loader()
    batches = iter(stopped)
    for _ in range(after):
        next(batches)
    resumed.load_state_dict(stopped.state_dict())
    assert [numbers(b.X) for b in resumed] == epoch_of(whole, 4)[after:]
    assert resumed.state_dict() == {"position": 0}
    assert epoch_of(resumed, 5) == epoch_of(whole, 5)


def test_what_is_read_is_bounded_by_the_blocks_that_are_held():
    read = []

    class Watched(Resident):
        def read(self, start, stop):
            read.append(stop - start)
            return super().read(start, stop)

    loader = SourceLoader(Watched(source().X), 10, values=40)
    batches = iter(loader)
    next(batches)
    assert sum(read) <= 2 * HELD * max(read) < N
    assert sum(1 for _ in batches) == len(loader) - 1
    assert sum(read) == N


def test_batches_are_prepared():
    prepared = SourceLoader(source(), 10, preprocessing=Divided(2.0))
    for batch, plain in zip(prepared, SourceLoader(source(), 10), strict=True):
        assert torch.equal(batch.X.dense(), plain.X.dense() / 2)


def test_weights_come_with_their_rows():
    X = source().X.dense()
    V = torch.ones_like(X)
    V[:, 1] = torch.arange(N)
    for batch in SourceLoader(Resident(as_matrix(X, weights=V)), 10, values=40):
        assert torch.equal(batch.X.given_weights[:, 1], batch.X.values[:, 0] - 1)

import pytest
import scipy.sparse
import torch
from sklearn.datasets import load_digits

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.coding import ENOUGH, coding
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler


@pytest.mark.parametrize(
    ("divergence", "kind"), [(Frobenius(), torch.tensor), (KullbackLeibler(), scipy.sparse.csr_array)]
)
def test_more_steps_come_nearer_to_the_exact_codes_on_both_sides(divergence, kind):
    X = load_digits().data.astype("float32")
    table = coding(as_matrix(kind(X[:400])), as_matrix(kind(X[400:500])), divergence, 5, repeats=1)
    gaps, seconds = table.frame["above exact"], table.frame["seconds"]
    ours = table.frame["codes"].str.startswith("net")
    for mine in (gaps[ours], gaps[~ours]):
        assert mine.is_monotonic_decreasing
        assert mine.iloc[-1] < ENOUGH
    assert (gaps > -1e-6).all()
    assert (seconds > 0).all()
    assert "times faster than scikit-learn's default" in table.caption

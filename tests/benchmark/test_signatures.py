"""What the methods find of planted signatures, and what the table says."""

import numpy as np
import pytest
import torch
from stand_ins import breast21_sbs96

from nmf_nets.benchmark.signatures import METHODS, capped, resampled, signatures
from nmf_nets.contents import contents_of
from nmf_nets.signatures import read_catalogue

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # as the program does


@pytest.fixture
def given(tmp_path):
    breast21_sbs96.write(tmp_path)
    counts = contents_of(tmp_path / "breast21_sbs96.tsv", index_column=0).T
    return counts.X, read_catalogue(tmp_path / "cosmic_v3.4_sbs96.tsv", counts.feature_names)


def test_every_method_has_a_row_and_finds_planted_signatures(given):
    frame = signatures(*given, numbers=[5], starts=1).frame.set_index("method")
    assert list(frame.index) == list(METHODS)
    assert (frame["SBS2"] > 0.9).all()
    assert (frame["as mixtures"] >= frame["best cosine"] - 1e-9).all()
    assert (frame["best cosine"] >= frame["assigned"] - 1e-9).all()
    assert frame["silhouette"].notna().tolist() == [name == "KL, resamples clustered" for name in frame.index]


def test_genomes_with_too_many_mutations_are_scaled_and_others_left():
    X = np.ones((2, 96)) * [[1], [1000]]
    assert capped(X).sum(1).tolist() == pytest.approx([96, 9600])


def test_clusters_of_as_many_as_there_are_are_tight_and_of_more_are_not(given):
    X, _ = given
    right, many = resampled(X, 5, starts=1), resampled(X, 8, starts=1)
    assert right.W.shape == (5, 96)
    assert right.silhouettes is not None
    assert many.silhouettes is not None
    assert right.silhouettes.min() > 0.8 > many.silhouettes.min()
    torch.testing.assert_close(right.W.sum(1), torch.ones(5, dtype=torch.float64))

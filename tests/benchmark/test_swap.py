"""The same lines for scikit-learn and for us."""

import numpy as np
import pytest
import scipy.sparse
import sklearn.decomposition

import nmf_nets
from nmf_nets.benchmark.swap import Example, Fitted, _estimator, corpus, examples, swap

X = np.random.default_rng(0).random((30, 12)) + 0.1


def test_the_loss_is_what_both_lower_with_their_penalties():
    settings = {"alpha_W": 0.01, "alpha_H": 0.02, "l1_ratio": 0.3, "random_state": 0, "tol": 1e-2}
    for package in (sklearn.decomposition, nmf_nets):
        model = package.NMF(3, **settings)
        W, H = model.fit_transform(X), model.components_
        expected = 0.5 * ((X - W @ H) ** 2).sum()
        for M, strength in ((W, 12 * 0.01), (H, 30 * 0.02)):
            expected += strength * (0.3 * M.sum() + 0.5 * 0.7 * (M**2).sum())
        assert Fitted(model, X, W).loss == pytest.approx(expected, rel=1e-12)
        assert Fitted(model, scipy.sparse.csr_array(X), W).loss == pytest.approx(expected, rel=1e-12)


def test_either_package_has_every_seed_and_what_is_worse_is_seen():
    asked = []

    def fit(package, data, seed):
        asked.append((package, seed))
        model = package.NMF(2, init="random", random_state=seed, tol=1e-2)
        return model, model.fit_transform(data) * (2 if package is nmf_nets else 1)

    def look(found, data):
        return Fitted(found[0], data, found[1], "seen")

    table = swap(iter([Example("worse", lambda: X, fit, look)]), seeds=3)
    theirs, ours = sklearn.decomposition, nmf_nets
    assert asked == [(ours, 0), (theirs, 0), (ours, 0), (theirs, 1), (ours, 1), (theirs, 2), (ours, 2)]
    row = table.frame.iloc[0]
    assert row["worst"] >= row["difference"] > 0.5
    assert row["loss, nmf_nets"] > row["loss, scikit-learn"]
    assert row["times faster"] == pytest.approx(row["s, scikit-learn"] / row["s, nmf_nets"])
    assert "worse, scikit-learn: seen." in table.caption


def test_transform_is_timed_without_the_fit():
    seen = []

    class Slow:
        def __init__(self, package):
            self.model = package.NMF(2, random_state=0, tol=1e-2)

        def fit(self, X):
            seen.append("fit")
            self.model.fit(X)
            return self

        def transform(self, X):
            seen.append("transform")
            return self.model.transform(X)

        def __getattr__(self, name):
            return getattr(self.model, name)

    example = _estimator("e", lambda package, seed: Slow(package), lambda: X, transform=True)
    given = example.ready(nmf_nets, X, 0)
    assert seen == ["fit"]
    found = example.fit(nmf_nets, given, 0)
    assert seen == ["fit", "transform"]
    assert example.look(found, X).loss > 0


def test_there_are_five_examples_that_run():
    chosen = {example.name: example for example in examples()}
    assert len(chosen) >= 5
    assert len({example.data for example in chosen.values()}) >= 5
    guide = chosen["the guide's first snippet, 6 × 2"]
    frame = swap(iter([guide]), seeds=2).frame
    assert (frame[["loss, scikit-learn", "loss, nmf_nets"]] < 1e-3).all(axis=None)


def test_the_corpus_is_the_same_each_time():
    documents = corpus(50, 200, 5)
    assert documents == corpus(50, 200, 5)
    assert len(documents) == 50
    assert all(40 <= len(document.split()) < 400 for document in documents)

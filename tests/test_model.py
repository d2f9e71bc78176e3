"""What a saved model takes, and what it gives back."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.datasets import load_digits

import nmf_nets
from nmf_nets.refusal import Refusal

ROWS = load_digits().data[:7]
NAMES = [f"pixel{j}" for j in range(64)]


@pytest.fixture
def model(saved):
    directory, _, _ = saved(
        "encoder=mlp", "data.validation=0.45", "data.test=0.45", "+preprocessing@data.preprocessing=divided"
    )
    return nmf_nets.load(directory)


GIVEN = {
    "array": np.asarray,
    "integers": lambda X: X.astype(int),
    "list": lambda X: X.tolist(),
    "csr": scipy.sparse.csr_array,
    "coo": scipy.sparse.coo_array,
    "frame": pd.DataFrame,
    "frame with names": lambda X: pd.DataFrame(X, columns=NAMES),
    "tensor": torch.from_numpy,
    "sparse tensor": lambda X: torch.from_numpy(X).to_sparse(),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_rows_of_any_kind_have_the_same_codes_and_come_back_in_kind(model, kind):
    given = GIVEN[kind](ROWS)
    H = model.transform(given)
    assert isinstance(H, torch.Tensor if "tensor" in kind else np.ndarray)
    assert np.allclose(H, model.transform(ROWS), rtol=1e-4, atol=1e-6)
    assert model.inverse_transform(H).shape == (7, 64)


def test_sparse_rows_are_never_dense(model, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "to_dense", lambda *args: pytest.fail("dense"))
    assert model.transform(scipy.sparse.csr_array(ROWS)).shape == (7, 4)


def test_batches_change_nothing_but_rounding(model):
    whole = model.transform(ROWS, "exact")
    assert np.allclose(model.transform(ROWS, "exact", batch_size=2), whole, rtol=1e-4, atol=1e-6)
    assert [len(H) for _, H in model.coded(model.matrix(ROWS), "own", 3)] == [3, 3, 1]


def test_rows_are_prepared_before_they_are_coded(saved, model):
    directory, _, _ = saved("encoder=exact", "data.validation=0.45", "data.test=0.45", directory="plain")
    plain = nmf_nets.load(directory)
    assert model.preprocessing is not None
    with torch.no_grad():
        own = model.net.codes(model.preprocessing(model.matrix(ROWS)))
    assert torch.equal(torch.from_numpy(model.transform(ROWS)), own)
    assert np.linalg.norm(model.inverse_transform(model.transform(ROWS, "exact")) - ROWS / 255) < np.linalg.norm(
        ROWS / 255
    )
    assert np.linalg.norm(plain.inverse_transform(plain.transform(ROWS)) - ROWS) < np.linalg.norm(ROWS)


REFUSED = {
    "other features": (lambda model: model.transform(ROWS[:, :5]), "X has 5 features, but the net was trained on 64"),
    "negative entries": (lambda model: model.transform(-ROWS), "non-negative"),
    "other codes": (lambda model: model.transform(ROWS, "best"), "codes is 'best', but must be own, refined or exact"),
    "no rows at a time": (
        lambda model: model.transform(ROWS, batch_size=0),
        "batch_size must be an integer of at least 1",
    ),
    "codes of others": (lambda model: model.inverse_transform(np.ones((2, 3))), r"for each of 4 components.*\(2, 3\)"),
    "no head": (lambda model: model.predict(ROWS), "trained without a head"),
}


@pytest.mark.untyped
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_coded_is_refused(model, case):
    ask, said = REFUSED[case]
    with pytest.raises(Refusal, match=said):
        ask(model)


def test_features_are_told_by_name_where_there_are_names(saved, tmp_path):
    pd.DataFrame(ROWS, columns=NAMES).to_csv(tmp_path / "rows.csv", index=False)
    directory, _, _ = saved("data=matrix", f"data.path={tmp_path / 'rows.csv'}", "data.validation=0", "data.test=0")
    model = nmf_nets.load(directory)
    assert model.feature_names == tuple(NAMES)
    frame = pd.DataFrame(ROWS, columns=NAMES)
    assert np.allclose(model.transform(frame), model.transform(ROWS), rtol=1e-4, atol=1e-4)
    with pytest.raises(Refusal, match="the feature 'pixel63' where the net was trained on 'pixel0'"):
        model.transform(frame[NAMES[::-1]])
    with pytest.raises(Refusal, match="X has 63 features, but the net was trained on 64"):
        model.transform(frame[NAMES[:-1]])


def test_a_sequence_is_coded_as_a_whole(saved):
    directory, _, data = saved("experiment=convolutive", "data.n_samples=200")
    model = nmf_nets.load(directory)
    with pytest.raises(Refusal, match="batch_size cannot be set: the rows are a sequence"):
        model.transform(data.test, batch_size=5)

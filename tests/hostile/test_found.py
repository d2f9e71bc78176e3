"""What the doors let through once, each with the sentence or the answer that it gets now."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hostile.files import seed_of
from hydra.errors import InstantiationException
from sklearn.exceptions import NotFittedError

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.contents import contents_of
from nmf_nets.matrix import DenseMatrix
from nmf_nets.program import _refuse_kinds
from nmf_nets.refusal import Refusal
from nmf_nets.run_directory import RunDirectory
from nmf_nets.saved_model import load
from nmf_nets.stream import Stream

X = np.array([[1.0, 2.0, 0.0], [0.5, 0.0, 3.0], [1.0, 1.0, 1.0], [2.0, 4.0, 0.0]])


@pytest.mark.untyped
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.int64, torch.complex64, "float32", np.float32, 7]
)
def test_a_matrix_is_of_no_other_dtype(dtype):
    with pytest.raises(Refusal, match=r"dtype is .*, but must be torch.float32, torch.float64, or None"):
        as_matrix(X, dtype)


def test_a_class_of_tables_is_no_table():
    with pytest.raises(Refusal, match="must hold real numbers"):
        as_matrix(pd.DataFrame)


def test_weights_of_unlike_rows_are_refused_and_those_of_half_precision_taken():
    with pytest.raises(Refusal, match="weights must be a table of numbers with rows of one length"):
        as_matrix(X, weights=[[1.0], [2.0, 3.0]])
    weights = torch.ones(4, 3, dtype=torch.bfloat16)
    assert torch.equal(as_matrix(torch.from_numpy(X), weights=weights).given_weights, torch.ones(4, 3).double())


def test_what_float32_does_not_hold_of_a_longdouble_is_not_lost():
    found = as_matrix(np.array([[1e-53, 1.0]], np.longdouble))
    assert (found.dtype, float(found.values[0, 0])) == (torch.float64, 1e-53)
    with pytest.raises(Refusal, match=re.escape("X[0, 1] is -1e-312")):
        as_matrix(np.array([[1.0, -1e-312]], np.longdouble))


def test_a_single_entry_of_any_stride_is_taken():
    records = np.zeros((1, 1), dtype=np.dtype([("a", np.int8), ("x", np.float64)]))
    records["x"] = 2
    assert as_matrix(records["x"]).values.tolist() == [[2.0]]


def test_a_matrix_that_a_narrower_dtype_does_not_hold_is_refused_by_its_place():
    with pytest.raises(Refusal, match=r"X\[0, 1\] is inf; clip it, or choose a wider dtype"):
        as_matrix(DenseMatrix(torch.tensor([[1.0, 1e300]], dtype=torch.float64)), torch.float32)


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tol", "no"),
        ("tol", None),
        ("kkt_tol", np.ones(2)),
        ("max_iter", True),
        ("max_seconds", b"x"),
        ("solver", []),
        ("solver", 2.5),
        ("init", (1, 2)),
        ("init", np.ones(2)),
        ("init", "random_codes"),
        ("start", (np.full((4, 2), 1e200), None)),
        ("start", 0),
        ("start", "nope"),
        ("seed", "no"),
        ("seed", 10**30),
        ("l1_H", np.ones(2)),
        ("l1_H", 1e300),
        ("callback", 3),
        ("progress", np.ones(2)),
        ("divergence", float("nan")),
        ("divergence", [1, 2]),
    ],
)
def test_an_argument_of_factorize_is_refused_by_its_name(name, value):
    with pytest.raises(Refusal, match=name):
        nmf_nets.factorize(X, 2, **{name: value})


@pytest.mark.parametrize("scale", [1e200, 1e-200, 5e-324])
def test_units_in_which_no_float_holds_the_loss_are_refused(scale):
    with pytest.raises(Refusal, match=r"X has the mean .*divide X by its largest entry"):
        nmf_nets.factorize(X * scale, 2)
    with pytest.raises(Refusal, match=r"X has the mean .*divide X by its largest entry"):
        nmf_nets.NMF(2).fit(X * scale)
    assert np.isfinite(nmf_nets.factorize(X * 1e100, 2, divergence="kullback_leibler").divergence_value)


def test_an_infinite_mean_is_refused():
    with pytest.raises(Refusal, match=r"X has the mean inf"):
        nmf_nets.factorize(np.full((4, 3), 1.7e308), 1, divergence="kullback_leibler")


@pytest.mark.untyped
@pytest.mark.parametrize(("name", "value"), [("memory", "all"), ("memory", np.nan), ("aging", 1e300), ("aging", None)])
def test_a_setting_of_a_stream_is_refused_by_its_name(name, value):
    with pytest.raises(Refusal, match=f"{name} is "):
        nmf_nets.Stream(2, "kullback_leibler", **{name: value})


def test_an_estimator_leaves_sparse_data_with_duplicates_as_they_are():
    given = scipy.sparse.csr_array((np.ones(4), np.array([2, 0, 2, 1]), np.array([0, 3, 4])), shape=(2, 3))
    nmf_nets.NMF(1, max_iter=1, tol=0).fit(given)
    assert given.indices.tolist() == [2, 0, 2, 1]


def test_an_estimator_takes_tensors_of_a_graph_and_of_half_precision():
    for given in (torch.ones(3, 2, requires_grad=True), torch.ones(3, 2, dtype=torch.bfloat16)):
        assert nmf_nets.NMF(1, max_iter=1, tol=0).fit_transform(given).shape == (3, 1)


def test_codes_whose_rows_no_float_holds_are_refused():
    fitted = nmf_nets.NMF(1, init="random", random_state=0, max_iter=300).fit(100 * X)
    with pytest.raises(Refusal, match=re.escape("X has codes up to 1.79e+308, whose rows float64 does not hold")):
        fitted.inverse_transform(np.full((1, 1), 1.79e308))


@pytest.mark.filterwarnings("ignore")
def test_a_batch_that_no_sums_hold_is_refused_and_leaves_the_components():
    stream = Stream(2, divergence=0.5, init="random")
    W = stream.partial_fit(1e-148 * X).W.clone()
    with pytest.raises(Refusal, match=r"is too far from those before for torch\.float64: W would not be finite"):
        stream.partial_fit(1e292 * X)
    assert torch.equal(stream.W, W)


def test_a_refused_fit_is_none():
    model = nmf_nets.NMF(3, init="nndsvd")
    with pytest.raises(Refusal):
        model.fit(np.ones((4, 1)))
    with pytest.raises(NotFittedError):
        model.transform(np.ones((4, 1)))


def test_refused_rows_leave_nothing_begun():
    model = nmf_nets.MiniBatchNMF(2, init="nndsvd")
    with pytest.raises(Refusal):
        model.partial_fit(np.ones((1, 3)))
    assert model.partial_fit(X).components_.shape == (2, 3)


LONG = [
    "npy of a long claim",
    "npz of a long claim",
    "npz of diagonals",
    "npz of coordinates",
    "mtx of many rows",
    "mtx of many entries",
    "mtx dense of many rows",
    "h5 of many rows",
]


@pytest.mark.parametrize("seed", LONG)
def test_a_file_that_claims_a_million_million_rows_is_refused(seed, tmp_path):
    name, data = seed_of(seed)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Refusal, match="memory"):
        as_matrix(contents_of(tmp_path / name).X)


def test_blocks_of_no_size_and_a_name_that_is_too_long_are_refused(tmp_path):
    name, data = seed_of("npz of blocks")
    (tmp_path / name).write_bytes(data)
    for path in (tmp_path / name, tmp_path / ("x" * 300 + ".npy")):
        with pytest.raises(Refusal, match="cannot be read as"):
            contents_of(path)


def test_a_byte_of_zero_in_a_matrix_of_text_is_refused_before_it_crashes_the_parser(tmp_path):
    (tmp_path / "x.mtx").write_bytes(b"%%MatrixMarket matrix coordinate real general\n9 3 1\n1 1 2" + 8 * b"\0")
    with pytest.raises(Refusal, match="it holds a byte of 0"):
        contents_of(tmp_path / "x.mtx")


def test_a_table_of_an_index_alone_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("names\na\nb\n")
    with pytest.raises(Refusal, match="has no columns but the index column"):
        contents_of(tmp_path / "x.csv", index_column="names")


@pytest.mark.parametrize("line", ["{", "3", '{"loss": 1}', "\udcff"])
def test_a_damaged_line_of_measurements_is_refused_by_its_number(line, tmp_path):
    run = RunDirectory(tmp_path)
    run.metrics.write_bytes(b'{"step": 1}\n' + line.encode(errors="surrogateescape") + b"\n")
    with pytest.raises(Refusal, match=re.escape(f"line 2 of {run.metrics} is no measurement")):
        run.measurements()


def test_a_model_that_claims_more_rows_than_memory_holds_is_loaded_or_refused(saved):
    directory, _, _ = saved("encoder=mlp")
    about = json.loads((directory / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps(about | {"n_samples": 2**40}))
    assert load(directory).n_components == 4


@pytest.mark.untyped
@pytest.mark.parametrize("override", ["seed=-1", "seed=1e400", "penalties_H=nope", "data.batch_size=nope"])
def test_an_option_of_train_is_refused_by_its_name(override, train):
    ran = train(override)
    assert ran.code == 2
    assert override.partition("=")[0] in ran.sentence


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("constraint=1", "constraint=1 must name files of configs/constraint: exponential, free"),
        ("divergence=null", "divergence=null must name files"),
        ("encoder=[2.5]", "must name files of configs/encoder"),
        ("constraint=projected,1", "constraint=projected,1 must name files"),
        ("hydra.run.dir=[]", "hydra.run.dir=[] must name a directory"),
        ("data.n_features=[]", "data cannot be made of its values: TypeError"),
        ("trainer.devices=nope", "trainer: `devices` selected with"),
        ("trainer.max_epochs=abc", "trainer.max_epochs is 'abc', but must be an integer"),
        ("optimizer.lr=abc", "lr must be a number of at least 0, but is 'abc'"),
        ("threads=true", "threads is True, but must be an integer"),
        ("encoder.steps=null", "encoder.steps, unless it is 0, must be an integer of at least 1, but is None"),
        ("optimizer.decay=0", "decay must be a number of steps above 0, but is 0"),
    ],
)
def test_a_value_of_a_wrong_kind_is_refused_by_its_name(override, named, command):
    ran = command("data=synthetic", "logger=none", *(["-m"] if "," in override else []), override)
    assert ran.code == 2
    assert named in ran.sentence


@pytest.mark.parametrize(
    "override",
    ["encoder=glob(*)", "encoder=mlp,unrolled", "encoder='mlp'", "logger=[csv,mlflow]", "~encoder", "seed=range(1,4)"],
)
def test_names_of_any_form_are_none_of_a_wrong_kind(override):
    assert _refuse_kinds([override]) is None


@pytest.mark.untyped
def test_what_hydra_is_asked_to_show_in_full_it_shows(command, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(InstantiationException, match="not supported between"):
        command("data=synthetic", "logger=none", "data.n_features=[]")

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
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.contents import contents_of
from nmf_nets.factorization import Factorization
from nmf_nets.fit import divergence_of
from nmf_nets.matrix import DenseMatrix
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.relative_gap import relative_gap
from nmf_nets.penalties.orthogonality import Orthogonality
from nmf_nets.program import _refuse_overrides
from nmf_nets.refusal import Refusal
from nmf_nets.run_directory import RunDirectory
from nmf_nets.saved_model import load
from nmf_nets.solvers import SOLVERS
from nmf_nets.starts import INITS, start_of
from nmf_nets.stream import Stream
from nmf_nets.topics.topics import Topics

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


def test_a_half_step_that_overflows_is_refused():
    H, W = torch.full((4, 2), 1e30), torch.ones(2, 3)
    with pytest.raises(Refusal, match=r"the codes would not be finite: X, with a mean of .* torch\.float32"):
        SOLVERS["mu"](divergence_of(3.0)).update(as_matrix(X, torch.float32), H, W)


def test_a_multiplicative_step_from_codes_that_it_could_not_come_back_from_is_refused():
    given, H, W = as_matrix(X + 1, torch.float32), torch.full((4, 2), 1e30), torch.rand(2, 3) + 0.1
    with pytest.raises(Refusal, match=r"H W has the mean .* does not hold a step with β = 0.5 from there"):
        SOLVERS["mu"](divergence_of(0.5)).update(given, H, W, 5)
    assert bool(
        (SOLVERS["mu"](divergence_of(0.5)).update(given.to(torch.float64), H.double(), W.double(), 5) > 0).all()
    )


@pytest.mark.parametrize("init", sorted(set(INITS) - {"rank_factorization"}))  # X has no such one
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_a_start_is_made_in_units_of_the_data(init, scale):
    begun, other = (
        start_of(init, as_matrix(c * X, torch.float32), 2, torch.Generator().manual_seed(0), init == "random_codes")
        for c in (1.0, scale)
    )
    for name in ("H", "W"):
        found, as_before = getattr(other, name) / scale**0.5, getattr(begun, name)
        assert torch.allclose(found, as_before, rtol=1e-3, atol=1e-4 * float(as_before.abs().max())), name


def test_a_start_of_rows_of_any_size_is_finite():
    given = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 1e-6, 1e-6, 2.5e-161], [0.0, 1e-190, 7e-160, 1e-160]])
    begun = start_of("separable", as_matrix(given), 1, torch.Generator().manual_seed(0))
    assert bool(begun.H.isfinite().all() & begun.W.isfinite().all())


def test_what_an_init_of_ones_own_makes_must_be_finite():
    with pytest.raises(Refusal, match="codes to start from would not be finite"):
        nmf_nets.factorize(X, 1, init=lambda M, r, g: Factorization(torch.full((4, r), torch.inf), torch.ones(r, 3)))


@pytest.mark.parametrize(("solver", "beta"), [("cd", 2), ("mu", 2), ("mu", 1), ("mu", 0.5)])
@pytest.mark.parametrize("alpha", [0.0, 1e-3])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_codes_of_an_estimator_are_those_of_any_unit(solver, alpha, beta, scale):
    given = X.astype(np.float32)
    one = nmf_nets.NMF(2, solver=solver, beta_loss=beta, tol=0, max_iter=50, alpha_W=alpha).fit(given)
    other = clone(one).set_params(alpha_W=alpha * scale ** (beta - 1)).fit(given * np.float32(scale))
    codes, again = one.transform(given), other.transform(given * np.float32(scale)) / scale**0.5
    np.testing.assert_allclose(again, codes, rtol=2e-2, atol=2e-2 * codes.max())


def test_components_that_overflow_are_refused():
    model = nmf_nets.MiniBatchNMF(2, batch_size=1, forget_factor=0.0, max_iter=3, solver="mu", transform_max_iter=1)
    given = torch.zeros(20, 2)
    given[::2, 0] = 2.5e32
    model.partial_fit(X[:, :2].astype(np.float32))
    with pytest.raises(Refusal, match="components would not be finite"):
        model.partial_fit(given)


def test_a_start_that_is_zero_in_units_of_the_data_is_refused():
    with pytest.raises(Refusal, match="H of start has entries that are zero in units of X"):
        nmf_nets.factorize(1e300 * X, 1, divergence=0.5, start=(np.full((4, 1), 1e-200), None))


@pytest.mark.parametrize("scale", [1e300, 5e-324])
def test_units_at_the_ends_of_float64_are_numbers(scale):
    assert np.isfinite(nmf_nets.factorize(X / 3 * scale, 1, divergence=0.5, max_iter=2).divergence_value)


def test_a_penalty_that_the_unit_makes_endless_is_refused():
    with pytest.raises(Refusal, match=r"penalties_H.* has the strength 0.1, beside which nothing of X would be left"):
        nmf_nets.factorize(1e180 * (X + 1), 1, divergence=-1.0, penalties_H=[Orthogonality(0.1)])


def test_a_net_on_nothing_has_no_gap():
    fitted = nmf_nets.NMF(encoder="lista", encoder_steps=2, max_iter=1, tol=0).fit(np.zeros((1, 1)))
    assert fitted.code_gap_ == 0.0
    assert relative_gap(1.0, 0.0, 0.0) == np.inf


def test_weights_without_a_finite_sum_are_refused():
    with pytest.raises(Refusal, match="weights have a sum that float64 does not hold"):
        nmf_nets.factorize(X, 1, weights=np.full(X.shape, 1e308))


def test_topics_of_what_no_sum_holds_are_refused():
    factors = Factorization(torch.ones(4, 1), torch.ones(1, 3))
    with pytest.raises(Refusal, match=r"X has rows with sums up to .* topics are of counts of words"):
        Topics(as_matrix(np.full((4, 3), 1e308)), factors, ("a", "b", "c"))
    told = Topics(as_matrix(np.full((4, 3), 3e38, np.float32)), factors, ("a", "b", "c"))
    assert told.lengths.tolist() == pytest.approx([9e38] * 4)


def test_an_error_far_beyond_the_data_is_a_number():
    tiny = as_matrix(np.full((2, 2), 3e-122))
    assert relative_error(tiny, Factorization(1e149 * torch.ones(2, 1).double(), torch.ones(1, 2).double())) > 1e270


def test_rows_that_a_net_cannot_hold_are_refused(saved):
    model = load(saved("encoder=mlp")[0])
    with pytest.raises(Refusal, match="the codes would not be finite"):
        model.transform(np.full((2, model.W.shape[1]), 3e38, np.float32), "refined")


def test_a_stream_whose_first_batch_was_refused_begins_anew():
    stream = Stream(1, init="random")
    with pytest.raises(Refusal, match="is too far from those before"):
        stream.partial_fit(torch.tensor([[1.0, 1.0, 7e37, 1e37, 7e37]]))
    assert stream.partial_fit(X).W.shape == (1, 3)


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


def test_a_table_with_an_exponent_that_no_integer_holds_does_not_crash_the_parser(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,1e2147483648\n1,9999999999\n")
    with pytest.raises(Refusal, match=r"X\[0, 1\] is inf"):
        as_matrix(contents_of(tmp_path / "x.csv").X)


@pytest.mark.parametrize("last", [b"1.1E", b"1.1E-", b"1e+", b"1.1E\xff\xff"])
def test_a_matrix_of_text_whose_last_number_is_cut_off_is_refused_before_it_crashes_the_parser(last, tmp_path):
    text = b"%%MatrixMarket matrix array real general\n2 1\n1.5\n"
    (tmp_path / "x.mtx").write_bytes(text + last)
    with pytest.raises(Refusal, match=r"it ends with .* which is no number: it may be cut off"):
        contents_of(tmp_path / "x.mtx")
    for whole in (b"1.1E-1", b"1.1E-1\n"):
        (tmp_path / "x.mtx").write_bytes(text + whole)
        assert contents_of(tmp_path / "x.mtx").X.tolist() == [[1.5], [0.11]]


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
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("penalties_H", {"_target_": "nmf_nets.encoders.mlp.MLP"}, "holds 'nmf_nets.encoders.mlp.MLP' where a Penalty"),
        ("update", {}, "holds {} where a Update must be described"),
        ("preprocessing", {"_target_": "nmf_nets.preprocessing.divided.Divided", "by": "a"}, "by is 'a', but must be"),
    ],
)
def test_a_model_whose_parts_are_none_is_refused(name, value, said, saved):
    directory, _, _ = saved("encoder=mlp")
    about = json.loads((directory / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps(about | {name: value}))
    with pytest.raises(Refusal, match=re.escape(said)):
        load(directory)


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
        ("data.n_features=[]", "data.n_features is [], but must be an integer"),
        ("data.n_samples=2.5", "data.n_samples is 2.5, but must be an integer"),
        ("data.seed=null", "data.seed is None, but must be an integer"),
        ("data.preprocessing=nope", "data.preprocessing is 'nope', but must be Preprocessing, a part with a _target_"),
        ("encoder.update=null", "encoder.update is None, but must be Update, a part"),
        ("optimizer.repeats=nope", "optimizer.repeats is 'nope', but must be an integer or null"),
        ("optimizer.repeats=-1", "repeats must be an integer of at least 1, but is -1"),
        (
            "encoder=[]",
            "the configuration lacks what it needs, or holds what it cannot: Key 'encoder' is not in struct",
        ),
        ("trainer.log_every_n_steps=[]", "trainer.log_every_n_steps is [], but must be an integer or null"),
        ("allow=nope", "allow is 'nope', but must be a list"),
        ("trainer.devices=nope", "trainer: `devices` selected with"),
        ("trainer.max_epochs=abc", "trainer.max_epochs is 'abc', but must be an integer"),
        ("optimizer.lr=abc", "optimizer.lr is 'abc', but must be a number"),
        ("threads=true", "threads is True, but must be an integer"),
        ("encoder.steps=-1", "encoder.steps, unless it is 0, must be an integer of at least 1, but is -1"),
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
    assert _refuse_overrides([override]) is None


BROKEN = ("data=synthetic", "logger=csv", "logger.csv.save_dir=[]")


@pytest.mark.untyped
def test_what_others_refuse_while_they_are_made_is_refused_by_its_place(command):
    ran = command(*BROKEN)
    assert ran.code == 2
    assert "logger.csv cannot be made of its values: TypeError" in ran.sentence


@pytest.mark.untyped
def test_what_hydra_is_asked_to_show_in_full_it_shows(command, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(InstantiationException, match="expected str, bytes or os"):
        command(*BROKEN)

"""Bad input and bad configuration: one sentence, what, where and how to mend it, and an exit code that is not 0."""

import numpy as np
import pytest
import scipy.sparse

GOOD = np.random.default_rng(0).random((20, 6))


def file_of(tmp_path, name, content):
    path = tmp_path / name
    if isinstance(content, bytes | str):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    elif name.endswith(".npz"):
        np.savez(path, **content)
    else:
        np.save(path, content, allow_pickle=True)
    return path


def with_entry(value):
    X = GOOD.copy()
    X[3, 4] = value
    return X


FILES = {
    "negative": ("x.npy", with_entry(-1.5), ["x.npy", "non-negative", "X[3, 4] is -1.5", "shift, clip or drop"]),
    "nan": ("x.npy", with_entry(np.nan), ["x.npy", "X contains NaN at [3, 4]", "data.missing=nan", "impute"]),
    "infinite": ("x.npy", with_entry(np.inf), ["x.npy", "X[3, 4] is inf"]),
    "one dimension": ("x.npy", GOOD[0], ["x.npy", "two dimensions", "(6,)", "X[None, :]"]),
    "empty": ("x.npy", np.zeros((0, 4)), ["x.npy", "at least one sample", "(0, 4)"]),
    "objects": ("x.npy", np.array([["a", 1]], dtype=object), ["x.npy", "cannot be read as .npy"]),
    "text in a csv": ("x.csv", "a,b\n1,2\n3,four\n", ["x.csv", "column 'b'", "'four'", "row 2", "remove or encode"]),
    "missing in a csv": (
        "x.csv",
        "a,b\n1,2\n3,\n",
        ["x.csv", "X contains NaN at [1, 1]", "data.missing=nan", "impute"],
    ),
    "ragged csv": ("x.csv", "1,2\n3,4,5\n6,7,8,9\n", ["x.csv", "cannot be read as .csv"]),
    "empty csv": ("x.csv", "", ["x.csv", "cannot be read as .csv"]),
    "two planes": ("x.npz", {"a": GOOD, "b": GOOD}, ["x.npz", "named X", "a (20, 6), b (20, 6)"]),
    "no archive": ("x.npz", b"not a zip", ["x.npz", "cannot be read as .npz"]),
    "broken mtx": ("x.mtx", "%%MatrixMarket matrix\n1 2\n", ["x.mtx", "cannot be read as .mtx"]),
    "no parquet": ("x.parquet", b"PAR?", ["x.parquet", "cannot be read as .parquet"]),
    "unknown format": ("x.xyz", "1", ["x.xyz", "only .npy, .npz, .mtx, .csv, .tsv, .parquet"]),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_files_are_refused_in_one_sentence(train, tmp_path, case):
    name, content, said = FILES[case]
    file_of(tmp_path, name, content)
    ran = train("data=matrix", f"data.path={name}", "n_components=2")
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    assert ran.sentence.startswith("refused: ")
    for words in said:
        assert words in ran.sentence
    assert ran.sentence.endswith((".", "…"))


CONFIGS = {
    "no file": (["data=matrix"], ["data.path=FILE"]),
    "missing file": (["data=matrix", "data.path=nowhere.npy"], ["'nowhere.npy'", "no such file"]),
    "no components": (["n_components=0"], ["n_components", "at least 1", "0"]),
    "a fraction of a component": (["n_components=2.5"], ["n_components", "2.5"]),
    "components in words": (["n_components=many"], ["n_components", "'many'"]),
    "more components than singular vectors": (
        ["init=nndsvd", "n_components=65"],
        ["n_components is 65", "min(n_samples, n_features) = 64", "init=random"],
    ),
    "an update of another divergence": (
        ["divergence=kullback_leibler", "update=hals"],
        ["HALS", "KullbackLeibler", "update=multiplicative"],
    ),
    "exact codes where D is not convex": (
        ["divergence=beta", "divergence.beta=3", "encoder=exact"],
        ["encoder=exact", "1 ≤ β ≤ 2", "encoder=unrolled"],
    ),
    "multiplicative steps on weights of any sign": (
        ["encoder=mlp", "optimizer=multiplicative"],
        ["optimizer=multiplicative", "MLP", "optimizer=block"],
    ),
    "a head without labels": (["head=classifier", "data=synthetic"], ["no labels", "head=none", "`labels`"]),
    "multiplicative steps on a head": (
        ["head=classifier", "encoder=table", "optimizer=multiplicative"],
        ["optimizer=multiplicative knows no head", "optimizer=adam"],
    ),
    "implicit gradients of codes that are never zero": (
        ["encoder=exact", "encoder.implicit=true", "update=multiplicative"],
        ["encoder.implicit", "multiplicative", "frobenius"],
    ),
    "nothing to be compared with": (["plain_rivals=false"], ["plain_rivals is false", "no rivals"]),
    "all rows held out": (["data.validation=0.5", "data.test=0.5"], ["data.validation is 0.5", "less than 1"]),
    "no batch": (["data.batch_size=0"], ["data.batch_size is 0", "at least 1"]),
    "half precision": (["data.dtype=float16"], ["data.dtype", "'float16'", "float32 or float64"]),
    "a foreign target": (["+data.evil._target_=os.system"], ["'os.system'", "data.evil._target_", "allow"]),
    "more components than rows can be selected": (
        ["init=separable", "n_components=64"],
        ["n_components is 64, but only", "rows of X can be selected", "lower n_components"],
    ),
    "no exact factorization": (
        ["experiment=rank_factorization", "data.noise=0.1"],
        ["n_components is 16, but X has rank 100", "approximate"],
    ),
    "synthetic without samples": (["data=synthetic", "data.n_samples=0"], ["data.n_samples", "at least 1"]),
}


UNTYPED = {"a fraction of a component", "components in words"}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.untyped) if case in UNTYPED else case for case in CONFIGS]
)
def test_bad_configurations_are_refused_in_one_sentence(train, case):
    overrides, said = CONFIGS[case]
    ran = train(*overrides)
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    for words in said:
        assert words in ran.sentence


def test_an_unknown_option_is_refused_with_those_there_are(train):
    ran = train("encoder=nope")
    assert ran.code not in (0, None)
    assert "Could not find 'encoder/nope'" in ran.err
    for encoder in ("exact", "linear", "mlp", "table", "unrolled"):
        assert encoder in ran.err
    assert "Traceback" not in ran.err


def test_a_sparse_file_with_a_negative_entry_is_refused_by_its_place(train, tmp_path):
    scipy.sparse.save_npz(tmp_path / "x.npz", scipy.sparse.csr_array(with_entry(-2.0)))
    ran = train("data=matrix", "data.path=x.npz", "n_components=2")
    assert ran.code == 2
    assert "X[3, 4] is -2" in ran.sentence


def test_a_sweep_goes_on_after_a_refused_job_and_fails_at_its_end(command, tmp_path):
    ran = command("-m", "n_components=0,2", "logger=none", "trainer.max_epochs=2", "hydra.sweep.dir=sweep")
    assert ran.code == 2
    assert "job 0 refused: n_components" in ran.err
    assert (tmp_path / "sweep" / "1" / "summary.json").exists()

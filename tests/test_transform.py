"""Train, save, load in another process, code new rows: the same codes to the bit, whatever the data came from."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, fields, replace

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.io.wavfile
import scipy.sparse
import torch
from sklearn.datasets import load_digits

import nmf_nets
from nmf_nets import train as training
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.program import pinned_threads
from nmf_nets.saved_model import save_model
from nmf_nets.transform import Asked, _write_h5ad
from nmf_nets.transform import main as transform_main

ELSEWHERE = """
import contextlib, io, json, sys
from nmf_nets.transform import main
for line in sys.stdin:
    sys.argv, code = ["nmf-transform", *json.loads(line)], 0
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    print(code, flush=True)
"""
"""A process that never saw a training: it codes what each line says, and answers with the exit code."""


@pytest.fixture(scope="module")
def elsewhere():
    with subprocess.Popen([sys.executable, "-c", ELSEWHERE], stdin=-1, stdout=-1, text=True) as process:

        def ask(*overrides):
            process.stdin.write(json.dumps(overrides) + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield ask
        process.stdin.close()


@dataclass(frozen=True)
class Door:
    """How training is told of its data, what their file is called, and what writes such a file of rows by chance."""

    overrides: tuple[str, ...]
    file: str
    write: object


def counts(seed):
    return np.random.default_rng(seed).poisson(2.0, size=(40, 12)).astype(float)


def frame(seed):
    return pd.DataFrame(counts(seed), columns=[f"term{j}" for j in range(12)])


def digits(path, seed):
    np.save(path, load_digits().data[seed::97])


def array_of_zarr(path, seed):
    pytest.importorskip("zarr").save(path, counts(seed))


def dataset_of_hdf5(path, seed):
    with pytest.importorskip("h5py").File(path, "w") as file:
        file["X"] = counts(seed)


def cells(path, seed):
    made = pytest.importorskip("anndata").AnnData(scipy.sparse.csr_matrix(counts(seed)))
    made.var_names = list(frame(seed))
    made.write_h5ad(path)


def lines_of_words(path, seed):
    rows = counts(seed).astype(int)
    path.write_text("\n".join(" ".join(f"term{j}" for j in range(12) for _ in range(row[j])) for row in rows))


def pictures(path, seed):
    path.mkdir()
    for i, row in enumerate(np.random.default_rng(seed).random((40, 4, 3))):
        matplotlib.image.imsave(path / f"{i}.png", row, cmap="gray")


def noise(path, seed):
    scipy.io.wavfile.write(path, 8000, np.random.default_rng(seed).normal(scale=0.1, size=4000).astype(np.float32))


MATRIX = ("data=matrix", "data.path=training/{file}")
TF_IDF = (*MATRIX, "+preprocessing@data.preprocessing=tf_idf")
DOORS = {
    "digits": Door(("data=digits",), "x.npy", digits),
    "npy": Door(MATRIX, "x.npy", lambda path, seed: np.save(path, counts(seed))),
    "npz": Door(MATRIX, "x.npz", lambda path, seed: np.savez(path, X=counts(seed), feature_names=list("abcdefghijkl"))),
    "sparse": Door(
        TF_IDF, "x.npz", lambda path, seed: scipy.sparse.save_npz(path, scipy.sparse.csr_array(counts(seed)))
    ),
    "mtx": Door(TF_IDF, "x.mtx", lambda path, seed: scipy.io.mmwrite(path, scipy.sparse.coo_array(counts(seed)))),
    "csv": Door(MATRIX, "x.csv", lambda path, seed: frame(seed).to_csv(path, index=False)),
    "parquet": Door(MATRIX, "x.parquet", lambda path, seed: frame(seed).to_parquet(path)),
    "zarr": Door(MATRIX, "x.zarr", array_of_zarr),
    "hdf5": Door(MATRIX, "x.h5", dataset_of_hdf5),
    "anndata": Door(("data=anndata", "data.path=training/{file}"), "x.h5ad", cells),
    "text": Door(("data=text", "data.path=training/{file}"), "x.txt", lines_of_words),
    "images": Door(("data=images", "data.path=training/{file}"), "pictures", pictures),
    "colours": Door(("data=images", "data.path=training/{file}", "data.colour=true"), "pictures", pictures),
    "audio": Door(("data=audio", "data.path=training/{file}", "data.n_fft=64", "data.hop=32"), "x.wav", noise),
}


@pytest.fixture
def trained(train, monkeypatch):
    """Trains briefly, on one thread, and gives what was in memory at the end too."""
    threads = torch.get_num_threads()
    monkeypatch.setattr("nmf_nets.verdict.LEAST_SECONDS", 0.0)
    kept = []

    def keep(run, config, net, data):
        save_model(run, config, net, data)
        kept.append((net, data))

    monkeypatch.setattr(training, "save_model", keep)

    def run(*overrides):
        ran = train("n_components=3", "trainer.max_epochs=3", "threads=1", *overrides)
        assert ran.code == 0, ran.err
        return kept[-1]

    yield run
    torch.set_num_threads(threads)


@pytest.mark.process
@pytest.mark.parametrize("name", DOORS)
def test_new_rows_have_the_same_codes_in_another_process(name, trained, elsewhere, tmp_path):
    door = DOORS[name]
    for folder, seed in (("training", 0), ("new", 1)):
        (tmp_path / folder).mkdir()
        door.write(tmp_path / folder / door.file, seed)
    net, data = trained(*(override.format(file=door.file) for override in door.overrides))
    new = tmp_path / "new" / door.file
    asked = (f"run={tmp_path / 'run'}", f"data={new}", f"output={tmp_path / 'codes.npy'}", "threads=1")
    assert elsewhere(*asked) == "0"
    codes = np.load(tmp_path / "codes.npy")

    model = nmf_nets.load(tmp_path / "run")
    rows = model.matrix(np.load(new) if name == "digits" else data.read(new, model.feature_names).X)
    with torch.no_grad(), pinned_threads(1):
        own = net.eval().codes(rows if data.preprocessing is None else data.preprocessing(rows))
        again = model.transform(rows)
    assert np.array_equal(codes, own)
    assert np.array_equal(codes, again)
    assert codes.shape == (rows.shape[0], 3)
    assert codes.any()


# The program ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def coded(saved, command, tmp_path):
    """nmf-transform, on a net of the digits."""
    saved("encoder=mlp", "data.validation=0.45", "data.test=0.45", directory="run")
    np.save(tmp_path / "new.npy", load_digits().data[:30])

    def run(*overrides):
        given = {override.partition("=")[0] for override in overrides}
        basis = [word for word in ("run=run", "data=new.npy") if word.partition("=")[0] not in given]
        return command(*basis, *overrides, main=transform_main)

    return run


def read(path):
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".npz":
        return np.load(path)["H"]
    return (pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)).to_numpy()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
@pytest.mark.parametrize("codes", ["own", "refined", "exact"])
def test_codes_are_written_as_the_model_makes_them_and_what_they_are_worth_is_said(coded, tmp_path, suffix, codes):
    ran = coded(f"output=to/codes{suffix}", f"codes={codes}", "batch_size=7")
    assert ran.code == 0, ran.err
    model, X = nmf_nets.load(tmp_path / "run"), load_digits().data[:30]
    H = model.transform(X, codes, batch_size=7)
    assert np.allclose(read(tmp_path / "to" / f"codes{suffix}"), H, rtol=1e-6)
    residual = X - model.inverse_transform(H).astype(float)
    assert f"30 rows, {codes} codes, " in ran.out
    said = float(re.search(r"frobenius (\S+),", ran.out)[1])
    assert said == pytest.approx(0.5 * np.square(residual).sum(), rel=1e-4)
    assert f"relative error {np.linalg.norm(residual) / np.linalg.norm(X):.4f}" in ran.out
    assert f"codes: {tmp_path / 'to' / 'codes'}{suffix}" in ran.out
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == [f"codes{suffix}"]
    assert {path.name for path in tmp_path.iterdir() if path.name[0] != "."} == {"new.npy", "run", "to"}


def test_rows_keep_their_names(saved, command, tmp_path, monkeypatch):
    saved("encoder=mlp", "data.validation=0.45", "data.test=0.45", directory="run")
    np.save(tmp_path / "new.npy", load_digits().data[:3])
    read_file = MatrixFile.read

    def named(self, *given):
        return replace(read_file(self, *given), sample_names=("a", "b", "c"))

    monkeypatch.setattr(MatrixFile, "read", named)
    for suffix, load in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        assert command("run=run", "data=new.npy", f"output=codes{suffix}", main=transform_main).code == 0
        frame = load(tmp_path / f"codes{suffix}")
        assert list(frame.columns) == ["sample", "component_0", "component_1", "component_2", "component_3"]
        assert list(frame["sample"]) == ["a", "b", "c"]
    assert command("run=run", "data=new.npy", "output=codes.npz", main=transform_main).code == 0
    assert np.load(tmp_path / "codes.npz")["sample_names"].tolist() == ["a", "b", "c"]


def test_an_output_is_written_over_only_if_that_is_said(coded, tmp_path):
    assert coded().code == 0
    before = (tmp_path / "codes.npy").read_bytes()
    ran = coded("codes=exact")
    assert ran.code == 2
    assert "output is 'codes.npy', which exists already; overwrite=true" in ran.sentence
    assert (tmp_path / "codes.npy").read_bytes() == before
    assert coded("codes=exact", "overwrite=true").code == 0
    assert (tmp_path / "codes.npy").read_bytes() != before


REFUSED = {
    "a key that is none": (["batchsize=3"], "'batchsize=3' is not one of run=…, data=…, output=…"),
    "a word": (["new.npy"], "'new.npy' is not one of"),
    "rows at a time in words": (["batch_size=many"], "batch_size is 'many', but must be an integer of at least 1"),
    "neither yes nor no": (["overwrite=yes"], "overwrite is 'yes', but must be true or false"),
    "a run that is none": (["run=nowhere"], "nowhere holds no model.json"),
    "data that are not there": (["data=nowhere.npy"], "'nowhere.npy' cannot be read, as there is no such file"),
    "other features": (["data=other.npy"], "other.npy: X has 5 features, but the net was trained on 64"),
    "negative data": (["data=negative.npy"], "negative.npy: X must be non-negative, but X[0, 0] is -1"),
    "a format that is none": (["output=codes.txt"], "must end with one of .npy, .npz, .csv, .parquet, .h5ad"),
    "codes beside data that are no AnnData": (["output=codes.h5ad"], "but data is 'new.npy'; use .parquet"),
    "other codes": (["codes=best"], "codes is 'best', but must be own, refined or exact"),
    "no rows at a time": (["batch_size=0"], "batch_size must be an integer of at least 1, but is 0"),
    "no threads": (["threads=0"], "threads is 0"),
    "a device that is not there": (["device=cuda:7"], "device is 'cuda:7', but torch cannot use it"),
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.untyped) if case == "other codes" else case for case in REFUSED]
)
def test_what_cannot_be_coded_is_refused_in_one_sentence(coded, tmp_path, case):
    overrides, said = REFUSED[case]
    np.save(tmp_path / "other.npy", np.ones((3, 5)))
    np.save(tmp_path / "negative.npy", -np.ones((3, 64)))
    ran = coded(*overrides)
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    assert said in ran.sentence
    assert not (tmp_path / "codes.npy").exists()


@pytest.mark.parametrize("given", ["run=run", "data=new.npy"])
def test_a_run_and_data_are_needed(command, given):
    ran = command(given, main=transform_main)
    assert ran.code == 2
    assert "is not given; nmf-transform needs run=DIRECTORY and data=ROWS" in ran.sentence


def test_paths_may_hold_anything_and_help_names_every_key(coded, command, tmp_path):
    (tmp_path / "new.npy").rename(tmp_path / "rows (1), a=b.npy")
    assert coded("data=rows (1), a=b.npy", "output=H {x}.npy").code == 0
    assert (tmp_path / "H {x}.npy").exists()
    told = command("--help", main=transform_main).out
    assert all(f"\n{field.name} " in told for field in fields(Asked))


def test_features_with_other_names_are_refused(saved, command, tmp_path):
    frame(0).to_csv(tmp_path / "x.csv", index=False)
    saved("data=matrix", f"data.path={tmp_path / 'x.csv'}", directory="run")
    frame(1).rename(columns={"term3": "other"}).to_csv(tmp_path / "new.csv", index=False)
    ran = command("run=run", "data=new.csv", main=transform_main)
    assert ran.code == 2
    assert "new.csv lacks 1 of the 12 features that are asked for: 'term3'" in ran.sentence


def test_a_table_is_coded_exactly_or_not_at_all(saved, command, tmp_path):
    saved("encoder=table", "data.validation=0.45", "data.test=0.45", directory="run")
    np.save(tmp_path / "new.npy", load_digits().data[:5])
    ran = command("run=run", "data=new.npy", main=transform_main)
    assert ran.code == 2
    assert "encoder=table has no codes of its own for rows that it was not trained on; use codes=exact" in ran.sentence
    assert command("run=run", "data=new.npy", "codes=exact", main=transform_main).code == 0


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")  # anndata's
def test_codes_and_components_go_into_a_copy_of_the_annotated_data(saved, tmp_path):
    anndata = pytest.importorskip("anndata")
    names = [f"term{j}" for j in range(12)]
    frame(0).to_csv(tmp_path / "x.csv", index=False)
    directory, _, _ = saved("data=matrix", f"data.path={tmp_path / 'x.csv'}")
    model = nmf_nets.load(directory)
    new = anndata.AnnData(counts(1), var=pd.DataFrame(index=["unknown", *names[:0:-1]]))
    new.write_h5ad(tmp_path / "new.h5ad")
    H = model.transform(counts(1))
    _write_h5ad(tmp_path / "codes.h5ad", H, model, tmp_path / "new.h5ad")
    found = anndata.read_h5ad(tmp_path / "codes.h5ad")
    assert np.array_equal(found.obsm["X_nmf"], H)
    assert np.array_equal(found.varm["nmf"][0], np.zeros(4))
    assert np.array_equal(found.varm["nmf"][1:], model.W.numpy().T[:0:-1])
    assert np.array_equal(found.X, counts(1))

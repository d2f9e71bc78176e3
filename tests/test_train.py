import json
import shutil

import matplotlib.image
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from nmf_nets.benchmark.methods.scikit_learn import ScikitLearn
from nmf_nets.data.co_clusters import CoClusters
from nmf_nets.data.digits import Digits
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization

KEYS = {
    "divergence",
    "encoder",
    "n_components",
    "seed",
    "divergence_value",
    "refined_codes_value",
    "exact_codes_value",
    "classical_value",
    "sklearn_value",
    "gap",
    "relative_error",
    "heldout_value",
    "heldout_refined_codes_value",
    "heldout_exact_codes_value",
    "best_known_value",
    "best_known_gap",
    "dead_components",
    "seconds",
}


def summary_of(ran, name="run"):
    return json.loads((ran.directory / name / "summary.json").read_text())


def test_a_run_leaves_everything_and_says_where(train):
    ran = train()
    assert ran.code == 0, ran.err
    run = ran.directory / "run"
    for name in ("config.yaml", "environment.json", "metrics.jsonl", "summary.json", "factors.safetensors"):
        assert (run / name).stat().st_size > 0
    assert "Beside classical solvers" in (run / "report.html").read_text()
    assert f"report: {run / 'report.html'}" in ran.out
    verdict = json.loads((run / "verdict.json").read_text())
    assert [line["who"] for line in verdict["lines"]].count("net, own codes") == 2
    assert (run / "checkpoints" / "last.ckpt").exists()
    for name in ("components.png", "curves.png"):
        assert matplotlib.image.imread(run / name).std() > 0, "a blank picture"
    assert str(run) in ran.out
    assert not list(run.rglob("*.unfinished"))
    assert "net, own codes" in ran.out
    for who in ("net, refined codes", "net, exact codes", "HALS", "e-hals", "scikit-learn cd"):
        assert who in ran.out
    environment = json.loads((run / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["threads"] == torch.get_num_threads()


def test_a_run_finds_a_directory_of_its_own(command, tmp_path):
    for _ in range(2):
        assert command("logger=none", "trainer.max_epochs=1").code == 0
    assert len(list((tmp_path / "outputs").glob("*/*/summary.json"))) == 2


def test_the_summary_is_complete_and_its_numbers_are_those_of_the_saved_factors(train):
    ran = train("seed=3")
    summary = summary_of(ran)
    assert set(summary) >= KEYS
    assert summary["gap"] == summary["divergence_value"] / min(summary["classical_value"], summary["sklearn_value"]) - 1
    factors = load_file(ran.directory / "run" / "factors.safetensors")
    X = load_digits().data[factors["rows"].numpy()]
    data = Digits(seed=3)
    data.setup()
    assert np.array_equal(X, data.training.dense().numpy())
    sizes = torch.linalg.vector_norm(factors["H"], dim=0), torch.linalg.vector_norm(factors["W"], dim=1)
    torch.testing.assert_close(*sizes, rtol=1e-4, atol=0)
    residual = X - factors["H"].double().numpy() @ factors["W"].double().numpy()
    assert summary["divergence_value"] == pytest.approx(0.5 * np.square(residual).sum(), rel=1e-6)
    assert summary["relative_error"] == pytest.approx(np.linalg.norm(residual) / np.linalg.norm(X), rel=1e-6)


def test_gaps_are_also_to_the_best_that_earlier_runs_have_found(train):
    first = summary_of(train())
    long = summary_of(
        train("trainer.max_epochs=300", "seed=0", "init=nndsvda", "hydra.run.dir=long", "data.seed=0"), "long"
    )
    again = summary_of(train("hydra.run.dir=again"), "again")
    assert first["best_known_value"] <= min(first["classical_value"], first["divergence_value"])
    assert again["best_known_value"] == min(first["best_known_value"], long["best_known_value"])
    assert again["best_known_gap"] == pytest.approx(again["divergence_value"] / again["best_known_value"] - 1)


def test_metrics_are_json_lines_on_a_growing_grid(train):
    ran = train()
    lines = [json.loads(line) for line in (ran.directory / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "training/divergence" in line]
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert steps[-1] == 20
    assert {
        "training/refined_codes",
        "training/code_gap",
        "validation/code_gap",
        "kkt_residual",
        "dead_components",
        "seconds",
    } <= set(lines[-2])


@pytest.mark.parametrize("divergence", ["frobenius", "kullback_leibler"])
@pytest.mark.parametrize("encoder", ["unrolled", "exact", "mlp", "lista", "refined", "linear", "projective", "table"])
def test_every_encoder_reports_its_gap(train, encoder, divergence):
    optimizer = "multiplicative" if encoder == "projective" else "block"
    ran = train(f"encoder={encoder}", f"optimizer={optimizer}", f"divergence={divergence}", "trainer.max_epochs=5")
    assert ran.code == 0, ran.err
    summary = summary_of(ran)
    assert (summary["encoder"], summary["divergence"]) == (encoder, divergence)
    assert np.isfinite(summary["gap"])
    assert summary["exact_codes_value"] <= summary["refined_codes_value"] * (1 + 1e-6)
    assert summary["refined_codes_value"] <= summary["divergence_value"] * (1 + 1e-6)
    assert (summary["heldout_value"] is None) == (encoder == "table")
    assert summary["heldout_exact_codes_value"] > 0


@pytest.mark.parametrize("divergence", ["frobenius", "kullback_leibler"])
def test_mini_batches_come_within_a_few_percent_of_the_solvers(train, divergence):
    ran = train("experiment=online", f"divergence={divergence}", "trainer.max_epochs=60")
    assert ran.code == 0, ran.err
    summary = summary_of(ran)
    assert summary["gap"] <= 0.05
    assert summary["dead_components"] == 0


@pytest.mark.parametrize("divergence", ["frobenius", "kullback_leibler"])
def test_the_default_net_matches_the_classical_optimum(train, divergence):
    ran = train(f"divergence={divergence}", "trainer.max_epochs=400")
    summary = summary_of(ran)
    assert summary["gap"] <= (0.005 if divergence == "frobenius" else 0.01)
    assert summary["dead_components"] == 0


@pytest.mark.parametrize("divergence", ["itakura_saito", "beta"])
def test_other_divergences_train_on_positive_data(train, divergence, tmp_path):
    np.save(tmp_path / "X.npy", np.random.default_rng(0).gamma(2.0, size=(60, 20)) + 0.1)
    ran = train(f"divergence={divergence}", "data=matrix", "data.path=X.npy", "n_components=4")
    assert ran.code == 0, ran.err
    assert abs(summary_of(ran)["gap"]) < 0.5


def test_zeros_are_refused_where_the_divergence_is_infinite(train):
    ran = train("divergence=itakura_saito")
    assert ran.code == 2
    assert "X[0, 0] is 0" in ran.sentence
    assert "kullback_leibler" in ran.sentence


def test_one_row_one_column_and_more_components_than_either(train, tmp_path):
    for divergence, shape in (("frobenius", (1, 7)), ("kullback_leibler", (12, 1)), ("frobenius", (4, 3))):
        np.save(tmp_path / "X.npy", np.random.default_rng(0).random(shape))
        ran = train("data=matrix", "data.path=X.npy", "n_components=5", f"divergence={divergence}")
        assert ran.code == 0, ran.err
        assert summary_of(ran)["relative_error"] < 0.2
        shutil.rmtree(tmp_path / "run")


def test_a_rival_that_diverges_has_no_line_and_is_named(train, monkeypatch):
    class Diverging(ScikitLearn):
        def run(self, problem, start, observe):
            far, iteration = Factorization(1e6 * start.H, start.W), 1
            while observe(lambda: far, iteration):
                iteration += 1
            return lambda X: start.H

    monkeypatch.setattr("nmf_nets.verdict.ScikitLearn", Diverging)
    ran = train("divergence=kullback_leibler")
    assert ran.code == 0, ran.err
    assert "Without a line: scikit-learn mu diverged, as the value ends at more than" in " ".join(ran.out.split())
    assert summary_of(ran)["sklearn_value"] is None
    assert summary_of(ran)["classical_value"] > 0


def test_planted_components_are_found_and_the_run_says_how_well(train):
    ran = train("data=synthetic", "n_components=8", "data.noise=0.01", "init=nndsvda", "trainer.max_epochs=300")
    assert ran.code == 0, ran.err
    assert summary_of(ran)["recovery"] > 0.99
    assert "mean cosine of" in " ".join(ran.out.split())


@pytest.mark.parametrize("experiment", ["separable", "rank_factorization"])
def test_what_is_solved_in_closed_form_needs_no_training(train, experiment):
    ran = train(f"experiment={experiment}", "trainer.max_epochs=0", "data.dtype=float64")
    assert ran.code == 0, ran.err
    summary = summary_of(ran)
    assert summary["relative_error"] < 1e-10
    assert summary["seconds"] == 0
    assert "net, own codes" in ran.out
    assert len((ran.directory / "run" / "metrics.jsonl").read_text().splitlines()) >= 1
    for name in ("components.png", "curves.png", "factors.safetensors"):
        assert (ran.directory / "run" / name).stat().st_size > 0


def test_planted_rows_are_the_components_that_are_found(train):
    ran = train("experiment=separable", "trainer.max_epochs=0", "data.noise=0.001", "data.dtype=float64")
    assert summary_of(ran)["recovery"] > 0.999


def test_a_head_is_trained_watched_and_reported(train):
    ran = train("experiment=classifier", "trainer.max_epochs=20")
    assert ran.code == 0, ran.err
    summary = summary_of(ran)
    assert summary["head"] == "classifier"
    assert summary["training_accuracy"] > summary["accuracy"] > 0.9
    assert f"The classifier names {summary['accuracy']:.2%} of" in " ".join(ran.out.split())
    lines = [json.loads(line) for line in (ran.directory / "run" / "metrics.jsonl").read_text().splitlines()]
    seen = [line["training/accuracy"] for line in lines if "training/accuracy" in line]
    assert seen[0] < 0.2 < 0.9 < seen[-1] == summary["training_accuracy"]
    assert any("validation/accuracy" in line for line in lines)


def test_without_a_head_there_is_no_accuracy(train):
    summary = summary_of(train("trainer.max_epochs=2"))
    assert summary["head"] is summary["accuracy"] is summary["training_accuracy"] is None


def test_a_run_returns_the_metric_that_is_asked_for(train):
    ran = train("metric=nonsense")
    assert ran.code == 2
    assert "metric is 'nonsense'" in ran.sentence


def test_the_reported_relative_error_has_a_floor_under_it(train):
    ran = train("n_components=4")
    factors = load_file(ran.directory / "run" / "factors.safetensors")
    X = load_digits().data[factors["rows"].numpy()]
    floor = np.sqrt(np.square(np.linalg.svd(X, compute_uv=False)[4:]).sum()) / np.linalg.norm(X)
    assert summary_of(ran)["relative_error"] >= floor
    assert Factorization(factors["H"], factors["W"]).n_components == 4
    assert Frobenius().beta == 2


def test_motifs_are_found_and_shown_beside_the_classical_algorithm_and_plain_nmf(train):
    ran = train("experiment=convolutive", "trainer.max_epochs=100", "data.n_samples=400", "decoder.lags=12", "seed=1")
    assert ran.code == 0, ran.err
    summary = summary_of(ran)
    lines = [line.split() for line in ran.out.splitlines() if "training" in line or "held out" in line]
    names = [" ".join(line) for line in lines]
    assert sum("net, own codes" in name for name in names) == 2
    assert sum("NMFD" in name for name in names) == 1
    assert sum("ScalarNewton" in name for name in names) == 2
    assert summary["dead_components"] == 0
    assert summary["kkt_residual"] is summary["exact_codes_value"] is None
    assert summary["divergence_value"] < 0.3 * summary["sklearn_value"]
    assert summary["heldout_value"] is not None
    assert 0.5 < summary["recovery"] <= 1
    factors = load_file(ran.directory / "run" / "factors.safetensors")
    assert factors["H"].shape == (320, 36)
    assert torch.equal(factors["H"][1:, 3:6], factors["H"][:-1, :3])
    assert factors["W"].shape == (36, 40)
    for name in ("components.png", "curves.png"):
        assert (ran.directory / "run" / name).stat().st_size > 0


def test_sequences_are_not_torn_apart(train):
    ran = train("experiment=convolutive", "data.contiguous=false")
    assert ran.code == 2
    assert "Convolutive couples rows, but rows are held out at random; use data.contiguous=true" in ran.err


@pytest.mark.parametrize("experiment", ["tri_factor", "deep"])
def test_what_w_is_made_of_is_saved_and_makes_w(train, experiment):
    ran = train(f"experiment={experiment}")
    assert ran.code == 0, ran.err
    saved = load_file(ran.directory / "run" / "factors.safetensors")
    if experiment == "tri_factor":
        product = saved["decoder.S"] @ saved["decoder.V"]
    else:
        product = saved["decoder.W2"] @ saved["decoder.W1"]
    torch.testing.assert_close(product, saved["W"])
    data = CoClusters() if experiment == "tri_factor" else Digits()
    data.setup()
    value = float(Frobenius().total(data.training, Factorization(saved["H"], saved["W"])))
    plain, penalised = summary_of(ran)["relative_error"], summary_of(ran)["divergence_value"]
    assert plain == pytest.approx((2 * value / float(data.training.square_norm)) ** 0.5, rel=1e-5)
    assert penalised > value, "with the penalties on H"
    of = {"tri_factor": "S, V", "deep": "W1, W2"}[experiment]
    assert f"Penalties on {of} are not in these values" in " ".join(ran.out.split())


def test_a_run_of_levels_that_was_stopped_goes_on_as_if_it_had_not(train, command):
    assert train("experiment=deep", "trainer.max_epochs=8", "hydra.run.dir=whole").code == 0
    assert train("experiment=deep", "trainer.max_epochs=4", "hydra.run.dir=part").code == 0
    ran = command("resume=part", "trainer.max_epochs=8")
    assert ran.code == 0, ran.err
    whole, part = (load_file(ran.directory / name / "factors.safetensors") for name in ("whole", "part"))
    assert whole.keys() == part.keys()
    assert all(torch.equal(whole[name], part[name]) for name in whole)

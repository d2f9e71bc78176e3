"""What a run on images leaves."""

import csv

import numpy as np
import pytest
from stand_ins import orl_faces

SMALL = ["n_components=5", "trainer.max_epochs=20"]


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("experiment", ["faces", "clothes"])
def test_experiments_leave_strips_and_tables(train, tmp_path, experiment):
    orl_faces.write(tmp_path)
    ran = train(f"experiment={experiment}", "data.path=orl_faces.npz", *SMALL)
    assert ran.code == 0, ran.err
    run = ran.directory / "run"
    assert (run / "strips.png").stat().st_size > 1000
    assert (run / "components.png").stat().st_size > 1000
    images, parts = read(run / "images.csv"), read(run / "parts.csv")
    assert [(line["rows"], int(line["n_rows"])) for line in images] == [
        ("training", 48),
        ("validation", 6),
        ("test", 6),
    ]
    assert all(0 < float(line["error"]) < 0.5 for line in images)
    assert all(0 <= float(line["normalized_mutual_information"]) <= 1 for line in images)
    assert len(parts) == 5
    assert sum(int(line["strongest_in"]) for line in parts) == 48


def test_data_without_classes_leave_those_columns_empty(train, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20, 12)))
    shown = ["+callback@callbacks.image_parts=image_parts", "data=matrix", "data.path=x.npy", "data.image_shape=[4,3]"]
    ran = train(*shown, "data.validation=0", "data.test=0", *SMALL)
    assert ran.code == 0, ran.err
    (line,) = read(ran.directory / "run" / "images.csv")
    assert line["clustering_accuracy"] == ""


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data=synthetic"], "have no shape of one; set data.image_shape"),
        (["experiment=convolutive", "data.image_shape=[4,3]", "data=matrix", "data.path=x.npy"], "motifs over several"),
        (["callbacks.image_parts.count=0"], "count must be an integer of at least 1"),
    ],
)
def test_what_it_cannot_show_is_refused(train, tmp_path, overrides, said):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((40, 12)))
    held_out = ["data.validation=0", "data.test=0"]
    ran = train("+callback@callbacks.image_parts=image_parts", *overrides, *held_out, *SMALL[1:])
    assert ran.code == 2
    assert said in ran.sentence

"""Topics by many models, on a corpus where all find them."""

import math

import pytest
from stand_ins import newsgroups20

from nmf_nets.benchmark.topics import MODELS, topics
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.refusal import Refusal

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # as the program does
    pytest.mark.filterwarnings("ignore:.*:UserWarning:pytorch_lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def data(folder, **more):
    newsgroups20.write(folder)
    return MatrixFile(str(folder / "newsgroups20.npz"), **{"validation": 0.0, "test": 0.1, **more})


def test_every_model_finds_four_subjects(tmp_path, monkeypatch):
    monkeypatch.setattr("nmf_nets.benchmark.topics.BATCH_EPOCHS", 2)
    frame = topics(data(tmp_path), 4, seeds=1).frame.set_index("model")
    assert list(frame.index) == list(MODELS)
    assert (frame["NPMI"] > 0.3).all()
    assert (frame["NMI"] > 0.7).all()
    assert (frame["accuracy"] > 0.6).all()
    assert frame.index[frame["perplexity"].map(math.isnan)].tolist() == ["LSA and k-means, tf-idf"]
    there = frame["perplexity"].dropna()
    assert ((there > 20) & (there < 40)).all(), "of 56 words"


def test_documents_without_classes_or_held_out_ones_are_refused(tmp_path):
    with pytest.raises(Refusal, match="some of which are held out"):
        topics(data(tmp_path, test=0.0), 4)

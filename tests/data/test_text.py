import gzip
import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_files
from sklearn.feature_extraction.text import CountVectorizer

from nmf_nets.data.text import Text
from nmf_nets.refusal import Refusal

TEXTS = ["the cat sat on the mat", "A dog, a DOG and a cat", "cats chase dogs", "mat and mouse", "the mouse sat"]
CLASSES = ["cat", "dog", "dog", "mouse", "mouse"]
EXPECTED = CountVectorizer().fit(TEXTS)


def folder(tmp_path):
    for i, (text, name) in enumerate(zip(TEXTS, CLASSES, strict=True)):
        (tmp_path / "texts" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / name / f"{i}.txt").write_text(text + "\n")
    (tmp_path / "texts" / "notes.md").write_text("not text of this kind")
    (tmp_path / "texts" / "cat" / ".hidden.txt").write_text("hidden")
    return {"path": tmp_path / "texts"}


def lines(tmp_path, name="lines.log", end="\n"):
    data = end.join([*TEXTS, ""]).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return {"path": tmp_path / name}


def table(tmp_path, name):
    frame = pd.DataFrame({"number": range(5), "body": TEXTS, "about": CLASSES})
    if name.endswith(".parquet"):
        frame.to_parquet(tmp_path / name)
    else:
        frame.to_csv(tmp_path / name, sep="\t" if ".tsv" in name else ",", index=False)
    return {"path": tmp_path / name, "column": "body", "labels": "about"}


SOURCES = {
    "folder": folder,
    "lines": lines,
    "lines of Windows": lambda tmp_path: lines(tmp_path, "lines.txt", "\r\n"),
    "packed lines": lambda tmp_path: lines(tmp_path, "lines.txt.gz"),
    **{name: lambda tmp_path, name=name: table(tmp_path, name) for name in ("x.csv", "x.tsv", "x.csv.gz", "x.parquet")},
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_counts_of_scikit_learn(tmp_path, source):
    data = Text(**SOURCES[source](tmp_path), validation=0, test=0, dtype="float64")
    data.setup()
    assert data.training.is_sparse
    assert np.array_equal(data.training.numpy().toarray(), EXPECTED.transform(TEXTS).toarray())
    assert data.dataset.feature_names == tuple(EXPECTED.get_feature_names_out())
    assert data.dataset.shown_as == "words"
    names = [f"{name}/{i}.txt" for i, name in enumerate(CLASSES)] if source == "folder" else list("12345")
    assert list(data.dataset.sample_names) == names
    if "lines" in source:
        assert data.dataset.labels is None
    else:
        assert data.dataset.labels.tolist() == CLASSES
        assert data.n_classes == 3


def test_a_folder_has_the_classes_of_scikit_learn(tmp_path):
    path = folder(tmp_path)["path"]
    (path / "notes.md").unlink()
    (path / "cat" / ".hidden.txt").unlink()
    theirs = load_files(path, encoding="utf-8", shuffle=False)
    ours = Text(path, validation=0, test=0)
    ours.setup()
    assert ours.training_labels.tolist() == theirs.target.tolist()
    assert np.array_equal(ours.training.numpy().toarray(), EXPECTED.transform(theirs.data).toarray())


OPTIONS = [
    {"min_df": 2},
    {"max_df": 0.4},
    {"max_features": 3},
    {"stop_words": "english"},
    {"stop_words": ["cat", "dog"]},
    {"ngram_range": [1, 2]},
    {"lowercase": False},
    {"token_pattern": "[a-z]"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_parameters_are_those_of_scikit_learn(tmp_path, options):
    data = Text(**lines(tmp_path), validation=0, test=0, **options)
    data.setup()
    theirs = {**options, "ngram_range": tuple(options.get("ngram_range", (1, 1)))}
    model = CountVectorizer(**theirs)
    assert np.array_equal(data.training.numpy().toarray(), model.fit_transform(TEXTS).toarray())
    assert data.dataset.feature_names == tuple(model.get_feature_names_out())


def test_the_words_are_those_of_the_training_rows(tmp_path):
    (tmp_path / "x.txt").write_text("\n".join(f"all say this and number{i}" for i in range(20)))
    data = Text(tmp_path / "x.txt", validation=0.2, test=0.2)
    data.setup()
    trained = set(data.training_rows.tolist())
    assert len(trained) == 12
    assert set(data.dataset.feature_names) == {"all", "say", "this", "and"} | {f"number{i}" for i in trained}
    assert data.test.numpy().sum() == 4 * 4, "what held-out rows alone say is left out"


@pytest.mark.parametrize("source", SOURCES)
def test_new_documents_are_counted_in_the_words_of_the_net(tmp_path, source):
    options = SOURCES[source](tmp_path)
    data = Text(**{**options, "path": tmp_path / "elsewhere"}, min_df=4)
    words = ["mouse", "unheard", "cat"]
    assert data.read(options["path"], words).feature_names == tuple(words)
    counts = data.read(options["path"], words).X.numpy().toarray()
    assert np.array_equal(counts, CountVectorizer(vocabulary=words).transform(TEXTS).toarray())


def test_new_tables_need_no_classes(tmp_path):
    options = table(tmp_path, "x.csv")
    pd.DataFrame({"body": TEXTS}).to_csv(tmp_path / "new.csv")
    found = Text(**options).read(tmp_path / "new.csv", ["cat"])
    assert found.labels is None
    assert found.X.numpy().sum() == 2


def test_documents_without_words_stay_as_zeros_and_are_counted(tmp_path, caplog):
    (tmp_path / "x.csv").write_text('body,about\n"one, two",a\n,b\n"two\nlines",a\nNA,b\n')
    data = Text(tmp_path / "x.csv", column="body", labels="about", validation=0, test=0, stop_words=["na"])
    with caplog.at_level(logging.WARNING):
        data.setup()
    assert data.dataset.feature_names == ("lines", "one", "two")
    assert data.training.numpy().toarray().sum(1).tolist() == [2, 0, 2, 0]
    assert "2 of 4 documents" in caplog.text
    assert "x.csv, 2 first, say none of the 3 words" in caplog.text


def test_other_encodings_are_read_when_they_are_named(tmp_path):
    (tmp_path / "x.txt").write_bytes("süß\nsauer".encode("utf-16"))
    data = Text(tmp_path / "x.txt", encoding="utf-16", validation=0, test=0)
    data.setup()
    assert data.dataset.feature_names == ("sauer", "süß")
    (tmp_path / "y.csv").write_text("body\nwords", encoding="utf-8-sig")
    assert Text(tmp_path / "y.csv", column="body").read(tmp_path / "y.csv", ["words"]).X.numpy().sum() == 1


def write(tmp_path, files):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())


WORDS = "one two\nthree four\nfive six\n"
REFUSED = {
    "no such file": ({}, {}, "no such file or folder"),
    "no text in the folder": (
        {"x/a.pdf": ""},
        {},
        r"ends? in .txt, but holds none; the first of what it holds is a.pdf",
    ),
    "an empty folder": ({"x/.hidden.txt": "word"}, {}, r"holds none\.$"),
    "a file beside the classes": ({"x/a/1.txt": WORDS, "x/2.txt": WORDS}, {}, "2.txt lies in none; move it into one"),
    "undecodable bytes": ({"x": b"good\nb\xe4d"}, {}, r"not utf-8: byte 0xe4 at position 6.*data.encoding.*latin-1"),
    "undecodable in a folder": ({"x/1.txt": "good", "x/2.txt": b"\xff"}, {}, r"2.txt is not utf-8: byte 0xff at pos"),
    "an unknown encoding": ({"x": WORDS}, {"encoding": "utf-9"}, "data.encoding is 'utf-9'"),
    "no column chosen": ({"x.csv": "body,about\na,b\n"}, {}, r"data.column= says which .* text: body, about"),
    "no such column": ({"x.csv": "body,about\na,b\n"}, {"column": "text"}, "'text', but the columns .*: body, about"),
    "no such labels": ({"x.csv": "body\na\n"}, {"column": "body", "labels": "y"}, r"data.labels is 'y'.*: body\."),
    "a class that is missing": (
        {"x.tsv": "body\ty\nword\ta\nword\t\n"},
        {"column": "body", "labels": "y"},
        "row 2 .* no class in column 'y'",
    ),
    "a column of a folder": ({"x/1.txt": WORDS}, {"column": "body"}, "data.column is 'body', but .* is no table"),
    "labels of lines": ({"x": WORDS}, {"labels": "y"}, "data.labels is 'y', but .* is no table"),
    "a broken table": ({"x.csv": "a\n1,2\n1,2,3\n"}, {"column": "a"}, "x.csv cannot be read as .csv"),
    "a broken parquet": ({"x.parquet": "PAR?"}, {"column": "a"}, "x.parquet cannot be read as .parquet"),
    "no gzip": ({"x.gz": "PAR?"}, {}, "x.gz cannot be unpacked"),
    "nothing": ({"x": ""}, {}, "holds no documents"),
    "no words": ({"x": "a b\nc\n"}, {}, "no words to count in its 2 documents.*empty vocabulary.*data.min_df"),
    "min_df above the documents": ({"x": WORDS}, {"min_df": 4}, r"data.min_df is 4, but .* only 3 documents to train"),
    "min_df above max_df": ({"x": WORDS}, {"min_df": 3, "max_df": 1}, "max_df corresponds to < documents than min_df"),
    "all words pruned": ({"x": WORDS}, {"min_df": 2}, "no terms remain"),
    "a fraction above 1": ({"x": WORDS}, {"min_df": 5.5}, "'min_df' parameter"),
    "an unknown stop list": ({"x": WORDS}, {"stop_words": "german"}, "'stop_words' parameter"),
    "no expression": ({"x": WORDS}, {"token_pattern": "("}, r"data.token_pattern is '\('"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_text_is_refused(tmp_path, case):
    files, options, said = REFUSED[case]
    write(tmp_path, files)
    path = tmp_path / (next(iter(files), "x").partition("/")[0])
    with pytest.raises(Refusal, match=said):
        Text(path, validation=0, test=0, **options).setup()


def test_numbers_are_no_documents_and_no_new_document_may_be_all_silent(tmp_path):
    pd.DataFrame({"body": ["a", None], "n": [1, 2]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(Refusal, match=r"column 'n' of .* must be text, but row 1 is 1"):
        Text(tmp_path / "x.parquet", column="n").setup()
    with pytest.raises(Refusal, match=r"none of the 2 documents .* says one of the 1 words .*, 'unheard' first"):
        Text(tmp_path / "x.parquet", column="body").read(tmp_path / "x.parquet", ["unheard"])


@pytest.mark.parametrize("divergence", ["frobenius", "kullback_leibler"])
def test_text_is_trained_on(train, tmp_path, divergence):
    path = folder(tmp_path)["path"]
    (path / "dog" / "9.txt").write_text("?")
    ran = train(
        "data=text",
        f"data.path={path}",
        "data.ngram_range=[1,2]",
        "data.validation=0",
        "data.test=0",
        "+preprocessing@data.preprocessing=tf_idf",
        f"divergence={divergence}",
        "n_components=2",
        "trainer.max_epochs=3",
    )
    assert ran.code == 0, ran.err
    assert (ran.directory / "run" / "components.png").stat().st_size > 0


def test_the_command_says_what_is_no_text(train, tmp_path):
    table(tmp_path, "x.csv")
    ran = train("data=text", "data.path=x.csv", "data.column=text")
    assert ran.code == 2
    assert "refused: data.column is 'text', but the columns of x.csv are: number, body, about." in ran.sentence

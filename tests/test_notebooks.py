"""Notebooks run from the first cell to the last, on small stand-ins for the files that they read."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from stand_ins import all_aml, breast21_sbs96, morning_coffee_clip, newsgroups20, orl_faces, pbmc68k_reduced

import nmf_nets

NOTEBOOKS = sorted((Path(nmf_nets.__file__).parent.parent / "notebooks").glob("*.ipynb"))
STAND_INS = (all_aml, breast21_sbs96, morning_coffee_clip, newsgroups20, orl_faces, pbmc68k_reduced)
named = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for stand_in in STAND_INS:
        stand_in.write(folder)
    return folder


@named
@pytest.mark.process
def test_it_runs_and_shows_figures(path, data, tmp_path, monkeypatch):
    monkeypatch.setenv("NMF_NETS_DATA", str(data))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr"]


@named
def test_it_is_stored_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@named
def test_its_figures_stand_in_the_documentation(path):
    pages = path.parent.parent / "docs" / "notebooks"
    text = (pages / f"{path.stem}.md").read_text()
    pictures = list((pages / f"{path.stem}_files").glob("*.png"))
    assert pictures
    assert all(f"{picture.parent.name}/{picture.name}" in text for picture in pictures)

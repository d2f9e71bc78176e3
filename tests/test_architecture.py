import ast
import json
from pathlib import Path

import pytest

import nmf_nets

PACKAGE = Path(nmf_nets.__file__).parent

LAYERS = [
    ["refusal", "extras", "shapes", "part", "grid", "threads", "division", "folder", "whole_file"],
    [
        "group",
        "codes",
        "factorization",
        "matrix",
        "as_matrix",
        "sparse_product",
        "spectrum",
        "targets",
        "kinds",
        "lags",
        "contents",
    ],
    [
        "divergences",
        "penalties",
        "constraints",
        "criterion",
        "effort",
        "extrapolation",
        "metrics",
        "loader",
        "observed",
        "preprocessing",
        "sources",
        "heads",
        "sound",
        "heartbeat",
    ],
    [
        "strategy",
        "source_loader",
        "stream_loader",
        "implicit",
        "updates",
        "half_steps",
        "cold_start",
        "kernels",
        "weight",
        "data",
        "held_out",
        "notes",
    ],
    ["encoders", "decoders", "solver", "symmetric", "objective", "multipliers", "row_sums"],
    ["optimizers", "running_sums", "solvers", "row_solver"],
    ["exact", "row_blocks"],
    ["inits"],
    ["starts"],
    ["watch"],
    ["modules", "plots", "loggers", "run_directory", "fit", "stream", "sequential", "underapproximation", "pages"],
    ["restarts", "checkpoints"],
    ["row_store"],
    ["row_run"],
    ["model", "estimators", "selection", "topics", "signatures", "programmes", "distributed"],
    ["recommendation", "judgements"],
    ["saved_model"],
    ["callbacks", "benchmark"],
    ["verdict", "program"],
    ["report"],
    ["train", "transform", "dashboard", "select", "factorize_file"],
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

# Rooms of one level that may see each other, downwards within the level.
BESIDE = {
    ("updates", "kernels"),
    ("updates", "cold_start"),
    ("updates", "half_steps"),
    ("half_steps", "kernels"),
    ("half_steps", "cold_start"),
    ("metrics", "divergences"),
    ("metrics", "criterion"),
    ("criterion", "divergences"),
    ("criterion", "penalties"),
    ("data", "loader"),
    ("data", "source_loader"),
    ("data", "stream_loader"),
    ("spectrum", "matrix"),
    ("factorization", "matrix"),
    ("kinds", "targets"),
    ("matrix", "sparse_product"),
    ("as_matrix", "matrix"),
    ("extras", "refusal"),
    ("folder", "refusal"),
    ("whole_file", "refusal"),
    ("decoders", "solver"),
    ("encoders", "decoders"),
    ("optimizers", "running_sums"),
    ("stream", "fit"),
    ("benchmark", "program"),
    ("benchmark", "callbacks"),
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nmf_nets."):
            found.add(node.module.split(".")[1])
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("nmf_nets.")}
    return found


SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    room = room_of(path)
    for other in imports_of(path) - {room}:
        assert LEVEL[other] < LEVEL[room] or (room, other) in BESIDE, f"{room} must not import {other}"


def test_every_room_has_a_level():
    assert {room_of(path) for path in SOURCES} <= set(LEVEL)


def test_nobody_knows_the_benchmark_but_the_verdict():
    knowing = {room_of(path) for path in SOURCES if "benchmark" in imports_of(path)} - {"benchmark"}
    assert knowing == {"verdict"}


def test_metrics_know_only_factors():
    known = {other for path in SOURCES if room_of(path) == "metrics" for other in imports_of(path)}
    of_factors = {"metrics", "criterion", "divergences", "factorization", "matrix", "shapes", "spectrum", "division"}
    assert known <= of_factors | {"refusal", "extras"}


def test_data_know_no_model():
    known = {other for path in SOURCES if room_of(path) == "data" for other in imports_of(path)}
    assert known <= {
        "data",
        "matrix",
        "as_matrix",
        "loader",
        "preprocessing",
        "extras",
        "part",
        "refusal",
        "shapes",
        "lags",
        "contents",
        "observed",
        "folder",
        "sound",
        "sources",
        "source_loader",
        "stream_loader",
        "group",
    }


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_define_nothing(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    for node in ast.walk(ast.parse("\n".join("".join(cell["source"]) for cell in cells))):
        assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)

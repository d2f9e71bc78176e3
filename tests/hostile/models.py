"""The doors of a saved model: its files, and the rows that are brought to it."""

import io
import json
import warnings
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hostile.doors import assert_factor, attempt, door
from hostile.files import mutations
from hostile.strategies import FORMS, Given, given
from hydra import compose, initialize_config_dir
from hypothesis import strategies as st

import nmf_nets
from nmf_nets.program import CONFIGS
from nmf_nets.run_directory import RunDirectory
from nmf_nets.saved_model import save_model
from nmf_nets.train import make_net, part

FILES = ("model.json", "model.safetensors")


@cache
def saved() -> dict[str, bytes]:
    """The files of a small net, as it starts."""
    with TemporaryDirectory() as directory, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = compose(
                "train", ["n_components=2", "data=synthetic", "data.n_samples=20", "data.n_features=3", "encoder=mlp"]
            )
        data = part(config.data)
        data.setup()
        net, _ = make_net(config, data)
        save_model(RunDirectory(Path(directory)), config, net, data)
        return {name: (Path(directory) / name).read_bytes() for name in FILES}


def opened(files: dict[str, bytes]) -> Any:
    with TemporaryDirectory() as directory:
        for name, data in files.items():
            (Path(directory) / name).write_bytes(data)
        return nmf_nets.load(directory)


ODD = (None, 0, -1, 2**40, 1e400, "", "nope", [], {}, [1], {"_target_": "nmf_nets.encoders.mlp.MLP"}, True)


@st.composite
def damaged(draw: Any) -> dict[str, bytes]:
    files = dict(saved())
    name = draw(st.sampled_from(FILES))
    if name == "model.json" and draw(st.booleans()):
        about = json.loads(files[name])
        node = about
        while True:
            key = draw(st.sampled_from(sorted(node)))
            if not (isinstance(node[key], dict) and node[key] and draw(st.booleans())):
                break
            node = node[key]
        if draw(st.booleans()):
            node[key] = draw(st.sampled_from(ODD))
        else:
            del node[key]
        files[name] = json.dumps(about).encode()
    else:
        files[name] = draw(mutations(files[name]))
    return files


@door(damaged(), examples=100, typed=True)
def saved_model(files: dict[str, bytes]) -> None:
    with warnings.catch_warnings(), attempt():
        warnings.simplefilter("ignore")
        model = opened(files)
        H = model.transform(torch.ones(2, 3))
        assert_factor(H, (2, model.n_components))


@door(
    st.tuples(
        given(FORMS, bad=True, empty=True),
        st.sampled_from(["own", "refined", "exact", "nope", None]),
        st.sampled_from([None, 1, 0, -1, 2.5, "a"]),
    ),
    examples=80,
)
def rows_of_a_model(inputs: tuple[Given, Any, Any]) -> None:
    X, codes, batch_size = inputs
    model = kept_model()
    with attempt(X):
        H = model.transform(X.value, codes, batch_size)
        assert_factor(H, (X.truth.shape[0], 2))
        assert_factor(model.inverse_transform(H), (X.truth.shape[0], 3))


@cache
def kept_model() -> Any:
    return opened(saved())

"""From a run's net to two files, and back to a model that codes rows."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, get_args

import safetensors.torch
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from nmf_nets import __version__
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.heads.base import Head
from nmf_nets.kinds import refuse_kinds
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.model import Learned, Model
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.part import given
from nmf_nets.penalties.base import Penalty
from nmf_nets.preprocessing.base import Preprocessing
from nmf_nets.refusal import Refusal, first_line
from nmf_nets.run_directory import MODEL, TENSORS, RunDirectory
from nmf_nets.targets import PARTS, refuse_foreign_targets, refuse_references
from nmf_nets.updates.base import Update

SCHEMA = 1
INSTANTIATED = ("divergence", "update", "encoder", "head", "preprocessing", "penalties_H", "data")
"""The entries of model.json that are configurations."""


@dataclass(frozen=True)
class Description:
    """model.json: what the tensors do not say.

    package: the version that wrote it. sha256: of model.safetensors.
    n_samples: of the training rows, which some encoders have codes of. classes: of the head.
    levels, lags, copies, couples_rows: of the decoder.
    divergence, update, encoder, head, preprocessing: their configurations; penalties_H: of the penalties on H that new
    rows heed; data: of what read the training rows.
    """

    package: str
    sha256: str
    dtype: str
    n_samples: int
    levels: int
    lags: int
    copies: int
    couples_rows: bool
    signed: bool
    image_shape: list[int] | None
    feature_names: list[str] | None
    classes: list[Any] | None
    divergence: dict[str, Any]
    update: dict[str, Any]
    encoder: dict[str, Any]
    head: dict[str, Any] | None
    preprocessing: dict[str, Any] | None
    penalties_H: dict[str, Any]
    data: dict[str, Any]


KINDS: dict[Any, tuple[Callable[[Any], bool], str]] = {
    str: (lambda value: isinstance(value, str), "a text"),
    int: (lambda value: type(value) is int and value >= 1, "an integer of at least 1"),
    bool: (lambda value: isinstance(value, bool), "true or false"),
    list[int]: (lambda value: _list_of(int, value) and len(value) in (2, 3), "two or three integers"),
    list[str]: (lambda value: _list_of(str, value), "a list of texts"),
    list[Any]: (lambda value: isinstance(value, list), "a list"),
    dict[str, Any]: (lambda value: isinstance(value, dict), "an object"),
}
"""Of the annotations in `Description`: what an entry must be."""


def save_model(run: RunDirectory, config: DictConfig, net: NonNegativeAutoencoder, data: MatrixDataModule) -> None:
    """Leaves the net that this configuration made, trained on these data, as model.safetensors and model.json.

    Of the codes that encoders keep of training rows nothing is left; those are in factors.safetensors.
    """
    names = ("divergence", "update", "encoder", "head", "penalties_H", "data")
    parts: dict[str, Any] = {name: OmegaConf.to_container(config[name], resolve=True) for name in names}
    decoder, dataset = net.decoder, data.dataset
    levels = {f"W{number}": level for number, level in enumerate(decoder.levels, 1)}
    learned = {"encoder": net.encoder, "head": net.head, "preprocessing": data.preprocessing}
    states = {name: {} if part is None else _without_memory(part) for name, part in learned.items()}
    tensors = safetensors.torch.save(
        {
            f"{part}.{name}": tensor.detach().cpu().contiguous().clone()
            for part, state in {"decoder": levels, **states}.items()
            for name, tensor in state.items()
        }
    )
    on_H = zip(parts["penalties_H"].items(), net.criterion.on_H.penalties, strict=True)
    description = Description(
        package=__version__,
        sha256=hashlib.sha256(tensors).hexdigest(),
        dtype=_name(decoder.W.dtype),
        n_samples=data.training.shape[0],
        levels=len(levels),
        lags=decoder.lags,
        copies=decoder.copies,
        couples_rows=decoder.couples_rows,
        signed=data.training.signed or bool((decoder.W < 0).any()),
        image_shape=None if dataset.image_shape is None else list(dataset.image_shape),
        feature_names=None if dataset.feature_names is None else list(dataset.feature_names),
        classes=None if net.head is None else [_plain(label) for label in data.classes.tolist()],
        divergence=parts["divergence"],
        update=parts["update"],
        encoder=parts["encoder"],
        head=parts["head"] or None,
        preprocessing=parts["data"].get("preprocessing"),
        penalties_H={name: node for (name, node), penalty in on_H if not penalty.couples_rows},
        data={name: value for name, value in parts["data"].items() if name != "preprocessing"},
    )
    run.save_model({"schema": SCHEMA, **asdict(description)}, tensors)


def load(directory: str | Path, device: str | torch.device = "cpu", allow: Sequence[str] = ()) -> Model:
    """The model that training left in its run directory; no pickle is read, and nothing in the files is run.

    allow: prefixes of the names of your own classes, for a net that has some; those of this package are known.
    Raises Refusal for files that are damaged, those of another schema, and what is no model.
    """
    about, path = describe(directory, allow), Path(directory).expanduser() / TENSORS
    tensors, digest = _read_tensors(path)
    decoder = _decoder(about, tensors, path)
    columns = len(decoder.W) // decoder.lags
    H = decoder.W.new_ones(1, columns).expand(about.n_samples, columns)  # however many the file says
    start = Factorization(H, decoder.W[:columns], decoder.copies // decoder.lags)
    encoder = _made(about.encoder, Encoder, path, lambda make: given(make, decoder=decoder)(start))
    encoder.forget_()
    _fill(encoder, "encoder", tensors, path)
    head = None
    if about.head is not None:
        head = _made(about.head, Head, path, lambda make: make(start, len(about.classes or ())))
        _fill(head, "head", tensors, path)
    preprocessing = None
    if about.preprocessing is not None:
        row = DenseMatrix(decoder.W.new_ones(1, decoder.W.shape[1]))
        preprocessing = _made(about.preprocessing, Preprocessing, path, lambda made: _fitted(made, row))
        _fill(preprocessing, "preprocessing", tensors, path)
    if tensors:
        raise Refusal(f"{path} holds {next(iter(tensors))}, which its {MODEL} knows nothing of.")
    if digest != about.sha256:
        raise Refusal(f"{path} is not the file that its {MODEL} was written with; resume the run, or train again.")
    net = NonNegativeAutoencoder(
        encoder,
        decoder,
        _made(about.divergence, Divergence, path),
        _no_training,
        head,
        [_made(node, Penalty, path, lambda make: make()) for node in about.penalties_H.values()],
    ).eval()
    try:
        net.to(device)
    except (RuntimeError, AssertionError) as error:
        raise Refusal(f"device is {device!r}, but torch cannot use it: {first_line(error)}.") from error
    return Model(
        net,
        _made(about.update, Update, path),
        None if preprocessing is None else preprocessing.to(device),
        None if about.feature_names is None else tuple(about.feature_names),
        None if about.image_shape is None else tuple(about.image_shape),
        None if about.classes is None else tuple(about.classes),
        about.signed,
    )


def data_module(directory: str | Path, allow: Sequence[str] = ()) -> MatrixDataModule:
    """What read the training rows, to read others as it did."""
    return _made(describe(directory, allow).data, MatrixDataModule, Path(directory).expanduser() / TENSORS)


def describe(directory: str | Path, allow: Sequence[str] = ()) -> Description:
    """What model.json says, with configurations that may be instantiated."""
    path = Path(directory).expanduser() / MODEL
    if not path.is_file():
        raise Refusal(
            f"{path.parent} holds no {path.name}: it is not the directory of a run, or its training has not ended, or "
            f"ended before models were saved; python train.py resume={path.parent} ends it and leaves one."
        )
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path} cannot be read as JSON: {first_line(error)}.") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise Refusal(
            f"{path} has the schema {schema!r}, but nmf_nets {__version__} reads {SCHEMA}; it was written by "
            f"{found.get('package')!r}, which can read it."
            if schema is not None
            else f"{path} has no schema; it is not the description of a model."
        )
    entries: dict[str, Any] = {field.name: found.get(field.name) for field in fields(Description)}
    for field in fields(Description):
        kind, *none = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
        is_one, words = KINDS[kind]
        value = entries[field.name]
        if not (is_one(value) or (none and value is None)):
            raise Refusal(f"{path} has {repr(value)[:40]} as its {field.name}, which must be {words}.")
    parts = {name: entries[name] for name in INSTANTIATED}
    try:
        refuse_references(parts)
        refuse_foreign_targets(parts, allow, PARTS)
        refuse_kinds(parts)
    except Refusal as refusal:
        raise Refusal(f"{path}: {refusal}") from None
    return Description(**entries)


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """What the file holds, and its digest."""
    if not path.is_file():
        raise Refusal(f"{path.parent} holds no {path.name}, which its {MODEL} belongs to.")
    data = path.read_bytes()
    try:
        tensors = safetensors.torch.load(data)
    except Exception as error:  # of a parser that is given anything at all
        raise Refusal(f"{path} cannot be read: {first_line(error)}.") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise Refusal(f"{path} holds entries of {name} that are not finite; resume the run, or train again.")
    return tensors, hashlib.sha256(data).hexdigest()


def _decoder(about: Description, tensors: dict[str, Tensor], path: Path) -> Learned:
    levels: list[Tensor] = []
    for number in range(1, about.levels + 1):
        name = f"decoder.W{number}"
        level = tensors.pop(name, None)
        if level is None:
            raise Refusal(f"{path} lacks {name}; it is damaged, or that of another model.")
        columns = len(levels[-1]) if levels else level.shape[-1]
        if level.dim() != 2 or level.shape[1] != columns or 0 in level.shape or _name(level.dtype) != about.dtype:
            raise Refusal(
                f"{path} holds {name} of the shape {tuple(level.shape)} in {_name(level.dtype)}, but it must be a "
                f"matrix with {columns} columns in {about.dtype}."
            )
        levels.append(level)
    decoder = Learned(levels, about.lags, about.copies, about.couples_rows)
    (rows, m), names, shape = decoder.W.shape, about.feature_names, about.image_shape
    if rows % about.copies or about.copies % about.lags:
        raise Refusal(f"{path} holds {rows} rows of W, but its {MODEL} says {about.copies} of each component.")
    for said, count in (("feature_names", names and len(names)), ("image_shape", shape and math.prod(shape))):
        if count is not None and count != m:
            raise Refusal(f"{path} holds components of {m} features, but its {MODEL} has {said} for {count}.")
    return decoder


def _made(node: Mapping[str, Any], kind: type, path: Path, complete: Callable[[Any], Any] = lambda part: part) -> Any:
    """The part that a configuration describes."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise Refusal(f"{path.with_name(MODEL)} holds {repr(node)[:40]} where a {kind.__name__} must be described.")
    try:
        part = complete(instantiate(node, _convert_="all"))
    except Exception as error:  # whatever a class makes of arguments that may be anything
        why = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        raise Refusal(f"{path.with_name(MODEL)}: {node.get('_target_')} cannot be made: {first_line(why)}.") from error
    if not isinstance(part, kind):
        raise Refusal(f"{path.with_name(MODEL)} names {node.get('_target_')!r} where a {kind.__name__} must be.")
    return part


def _fitted(preprocessing: Preprocessing, X: Matrix) -> Preprocessing:
    preprocessing.fit(X)
    return preprocessing


def _fill(part: nn.Module, prefix: str, tensors: dict[str, Tensor], path: Path) -> None:
    """Gives the part its own of the tensors, and takes them away."""
    state = _without_memory(part)
    for name, like in state.items():
        tensor = tensors.pop(f"{prefix}.{name}", None)
        if tensor is None:
            raise Refusal(f"{path} lacks {prefix}.{name}; it is damaged, or that of another model.")
        if tensor.shape != like.shape or tensor.dtype != like.dtype:
            raise Refusal(
                f"{path} holds {prefix}.{name} of the shape {tuple(tensor.shape)} in {_name(tensor.dtype)}, but it "
                f"must be {tuple(like.shape)} in {_name(like.dtype)}."
            )
        state[name] = tensor
    part.load_state_dict(state)


def _without_memory(part: nn.Module) -> dict[str, Tensor]:
    """The state, without the codes that an encoder keeps of training rows."""
    return {name: tensor for name, tensor in part.state_dict().items() if name.rpartition(".")[2] != "kept"}


def _no_training(*parts: Any, **more: Any) -> NoReturn:
    raise Refusal("a saved model learns no more; resume=DIRECTORY goes on with its training.")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(type(entry) is kind for entry in value)


def _plain(label: Any) -> Any:
    return label if isinstance(label, int | float | str) else str(label)

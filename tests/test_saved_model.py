"""What is saved comes back, of every part there is; what is not whole is refused."""

import hashlib
import json
import re
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

import nmf_nets
from nmf_nets.encoders.exact import Exact
from nmf_nets.factorization import Factorization
from nmf_nets.program import CONFIGS
from nmf_nets.refusal import Refusal

FEW_DIGITS = ["data.validation=0.45", "data.test=0.45"]
MOTIFS = ["data=motifs", "decoder=convolutive", "divergence=kullback_leibler", "optimizer=multiplicative"]
MEMBERS = {
    "beta": ["data=synthetic", "data.n_samples=90", "data.noise=0.1", "divergence=beta", "encoder=refined"],
    "classifier": [*FEW_DIGITS, "experiment=classifier"],
    "convex": [*FEW_DIGITS, "experiment=convex"],
    "convolutive": ["experiment=convolutive", "data.n_samples=200"],
    "convolutive, shifts": [*MOTIFS, "encoder=convolutional", "decoder.shifts=2", "data.n_samples=200"],
    "convolutive, table": [*MOTIFS, "encoder=table", "data.n_samples=200"],
    "deep": [*FEW_DIGITS, "experiment=deep", "encoder=exact", "decoder.iterations=3"],
    "exact": [*FEW_DIGITS, "encoder=exact"],
    "graph_regularized": [*FEW_DIGITS, "experiment=graph_regularized"],
    "hierarchical": [*FEW_DIGITS, "experiment=hierarchical", "decoder.iterations=3"],
    "itakura_saito": ["experiment=itakura_saito", "data.n_samples=90"],
    "linear": [*FEW_DIGITS, "encoder=linear", "divergence=kullback_leibler"],
    "lista": [*FEW_DIGITS, "encoder=lista", "data.dtype=float64"],
    "mlp, frobenius": [*FEW_DIGITS, "encoder=mlp"],
    "mlp, kullback_leibler": [*FEW_DIGITS, "encoder=mlp", "divergence=kullback_leibler"],
    "projective": [*FEW_DIGITS, "experiment=projective"],
    "refined table": [*FEW_DIGITS, "encoder=refined", "encoder@encoder.inner=table"],
    "semi": ["experiment=semi", "data.n_samples=90"],
    "seqnmf": ["experiment=seqnmf", "data.n_samples=200"],
    "smooth": [*FEW_DIGITS, "experiment=smooth"],
    "sparse_coding": [*FEW_DIGITS, "experiment=sparse_coding"],
    "sparseness": [*FEW_DIGITS, "experiment=sparseness"],
    "symmetric": ["experiment=symmetric", "data.n_samples=60"],
    "table": [*FEW_DIGITS, "encoder=table"],
    "tri_factor": ["experiment=tri_factor", "encoder=unrolled", "data.n_samples=90"],
    "unrolled": FEW_DIGITS,
}
OTHER_ORDER = {"convex", "deep", "hierarchical"}
"""What their W is made of lies in another order in memory, where products are rounded otherwise."""

NO_OWN_CODES = {"convolutive, table", "refined table", "symmetric", "table"}
COUPLED = {"convolutive", "convolutive, shifts", "convolutive, table", "seqnmf"}


def new_rows(data):
    X = data.dataset.X if data.test is None else data.test
    return X if data.contiguous else X.rows(torch.arange(9))


@pytest.mark.parametrize("member", MEMBERS)
def test_a_saved_net_codes_rows_as_it_did(saved, member):
    directory, net, data = saved(*MEMBERS[member])
    model, X = nmf_nets.load(directory), new_rows(data)
    alike = partial(torch.testing.assert_close, **({} if member in OTHER_ORDER else {"rtol": 0, "atol": 0}))
    alike(model.W, net.decoder.W.detach())
    assert model.n_components == 4
    assert (model.image_shape, model.feature_names) == (data.dataset.image_shape, data.dataset.feature_names)
    assert model.divergence.beta == net.divergence.beta
    assert not any(part.training for part in (model.net, *model.net.modules()))
    if member in NO_OWN_CODES:
        for codes in ("own", "refined"):
            with pytest.raises(Refusal, match="use codes=exact"):
                model.transform(X, codes)
        H = model.transform(X, "exact")
    else:
        H = model.transform(X)
        with torch.no_grad():
            alike(H, net.codes(X))
        assert torch.equal(H, nmf_nets.load(directory).transform(X)), "another time"
    assert H.shape[0] == X.shape[0]
    assert bool((H >= 0).all())
    assert torch.equal(model.inverse_transform(H), net.decoder.spread(H) @ model.W)


@pytest.mark.parametrize("member", sorted(set(MEMBERS) - {"table", "symmetric", "refined table", "convolutive, table"}))
def test_refined_and_exact_codes_are_better_and_the_best(saved, member):
    directory, net, data = saved(*MEMBERS[member])
    model, X = nmf_nets.load(directory), new_rows(data)

    def value(codes):
        H = model.transform(X, codes)
        factors = Factorization(net.decoder.spread(H), model.W, net.decoder.copies)
        return float(net.criterion.divergence.total(X, factors) + net.criterion.unseen.on_H.value(factors.H))

    own, refined, exact = map(value, ("own", "refined", "exact"))
    assert refined <= own * (1 + 1e-6 if member not in COUPLED else 1 + 1e-3), "steps with momentum may rise a little"
    if 1 <= model.divergence.beta <= 2:
        assert exact <= refined * (1 + 1e-3)
    if member not in COUPLED:
        expected = Exact(None, model.update)(X, model.W, None, net.criterion.unseen.on_H)
        assert torch.equal(model.transform(X, "exact"), expected)


@pytest.mark.parametrize("group", ["encoder", "decoder", "divergence"])
def test_every_part_is_in_a_member(group):
    words = {word for name, overrides in MEMBERS.items() for word in re.split(r"[ ,=]+", " ".join([name, *overrides]))}
    assert {path.stem for path in (CONFIGS / group).glob("*.yaml")} <= words


def test_rows_with_places_of_their_own_heed_penalties_that_join_rows_and_new_ones_do_not(saved):
    directory, _, data = saved(*MEMBERS["graph_regularized"])
    plain, _, _ = saved(*FEW_DIGITS, "encoder.warm=5", "update=multiplicative", directory="plain")
    described = json.loads((directory / "model.json").read_text())
    assert described["penalties_H"] == {}
    model, X = nmf_nets.load(directory), new_rows(data)
    assert model.net.criterion.on_H.penalties == ()
    assert torch.equal(model.transform(X), nmf_nets.load(plain).transform(X))


def test_a_penalty_on_each_code_is_heeded(saved):
    directory, _, data = saved(*FEW_DIGITS, "+penalty@penalties_H.sparse=l1", "penalties_H.sparse.strength=50")
    plain, _, _ = saved(*FEW_DIGITS, directory="plain")
    X = new_rows(data)
    assert nmf_nets.load(directory).transform(X).sum() < 0.99 * nmf_nets.load(plain).transform(X).sum()


def test_a_convex_model_needs_no_training_rows(saved):
    directory, _, data = saved(*MEMBERS["convex"])
    n, m = data.training.shape
    assert {name: tuple(tensor.shape) for name, tensor in load_file(directory / "model.safetensors").items()} == {
        "decoder.W1": (4, m)
    }
    assert n > m


def test_levels_and_what_w_is_made_of_stay_apart(saved):
    directory, net, _ = saved(*MEMBERS["hierarchical"])
    levels = nmf_nets.load(directory).net.decoder.levels
    assert [tuple(level.shape) for level in levels] == [(32, 64), (4, 32)]
    assert all(torch.equal(level, own) for level, own in zip(levels, net.decoder.levels, strict=True))


def test_the_head_names_the_classes_as_it_did(saved):
    directory, net, data = saved(*MEMBERS["classifier"])
    model, X = nmf_nets.load(directory), new_rows(data)
    assert model.classes == tuple(range(10))
    assert model.predict(X).tolist() == net.head.predict(net.factorize(X)).tolist()


def test_a_model_learns_no_more(saved):
    directory, _, _ = saved(*MEMBERS["mlp, frobenius"])
    with pytest.raises(Refusal, match="learns no more"):
        nmf_nets.load(directory).net.configure_optimizers()


# What is refused -----------------------------------------------------------------------------------------------------


def described(**entries):
    def change(directory):
        path = directory / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))

    return change


def tensors(change, sealed=True):
    """Changes the tensors, and the digest too, so that what is wrong has to be seen in them."""

    def changed(directory):
        path = directory / "model.safetensors"
        found = load_file(path)
        change(found)
        save_file(found, path)
        if sealed:
            described(sha256=hashlib.sha256(path.read_bytes()).hexdigest())(directory)

    return changed


def written(name, content):
    def change(directory):
        path = directory / name
        data = path.read_bytes()
        path.write_bytes(content(data))

    return change


def set_to(name, value):
    return lambda found: found.update({name: value(found[name])})


def one_nan(tensor):
    tensor = tensor.clone()
    tensor.view(-1)[3] = torch.nan
    return tensor


DAMAGED = {
    "no description": (lambda at: (at / "model.json").unlink(), "holds no model.json.*python train.py resume="),
    "no tensors": (lambda at: (at / "model.safetensors").unlink(), "holds no model.safetensors"),
    "a description cut off": (written("model.json", lambda data: data[:200]), "cannot be read as JSON"),
    "a description that is none": (written("model.json", lambda data: b"[1]"), "has no schema"),
    "a description nested without end": (written("model.json", lambda data: b"[" * 10**5), "cannot be read as JSON"),
    "tensors cut off": (written("model.safetensors", lambda data: data[:-9]), "model.safetensors cannot be read"),
    "tensors garbled": (written("model.safetensors", lambda data: bytes(reversed(data))), "cannot be read"),
    "one bit": (written("model.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1])), "is not the file that"),
    "a newer schema": (described(schema=2, package="9.0.0"), r"has the schema 2, but nmf_nets \S+ reads 1.*'9\.0\.0'"),
    "an older schema": (described(schema=0, package="0.0.1"), "has the schema 0"),
    "a count in words": (described(n_samples="many"), "'many' as its n_samples, which must be an integer of at least"),
    "no part": (described(encoder=None), "None as its encoder, which must be an object"),
    "names of others": (described(feature_names=["a", "b"]), "components of 64 features, but .* feature_names for 2"),
    "an image of another size": (described(image_shape=[2, 2]), "image_shape for 4"),
    "more copies than rows": (described(copies=3), "4 rows of W, but its model.json says 3"),
    "a part of another kind": (
        described(encoder={"_target_": "nmf_nets.divergences.frobenius.Frobenius"}),
        "Frobenius cannot be made|where a Encoder must be",
    ),
    "a part that takes no such argument": (
        described(divergence={"_target_": "nmf_nets.divergences.frobenius.Frobenius", "beta": 2}),
        "Frobenius cannot be made: Frobenius",
    ),
    "a tensor missing": (tensors(lambda found: found.pop("encoder.skip.weight")), "lacks encoder.skip.weight"),
    "components missing": (tensors(lambda found: found.pop("decoder.W1")), "lacks decoder.W1"),
    "a tensor too many": (tensors(lambda found: found.update(x=torch.ones(1))), "holds x, which"),
    "a tensor of another shape": (
        tensors(set_to("encoder.skip.weight", lambda tensor: tensor[:, 1:].contiguous())),
        r"encoder.skip.weight of the shape \(4, 11\) in float32, but it must be \(4, 12\)",
    ),
    "a tensor of another dtype": (
        tensors(set_to("encoder.skip.weight", torch.Tensor.double)),
        "in float64, but it must be",
    ),
    "components of another dtype": (tensors(set_to("decoder.W1", torch.Tensor.double)), "in float64, but it must be"),
    "components in a row": (tensors(set_to("decoder.W1", torch.Tensor.flatten)), r"of the shape \(256,\)"),
    "an entry that is no number": (
        tensors(set_to("encoder.skip.weight", one_nan)),
        "entries of encoder.skip.weight that are not finite",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_not_whole_is_refused_in_one_sentence(saved, case):
    damage, said = DAMAGED[case]
    directory, _, _ = saved(*MEMBERS["mlp, frobenius"])
    nmf_nets.load(directory)
    damage(directory)
    with pytest.raises(Refusal, match=said) as refused:
        nmf_nets.load(directory)
    assert "\n" not in str(refused.value)
    assert str(directory) in str(refused.value)


def test_a_directory_that_is_none_and_a_device_that_is_not_there(saved, tmp_path):
    with pytest.raises(Refusal, match=r"holds no model\.json: it is not the directory of a run"):
        nmf_nets.load(tmp_path / "nowhere")
    directory, _, _ = saved(*MEMBERS["mlp, frobenius"])
    with pytest.raises(Refusal, match="device is 'cuda:7', but torch cannot use it"):
        nmf_nets.load(directory, "cuda:7")

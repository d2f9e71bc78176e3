"""The program that trains: `python train.py`, `nmf-train`."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from rich.console import Console

from nmf_nets.callbacks.stopwatch import Stopwatch
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.decoders.linear import Linear
from nmf_nets.factorization import Factorization
from nmf_nets.loggers.base import trackers
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.part import given, part_name
from nmf_nets.plots.curves import draw_curves
from nmf_nets.program import pinned_threads, run_program
from nmf_nets.refusal import Refusal
from nmf_nets.report.page import save_report
from nmf_nets.run_directory import MetricsFile, RunDirectory
from nmf_nets.saved_model import save_model
from nmf_nets.targets import refuse_foreign_targets
from nmf_nets.verdict import Summary, Verdict, judge
from nmf_nets.weight import named_weights

SUMMARY = tuple(field.name for field in fields(Summary))


def main() -> None:
    """Trains what the configuration says."""
    run_program("train", train)


def train(config: DictConfig) -> float | None:
    """Fits, judges, and leaves all in the run directory; returns the entry of the summary that `metric` names."""
    run = RunDirectory(HydraConfig.get().runtime.output_dir)
    if config.resume is None:
        if run.config.exists():
            raise Refusal(
                f"{run.path} holds a run already; resume={run.path} goes on with it, or choose another directory."
            )
    else:
        config = _resumed(run, config, HydraConfig.get().overrides.task)
    if config.metric not in SUMMARY:
        raise Refusal(f"metric is {config.metric!r}, but must be an entry of the summary: {', '.join(SUMMARY)}.")
    _silence_advice()
    with pinned_threads(config.threads):
        try:
            verdict = _fit_and_judge(config, run)
        except SystemExit:  # Ctrl-C or SIGTERM in training
            Console(stderr=True).print(f"stopped; resume={run.path} goes on from the last checkpoint", soft_wrap=True)
            raise
        finally:
            if wandb.run is not None:
                wandb.finish()  # or the next job of a sweep would log into this run
    console = Console(width=max(Console().width, 92))
    console.print(verdict.table())
    if verdict.summary.peak_memory is not None:
        console.print(f"peak memory: {verdict.summary.peak_memory / 2**20:.0f} MiB")
    console.print(f"run directory: {run.path}", soft_wrap=True)
    return getattr(verdict.summary, config.metric)


def _resumed(run: RunDirectory, composed: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The saved configuration, wherever the directory lies now, with the values that the command line changes.

    Whom to trust the command line alone says: `allow` in a file that came with the directory would be its own witness.
    """
    saved = run.saved_config()
    for key in composed:
        if key not in saved:
            raise Refusal(
                f"{run.config} has no {key!r}: it is that of another version of nmf_nets, which can resume it."
            )
    for override in overrides:
        key, _, value = override.partition("=")
        if key in ("resume", "allow"):
            continue
        if OmegaConf.is_config(OmegaConf.select(saved, key)) or OmegaConf.select(saved, key, default=saved) is saved:
            raise Refusal(
                f"resume goes on with the configuration in {run.config}; of it {key!r} cannot be changed, only single "
                "values such as trainer.max_epochs."
            )
        OmegaConf.update(saved, key, OmegaConf.create(f"value: {value}").value)
    saved.allow = composed.allow
    refuse_foreign_targets(saved, saved.allow)
    return saved


def part(node: Any) -> Any:
    """What a configuration describes, or how to make it."""
    return instantiate(node, _convert_="all")


def make_net(config: DictConfig, data: MatrixDataModule) -> tuple[NonNegativeAutoencoder, Factorization]:
    """The net that the configuration describes, for the training rows, and the start that it was made from."""
    X = data.training
    start = part(config.init)(X, config.n_components, torch.Generator().manual_seed(config.seed))
    decoder = given(part(config.decoder), X=X)(start)
    encoder = given(part(config.encoder), decoder=decoder)(decoder.start_of_encoder(start))
    head = part(config.head)(start, data.n_classes) if config.head else None
    net = part(config.module)(
        encoder=encoder,
        decoder=decoder,
        optimizer=part(config.optimizer),
        head=head,
        penalties_H=[given(part(node), X=X)() for node in _penalties(config, "penalties_H")],
        penalties_W=[given(part(node), X=X.T)() for node in _penalties(config, "penalties_W")],
        penalties_HW=[part(node)() for node in _penalties(config, "penalties_HW")],
    )
    return net, start


def _penalties(config: DictConfig, name: str) -> list[Any]:
    if not isinstance(config[name], DictConfig):
        raise Refusal(f"{name} is {config[name]!r}, but holds penalties by names: +penalty@{name}.sparse=l1, say.")
    return list(config[name].values())


def _fit_and_judge(config: DictConfig, run: RunDirectory) -> Verdict:
    step = run.saved_step()
    if not isinstance(config.seed, int) or isinstance(config.seed, bool) or not 0 <= config.seed < 2**32:
        raise Refusal(f"seed is {config.seed!r}, but must be an integer from 0 to {2**32 - 1}.")
    pl.seed_everything(config.seed, verbose=False)
    data: MatrixDataModule = part(config.data)
    data.setup("fit")
    X = data.training
    divergence, update = part(config.divergence), part(config["update"])
    divergence.refuse(X)
    update.refuse(divergence)
    net, start = make_net(config, data)
    net.refuse_data(X)
    if net.decoder.couples_rows and not data.contiguous and len(data.training_rows) < data.dataset.X.shape[0]:
        raise Refusal(
            f"{type(net.decoder).__name__} couples rows, but rows are held out at random; use data.contiguous=true, "
            "which holds out the last ones."
        )
    rivals = {name.replace("_", " "): part(node) for name, node in config.rivals.items()}
    if not (rivals or config.plain_rivals):
        raise Refusal(
            "plain_rivals is false and there are no rivals, so that nothing could be said of the gap; add one, or use "
            "plain_rivals=true."
        )
    callbacks = {"stopwatch": Stopwatch(), **{name: part(node) for name, node in config.callbacks.items()}}
    loggers: list[Logger] = [MetricsFile(run.metrics), *(part(node) for node in config.logger.values())]
    trainer = part(config.trainer)(logger=loggers, callbacks=list(callbacks.values()), default_root_dir=run.path)
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(config, resolve=True))  # pyright: ignore[reportArgumentType]
    run.save_config(config)
    run.save_environment()
    run.forget_after(step)
    trainer.fit(net, datamodule=data, ckpt_path=None if step < 0 else run.checkpoint, weights_only=True)
    save_model(run, config, net, data)
    factors = net.own_factors(X.to(net.device))
    made_of = {} if isinstance(net.decoder, Linear) else named_weights(net.decoder)
    run.save_factors(
        factors if made_of else factors.balanced(),
        data.training_rows,
        {f"decoder.{name}": weight.value for name, weight in made_of.items()},
        divergence=part_name(divergence),
    )

    seconds = callbacks["stopwatch"].seconds
    with Console(stderr=True).status(f"the classical solvers run from the same start for the same {seconds:.1f} s"):
        best_known = Path(config.best_known)
        verdict = judge(net, data, start, update, seconds, config.seed, best_known, rivals, config.plain_rivals)
    run.save_summary(asdict(verdict.summary))
    _show(verdict, run, loggers, trainer.global_step)
    return verdict


def _show(verdict: Verdict, run: RunDirectory, loggers: Sequence[Logger], step: int) -> None:
    best = {"classical solver": verdict.summary.classical_value, "scikit-learn": verdict.summary.sklearn_value}
    best = {who: value for who, value in best.items() if value is not None}
    draw_curves(run.measurements(), best).savefig(run.curves, dpi=130)
    report = save_report(run.path, verdict)
    Console().print(f"report: {report}", soft_wrap=True, markup=False)
    for tracker in trackers(loggers):
        tracker.show_picture("curves", run.curves, step)
        tracker.show_table("verdict", verdict.columns, verdict.cells, step)
        tracker.show_summary(asdict(verdict.summary))


def _silence_advice() -> None:
    """Lightning's advice for other kinds of training; warnings that concern this one stay."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (r".*does not have many workers.*", r".*LeafSpec.*is deprecated.*"):
        warnings.filterwarnings("ignore", message)


if __name__ == "__main__":
    main()

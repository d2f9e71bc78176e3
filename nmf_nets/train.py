"""The program that trains: `python train.py`, `nmf-train`."""

import json
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from rich.console import Console

from nmf_nets.callbacks.stopwatch import Stopwatch
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.decoders.linear import Linear
from nmf_nets.factorization import Factorization
from nmf_nets.group import LostRank
from nmf_nets.heartbeat import end_lost
from nmf_nets.loggers.base import trackers
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.part import given, part_name
from nmf_nets.plots.curves import draw_curves
from nmf_nets.program import pinned_threads, run_program
from nmf_nets.refusal import Refusal, first_line, refuse_seed
from nmf_nets.report.page import REPORT, save_report
from nmf_nets.run_directory import MetricsFile, RunDirectory
from nmf_nets.saved_model import save_model
from nmf_nets.strategy import Replicas, register
from nmf_nets.verdict import Summary, Verdict, judge
from nmf_nets.weight import named_weights
from nmf_nets.whole_file import FullDisk, fault, refusing_a_full_disk

SUMMARY = tuple(field.name for field in fields(Summary))
OF_THE_COMMAND = ("resume", "allow", "metric", "logger", "best_known", "parameters", "directory")
"""What may differ between a command and the run that it goes on with: whom it tells, and what it is told."""


def main() -> None:
    """Trains what the configuration says."""
    run_program("train", train)


def train(config: DictConfig) -> float | None:
    """Fits, judges, and leaves all in the run directory; returns the entry of the summary that `metric` names."""
    run, fresh = RunDirectory(HydraConfig.get().runtime.output_dir), config.resume in (None, False)
    if not fresh and config.resume is not True:
        config = run.resumed(config, HydraConfig.get().overrides.task)
    if config.metric not in SUMMARY:
        raise Refusal(f"metric is {config.metric!r}, but must be an entry of the summary: {', '.join(SUMMARY)}.")
    if config.resume is True and run.config.exists():
        _refuse_another(run, config)
        if (run.path / REPORT).exists():  # what is written last
            Console(stderr=True).print(f"{run.path} is done already", soft_wrap=True, markup=False)
            return json.loads(run.summary.read_text())[config.metric]
    _silence_advice()
    register()
    callbacks = {"stopwatch": Stopwatch(), **{name: part(node) for name, node in config.callbacks.items()}}
    trainer = _trainer(part(config.trainer), callbacks=list(callbacks.values()), default_root_dir=run.path)
    _refuse_processes(trainer, fresh)
    if fresh and trainer.is_global_zero and run.config.exists():
        raise Refusal(
            f"{run.path} holds a run already; resume={run.path} goes on with it, resume=true with a whole sweep, or "
            "choose another directory."
        )
    if trainer.world_size > 1 and config.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(config.threads)  # or Lightning shares out the cores
    with pinned_threads(config.threads):
        try:
            with refusing_a_full_disk(run.path):
                verdict = _fit_and_judge(config, run, trainer, callbacks["stopwatch"])
        except (SystemExit, FullDisk):  # Ctrl-C or SIGTERM in training, or no room for what it leaves
            if trainer.is_global_zero:
                said = f"stopped; resume={run.path} goes on from the last checkpoint"
                Console(stderr=True).print(said, soft_wrap=True)
            raise
        except LostRank as lost:
            end_lost(str(lost))
        finally:
            if wandb.run is not None:
                wandb.finish()  # or the next job of a sweep would log into this run
    if verdict is None:
        return None
    console = Console(width=max(Console().width, 92))
    console.print(verdict.table())
    if verdict.summary.peak_memory is not None:
        console.print(f"peak memory: {verdict.summary.peak_memory / 2**20:.0f} MiB")
    console.print(f"run directory: {run.path}", soft_wrap=True)
    return getattr(verdict.summary, config.metric)


def _refuse_another(run: RunDirectory, config: DictConfig) -> None:
    """Raises Refusal where the directory holds a run of anything else than what the command describes."""
    saved, asked = (OmegaConf.to_container(each, resolve=True) for each in (run.saved_config(), config))
    assert isinstance(saved, dict)
    assert isinstance(asked, dict)
    differing = [
        str(key) for key in {**saved, **asked} if key not in OF_THE_COMMAND and saved.get(key) != asked.get(key)
    ]
    if differing:
        raise Refusal(
            f"{run.path} holds a run with other values of {', '.join(differing)}; resume=true goes on with the same "
            "command alone, so choose another directory."
        )


def part(node: Any) -> Any:
    """What a configuration describes, or how to make it."""
    return instantiate(node, _convert_="all")


def _trainer(make: Any, **given: Any) -> pl.Trainer:
    """Raises Refusal for what Lightning does not take, there or later."""
    try:
        return make(logger=False, **given)
    except (MisconfigurationException, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Refusal(f"trainer: {first_line(error)}. Look at its values.") from error


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


def _refuse_processes(trainer: pl.Trainer, fresh: bool) -> None:
    """Raises Refusal where processes would not come together as one run."""
    if trainer.world_size == 1:
        return
    if not isinstance(trainer.strategy, Replicas):
        raise Refusal(
            f"{type(trainer.strategy).__name__} does not sum over {trainer.world_size} processes what a step needs of "
            "all rows; use trainer.strategy=ddp."
        )
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN:
        raise Refusal(
            "a sweep of runs of several processes each would start the sweep in every one of them; use "
            "trainer.devices=1, or start the runs one by one."
        )
    environment = trainer.strategy.cluster_environment
    each_by_itself = trainer.num_nodes > 1 or (environment is not None and environment.creates_processes_externally)
    if fresh and each_by_itself and not any(word.startswith("hydra.run.dir=") for word in hydra.overrides.hydra):
        raise Refusal(
            "processes that are started one by one would each take a run directory by the time of day; give all of "
            "them the same hydra.run.dir=DIRECTORY."
        )


def _fit_and_judge(config: DictConfig, run: RunDirectory, trainer: pl.Trainer, stopwatch: Stopwatch) -> Verdict | None:
    """The verdict, of rank 0, which alone writes and judges."""
    checkpoint = run.checkpoint.newest_whole()
    if checkpoint == run.checkpoint.earlier and trainer.is_global_zero:
        what = f"{run.checkpoint.path} {fault(run.checkpoint.path)}; the run goes on from {checkpoint}"
        Console(stderr=True).print(what, soft_wrap=True, markup=False)
    step = run.saved_step(checkpoint)
    refuse_seed(config.seed)
    pl.seed_everything(config.seed, verbose=False)
    data: MatrixDataModule = part(config.data)
    data.setup("fit")
    X = data.training
    divergence, update = part(config.divergence), part(config["update"])
    divergence.refuse(X)
    update.refuse(divergence)
    net, start = make_net(config, data)
    net.refuse_data(X)
    net.refuse_ranks(trainer.world_size)
    if net.decoder.couples_rows and not data.contiguous and len(data.training_rows) < data.dataset.X.shape[0]:
        raise Refusal(
            f"{type(net.decoder).__name__} couples rows, but rows are held out at random; use data.contiguous=true, "
            "which holds out the last ones."
        )
    if data.dataset.sample is not None:
        _refuse_sample(net, trainer.world_size)
    rivals = {name.replace("_", " "): part(node) for name, node in config.rivals.items()}
    if not (rivals or config.plain_rivals):
        raise Refusal(
            "plain_rivals is false and there are no rivals, so that nothing could be said of the gap; add one, or use "
            "plain_rivals=true."
        )
    if trainer.is_global_zero:
        trainer.loggers = [MetricsFile(run.metrics), *(part(node) for node in config.logger.values())]
        for logger in trainer.loggers:
            logger.log_hyperparams(OmegaConf.to_container(config, resolve=True))  # pyright: ignore[reportArgumentType]
        run.save_config(config)
        run.save_environment()
        run.forget_after(step)
    trainer.fit(net, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if not trainer.is_global_zero:
        return None
    save_model(run, config, net, data)
    factors = net.own_factors(X.to(net.device))
    made_of = {} if isinstance(net.decoder, Linear) else named_weights(net.decoder)
    run.save_factors(
        factors if made_of else factors.balanced(),
        data.rows_of_training,
        {f"decoder.{name}": weight.value for name, weight in made_of.items()},
        divergence=part_name(divergence),
    )

    seconds = stopwatch.seconds
    with Console(stderr=True).status(f"the classical solvers run from the same start for the same {seconds:.1f} s"):
        best_known = Path(config.best_known)
        verdict = judge(net, data, start, update, seconds, config.seed, best_known, rivals, config.plain_rivals)
    run.save_summary(asdict(verdict.summary))
    _show(verdict, run, trainer.loggers, trainer.global_step)
    return verdict


def _refuse_sample(net: NonNegativeAutoencoder, processes: int) -> None:
    """Raises Refusal for a net that needs more of the training rows than a batch; nothing is kept of the others."""
    if processes > 1:
        raise Refusal(
            f"rows that are read as they are asked for would be read by each of {processes} processes alike; use "
            "trainer.devices=1, or data=matrix."
        )
    if not net.encoder.codes_unseen_rows:
        raise Refusal(
            f"encoder={part_name(net.encoder)} keeps codes of all training rows, but these are not in memory; use "
            "encoder=unrolled, or one that learns, as mlp, and code the rows afterwards by nmf-transform."
        )
    if net.decoder.couples_rows:
        raise Refusal(
            f"{type(net.decoder).__name__} couples rows, but these come in batches; use data=matrix, which holds all."
        )
    net.encoder.forget_()


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
    for message in (r".*does not have many workers.*", r".*LeafSpec.*is deprecated.*", r".*sync_dist=True.*"):
        warnings.filterwarnings("ignore", message)


if __name__ == "__main__":
    main()

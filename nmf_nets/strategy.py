"""Lightning's DDP for nets that sum what they need of rows themselves."""

import os
import signal
import threading
import time
from contextlib import ExitStack
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from nmf_nets.group import Group, together
from nmf_nets.heartbeat import beating

LOOK_EVERY = 5.0
"""Seconds, after a process that others depend on."""


class Replicas(DDPStrategy):
    """The processes of DDP and their launchers, but not its wrapper, whose hooks would average gradients of each rank's
    mean and copy rank 0's codes over those that others keep: Objective sums over the ranks of the batch.

    SIGTERM to any rank stops all after the same step, so that a checkpoint is one of all rows. A rank that is lost ends
    the others in seconds, one that is frozen within a minute: connections break or signs of life stay away, and those
    that have none yet look after their launcher, as it does after them.
    """

    def __init__(self, **ddp: Any):
        super().__init__(**ddp)
        self._asked_to_stop = False
        self._together = ExitStack()
        if int(os.environ.get("LOCAL_RANK", 0)) > 0:
            threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def setup_distributed(self) -> None:
        super().setup_distributed()
        self._together.enter_context(beating(Group()))

    def teardown(self) -> None:
        self._together.close()
        super().teardown()

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        with together():
            super().barrier(*args, **kwargs)

    def reduce(self, *args: Any, **kwargs: Any) -> Tensor:
        with together():
            return super().reduce(*args, **kwargs)

    def broadcast(self, *args: Any, **kwargs: Any) -> Any:
        with together():
            return super().broadcast(*args, **kwargs)

    def all_gather(self, *args: Any, **kwargs: Any) -> Tensor:
        with together():
            return super().all_gather(*args, **kwargs)

    def configure_ddp(self) -> None:
        """Replicas begin as rank 0's."""
        assert isinstance(self.model, LightningModule)
        Group().from_first_(*self.model.parameters(), *self.model.buffers())

    def on_train_start(self) -> None:
        """In the place of Lightning's own handler, which waits for other ranks wherever it interrupts this one."""
        signal.signal(signal.SIGTERM, self._ask_to_stop)

    def stop_together(self) -> None:
        """Raises SIGTERMException on all ranks, after the same step, once any was asked to stop."""
        asked = torch.tensor([float(self._asked_to_stop)], device=self.root_device)
        Group().max_(asked)
        if bool(asked):
            raise SIGTERMException

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_stop = True


def _end_with(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(LOOK_EVERY)
    os._exit(1)


def register() -> None:
    """`strategy=ddp`, which Lightning also takes by itself for several devices, is then this one."""
    StrategyRegistry.register("ddp", Replicas, "sums over ranks in the steps themselves", override=True)

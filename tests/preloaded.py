"""Programs in processes of their own, forked from one that has imported them: imports take longer than runs here."""

import multiprocessing
import os
import sys

from nmf_nets.train import main

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["preloaded"])


def begun(log, *overrides):
    """A process that trains, in the directory of this one; what it says goes to the log."""
    process = CONTEXT.Process(target=_train, args=(log, ["train.py", *overrides]))
    process.start()
    return process


def _train(log, argv):
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.argv = argv
    main()

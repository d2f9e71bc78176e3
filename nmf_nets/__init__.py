"""Non-negative matrix factorization as a non-negative autoencoder."""

import os

# Threads that wait go to sleep soon. GNU OpenMP lets them spin for milliseconds, which beside one or two other busy
# processes makes small steps up to a hundred times slower; spinning briefly is as fast on a quiet machine. This has its
# effect only if torch was not imported before.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"

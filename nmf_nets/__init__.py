"""Non-negative matrix factorization as a non-negative autoencoder."""

import os

# Threads that wait by sleeping. OpenMP's own default is to spin, which beside one other busy process makes small steps
# about twenty times slower. Has its effect if torch was not imported before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

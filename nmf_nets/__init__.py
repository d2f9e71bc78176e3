"""Non-negative matrix factorization as a non-negative autoencoder."""

__version__ = "0.1.0"

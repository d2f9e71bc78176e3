"""How good a factorization is, from X and the factors alone."""

"""Lightning modules: a non-negative autoencoder and its two named forms."""

"""Where to start; every init is a function of X, n_components and a torch.Generator."""

"""One half-step: H given X and W; for W, `update(X.T, W.T, H.T).T`."""

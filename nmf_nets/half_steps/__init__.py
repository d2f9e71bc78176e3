"""The problem of one half-step: H for one X and W, with what its steps share."""

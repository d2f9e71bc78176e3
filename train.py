"""Trains what the configuration says: `python train.py encoder=mlp divergence=kullback_leibler n_components=32`."""

from nmf_nets.train import main

if __name__ == "__main__":
    main()

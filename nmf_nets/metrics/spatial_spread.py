"""How far a component reaches over the image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nmf_nets.division import ratio
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Components


def spatial_spread(W: Components, image_shape: Sequence[int]) -> Tensor:
    """(Σ_p w_p ‖p − c‖² / Σ_p w_p)^½ of each component, c its centre of mass, divided by what an even image has.

    1 for an even grey, 0 for a single pixel and for a dead component, above 1 for what stands at the borders alone. Two
    eyes are one part of a face, yet far apart: a low spread shows that a component is local, a high one not that it is
    no part. image_shape: (height, width), or (height, width, 3), whose colours are added up.
    The radius of gyration, from the second moments of Hu (1962).
    """
    height, width = image_shape[:2]
    if W.shape[1] % (height * width) or height * width < 2:
        raise Refusal(f"components of {W.shape[1]} features are no images of {height} × {width} pixels.")
    mass = W.double().reshape(len(W), height * width, -1).sum(2)
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([down.flatten(), right.flatten()], 1).to(mass)
    places = places - places.mean(0)
    shares = ratio(mass, mass.sum(1, keepdim=True))
    square = shares @ places.square().sum(1) - (shares @ places).square().sum(1)
    return (square.clamp(min=0) / places.square().sum(1).mean()).sqrt()

"""Steps for the weights of a net, as torch.optim.Optimizer.

Each is made from (encoder, decoder) and, where there is one, a head. Its step takes a closure that returns the
Objective of a batch.
"""

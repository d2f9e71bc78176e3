"""Steps for the weights of a net, as torch.optim.Optimizer; each is made from (encoder, decoder) and steps with a closure that returns an Objective."""

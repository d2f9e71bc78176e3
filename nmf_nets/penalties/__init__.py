"""What is added to the divergence for a factor."""

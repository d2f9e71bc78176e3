"""What is remembered of the rows of earlier batches, and W from it."""

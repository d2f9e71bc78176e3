"""What is done to the data before anything learns from them."""

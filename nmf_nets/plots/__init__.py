"""What to look at; every function returns a matplotlib Figure and knows no screen."""

"""How many components the data bear, one criterion a file."""

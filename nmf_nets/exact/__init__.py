"""Models solved in closed form: rows of X that are its components, and exact factorizations."""

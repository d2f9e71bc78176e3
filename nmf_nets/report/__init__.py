"""A run for people: one page, made of what its directory holds."""

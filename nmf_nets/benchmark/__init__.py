"""Nets against solvers: methods make factors, a recorder measures them, a report shows them."""

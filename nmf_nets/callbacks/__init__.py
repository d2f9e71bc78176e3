"""What to watch while fitting."""

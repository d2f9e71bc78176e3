"""Trackers, each a mirror of the run directory."""

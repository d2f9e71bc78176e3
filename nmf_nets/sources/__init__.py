"""Matrices that need not fit in memory, read in blocks of rows."""

"""A comparison for people: tables, figures, one page."""

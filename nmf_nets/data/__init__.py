"""DataModules: bundled, generated, and the user's own matrix."""

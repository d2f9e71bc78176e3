"""H → what else the codes are for."""

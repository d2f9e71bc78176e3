"""Where the codes of rows are, which may be more than fit into memory."""

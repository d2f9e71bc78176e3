"""What is raised at the door."""


class Refusal(ValueError):
    """Input or configuration that cannot be used: one sentence with the value, its place and the remedy.

    The commands print it and exit with 2; every other exception is a bug and keeps its traceback.
    """

"""The name of a part, the same in the package and in the configuration."""


def part_name(part: object) -> str:
    """The file that the part lives in, which is its option: nmf_nets/encoders/mlp.py is encoder=mlp."""
    return type(part).__module__.rpartition(".")[2]

"""The checker of the shape-checked run: `pytest --jaxtyping-packages=nmf_nets,shape_checking.checked`."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as type checkers have it

"""The shapes that every signature speaks in; the tests run once with them checked.

A half-step on W is the half-step on H of the transpose, so `samples` and `features` bind anew at each call.
"""

from jaxtyping import Float, Int
from torch import Tensor

Data = Float[Tensor, "samples features"]
Codes = Float[Tensor, "samples components"]
Components = Float[Tensor, "components features"]
Gram = Float[Tensor, "components components"]
PerSample = Float[Tensor, " samples"]
PerComponent = Float[Tensor, " components"]
Scalar = Float[Tensor, ""]
Rows = Int[Tensor, " rows"]
Labels = Int[Tensor, " samples"]

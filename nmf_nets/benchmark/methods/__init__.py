"""What takes part: solvers and nets of this package, and adapters of other libraries."""

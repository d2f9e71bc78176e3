"""scikit-learn's checks of estimators: all of them, none expected to fail."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_do_not_raise_errors_in_init_or_set_params, parametrize_with_checks

from nmf_nets import NMF, MiniBatchNMF

ESTIMATORS = [
    NMF(),
    NMF(solver="auto", beta_loss="kullback-leibler"),
    NMF(missing=np.nan),
    MiniBatchNMF(),
    MiniBatchNMF(missing=np.nan),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_every_check_of_scikit_learn_passes(estimator, check, request):
    if check.func is check_do_not_raise_errors_in_init_or_set_params and request.config.option.jaxtyping_packages:
        pytest.skip("it gives values of the wrong type, which the shape-checked run stops earlier")
    check(estimator)

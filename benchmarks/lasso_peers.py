"""Cross-validated lasso paths by scikit-learn, skglm and, where it is installed, celer.

adelie is left out: it asks for NumPy 1, and JAX for NumPy 2.
"""

import importlib.util
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV
from sklearn.model_selection import KFold

# By name a function of the tolerance, that returns for each strength the mean squared error held out.
Peers = dict[str, Callable[[float], np.ndarray]]


def lasso_peers(x: np.ndarray, y: np.ndarray, alphas: np.ndarray, folds: int) -> Peers:
    """Those that are installed; alphas fall."""

    def scikit_learn(tolerance: float) -> np.ndarray:
        fitted = LassoCV(alphas=alphas, cv=folds, tol=tolerance, max_iter=100_000).fit(x, y)
        return fitted.mse_path_.mean(1)

    def skglm(tolerance: float) -> np.ndarray:
        from skglm import Lasso

        model = Lasso(tol=tolerance, fit_intercept=False, max_iter=1_000)
        return by_folds(lambda x, y: model.path(x, y, alphas)[1])

    def celer(tolerance: float) -> np.ndarray:
        from celer import celer_path

        return by_folds(lambda x, y: celer_path(x, y, "lasso", alphas=alphas, tol=tolerance)[1])

    def by_folds(path: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        errors = []
        for train, test in KFold(folds).split(x):
            center, mean = x[train].mean(0), y[train].mean()
            coefficients = path(np.asfortranarray(x[train] - center), y[train] - mean)
            errors.append((((x[test] - center) @ coefficients + mean - y[test][:, None]) ** 2).mean(0))
        return np.mean(errors, 0)

    def quietly(fit: Callable[[float], np.ndarray]) -> Callable[[float], np.ndarray]:
        def fitted(tolerance: float) -> np.ndarray:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                return fit(tolerance)

        return fitted

    all_of_them = {"LassoCV": scikit_learn, "skglm": skglm, "celer": celer}
    return {
        name: quietly(fit)
        for name, fit in all_of_them.items()
        if name == "LassoCV" or importlib.util.find_spec(name)
    }

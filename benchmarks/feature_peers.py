"""The order of the features by scikit-learn: an L1 linear model, mutual information, a random forest."""

import warnings

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.linear_model import LogisticRegression, lasso_path
from sklearn.multiclass import OneVsRestClassifier

from benchmarks.feature_data import Problem


def _falling(importance: np.ndarray) -> list[int]:
    return np.argsort(-importance, kind="stable").tolist()


def l1_linear(problem: Problem, seed: int) -> list[int]:
    """By the strongest penalty at which a feature is alive, and the size of its coefficients there."""
    x, y = problem.train
    if not problem.classes:
        strongest = np.abs(x.T @ (y - y.mean())).max() / len(x)
        sizes = np.abs(lasso_path(x, y, alphas=strongest * np.geomspace(1, 1e-3, 50))[1]).T
    else:
        sizes = np.stack([_logistic(x, y, c, seed) for c in np.geomspace(1e-3, 1, 20)])
    alive = sizes > 0
    first = np.where(alive.any(0), alive.argmax(0), len(sizes))
    size = np.where(alive.any(0), sizes[np.minimum(first, len(sizes) - 1), np.arange(x.shape[1])], 0)
    return np.lexsort((-size, first)).tolist()


def _logistic(x: np.ndarray, y: np.ndarray, c: float, seed: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `penalty` has another name from scikit-learn 1.8 on
        one = LogisticRegression(penalty="l1", solver="liblinear", C=c, random_state=seed)
        every = OneVsRestClassifier(one).fit(x, y)
    return sum(np.abs(fitted.coef_[0]) for fitted in every.estimators_)


def mutual_information(problem: Problem, seed: int) -> list[int]:
    of = mutual_info_classif if problem.classes else mutual_info_regression
    return _falling(of(*problem.train, random_state=seed))


def random_forest(problem: Problem, seed: int) -> list[int]:
    kind = RandomForestClassifier if problem.classes else RandomForestRegressor
    return _falling(kind(200, random_state=seed).fit(*problem.train).feature_importances_)

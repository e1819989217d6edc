"""Logistic regression, and how well a probability tells two kinds apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float64
    from numpy.typing import NDArray

_STEPS = 50
_PENALTY = 1.0  # on each weight of a standardised value, as a Gaussian prior of variance 1
_SMALLEST_STEP = 1e-8


def fit(values: NDArray[float64], is_positive: NDArray[np.bool_]) -> tuple[NDArray[float64], float]:
    """Weights [columns] and bias for values [rows, columns], by Newton's method.

    Both kinds count as much in all, however many there are of each; the weights are held small (L2, of standardised
    values).
    """
    mean, spread = values.mean(axis=0), values.std(axis=0)
    spread[spread == 0] = 1
    x = np.column_stack([(values - mean) / spread, np.ones(len(values))])
    counts = np.where(is_positive, 0.5 / is_positive.sum(), 0.5 / (~is_positive).sum()) * len(values)
    penalty = np.diag([_PENALTY] * values.shape[1] + [0.0])
    weights = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(x @ weights)))
        gradient = x.T @ (counts * (p - is_positive)) + penalty @ weights
        curvature = (x * (counts * p * (1 - p))[:, np.newaxis]).T @ x + penalty
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < _SMALLEST_STEP:
            break
    scaled = weights[:-1] / spread
    return scaled, float(weights[-1] - scaled @ mean)


def probabilities(values: NDArray[float64], weights: NDArray[float64], bias: float) -> NDArray[float64]:
    """Of each row of values."""
    chances: NDArray[float64] = 1 / (1 + np.exp(-(values @ weights + bias)))
    return chances


def cross_validated(
    values: NDArray[float64], is_positive: NDArray[np.bool_], groups: Sequence[str], num_folds: int = 10
) -> NDArray[float64]:
    """The probability of each row by weights that were fitted without its group's fold."""
    names = sorted(set(groups))
    fold_of = {name: place % num_folds for place, name in enumerate(names)}
    folds = np.array([fold_of[group] for group in groups])
    found = np.zeros(len(values))
    for fold in sorted(set(folds)):
        inside = folds == fold
        found[inside] = probabilities(values[inside], *fit(values[~inside], is_positive[~inside]))
    return found


def area_under_curve(positive: NDArray[float64], negative: NDArray[float64]) -> float:
    """How often one of the positive is above one of the negative, ties half: the area under the ROC curve."""
    order = np.sort(negative)
    below = np.searchsorted(order, positive, side="left") + np.searchsorted(order, positive, side="right")
    return float(below.mean() / 2 / len(negative))

"""Whether two starts differ by more than their seeds do: Student's paired t-test over seeds.

Paired, because two fine-tunings with the same seed share the first weights of the head, the order of the examples and
dropout. The t-test and not a permutation of signs, because n seeds allow only 2^n permutations: with five seeds the
smallest two-sided p-value is 2/32 = 0.0625, so that a permutation test could never find anything at 0.05.

What the test does not say: whether another test set or another training of the transfers would give the same. It is not
corrected for the number of comparisons in a table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedTest:
    """One start against another over the same seeds."""

    difference: float
    """Mean of the differences, in units of the score."""
    t: float | None
    """Mean difference over its standard error; None where every seed has the same difference."""
    p_value: float
    """Two-sided, 0 to 1: how often chance alone gives so large a t."""
    num_pairs: int
    """Seeds that both have."""


def paired_t_test(scores: Sequence[float], reference: Sequence[float]) -> PairedTest:
    """Compare scores with those of a reference, seed by seed.

    Example: `[0.7, 0.8, 0.9]` against `[0.6, 0.6, 0.8]` -> difference 0.133, t 4.0, p 0.057.

    Where all differences are equal there is no spread to judge by: p is 1 for no difference, 0 for any other.

    Args:
        scores: one for each seed, two at least.
        reference: the same number of scores, in the same order of seeds.

    Source: Student 1908, "The probable error of a mean".
    """
    differences = np.asarray(scores, np.float64) - np.asarray(reference, np.float64)
    number, mean = len(differences), float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(number)
    if error <= 1e-12:  # rounding alone
        is_equal = abs(mean) <= 1e-12
        return PairedTest(difference=mean, t=None, p_value=1.0 if is_equal else 0.0, num_pairs=number)
    from scipy.special import stdtr

    t = mean / error
    return PairedTest(difference=mean, t=t, p_value=float(2 * stdtr(number - 1, -abs(t))), num_pairs=number)

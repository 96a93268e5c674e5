"""Several examples in one row of tokens: which example goes into which row.

The longest example goes first, each into the row with the fewest tokens (longest processing time first), so that rows
come out about equally long, and the widest, which all are padded to, is little wider than the mean. As few rows are
used as the tokens need; one more where a row would come out longer than allowed.

Source: Graham 1969, "Bounds on multiprocessing timing anomalies"; Krell et al. 2021 (arXiv:2107.02027) for packing with
attention kept to each example and positions that begin anew.
"""

import numpy as np
from numba import njit


def pack(lengths: np.ndarray, max_tokens: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Lay examples out in rows of at most `max_tokens`.

    Example: lengths 5, 3, 4, 2 in rows of 8 make two rows of 7: examples 0 and 3 in one, 2 and 1 in the other.

    Args:
        lengths: tokens of each example, int64, each at most `max_tokens`, at least one example.
        max_tokens: longest row.

    Returns:
        row of each example, its first column, the number of rows, and the tokens of the longest row.
    """
    order = np.argsort(-lengths, kind="stable")
    num_rows = -(-int(lengths.sum()) // max_tokens)
    while True:
        row_of_example, first_column, widest = _into_rows(lengths, order, num_rows)
        if widest <= max_tokens:
            return row_of_example, first_column, num_rows, int(widest)
        num_rows += 1


@njit(cache=True, nogil=True)
def _into_rows(lengths, order, num_rows):
    """Put each example into the row with the fewest tokens, the first of equals."""
    filled = np.zeros(num_rows, np.int64)
    row_of_example = np.empty(lengths.size, np.int64)
    first_column = np.empty(lengths.size, np.int64)
    for example in order:
        row = np.argmin(filled)
        row_of_example[example], first_column[example] = row, filled[row]
        filled[row] += lengths[example]
    return row_of_example, first_column, filled.max()

"""Who contains whom: regression of one model's deviations on the other's."""


def regression_slopes(dot_qr: float, norm_qq: float, norm_rr: float) -> tuple[float, float]:
    """Slopes of questioned on reference and of reference on questioned, from three sums of products.

    For parameters whose starting value is a constant (norm gains start at 1), less their mean: what varies was
    learned. A child carries its parent's whole deviation plus its own, nearly orthogonal to it: the child's slope on
    its parent is about 1 and the other slope is |parent|**2 / |child|**2, below 1. Two siblings from one
    initialisation share only part of their deviations: both slopes are below 1. Unrelated models: both near 0.

    A score, not a test: continued training can also enlarge what was inherited (slope of the child above 1), and
    weight decay shrink it (below 1). A merge with a stranger looks like a sibling.

    Parameters
    ----------
    dot_qr : sum of products of the two deviations
    norm_qq, norm_rr : sums of squares of the questioned and of the reference deviations

    Returns
    -------
    (questioned_on_reference, reference_on_questioned)

    Raises
    ------
    ValueError
        If a sum of squares is not positive: nothing moved from its start, so no slope exists.
    """
    if not (norm_qq > 0 and norm_rr > 0):
        raise ValueError(f"slopes need positive sums of squares, got {norm_qq} and {norm_rr}")
    return dot_qr / norm_rr, dot_qr / norm_qq

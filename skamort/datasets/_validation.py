"""Rules that the generators share."""

from numbers import Integral


def check_n_nonzero_coefs(
    caller: str, n_nonzero_coefs: int | tuple[int, int], n_components: int
) -> None:
    """No sample can use more atoms than there are; a pair is a range of such numbers."""
    if isinstance(n_nonzero_coefs, tuple):
        _check_pair(caller, n_nonzero_coefs)
    most = n_nonzero_coefs[1] if isinstance(n_nonzero_coefs, tuple) else n_nonzero_coefs
    if most > n_components:
        raise ValueError(
            f"{caller}: n_nonzero_coefs={n_nonzero_coefs} exceeds n_components={n_components}; "
            "choose n_nonzero_coefs <= n_components."
        )


def _check_pair(caller: str, pair: tuple[int, ...]) -> None:
    are_counts = len(pair) == 2 and all(
        isinstance(each, Integral) and not isinstance(each, bool) for each in pair
    )
    if not (are_counts and 0 <= pair[0] <= pair[1]):
        raise ValueError(
            f"{caller}: n_nonzero_coefs must be a number or the least and the largest of a range, "
            f"0 <= least <= largest, got {pair!r}."
        )

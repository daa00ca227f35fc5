"""Rules that the generators share."""


def check_n_nonzero_coefs(caller: str, n_nonzero_coefs: int, n_components: int) -> None:
    """No sample can use more atoms than there are."""
    if n_nonzero_coefs > n_components:
        raise ValueError(
            f"{caller}: n_nonzero_coefs={n_nonzero_coefs} exceeds n_components={n_components}; "
            "choose n_nonzero_coefs <= n_components."
        )

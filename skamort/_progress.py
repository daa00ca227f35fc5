"""The progress bar of long fits."""

from tqdm import tqdm


def progress_bar(total: int, description: str, disable: bool = False) -> tqdm:
    """Return a bar on the error stream that says nothing in its first second.

    Parameters
    ----------
    total : int
        Number of steps.
    description : str
        Text in front of the bar.
    disable : bool, default=False
        Whether to draw nothing at all.
    """
    return tqdm(total=total, desc=description, disable=disable, delay=1, leave=False, unit="it")

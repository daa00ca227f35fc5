"""The progress bar of long fits, and lines that stay when it is gone."""

from tqdm import tqdm


def progress_bar(total: int, description: str, disable: bool = False, unit: str = "it") -> tqdm:
    """Return a bar on the error stream that comes with the first line, or after a second.

    Parameters
    ----------
    total : int
        Number of steps.
    description : str
        Text in front of the bar.
    disable : bool, default=False
        Whether to draw nothing at all.
    unit : str, default="it"
        What a step is called where their number in a second is told.
    """
    return tqdm(total=total, desc=description, disable=disable, delay=1, leave=False, unit=unit)


def advance(bar: tqdm, step: str, **figures: str) -> None:
    """Go on by one step, and show figures; at steps 1, 2, 5, 10, 20 and so on in a line that stays.

    Parameters
    ----------
    bar : tqdm
        What `progress_bar` returned.
    step : str
        What a step is called.
    **figures : str
        What to tell of it, by name.
    """
    bar.set_postfix(figures, refresh=False)
    bar.update()
    if not bar.disable and str(bar.n).rstrip("0") in ("1", "2", "5"):
        told = ", ".join(f"{name} {figure}" for name, figure in figures.items())
        bar.write(f"{bar.desc}: {step} {bar.n}, {told}")


def expect(bar: tqdm, about: int, most: int) -> str:
    """Give a bar the number of steps that there will probably be; say so, and when they are done.

    Parameters
    ----------
    bar : tqdm
        What `progress_bar` returned, before it goes on.
    about, most : int
        How many steps there will probably be, and how many at most.
    """
    bar.total, done = about, bar.n + 1
    left = bar.format_interval(bar.format_dict["elapsed"] / done * (about - done))
    return (
        f"about {about} in {left}, at most {most}" if about < most else f"at most {most} in {left}"
    )

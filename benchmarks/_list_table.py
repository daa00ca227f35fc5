"""Tables as the documentation includes them."""


def to_rst(script, head, rows):
    """Return rows of texts under their head as a list-table, written by a script."""
    lines = [f".. Written by benchmarks/{script}.", "", ".. list-table::", "   :header-rows: 1"]
    for cells in [head, *rows]:
        lines += ["", *(f"   {'*' if i == 0 else ' '} - {c}" for i, c in enumerate(cells))]
    return "\n".join(line.rstrip() for line in lines) + "\n"

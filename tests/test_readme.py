"""The README's example works when pasted."""

import re
from pathlib import Path


def test_the_example_runs():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    names = {}
    exec(example, names)
    assert names["best"].shape == names["codes"].shape == (1797, 128)

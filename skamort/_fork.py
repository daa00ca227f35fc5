"""Computing in a forked process.

A process that `os.fork` makes has a copy of its parent's memory, but not the parent's threads. The
pool of threads that torch computes with looks alive there and is not: the first operation that
waits for it waits forever. One thread needs no pool.
"""

import os

import torch


def _compute_with_one_thread():
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_compute_with_one_thread)

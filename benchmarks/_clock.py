"""When epochs end, so that what a fit does before its steps does not count."""

import time

import numpy as np
import torch
from skorch.callbacks import Callback


def now(device):
    """Return seconds once the device is done; on a CPU, which others may share, the processor's
    own time."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


class Clock(Callback):
    """Note when epochs have ended.

    Parameters
    ----------
    device : str
        The kind of device.
    """

    def __init__(self, device):
        self.device, self.ends = device, []

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        self.ends.append(now(self.device))

    def seconds(self):
        """Return how long each epoch after the first took."""
        return np.diff(self.ends)

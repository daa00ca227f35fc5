"""
A photograph with half of its pixels
====================================

Half of the pixels of a photograph are lost. A dictionary is learned from what is left of its own
patches, no complete one among them; sparse codes explain the pixels that are there, and the
reconstruction from these codes has the others.
"""

# %%
# NaN stands for a lost pixel. Patches of 8 x 8 overlap, so that every pixel is in up to 64 of them,
# and each loses its mean brightness, which is that of its observed pixels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.feature_extraction.image import reconstruct_from_patches_2d

from skamort import GradSparseCoder

photo = load_sample_image("china.jpg").mean(axis=2)[150:246, 180:276] / 255
lost = np.random.default_rng(0).random(photo.shape) < 0.5
holed = np.where(lost, np.nan, photo)

X = np.lib.stride_tricks.sliding_window_view(holed, (8, 8)).reshape(-1, 64)
brightness = np.nanmean(X, axis=1, keepdims=True)

# %%
# ``missing_values=np.nan`` is all that it takes: errors are those of observed pixels. A few
# passes over every third patch are enough, for patches overlap.

coder = GradSparseCoder(
    n_components=128,
    alpha=0.04,
    positive_code=False,
    missing_values=np.nan,
    dict_init="samples",
    random_state=0,
)
for _ in range(3):
    coder.partial_fit((X - brightness)[::3])
codes = coder.transform(X - brightness)
patches = coder.inverse_transform(codes) + brightness
filled = np.where(lost, reconstruct_from_patches_2d(patches.reshape(-1, 8, 8), photo.shape), photo)

# %%
# The peak signal-to-noise ratio is that of the whole image, whose observed pixels are exact.


def psnr(image):
    """Peak signal-to-noise ratio in dB, of an image between 0 and 1."""
    return -10 * np.log10(np.mean((image - photo) ** 2))


gray = np.where(lost, np.nanmean(holed), photo)
images = {
    "original": photo,
    f"half of it lost: {psnr(gray):.2f} dB": gray,
    f"filled in: {psnr(filled):.2f} dB": filled,
}
figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for ax, (title, image) in zip(axes, images.items(), strict=True):
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
plt.show()

print(f"{psnr(filled):.2f} dB with {np.mean((codes != 0).sum(axis=1)):.1f} codes a patch,")
print(f"{coder.score(X - brightness):.3f} of the variance of the observed pixels explained")

#!/bin/sh
# Guess: wavelet denoising returns a flat channel as it is: there is nothing to take away.
. "$(dirname "$0")/_room.sh"
room scikit-image==0.26.0 PyWavelets==1.9.0 numpy==2.4.6
look <<'PY'
import numpy as np
import skimage
from skimage.restoration import denoise_wavelet, estimate_sigma

noisy = 0.5 + 0.1 * np.random.default_rng(0).standard_normal((64, 64))
picture = np.stack([noisy, noisy, np.zeros_like(noisy)], axis=2)
print(f"scikit-image {skimage.__version__}: denoise_wavelet of a yellow picture, whose blue is 0 everywhere")
print("most would guess: red and green are denoised, blue stays 0")
bare = np.isnan(denoise_wavelet(picture, channel_axis=2)).mean(axis=(0, 1))
print(f"seen: shares of NaN in red, green, blue: {bare.tolist()}; estimate_sigma of blue: {estimate_sigma(picture[..., 2])}")
told = np.isnan(denoise_wavelet(picture, sigma=0.1, channel_axis=2)).mean(axis=(0, 1))
print(f"seen with sigma=0.1 given: {told.tolist()}")
print("No error is raised, and whatever is averaged with such a picture (a metric over a set) is NaN too")
raise SystemExit(not (bare.tolist() == [0, 0, 1]))
PY

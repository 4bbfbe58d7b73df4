"""Frozen priors: pixel and latent diffusion models, opened from folders as diffusers keeps them."""

"""Restoration without training pairs: posterior sampling from a frozen generative prior."""

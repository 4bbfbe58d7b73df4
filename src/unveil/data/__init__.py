"""Photographs on disk as training material: folders, pairs, and crops that are a function of (seed, step)."""

"""Metrics, one file per family; `registry` lists them by name. All calculate in float64 on images in [0, 1]."""

"""Measurements: `python -m benchmarks NAME ...`. Files whose names begin with an underscore are shared by them."""

"""The shelf: which models there are, what each needs, and loading them."""

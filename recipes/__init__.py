"""What makes the weights that ship, and puts them on the shelf: `python -m recipes NAME ...`. For developers."""

"""Networks: tensors in, what they predict out, nothing more."""

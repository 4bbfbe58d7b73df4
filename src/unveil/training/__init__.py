"""Training: one configuration, one loop, checkpoints that resume bit for bit."""

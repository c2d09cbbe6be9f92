"""Training checkpoints: when they are written, what they hold, and how weights get into a model."""

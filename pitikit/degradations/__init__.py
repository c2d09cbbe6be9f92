"""Degradations: from a sharp image to the small, degraded one that an upsampler learns from."""

"""Degradations: how a sharp image becomes the small, worn one that an upsampler learns from."""

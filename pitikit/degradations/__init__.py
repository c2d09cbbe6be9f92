"""Degradations: how a sharp picture becomes the small, worn one that an upsampler learns from."""

"""Datasets, transforms and the synthetic world."""

"""Pretraining priors and adapting them to images as conditions."""

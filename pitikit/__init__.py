"""Pretraining priors and adapting them to pictures as conditions."""

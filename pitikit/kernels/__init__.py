"""Faster forms of layers on the CPU, put in place by one call on a finished model; networks do not depend on them."""

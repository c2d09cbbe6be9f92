"""Runner, hooks and optimisation."""

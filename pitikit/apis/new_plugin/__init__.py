"""A new plugin: its folder with code, config, test and README, from templates."""

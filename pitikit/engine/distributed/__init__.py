"""Several ranks: how they meet, share the work, and fail together."""

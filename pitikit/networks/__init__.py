"""Networks: the GLIDE decoder, task encoders, text encoder."""

"""Pure diffusion maths: schedules, predictions, noise, guidance, samplers."""

# Tokens alone, 16 x 16 of them, as in the released model: what is smaller than their cell loses its place.
_base_ = ["./piti_small_mask.py"]
model = dict(denoiser=dict(encoder=dict(type="SemanticEncoder")))

# Feature maps of the label map beside the tokens, at each resolution of the decoder: small things keep their place.
_base_ = ["./piti_small_mask.py"]
model = dict(denoiser=dict(encoder=dict(type="SpatialEncoder")))

# The small model whose encoder gives the decoder feature maps of the condition too, beside the tokens: 0.5 M values in
# the encoder. With SemanticEncoder in its place the tokens are alone, as in the released model.
_base_ = ["./small64.py"]
model = dict(denoiser=dict(encoder=dict(type="SpatialEncoder")))

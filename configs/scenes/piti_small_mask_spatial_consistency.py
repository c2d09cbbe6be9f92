# Feature maps of the label map beside the tokens, and a frozen segmenter that reads the estimated images.
#   python tools/train.py configs/scenes/piti_small_mask_spatial_consistency.py
_base_ = ["./piti_small_mask_consistency.py"]
model = dict(denoiser=dict(encoder=dict(type="SpatialEncoder")))

# Tokens alone, and a frozen segmenter that reads the estimated images: one of the four arms of docs/alignment.md.
_base_ = ["./piti_small_mask_consistency.py"]
model = dict(denoiser=dict(encoder=dict(type="SemanticEncoder")))

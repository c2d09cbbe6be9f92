# GLIDE's inpainting model at 64x64, 385,037,638 values: it sees the image where the mask keeps it, and fills in the
# rest from the text. Without an image it makes the whole one. Guidance 5, as in its notebook.
#   python tools/convert_checkpoint.py glide-base-inpaint weights/glide_inpaint.safetensors \
#       --kind glide-base-inpaint --with-text-encoder
_base_ = ["./glide_base64.py"]
model = dict(
    denoiser=dict(decoder=dict(inpaint=True)),
    sampler=dict(guidance=dict(scale=5.0)),
)

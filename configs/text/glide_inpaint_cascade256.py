# GLIDE's inpainting at 256x256: both models see the image where the mask keeps it.
_base_ = ["./glide_cascade256.py"]
model = dict(base="glide_inpaint64.py", upsampler="glide_inpaint_upsample256.py")

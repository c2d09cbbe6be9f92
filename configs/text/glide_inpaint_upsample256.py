# GLIDE's inpainting upsampler, 64x64 to 256x256, 398,368,198 values: it sees the image where the mask keeps it.
#   python tools/convert_checkpoint.py glide-upsample-inpaint weights/glide_inpaint_upsample.safetensors \
#       --kind glide-upsample-inpaint --with-text-encoder
_base_ = ["./glide_upsample256.py"]
model = dict(denoiser=dict(decoder=dict(inpaint=True)))

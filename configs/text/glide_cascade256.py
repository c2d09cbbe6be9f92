# GLIDE: a text to an image of 256x256, by way of 64x64.
#   python tools/translate.py configs/text/glide_cascade256.py \
#       weights/glide_text.safetensors,weights/glide_text_upsample.safetensors "a corgi in a field" --out drawn_256
_base_ = [
    "../_base_/datasets/texts.py",
    "../_base_/evaluation_photographs.py",
    "../_base_/default_runtime.py",
]
model = dict(type="Cascade", base="glide_base64.py", upsampler="glide_upsample256.py")

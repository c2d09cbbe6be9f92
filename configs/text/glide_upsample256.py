# GLIDE's upsampler of texts: 64x64 to 256x256, mostly as a part of configs/text/glide_cascade256.py.
#   python tools/convert_checkpoint.py glide-upsample weights/glide_text_upsample.safetensors \
#       --kind glide-upsample --with-text-encoder
#   python tools/translate.py configs/text/glide_upsample256.py weights/glide_text_upsample.safetensors \
#       "a corgi in a field" --low-res drawn --out drawn_256
_base_ = [
    "../_base_/models/glide_text_upsampler256.py",
    "../_base_/datasets/texts.py",
    "../_base_/evaluation_photographs.py",
    "../_base_/default_runtime.py",
]

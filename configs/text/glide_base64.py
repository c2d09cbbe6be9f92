# GLIDE: a text to an image of 64x64 (Nichol et al. 2022). 249 GFLOP a step; see configs/_base_/datasets/texts.py for
# PITIKIT_BPE, the folder of the vocabulary. configs/text/small_base64.py is the same in small, for random weights.
#   python tools/convert_checkpoint.py glide-base weights/glide_text.safetensors --kind glide-base --with-text-encoder
#   python tools/translate.py configs/text/glide_base64.py weights/glide_text.safetensors \
#       "a corgi in a field" --out drawn
_base_ = [
    "../_base_/models/glide_text64.py",
    "../_base_/datasets/texts.py",
    "../_base_/evaluation_photographs.py",
    "../_base_/default_runtime.py",
]

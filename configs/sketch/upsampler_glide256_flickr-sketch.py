# Flickr-Landscapes sketches: the full-size adversarial upsampler to 256x256, the paper's settings.
# PITI, table 3b, on ADE20K: FID 8.9 against 14.5 without degradation, perceptual and adversarial loss.
#   python tools/prepare_data.py photographs downloads/flickr data/flickr --size 256 --options every=42 --extract hed
#   python tools/check_data.py configs/sketch/upsampler_glide256_flickr-sketch.py
#   python tools/convert_checkpoint.py glide-upsample weights/glide_upsample.safetensors --kind glide-upsample
#   python tools/train.py configs/sketch/upsampler_glide256_flickr-sketch.py
#   python tools/test.py configs/sketch/upsampler_glide256_flickr-sketch.py \
#       work_dirs/upsampler_glide256_flickr-sketch/ema.safetensors
# The perceptual loss needs the weights of VGG-19: see configs/_base_/models/glide_upsampler256.py. For little memory:
# --cfg-options model.crop=128 model.denoiser.decoder.recompute=True
_base_ = [
    "../_base_/models/glide_upsampler256.py",
    "../_base_/datasets/flickr_sketch_upsampling.py",
    "../_base_/schedules/upsampler.py",
    "../_base_/evaluation_photographs.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_upsample.safetensors"
load_parts = ["decoder"]

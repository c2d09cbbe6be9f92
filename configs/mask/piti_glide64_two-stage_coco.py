# COCO-Stuff masks at 64x64 with the full-size model (PITI, table 1: FID 5.2 on CLIP features with the upsampler).
#   python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
#   python tools/train.py configs/mask/piti_glide64_two-stage_coco.py
#   python tools/test.py configs/mask/piti_glide64_two-stage_coco.py \
#       work_dirs/piti_glide64_two-stage_coco/ema.safetensors
_base_ = [
    "../_base_/models/glide64.py",
    "../_base_/datasets/cocostuff_mask.py",
    "../_base_/schedules/two-stage.py",
    "../_base_/evaluation_photographs.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

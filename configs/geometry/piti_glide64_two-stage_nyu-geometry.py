# NYU Depth v2 normals and depth at 64x64 with the full-size model.
#   PITIKIT_DATA=data python tools/train.py configs/geometry/piti_glide64_two-stage_nyu-geometry.py
#   PITIKIT_DATA=data python tools/test.py configs/geometry/piti_glide64_two-stage_nyu-geometry.py \
#       work_dirs/piti_glide64_two-stage_nyu-geometry/ema.safetensors
_base_ = [
    "../_base_/models/glide64.py",
    "../_base_/datasets/nyuv2_geometry.py",
    "../_base_/schedules/two-stage.py",
    "../_base_/evaluation_geometry.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

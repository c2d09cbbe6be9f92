# NYU Depth v2 normals and depth at 64x64 with a small model, adapted from the SceneWorld prior.
#   PITIKIT_DATA=data python tools/train.py configs/geometry/piti_small_nyu-geometry.py
#   PITIKIT_DATA=data python tools/test.py configs/geometry/piti_small_nyu-geometry.py \
#       work_dirs/piti_small_nyu-geometry/ema.safetensors
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/nyuv2_geometry.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_geometry.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

# NYU Depth v2 sketches at 64x64 with a small model, adapted from the SceneWorld prior.
#   PITIKIT_DATA=data python tools/train.py configs/sketch/piti_small_nyu-sketch.py
#   PITIKIT_DATA=data python tools/test.py configs/sketch/piti_small_nyu-sketch.py \
#       work_dirs/piti_small_nyu-sketch/ema.safetensors
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/nyuv2_sketch.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_sketches.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

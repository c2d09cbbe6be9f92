# CamVid street scenes at 64x64 with a small model, adapted from the SceneWorld prior: real photographs on a laptop.
#   PITIKIT_DATA=data python tools/train.py configs/mask/piti_small_camvid.py
#   PITIKIT_DATA=data python tools/test.py configs/mask/piti_small_camvid.py work_dirs/piti_small_camvid/ema.safetensors
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/camvid_mask.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_camvid.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

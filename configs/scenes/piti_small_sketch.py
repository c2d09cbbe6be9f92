# SceneWorld sketches: the embedded prior adapted in two stages with 2,000 pairs (PITI, sec. 3.2).
#   python tools/train.py configs/scenes/piti_small_sketch.py
#   python tools/test.py configs/scenes/piti_small_sketch.py weights/scenes_sketch.safetensors
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/scenes_sketch.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_scenes.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

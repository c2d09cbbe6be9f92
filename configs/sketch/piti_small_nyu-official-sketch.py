# NYU Depth v2 sketches (official files) at 64x64 with a small model, adapted from the SceneWorld prior.
# The paper has no number for this set.
#   python tools/prepare_data.py nyu downloads/nyu data/nyu --extract canny
#   python tools/check_data.py configs/sketch/piti_small_nyu-official-sketch.py
#   python tools/train.py configs/sketch/piti_small_nyu-official-sketch.py
#   python tools/test.py configs/sketch/piti_small_nyu-official-sketch.py \
#       work_dirs/piti_small_nyu-official-sketch/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/nyu_official_sketch.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_benchmark_canny.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

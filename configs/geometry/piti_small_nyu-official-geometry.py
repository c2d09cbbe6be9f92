# NYU Depth v2 normals and depth (official files) at 64x64 with a small model, adapted from the SceneWorld prior.
# The paper has no number for this set.
#   python tools/prepare_data.py nyu downloads/nyu data/nyu
#   python tools/check_data.py configs/geometry/piti_small_nyu-official-geometry.py
#   python tools/train.py configs/geometry/piti_small_nyu-official-geometry.py
#   python tools/test.py configs/geometry/piti_small_nyu-official-geometry.py \
#       work_dirs/piti_small_nyu-official-geometry/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/nyu_official_geometry.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_benchmark_nyu.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

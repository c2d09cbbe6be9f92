# Cityscapes masks at 64x64 with a small model, adapted from the SceneWorld prior.
# The paper has no number for this set.
#   python tools/prepare_data.py cityscapes downloads/cityscapes data/cityscapes --size 256 --workers 8
#   python tools/check_data.py configs/mask/piti_small_cityscapes.py
#   python tools/train.py configs/mask/piti_small_cityscapes.py
#   python tools/test.py configs/mask/piti_small_cityscapes.py work_dirs/piti_small_cityscapes/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/cityscapes_mask.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_benchmark_cityscapes.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

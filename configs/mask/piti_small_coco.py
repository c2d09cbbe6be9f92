# COCO-Stuff masks at 64x64 with a small model, adapted from the SceneWorld prior.
# The full-size model of PITI, table 1: FID 5.2 on CLIP features at 256x256, 13.0 from scratch.
#   python tools/prepare_data.py cocostuff downloads/coco data/cocostuff --size 256 --workers 8
#   python tools/check_data.py configs/mask/piti_small_coco.py
#   python tools/train.py configs/mask/piti_small_coco.py
#   python tools/test.py configs/mask/piti_small_coco.py work_dirs/piti_small_coco/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/cocostuff_mask.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_benchmark_cocostuff.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

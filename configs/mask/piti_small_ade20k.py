# ADE20K (2016) masks at 64x64 with a small model, adapted from the SceneWorld prior.
# The full-size model of PITI, table 1: FID 8.9 on CLIP features at 256x256, 16.3 from scratch.
#   python tools/prepare_data.py ade20k downloads/ADEChallengeData2016 data/ade20k --size 256 --workers 8
#   python tools/check_data.py configs/mask/piti_small_ade20k.py
#   python tools/train.py configs/mask/piti_small_ade20k.py
#   python tools/test.py configs/mask/piti_small_ade20k.py work_dirs/piti_small_ade20k/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/ade20k_mask.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_benchmark_ade20k.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

# ADE20K (2016) masks at 64x64 with the full-size model and the paper's settings: stage 1,
# stage 1 continued with dropped conditions, and stage 2.
# PITI, table 1: FID 8.9 on CLIP features at 256x256, 16.3 from scratch.
#   python tools/prepare_data.py ade20k downloads/ADEChallengeData2016 data/ade20k --size 256 --workers 8
#   python tools/check_data.py configs/mask/piti_glide64_two-stage_ade20k.py
#   python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
#   torchrun --nproc-per-node 8 tools/train.py configs/mask/piti_glide64_two-stage_ade20k.py
#   python tools/test.py configs/mask/piti_glide64_two-stage_ade20k.py \
#       work_dirs/piti_glide64_two-stage_ade20k/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/glide64.py",
    "../_base_/datasets/ade20k_mask.py",
    "../_base_/schedules/two-stage.py",
    "../_base_/evaluation_benchmark_ade20k.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

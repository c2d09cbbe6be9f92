# CMP Facades masks as the released code trains and samples: stage 2 at 3.5e-5, plain CFG.
# The paper has no number for this set.
#   python tools/prepare_data.py facades downloads/facades data/facades
#   python tools/check_data.py configs/mask/piti_glide64_two-stage_facades_released.py
#   python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
#   torchrun --nproc-per-node 8 tools/train.py configs/mask/piti_glide64_two-stage_facades_released.py
#   python tools/test.py configs/mask/piti_glide64_two-stage_facades_released.py \
#       work_dirs/piti_glide64_two-stage_facades_released/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/glide64_released.py",
    "../_base_/datasets/facades_mask.py",
    "../_base_/schedules/two-stage_released.py",
    "../_base_/evaluation_benchmark_facades.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

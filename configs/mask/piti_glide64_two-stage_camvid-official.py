# CamVid masks (official files) at 64x64 with the full-size model and the paper's settings: stage 1,
# stage 1 continued with dropped conditions, and stage 2.
# The paper has no number for this set.
#   python tools/prepare_data.py camvid downloads/CamVid data/camvid
#   python tools/check_data.py configs/mask/piti_glide64_two-stage_camvid-official.py
#   python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
#   torchrun --nproc-per-node 8 tools/train.py configs/mask/piti_glide64_two-stage_camvid-official.py
#   python tools/test.py configs/mask/piti_glide64_two-stage_camvid-official.py \
#       work_dirs/piti_glide64_two-stage_camvid-official/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/glide64.py",
    "../_base_/datasets/camvid_official_mask.py",
    "../_base_/schedules/two-stage.py",
    "../_base_/evaluation_benchmark_camvid.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

# NYU Depth v2 normals and depth (official files) at 64x64 with the full-size model and the paper's settings: stage 1,
# stage 1 continued with dropped conditions, and stage 2.
# The paper has no number for this set.
#   python tools/prepare_data.py nyu downloads/nyu data/nyu
#   python tools/check_data.py configs/geometry/piti_glide64_two-stage_nyu-official-geometry.py
#   python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
#   torchrun --nproc-per-node 8 tools/train.py configs/geometry/piti_glide64_two-stage_nyu-official-geometry.py
#   python tools/test.py configs/geometry/piti_glide64_two-stage_nyu-official-geometry.py \
#       work_dirs/piti_glide64_two-stage_nyu-official-geometry/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/glide64.py",
    "../_base_/datasets/nyu_official_geometry.py",
    "../_base_/schedules/two-stage.py",
    "../_base_/evaluation_benchmark_nyu.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

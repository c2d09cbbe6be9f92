# DIODE normals and depth at 64x64 with the full-size model and the paper's settings: stage 1,
# stage 1 continued with dropped conditions, and stage 2.
# PITI, table 1: FID 11.5 on CLIP features at 256x256, 13.9 from scratch.
#   python tools/prepare_data.py diode downloads/diode data/diode --size 256 --workers 8
#   python tools/check_data.py configs/geometry/piti_glide64_two-stage_diode.py
#   python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
#   torchrun --nproc-per-node 8 tools/train.py configs/geometry/piti_glide64_two-stage_diode.py
#   python tools/test.py configs/geometry/piti_glide64_two-stage_diode.py \
#       work_dirs/piti_glide64_two-stage_diode/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/glide64.py",
    "../_base_/datasets/diode_geometry.py",
    "../_base_/schedules/two-stage.py",
    "../_base_/evaluation_benchmark_diode.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

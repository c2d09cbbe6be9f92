# NYU Depth v2 sketches (official files) as the released code trains and samples: stage 2 at 3.5e-5, plain CFG.
# The paper has no number for this set.
#   python tools/prepare_data.py nyu downloads/nyu data/nyu --extract canny
#   python tools/check_data.py configs/sketch/piti_glide64_two-stage_nyu-official-sketch_released.py
#   python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
#   torchrun --nproc-per-node 8 tools/train.py configs/sketch/piti_glide64_two-stage_nyu-official-sketch_released.py
#   python tools/test.py configs/sketch/piti_glide64_two-stage_nyu-official-sketch_released.py \
#       work_dirs/piti_glide64_two-stage_nyu-official-sketch_released/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/glide64_released.py",
    "../_base_/datasets/nyu_official_sketch.py",
    "../_base_/schedules/two-stage_released.py",
    "../_base_/evaluation_benchmark_canny.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

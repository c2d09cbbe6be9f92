# Flickr-Landscapes sketches at 64x64 with the full-size model and the paper's settings: stage 1,
# stage 1 continued with dropped conditions, and stage 2.
# PITI, table 1: FID 6.0 on CLIP features at 256x256, 9.4 from scratch.
#   python tools/prepare_data.py photographs downloads/flickr data/flickr --size 256 --options every=42 --extract hed
#   python tools/check_data.py configs/sketch/piti_glide64_two-stage_flickr-sketch.py
#   python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
#   torchrun --nproc-per-node 8 tools/train.py configs/sketch/piti_glide64_two-stage_flickr-sketch.py
#   python tools/test.py configs/sketch/piti_glide64_two-stage_flickr-sketch.py \
#       work_dirs/piti_glide64_two-stage_flickr-sketch/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/glide64.py",
    "../_base_/datasets/flickr_sketch.py",
    "../_base_/schedules/two-stage.py",
    "../_base_/evaluation_benchmark_hed.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

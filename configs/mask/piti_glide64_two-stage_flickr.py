# Flickr-Landscapes masks at 64x64 with the full-size model and the paper's settings: stage 1,
# stage 1 continued with dropped conditions, and stage 2.
# PITI, table 1: FID 6.1 on CLIP features at 256x256, 10.6 from scratch.
#   python tools/prepare_data.py photographs downloads/flickr data/flickr --size 256 --options every=42 \
#       --extract "dict(type='segmenter', network=dict(type='TransformersSegmenter', path='weights/segformer-b5-ade'))"
#   python tools/check_data.py configs/mask/piti_glide64_two-stage_flickr.py
#   python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
#   torchrun --nproc-per-node 8 tools/train.py configs/mask/piti_glide64_two-stage_flickr.py
#   python tools/test.py configs/mask/piti_glide64_two-stage_flickr.py \
#       work_dirs/piti_glide64_two-stage_flickr/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/glide64.py",
    "../_base_/datasets/flickr_mask.py",
    "../_base_/schedules/two-stage.py",
    "../_base_/evaluation_benchmark.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

# Flickr-Landscapes sketches at 64x64 with a small model, adapted from the SceneWorld prior.
# The full-size model of PITI, table 1: FID 6.0 on CLIP features at 256x256, 9.4 from scratch.
#   python tools/prepare_data.py photographs downloads/flickr data/flickr --size 256 --options every=42 --extract hed
#   python tools/check_data.py configs/sketch/piti_small_flickr-sketch.py
#   python tools/train.py configs/sketch/piti_small_flickr-sketch.py
#   python tools/test.py configs/sketch/piti_small_flickr-sketch.py work_dirs/piti_small_flickr-sketch/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/flickr_sketch.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_benchmark_hed.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

# DIODE normals and depth at 64x64 with a small model, adapted from the SceneWorld prior.
# The full-size model of PITI, table 1: FID 11.5 on CLIP features at 256x256, 13.9 from scratch.
#   python tools/prepare_data.py diode downloads/diode data/diode --size 256 --workers 8
#   python tools/check_data.py configs/geometry/piti_small_diode.py
#   python tools/train.py configs/geometry/piti_small_diode.py
#   python tools/test.py configs/geometry/piti_small_diode.py work_dirs/piti_small_diode/ema.safetensors
# Few-shot, a quarter of the pairs: --cfg-options train_dataloader.dataset.subset=0.25
_base_ = [
    "../_base_/models/small64_spatial.py",
    "../_base_/datasets/diode_geometry.py",
    "../_base_/schedules/small_two-stage.py",
    "../_base_/evaluation_benchmark_diode.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
load_parts = ["decoder"]

# The embedded prior: a small text-conditioned model of SceneWorld at 64x64.
#   python tools/train.py configs/scenes/pretrain_small_layouts.py
# Only the encoder's type and the dataset differ from an adaptation.
_base_ = [
    "../_base_/models/small64_text.py",
    "../_base_/datasets/scenes_layout.py",
    "../_base_/schedules/small_pretraining.py",
    "../_base_/evaluation_scenes.py",
    "../_base_/default_runtime.py",
]

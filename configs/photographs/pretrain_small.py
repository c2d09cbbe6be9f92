# A small prior for photographs: the SceneWorld prior trained on with photographs without labels.
#   PITIKIT_DATA=data python tools/train.py configs/photographs/pretrain_small.py
_base_ = [
    "../_base_/models/small64_text.py",
    "../_base_/datasets/photographs.py",
    "../_base_/schedules/small_pretraining.py",
    "../_base_/evaluation_photographs.py",
    "../_base_/default_runtime.py",
]
load_from = "weights/scenes_prior.safetensors"
train_cfg = dict(max_iters=2000)
stages = [dict(name="pretrain", lr=1e-3, lr_end=3e-5, encoder_lr=0.3, warmup=50, drop=0.1)]

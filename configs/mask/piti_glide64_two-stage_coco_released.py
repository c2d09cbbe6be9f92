# COCO-Stuff masks as the released code trains and samples: stage 2 at 3.5e-5, plain classifier-free guidance.
#   python tools/train.py configs/mask/piti_glide64_two-stage_coco_released.py
# To test the released weights: python tools/convert_checkpoint.py base_mask.pt weights/piti_mask.safetensors \
#   --kind piti-base, then tools/test.py with this config.
_base_ = [
    "../_base_/models/glide64.py",
    "../_base_/datasets/cocostuff_mask.py",
    "../_base_/schedules/two-stage_released.py",
    "../_base_/evaluation_photographs.py",
    "../_base_/default_runtime.py",
]
model = dict(sampler=dict(guidance=dict(_delete_=True, type="CFG", scale=1.3)))
load_from = "weights/glide_base.safetensors"
load_parts = ["decoder"]

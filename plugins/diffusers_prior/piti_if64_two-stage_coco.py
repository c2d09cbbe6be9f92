r"""COCO-Stuff masks at 64x64 on the prior of DeepFloyd IF-I-M (some 370 M values), full size.

Its licence has to be accepted where it is downloaded; the folder then lies in weights/, or in the folder that
PITIKIT_WEIGHTS names.

python tools/train.py plugins/diffusers_prior/piti_if64_two-stage_coco.py
python tools/test.py plugins/diffusers_prior/piti_if64_two-stage_coco.py \
    work_dirs/piti_if64_two-stage_coco/ema.safetensors
"""

_base_ = [
    "../../configs/_base_/models/glide64.py",
    "../../configs/_base_/datasets/cocostuff_mask.py",
    "../../configs/_base_/schedules/two-stage.py",
    "../../configs/_base_/evaluation_photographs.py",
    "../../configs/_base_/default_runtime.py",
]
plugins = ["plugins/diffusers_prior"]
model = dict(
    denoiser=dict(
        # Tokens of 512 to those of T5-XXL, 4,096, in whose place they stand.
        encoder=dict(
            _delete_=True,
            type="ProjectedEncoder",
            encoder=dict(type="SemanticEncoder"),
            inner=512,
            width=4096,
        ),
        decoder=dict(_delete_=True, type="DiffusersUNet", unet="weights/IF-I-M-v1.0"),
    ),
    # That of the folder's scheduler.
    schedule=None,
)

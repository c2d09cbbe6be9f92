# ADE20K (2016) masks to 256x256 with the full-size models:
# 250 steps of DDPM with normalized guidance 1.3 at 64x64, then as released 27 steps, initial noise times 0.997,
# without guidance.
# PITI, table 1: FID 8.9 on CLIP features at 256x256, 16.3 from scratch.
#   python tools/prepare_data.py ade20k downloads/ADEChallengeData2016 data/ade20k --size 256 --workers 8
#   python tools/check_data.py configs/mask/piti_glide64_two-stage_ade20k.py
#   python tools/test.py configs/mask/piti_glide_cascade256_ade20k.py BASE,UPSAMPLER
# BASE and UPSAMPLER: ema.safetensors of a training of the two configs below.
_base_ = [
    "../_base_/datasets/ade20k_mask.py",
    "../_base_/evaluation_benchmark_ade20k.py",
    "../_base_/default_runtime.py",
]
model = dict(
    type="Cascade",
    base="piti_glide64_two-stage_ade20k.py",
    upsampler="upsampler_glide256_ade20k.py",
)
# Each part is trained by its own config.
train_dataloader = None
val_dataloader = None
test_dataloader = dict(batch_size=4, dataset=dict(pipeline=[*_base_.load, *_base_.whole]))

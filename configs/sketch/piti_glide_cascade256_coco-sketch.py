# COCO-Stuff sketches to 256x256 with the full-size models:
# 250 steps of DDPM with normalized guidance 1.3 at 64x64, then as released 27 steps, initial noise times 0.997,
# without guidance.
# PITI, table 1: FID 8.8 on CLIP features at 256x256, 13.0 from scratch.
#   python tools/prepare_data.py cocostuff downloads/coco data/cocostuff --size 256 --workers 8 --extract hed
#   python tools/check_data.py configs/sketch/piti_glide64_two-stage_coco-sketch.py
#   python tools/test.py configs/sketch/piti_glide_cascade256_coco-sketch.py BASE,UPSAMPLER
# BASE and UPSAMPLER: ema.safetensors of a training of the two configs below, or the released weights, by
# tools/convert_checkpoint.py with --kind piti-base and piti-upsample.
_base_ = [
    "../_base_/datasets/cocostuff_sketch.py",
    "../_base_/evaluation_benchmark_hed.py",
    "../_base_/default_runtime.py",
]
model = dict(
    type="Cascade",
    base="piti_glide64_two-stage_coco-sketch.py",
    upsampler="upsampler_glide256_coco-sketch.py",
)
# Each part is trained by its own config.
train_dataloader = None
val_dataloader = None
test_dataloader = dict(batch_size=4, dataset=dict(pipeline=[*_base_.load, *_base_.whole]))

# NYU Depth v2 normals and depth (official files) to 256x256 with the full-size models:
# 250 steps of DDPM with normalized guidance 1.3 at 64x64, then as released 27 steps, initial noise times 0.997,
# without guidance.
# The paper has no number for this set.
#   python tools/prepare_data.py nyu downloads/nyu data/nyu
#   python tools/check_data.py configs/geometry/piti_glide64_two-stage_nyu-official-geometry.py
#   python tools/test.py configs/geometry/piti_glide_cascade256_nyu-official-geometry.py BASE,UPSAMPLER
# BASE and UPSAMPLER: ema.safetensors of a training of the two configs below.
_base_ = [
    "../_base_/datasets/nyu_official_geometry.py",
    "../_base_/evaluation_benchmark_nyu.py",
    "../_base_/default_runtime.py",
]
model = dict(
    type="Cascade",
    base="piti_glide64_two-stage_nyu-official-geometry.py",
    upsampler="upsampler_glide256_nyu-official-geometry.py",
)
# Each part is trained by its own config.
train_dataloader = None
val_dataloader = None
test_dataloader = dict(batch_size=4, dataset=dict(pipeline=[*_base_.load, *_base_.whole]))

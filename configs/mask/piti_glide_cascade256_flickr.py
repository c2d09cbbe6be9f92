# Flickr-Landscapes masks to 256x256 with the full-size models:
# 250 steps of DDPM with normalized guidance 1.3 at 64x64, then as released 27 steps, initial noise times 0.997,
# without guidance.
# PITI, table 1: FID 6.1 on CLIP features at 256x256, 10.6 from scratch.
#   python tools/prepare_data.py photographs downloads/flickr data/flickr --size 256 --options every=42 \
#       --extract "dict(type='segmenter', network=dict(type='TransformersSegmenter', path='weights/segformer-b5-ade'))"
#   python tools/check_data.py configs/mask/piti_glide64_two-stage_flickr.py
#   python tools/test.py configs/mask/piti_glide_cascade256_flickr.py BASE,UPSAMPLER
# BASE and UPSAMPLER: ema.safetensors of a training of the two configs below.
_base_ = [
    "../_base_/datasets/flickr_mask.py",
    "../_base_/evaluation_benchmark.py",
    "../_base_/default_runtime.py",
]
model = dict(
    type="Cascade",
    base="piti_glide64_two-stage_flickr.py",
    upsampler="upsampler_glide256_flickr.py",
)
# Each part is trained by its own config.
train_dataloader = None
val_dataloader = None
test_dataloader = dict(batch_size=4, dataset=dict(pipeline=[*_base_.load, *_base_.whole]))

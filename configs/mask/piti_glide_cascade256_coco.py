# COCO-Stuff masks to 256x256 with the full-size models (PITI, table 1: FID 5.2 on CLIP features): 250 steps of DDPM
# with normalized guidance 1.3 at 64x64, then as released 27 steps, initial noise times 0.997, without guidance.
#   python tools/test.py configs/mask/piti_glide_cascade256_coco.py BASE,UPSAMPLER
# BASE and UPSAMPLER: the released weights, by tools/convert_checkpoint.py with --kind piti-base and piti-upsample, or
# ema.safetensors of a training of the two configs below.
_base_ = [
    "../_base_/datasets/cocostuff_mask.py",
    "../_base_/evaluation_photographs.py",
    "../_base_/default_runtime.py",
]
model = dict(
    type="Cascade",
    base="piti_glide64_two-stage_coco.py",
    upsampler="upsampler_glide256_coco.py",
)
# Each part is trained by its own config.
train_dataloader = None
val_dataloader = None
test_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadMask", num_classes=182, id_offset=0, ignore=255),
            dict(type="ResizePair", size=256, image_size=256),
            dict(type="PackInputs", keep=["label"]),
        ]
    ),
)

# PITI, table 3b, row 3: with the perceptual loss (FID 9.8 against 12.1 of degradation alone).
#   PITIKIT_WEIGHTS=FOLDER python tools/train.py configs/scenes/upsampler_small_mask_perceptual.py
# FOLDER holds vgg16_features.safetensors or vgg16_features_fp16.safetensors; without, weights="download" in the loss
# fetches torchvision's. The loss weights samples by alpha_bar: a short training has no time for
# estimates that are blurs in any case.
_base_ = ["./upsampler_small_mask_degradation.py"]
model = dict(
    losses=[
        dict(type="EpsMSE", v_weight=5),
        dict(type="VariationalBound"),
        dict(type="PerceptualLoss", network="vgg16", weight=0.004, alpha_power=1.0),
    ]
)

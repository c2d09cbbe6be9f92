# PITI, table 3b, row 3, on photographs: with the perceptual loss.
#   PITIKIT_DATA=data PITIKIT_WEIGHTS=FOLDER python tools/train.py configs/photographs/upsampler_small_perceptual.py
# FOLDER as in configs/scenes/upsampler_small_mask_perceptual.py.
_base_ = ["./upsampler_small_degradation.py"]
model = dict(
    losses=[
        dict(type="EpsMSE", v_weight=5),
        dict(type="VariationalBound"),
        dict(type="PerceptualLoss", network="vgg16", weight=0.004, alpha_power=1.0),
    ]
)

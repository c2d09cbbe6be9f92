# PITI, table 3b, row 2: trained on images that are degraded as well as reduced (FID 12.1 against 14.5 plain).
#   python tools/train.py configs/scenes/upsampler_small_mask_degradation.py
_base_ = ["./upsampler_small_mask_plain.py", "../_base_/degradations/bsr_light.py"]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadMask", num_classes=22),
            dict(type="ResizePair", size=256, image_size=256),
            dict(type="RandomFlip", prob=0.5),
            dict(type="Degrade", degradation={{_base_.degradation}}, size=64),
            dict(type="PackInputs"),
        ]
    )
)

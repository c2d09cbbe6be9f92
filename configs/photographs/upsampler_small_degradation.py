# PITI, table 3b, row 2, on photographs: trained on images that are degraded as well as reduced.
#   PITIKIT_DATA=data python tools/train.py configs/photographs/upsampler_small_degradation.py
_base_ = ["./upsampler_small_plain.py", "../_base_/degradations/bsr_light.py"]
pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadBlank"),
    dict(type="ResizePair", size=256, image_size=256),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Degrade", degradation={{_base_.degradation}}, size=64),
    dict(type="PackInputs"),
]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                type="PairedImageDataset",
                root="{{$PITIKIT_DATA:data}}/" + folder,
                image="images/{id}.jpg",
                conditions=dict(),
                pipeline=pipeline,
            )
            for folder in ("camvid256/train", "nyuv2_256/train")
        ]
    )
)

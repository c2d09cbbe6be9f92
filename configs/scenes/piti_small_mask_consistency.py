# SceneWorld label maps, whose labels a frozen segmenter reads in the estimated images (ControlNet++). It is not that
# of mIoU, neither in architecture nor in seed:
#   python tools/train_segmenter.py --network DilatedSegmenter --seed 1 --out weights/scenes_reader.safetensors
#   python tools/train.py configs/scenes/piti_small_mask_consistency.py
_base_ = ["./piti_small_mask.py"]
model = dict(
    losses=[
        dict(type="EpsMSE", v_weight=5.0),
        dict(type="VariationalBound"),
        dict(type="TokenAlignment", grid=16),
        dict(
            type="ConsistencyLoss",
            network=dict(type="DilatedSegmenter", weights="weights/scenes_reader.safetensors"),
            options=dict(balance=0.5),
            weight=0.05,
            max_t=600,
        ),
    ],
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadMask", num_classes=22),
            dict(type="ResizePair", size=256, image_size=64),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackInputs", keep=["label"]),
        ],
    ),
)

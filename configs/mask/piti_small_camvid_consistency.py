# CamVid street scenes whose labels a frozen segmenter reads in the estimated images (ControlNet++). It is not that of
# mIoU, neither in architecture nor in seed:
#   PITIKIT_DATA=data python tools/train_segmenter.py --config configs/mask/piti_small_camvid.py \
#       --network DilatedSegmenter --seed 1 --out weights/camvid_reader.safetensors --iterations 500 \
#       --classes Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist
#   PITIKIT_DATA=data python tools/train.py configs/mask/piti_small_camvid_consistency.py
_base_ = ["./piti_small_camvid.py"]
model = dict(
    losses=[
        dict(type="EpsMSE", v_weight=5.0),
        dict(type="VariationalBound"),
        dict(type="TokenAlignment", grid=16),
        dict(
            type="ConsistencyLoss",
            network=dict(type="DilatedSegmenter", weights="weights/camvid_reader.safetensors"),
            options=dict(balance=0.5),
            weight=0.05,
            max_t=600,
        ),
    ],
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[*_base_.load, dict(type="RandomFlip", prob=0.5), dict(type="PackInputs", keep=["label"])],
    ),
)

# Metrics on CamVid: those of photographs, and mIoU.
# mIoU needs camvid_segmenter.safetensors in weights/ or in the folder PITIKIT_WEIGHTS names; minutes of one core make
# it (without it, its columns stay empty):
#   PITIKIT_DATA=data python tools/train_segmenter.py --config configs/mask/piti_small_camvid.py \
#       --out weights/camvid_segmenter.safetensors --classes Sky Building Pole Road Pavement Tree SignSymbol Fence Car \
#       Pedestrian Bicyclist --iterations 500
# 500, since the network soon overfits 367 images: mIoU of the true test images is 0.51 after 500 and 0.47 after 2,400.
_base_ = ["./evaluation_photographs.py"]
test_evaluator = [
    dict(type="PSNR"),
    dict(type="LPIPS"),
    dict(type="FID"),
    dict(
        type="MeanIoU",
        segmenter=dict(type="SceneSegmenter", weights="weights/camvid_segmenter.safetensors"),
    ),
]

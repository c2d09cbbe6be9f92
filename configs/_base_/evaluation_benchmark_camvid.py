# Metrics of the benchmarks, and mIoU of CamVid by a segmenter of your own:
#   python tools/train_segmenter.py --config configs/mask/piti_small_camvid-official.py \
#       --out weights/camvid_segmenter.safetensors --iterations 500
_base_ = ["./evaluation_benchmark.py"]
segmenter = dict(type="SceneSegmenter", weights="weights/camvid_segmenter.safetensors")
test_evaluator = [*_base_.test_evaluator, dict(type="MeanIoU", segmenter=segmenter)]

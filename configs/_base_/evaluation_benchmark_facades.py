# Metrics of the benchmarks, and mIoU of CMP Facades by a segmenter of your own:
#   python tools/train_segmenter.py --config configs/mask/piti_small_facades.py \
#       --out weights/facades_segmenter.safetensors
_base_ = ["./evaluation_benchmark.py"]
segmenter = dict(type="SceneSegmenter", weights="weights/facades_segmenter.safetensors")
test_evaluator = [*_base_.test_evaluator, dict(type="MeanIoU", segmenter=segmenter)]

# Metrics of the benchmarks, and mIoU of COCO-Stuff by a segmenter of your own:
#   python tools/train_segmenter.py --config configs/mask/piti_small_coco.py \
#       --out weights/cocostuff_segmenter.safetensors
# A folder of transformers whose labels are the 182 ids: --cfg-options
# test_evaluator.3.segmenter="dict(type='TransformersSegmenter', path='FOLDER')"
_base_ = ["./evaluation_benchmark.py"]
segmenter = dict(type="SceneSegmenter", weights="weights/cocostuff_segmenter.safetensors")
test_evaluator = [*_base_.test_evaluator, dict(type="MeanIoU", segmenter=segmenter)]

# Metrics of the benchmarks, and mIoU of Cityscapes by SegFormer-B5, which pip install 'pitikit[transformers]' can run:
#   hf download nvidia/segformer-b5-finetuned-cityscapes-1024-1024 --local-dir weights/segformer-b5-cityscapes
# Another folder of transformers: --cfg-options test_evaluator.3.segmenter.path=FOLDER. Its labels are the 19
# classes in their order; classes= names them otherwise.
_base_ = ["./evaluation_benchmark.py"]
segmenter = dict(type="TransformersSegmenter", path="weights/segformer-b5-cityscapes")
test_evaluator = [*_base_.test_evaluator, dict(type="MeanIoU", segmenter=segmenter)]

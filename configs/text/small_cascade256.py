# configs/text/glide_cascade256.py in small, for random weights: 16x16, then 64x64.
#   python tools/translate.py configs/text/small_cascade256.py random "red car road" --out drawn
_base_ = ["./glide_cascade256.py", "../_base_/models/tiny_text.py"]
model = dict(base="small_base64.py", upsampler="small_upsample256.py")
test_dataloader = dict(dataset=dict(pipeline={{_base_.pipeline}}))
